//! A task in the words of abcdesktop's Tasks panel, and back.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::error::ApiError;
use super::Composer;
use crate::config::ComposerVersion;
use crate::supervisor::Snapshot;
use deskd_core::app::App;
use deskd_core::id::TaskId;
use deskd_core::origin::Origin;
use deskd_core::plan::EngineKind;
use deskd_core::task::{Exit, Task, TaskState};

/// Most characters of an unknown name that an error repeats.
const NAME_CHARS_MAX: usize = 80;
/// What the panel decodes; it takes every `oc.icondata` for SVG.
const SVG_DATA: &str = "data:image/svg+xml;base64,";

/// How the panel names a task.
#[derive(Debug, Deserialize)]
pub(super) struct ContainerName {
    podname: String,
    containerid: String,
}

impl ContainerName {
    /// The task of this name: what the list told, or its own id.
    pub(super) fn task(&self, snapshot: &Snapshot) -> Result<TaskId, ApiError> {
        let is_named = |task: &&Arc<Task>| {
            let (pod, id) = names(task, &snapshot.desktop.name);
            let same_pod = self.podname == pod || self.podname == snapshot.desktop.name;
            same_pod && (self.containerid == id || self.containerid == task.id.as_str())
        };
        let task = snapshot.tasks.iter().find(is_named);
        task.map(|task| task.id.clone()).ok_or_else(|| {
            ApiError::UnknownTask(self.containerid.chars().take(NAME_CHARS_MAX).collect())
        })
    }
}

/// `podname` and `id`. What deskd started in the desktop's pod is called by its task: a place is one
/// container of several.
pub(super) fn names<'a>(task: &'a Task, desktop: &'a str) -> (&'a str, &'a str) {
    match (&task.object, task.engine) {
        (Some(object), EngineKind::PodApplication) => (&object.pod, &object.pod),
        (Some(object), _) if task.origin == Origin::Other => (&object.pod, &object.container),
        (Some(object), _) => (&object.pod, task.id.as_str()),
        (None, _) => (desktop, task.id.as_str()),
    }
}

/// Containers have states, pods phases (`core/v1`).
pub(super) fn status(task: &Task) -> &'static str {
    let is_pod = task.engine == EngineKind::PodApplication;
    match task.state {
        TaskState::Planned | TaskState::Starting if is_pod => "Pending",
        TaskState::Planned | TaskState::Starting => "Waiting",
        TaskState::Running | TaskState::Stopping => "Running",
        TaskState::Ended if !is_pod => "Terminated",
        TaskState::Ended if succeeded(task) => "Succeeded",
        TaskState::Ended => "Failed",
    }
}

fn succeeded(task: &Task) -> bool {
    task.exit.as_ref().is_some_and(|exit: &Exit| !exit.is_failure())
}

/// A word of `list_applications_by_phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Phase {
    Running,
    Terminated,
    Waiting,
    Completed,
    Succeeded,
}

impl Phase {
    pub(super) fn has(self, task: &Task) -> bool {
        match self {
            Self::Running => matches!(task.state, TaskState::Running | TaskState::Stopping),
            Self::Waiting => matches!(task.state, TaskState::Planned | TaskState::Starting),
            Self::Terminated => task.state == TaskState::Ended,
            Self::Completed | Self::Succeeded => task.state == TaskState::Ended && succeeded(task),
        }
    }
}

impl Composer {
    /// The type of a task. The panel greys out Kill and Remove of ephemeral containers, since pyos
    /// has no way to stop them; deskd has.
    pub(super) fn kind(&self, task: &Task) -> &'static str {
        let as_pod = self.config.stoppable && task.no_stop.is_none();
        match (task.engine, self.config.version) {
            (EngineKind::PodApplication, _) => "pod_application",
            _ if as_pod => "pod_application",
            (_, ComposerVersion::V3) => "ephemeralcontainer",
            (_, ComposerVersion::V4) => "ephemeral_container",
        }
    }

    /// One element of the list.
    pub(super) fn entry(&self, task: &Task, app: Option<&App>, desktop: &str) -> Value {
        let container = app.and_then(|app| app.container.as_deref());
        let label = |name: &str| container.and_then(|container| container.labels.get(name));
        let (podname, id) = names(task, desktop);
        let path = task.program.first().or_else(|| task.command.first());
        let icon = app.and_then(|app| app.icon.as_deref());
        json!({
            "podname": podname,
            "id": id,
            "short_id": id,
            "status": status(task),
            "image": container.map_or("", |container| container.image.as_str()),
            "oc.path": path,
            "nodehostname": task.node,
            "architecture": container.and_then(|container| container.architecture.as_deref()),
            "os": "linux",
            "oc.icondata": icon.and_then(|icon| icon.strip_prefix(SVG_DATA)),
            "oc.args": container.and_then(|container| container.args.as_deref()),
            "oc.icon": label("oc.icon"),
            "oc.launch": launch(app),
            "oc.displayname": task.display_name,
            "runtime": "kubernetes",
            "type": self.kind(task),
        })
    }
}

/// `WM_CLASS` of its windows, as abcdesktop calls it.
pub(super) fn launch(app: Option<&App>) -> Option<&str> {
    let app = app?;
    let label = app.container.as_deref().and_then(|container| container.labels.get("oc.launch"));
    label.map(String::as_str).or(app.wm_class.as_deref())
}

/// The application of a task.
pub(super) fn app_of<'a>(snapshot: &'a Snapshot, task: &Task) -> Option<&'a App> {
    snapshot.apps.iter().find(|app| app.id == task.app).map(Arc::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ComposerConfig;
    use deskd_core::kubernetes::ObjectRef;
    use deskd_core::origin::NoStopCode;
    use deskd_core::samples::{app, container_app, plan_of};

    fn composer(version: ComposerVersion, stoppable: bool) -> Composer {
        let (owner, audience, key_file) = ("anna".into(), None, "/nowhere".into());
        let config = ComposerConfig { key_file, owner, audience, version, stoppable };
        Composer::new(config)
    }

    fn task(engine: EngineKind) -> (App, Task) {
        let mut app = app("2048");
        app.icon = Some("data:image/svg+xml;base64,PHN2Zy8+".into());
        let mut task = Task::new("2048-00001".parse().unwrap(), &app, &plan_of(&app), 0);
        app.container = Some(Box::new(container_app()));
        task.engine = engine;
        let (namespace, pod) = ("desktops".into(), "anna-3f9c1".into());
        task.object = Some(ObjectRef { namespace, pod, container: "anna-2048-1a2b3".into() });
        (app, task)
    }

    #[test]
    fn the_panel_may_stop_an_ephemeral_application_that_deskd_can_stop_and_no_other() {
        let (_, mut task) = task(EngineKind::EphemeralContainer);
        for (version, stoppable, kind) in [
            (ComposerVersion::V3, true, "pod_application"),
            (ComposerVersion::V3, false, "ephemeralcontainer"),
            (ComposerVersion::V4, false, "ephemeral_container"),
        ] {
            assert_eq!(composer(version, stoppable).kind(&task), kind);
        }
        task.no_stop = Some(NoStopCode::ProcessesUnseen.into());
        assert_eq!(composer(ComposerVersion::V4, true).kind(&task), "ephemeral_container");
    }

    #[test]
    fn a_task_is_named_by_the_desktops_pod_and_its_id_a_pod_by_itself_and_what_others_made_as_they_did()
     {
        let composer = composer(ComposerVersion::V3, false);
        let (app, mut task) = task(EngineKind::EphemeralContainer);
        let entry = composer.entry(&task, Some(&app), "anna-3f9c1");
        assert_eq!(entry["podname"], "anna-3f9c1");
        assert_eq!(entry["id"], "2048-00001", "another task may be in the same container");
        task.origin = Origin::Other;
        let others = composer.entry(&task, Some(&app), "anna-3f9c1");
        assert_eq!(others["id"], "anna-2048-1a2b3");
        task.origin = Origin::Deskd;
        assert_eq!(
            (&entry["status"], &entry["oc.icondata"]),
            (&json!("Waiting"), &json!("PHN2Zy8+"))
        );
        assert_eq!(entry["image"], "abcdesktopio/2048-alpine:4.1");
        task.engine = EngineKind::PodApplication;
        task.state = TaskState::Ended;
        task.exit = Some(Exit::Code(1));
        let entry = composer.entry(&task, Some(&app), "desktop");
        assert_eq!((&entry["id"], &entry["status"]), (&json!("anna-3f9c1"), &json!("Failed")));
        assert!(!Phase::Succeeded.has(&task) && Phase::Terminated.has(&task));
        task.exit = Some(Exit::Code(0));
        assert_eq!(status(&task), "Succeeded");
        assert!(Phase::Completed.has(&task));
    }
}
