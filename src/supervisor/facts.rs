//! Facts for a plan: what the driver knows, and the few things that are looked up for it.

use super::driver::Driver;
use super::handle::LaunchError;
use super::table::Entry;
use crate::domain::id::{AppId, TaskId};
use crate::domain::plan::facts::{Facts, Headroom, ProgramPresence};
use crate::domain::plan::{EngineKind, LaunchSpec, Plan, plan};
use crate::domain::task::TaskState;

impl Driver {
    /// The plan for `app` as things are now; for another run of `task`, if it is one.
    pub(super) fn plan(
        &self,
        app: &AppId,
        spec: &LaunchSpec,
        task: Option<&TaskId>,
    ) -> Result<Plan, LaunchError> {
        let app = self.apps.get(app).ok_or_else(|| LaunchError::UnknownApp(app.clone()))?;
        let others =
            |entry: &&Entry| entry.task.state != TaskState::Ended && Some(&entry.task.id) != task;
        let remote = |entry: &&Entry| entry.task.engine != EngineKind::Local;
        let remote = self.table.iter().filter(others).filter(remote).count();
        let unique_keys = self.table.iter().filter(others).filter_map(|entry| self.key_of(entry));
        let facts = Facts {
            display: self.display.clone(),
            inherited_env: self.settings.inherited_env.clone(),
            xauthority: self.settings.xauthority.clone(),
            cookie: self.settings.display.xauth_key.as_ref().map(|key| key.0.clone()),
            uid: nix::unistd::geteuid().as_raw(),
            architecture: std::env::consts::ARCH,
            home: self.settings.home.clone(),
            program: ProgramPresence::Unknown,
            headroom: Headroom::default(),
            kubernetes: self.remote.facts.clone(),
            policy: self.settings.policy.clone(),
            remote_tasks: u32::try_from(remote).unwrap_or(u32::MAX),
            unique_keys: unique_keys.collect(),
        };
        Ok(plan(app, spec, &facts)?)
    }

    /// `oc.uniquerunkey` of a task's app, and the task.
    fn key_of(&self, entry: &Entry) -> Option<(String, String)> {
        let key = self.apps.get(&entry.task.app)?.container.as_ref()?.unique_run_key.clone()?;
        Some((key, entry.task.id.to_string()))
    }
}
