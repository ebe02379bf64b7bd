//! Tasks that deskd did not start: another control plane of the same desktop (abcdesktop's pyos), or
//! somebody with kubectl. Their id, their application and what can be done with them, from what the
//! cluster says about their object.

use serde::{Deserialize, Serialize};

use super::app::App;
use super::env_var::EnvVar;
use super::id::{AppId, TaskId};
use super::kubernetes::{ObjectRef, PROGRAM_VARIABLE, fnv1a};
use super::plan::EngineKind;
use super::task::{Task, TaskState, UnixMs};
use crate::text;
use crate::text::Text;

/// Tasks that others started and that are shown, the newest: entries of ephemeral containers stay in
/// a pod for ever.
pub const OTHERS_MAX: usize = 256;
/// Ids of such tasks that somebody removed, remembered so that they stay away.
pub const HIDDEN_MAX: usize = 4096;
/// The only run of such a task.
pub const ONLY_RUN: u32 = 1;
/// Variable that pyos gives every application: how it runs it.
const RUNTIME_VARIABLE: &str = "ABCDESKTOP_EXECUTE_RUNTIME";
/// What abcdesktop's published images are called behind the application's name.
const IMAGE_SUFFIX: &str = ".d";

/// Who started a task.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// deskd.
    #[default]
    Deskd,
    /// Somebody else, in this desktop.
    Other,
}

/// Why a task that others started cannot be stopped here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NoStop {
    /// Stable, for programs.
    pub code: NoStopCode,
    /// One sentence for people.
    pub sentence: Text,
}

/// Why a task that others started cannot be stopped here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoStopCode {
    /// An ephemeral container whose processes deskd does not see.
    ProcessesUnseen,
    /// deskd may not delete its pod.
    NotPermitted,
    /// Whether it may is not known yet.
    Asking,
}

impl From<NoStopCode> for NoStop {
    fn from(code: NoStopCode) -> Self {
        let sentence = match code {
            NoStopCode::ProcessesUnseen => {
                text!(
                    "it was not started by deskd and runs where deskd cannot see its processes, and \
                 Kubernetes has no way to end an ephemeral container: close its windows"
                )
            }
            NoStopCode::NotPermitted => {
                text!(
                    "it was not started by deskd, which may delete only pods of its own: stop it where \
                 it was started, or let deskd do it (stopsOthers in container/base/admission.yaml)"
                )
            }
            NoStopCode::Asking => {
                text!(
                    "it was not started by deskd, which does not know yet whether it may delete its pod: \
                 try again in a moment"
                )
            }
        };
        Self { code, sentence }
    }
}

/// What the cluster says about a container that others started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The name of its object.
    pub name: String,
    /// Its image, as it was asked for.
    pub image: String,
    /// Its program (`oc.path`), if a variable tells.
    pub program: Option<String>,
    /// Who made it, where it can be told.
    pub maker: Option<String>,
    /// argv; empty: the image's own.
    pub command: Vec<String>,
}

impl Found {
    /// From a container's spec.
    #[must_use]
    pub fn new(name: &str, image: &str, command: Vec<String>, env: &[EnvVar]) -> Self {
        let value = |name: &str| env.iter().find(|var| var.name == name).map(|var| &var.value);
        Self {
            name: name.to_owned(),
            image: image.to_owned(),
            program: value(PROGRAM_VARIABLE).filter(|value| !value.is_empty()).cloned(),
            maker: value(RUNTIME_VARIABLE).map(|_| "abcdesktop".to_owned()),
            command,
        }
    }

    /// The task: named as its object, so that each daemon finds the same.
    #[must_use]
    pub fn task(&self) -> TaskId {
        self.name
            .parse()
            .unwrap_or_else(|_| TaskId::new(&AppId::like(&self.name), fnv1a(&[&self.name])))
    }

    /// The application that has this image, else this program.
    #[must_use]
    pub fn app_among<'a>(&self, apps: impl Iterator<Item = &'a App>) -> Option<&'a App> {
        let rank = |app: &App| {
            let container = app.container.as_deref()?;
            if plain(&container.image) == plain(&self.image) {
                Some(0)
            } else if repository(&container.image) == repository(&self.image) {
                Some(1)
            } else {
                let same = container.program.first().or(container.image_command.first());
                let program = self.program.is_some() && same == self.program.as_ref();
                program.then_some(2)
            }
        };
        let ranked = apps.filter_map(|app| Some((rank(app)?, &app.id, app)));
        ranked.min_by_key(|(rank, id, _)| (*rank, *id)).map(|(_, _, app)| app)
    }

    /// The application's id where no application fits: as abcdesktop names images after
    /// applications (`abcdesktopio/2048-alpine.d:3.0`).
    #[must_use]
    pub fn app_by_image(&self) -> AppId {
        let last = repository(&self.image).rsplit('/').next().unwrap_or_default();
        AppId::like(last.strip_suffix(IMAGE_SUFFIX).unwrap_or(last))
    }

    /// The last part of its program's path.
    #[must_use]
    pub fn program_name(&self) -> Option<&str> {
        let program = self.program.as_ref().or(self.command.first())?;
        program.rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// `abcdesktop started it`, as a reason.
    fn reason(&self) -> Text {
        match &self.maker {
            Some(maker) => text!("{maker} started it, not deskd", maker),
            None => text!("it was not started by deskd"),
        }
    }
}

impl Task {
    /// A task whose record was lost, as its object tells it: being started, until it is seen how
    /// far it is.
    #[must_use]
    pub fn found(
        id: TaskId,
        app: AppId,
        display_name: String,
        engine: EngineKind,
        object: ObjectRef,
        run: u32,
        now: UnixMs,
    ) -> Self {
        let mut task = Self::planned(id, app, display_name, engine, now);
        task.reasons = vec![text!("it was found in the cluster; its record was lost")];
        task.runs = run;
        task.object = Some(object);
        task.enter(TaskState::Starting, now, text!("found in the cluster"));
        task
    }

    /// Who started it, if it was not deskd: for tables.
    #[must_use]
    pub fn mark(&self) -> Option<String> {
        match (self.origin, &self.maker) {
            (Origin::Deskd, _) => None,
            (Origin::Other, Some(maker)) => Some(format!("started by {maker}")),
            (Origin::Other, None) => Some("not started by deskd".into()),
        }
    }

    /// One that others started; its application is what [`Found`] tells.
    #[must_use]
    pub fn of_others(
        found: &Found,
        app: Option<&App>,
        engine: EngineKind,
        object: ObjectRef,
        now: UnixMs,
    ) -> Self {
        let id = app.map_or_else(|| found.app_by_image(), |app| app.id.clone());
        let name = app.map_or_else(|| id.to_string(), |app| app.display_name.clone());
        let mut task = Self::found(found.task(), id, name, engine, object, ONLY_RUN, now);
        task.origin = Origin::Other;
        task.maker.clone_from(&found.maker);
        task.reasons = vec![found.reason()];
        task.command.clone_from(&found.command);
        let program = found.program.iter().filter(|program| found.command.first() != Some(program));
        task.program = program.cloned().collect();
        task.entry_point = !task.program.is_empty();
        // Until the engine says what can be done.
        let code = match engine {
            EngineKind::PodApplication => NoStopCode::Asking,
            _ => NoStopCode::ProcessesUnseen,
        };
        task.no_stop = Some(code.into());
        task
    }
}

/// Whether two names mean the same image: the registry that is meant where none is named does not
/// count, and the tag only where both have one.
#[must_use]
pub fn same_image(one: &str, other: &str) -> bool {
    let (one, other) = (plain(one), plain(other));
    let untagged = |image: &str| repository(image).len() == image.len();
    one == other || (repository(one) == repository(other) && (untagged(one) || untagged(other)))
}

/// Without the registry that is meant where none is named.
fn plain(image: &str) -> &str {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    image.strip_prefix("library/").unwrap_or(image)
}

/// Without tag and digest.
fn repository(image: &str) -> &str {
    let image = plain(image).split('@').next().unwrap_or_default();
    match image.rsplit_once(':') {
        // A registry's port is followed by a path.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env_var::EnvSource;
    use crate::samples::{app, container_app};
    use proptest::prelude::*;

    fn pyos(name: &str, image: &str) -> Found {
        let env = [("APP", "/usr/bin/gnome-2048"), (RUNTIME_VARIABLE, "ephemeral_container")];
        let env = env.map(|(name, value)| EnvVar::new(name, value, EnvSource::Launch));
        Found::new(name, image, vec!["/composer/appli-docker-entrypoint.sh".into()], &env)
    }

    fn described(id: &str, image: &str, program: &str) -> App {
        let mut app = app(id);
        let mut container = container_app();
        container.image = image.to_owned();
        container.program = vec![program.to_owned()];
        app.container = Some(Box::new(container));
        app
    }

    #[test]
    fn a_task_is_named_as_its_object_and_says_who_made_it() {
        let found = pyos("balloon-2048-alpine-05d62", "abcdesktopio/2048-alpine.d:3.0");
        assert_eq!(found.task().as_str(), "balloon-2048-alpine-05d62");
        assert_eq!(found.app_by_image().as_str(), "2048-alpine");
        assert_eq!(found.program_name(), Some("gnome-2048"));
        let object =
            ObjectRef { namespace: "d".into(), pod: "p".into(), container: found.name.clone() };
        let task = Task::of_others(&found, None, EngineKind::EphemeralContainer, object, 5);
        assert_eq!((task.origin, task.maker.as_deref()), (Origin::Other, Some("abcdesktop")));
        assert_eq!(task.no_stop.as_ref().map(|why| why.code), Some(NoStopCode::ProcessesUnseen));
        assert_eq!((task.runs, task.state), (1, TaskState::Starting));
        assert!(task.entry_point, "the exit code may be its own");
        assert_eq!(task.program, ["/usr/bin/gnome-2048"]);
        assert_eq!(task.mark().as_deref(), Some("started by abcdesktop"));
    }

    #[test]
    fn its_application_is_the_one_of_its_image_then_of_its_program() {
        let apps = [
            described("other", "example.org/other:1", "/usr/bin/other"),
            described("same-program", "example.org/x:1", "/usr/bin/gnome-2048"),
            described("same-repository", "abcdesktopio/2048-alpine.d:4.0", "/x"),
            described("same-image", "docker.io/abcdesktopio/2048-alpine.d:3.0", "/y"),
        ];
        let found = pyos("a", "abcdesktopio/2048-alpine.d:3.0");
        let id = |apps: &[App]| found.app_among(apps.iter()).map(|app| app.id.to_string());
        assert_eq!(id(&apps).as_deref(), Some("same-image"));
        assert_eq!(id(&apps[..3]).as_deref(), Some("same-repository"));
        assert_eq!(id(&apps[..2]).as_deref(), Some("same-program"));
        assert_eq!(id(&apps[..1]), None);
    }

    #[test]
    fn tags_digests_and_ports_are_told_apart() {
        for (image, name) in [
            ("registry:5000/a/b:1.2", "registry:5000/a/b"),
            ("registry:5000/a/b", "registry:5000/a/b"),
            ("docker.io/library/x@sha256:00", "x"),
            ("", ""),
        ] {
            assert_eq!(repository(image), name);
        }
    }

    #[test]
    fn a_journal_of_before_has_only_deskds_own_tasks() {
        let app = app("xclock");
        let plan = crate::samples::plan_of(&app);
        let task = Task::new("xclock-00001".parse().unwrap(), &app, &plan, 5);
        let mut old = serde_json::to_value(&task).unwrap();
        old.as_object_mut().unwrap().remove("origin");
        assert_eq!(serde_json::from_value::<Task>(old).unwrap(), task);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn whatever_an_object_and_its_image_are_called_the_ids_are_ids(name in ".{0,300}", image in ".{0,90}") {
            let found = pyos(&name, &image);
            prop_assert!(found.task().as_str().parse::<TaskId>().is_ok());
            prop_assert_eq!(found.task(), pyos(&name, "other").task());
            prop_assert!(found.app_by_image().as_str().parse::<AppId>().is_ok());
        }
    }
}
