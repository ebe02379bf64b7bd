//! Facts for a plan: what the driver knows, and the few things that are looked up for it.

use std::path::Path;

use super::driver::Driver;
use super::handle::LaunchError;
use super::table::Entry;
use deskd_core::app::App;
use deskd_core::id::{AppId, TaskId};
use deskd_core::origin::Origin;
use deskd_core::plan::facts::{Change, Facts, Headroom, ProgramPresence};
use deskd_core::plan::{EngineKind, LaunchSpec, Plan, plan};
use deskd_core::task::TaskState;
use deskd_keeper::procfs::MemoryCgroup;

/// PATH when the environment has none, as in `keeper::spawn`.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

impl Driver {
    /// The plan for `app` as things are now; for another run of `task`, if it is one: then with the
    /// remedy that was applied to it.
    pub(super) fn plan(
        &self,
        app: &AppId,
        spec: &LaunchSpec,
        task: Option<&TaskId>,
    ) -> Result<Plan, LaunchError> {
        let remedied = task.and_then(|id| self.table.get(id)?.task.remedied.as_ref());
        let change = remedied.map(|applied| applied.proposal.remedy.change()).unwrap_or_default();
        self.plan_changed(app, spec, task, change)
    }

    /// The same, changed by a remedy.
    pub(super) fn plan_changed(
        &self,
        app: &AppId,
        spec: &LaunchSpec,
        task: Option<&TaskId>,
        change: Change,
    ) -> Result<Plan, LaunchError> {
        let spec = LaunchSpec { change, ..spec.clone() };
        let app = self.apps.get(app).ok_or_else(|| LaunchError::UnknownApp(app.clone()))?;
        let others =
            |entry: &&Entry| entry.task.state != TaskState::Ended && Some(&entry.task.id) != task;
        let remote = |entry: &&Entry| {
            entry.task.engine != EngineKind::Local && entry.task.origin == Origin::Deskd
        };
        let remote = self.table.iter().filter(others).filter(remote).count();
        let unique_keys = self.table.iter().filter(others).filter_map(|entry| self.key_of(entry));
        let facts = Facts {
            display: self.display.clone(),
            inherited_env: self.settings.inherited_env.clone(),
            xauthority: self.settings.xauthority.clone(),
            cookie: self.settings.display.key().and_then(Result::ok).map(|cookie| cookie.hex()),
            uid: rustix::process::geteuid().as_raw(),
            architecture: architecture(),
            home: self.settings.home.clone(),
            home_is_writable: self.settings.home_is_writable,
            time_zone: self.settings.time_zone.clone(),
            program: program(app, &self.settings.inherited_env),
            headroom: self.headroom(app),
            kubernetes: self.remote.facts.clone(),
            policy: self.settings.kubernetes.policy.clone(),
            remote_tasks: u32::try_from(remote).unwrap_or(u32::MAX),
            unique_keys: unique_keys.collect(),
        };
        Ok(plan(app, &spec, &facts)?)
    }

    /// What is left of deskd's memory, if that can matter: an app without an image has nowhere else
    /// to run, and need not wait for a dozen files to be read.
    fn headroom(&self, app: &App) -> Headroom {
        let cgroup = self.cgroup.as_ref().filter(|_| app.container.is_some());
        cgroup.map(MemoryCgroup::headroom).unwrap_or_default()
    }

    /// `oc.uniquerunkey` of a task's app, and the task.
    fn key_of(&self, entry: &Entry) -> Option<(String, String)> {
        let key = self.apps.get(&entry.task.app)?.container.as_ref()?.unique_run_key.clone()?;
        Some((key, entry.task.id.to_string()))
    }
}

/// Whether the program of an app that comes in an image is in this container too. Other apps are
/// not looked up: the keeper says what is wrong with theirs.
fn program(app: &App, inherited: &[(String, String)]) -> ProgramPresence {
    if app.container.is_none() {
        return ProgramPresence::Unknown;
    }
    let Some(name) = app.local.command.first().filter(|name| !name.is_empty()) else {
        return ProgramPresence::Absent;
    };
    let of_env = |(key, value): &(String, String)| (key == "PATH").then(|| value.clone());
    let path = app.local.env.get("PATH").cloned().or_else(|| inherited.iter().find_map(of_env));
    let path = path.unwrap_or_else(|| PATH_DEFAULT.to_owned());
    let found = if name.contains('/') {
        is_executable(Path::new(name))
    } else {
        path.split(':').any(|directory| is_executable(&Path::new(directory).join(name)))
    };
    if found { ProgramPresence::Present } else { ProgramPresence::Absent }
}

fn is_executable(file: &Path) -> bool {
    let may = rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok();
    may && std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file())
}

/// This machine's architecture in Go's words, which images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deskd_core::samples::{app, container_app};

    fn look(command: &[&str], path: &str) -> ProgramPresence {
        let mut app = app("a");
        app.local.command = command.iter().map(ToString::to_string).collect();
        app.container = Some(Box::new(container_app()));
        program(&app, &[("PATH".to_owned(), path.to_owned())])
    }

    #[test]
    fn an_image_s_program_is_looked_up_in_this_container() {
        use ProgramPresence::{Absent, Present};
        assert_eq!(look(&["/bin/sh"], ""), Present);
        assert_eq!(look(&["sh", "-c"], "/nowhere:/bin"), Present);
        assert_eq!(look(&["sh"], "/nowhere"), Absent);
        assert_eq!(look(&["/bin"], "/bin"), Absent);
        assert_eq!(look(&["/etc/passwd"], "/bin"), Absent);
        assert_eq!(look(&[], "/bin"), Absent);
        assert_eq!(program(&app("sh"), &[]), ProgramPresence::Unknown);
    }
}
