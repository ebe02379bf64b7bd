//! Facts for a plan: what is known already, and what is looked up for it.

use std::collections::BTreeMap;

use super::ask::LaunchError;
use super::{Entry, Now, Runs};
use crate::app::App;
use crate::id::{AppId, TaskId};
use crate::origin::Origin;
use crate::plan::facts::{Change, Facts, Headroom, ProgramPresence};
use crate::plan::{LaunchSpec, Plan, plan};
use crate::task::TaskState;
use crate::wall::Need;

/// What was looked up for an app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookedUp {
    /// Whether its program is in this container too.
    pub program: ProgramPresence,
    /// What that needs that a wall takes away.
    pub need: Option<Need>,
    /// What is left of deskd's memory.
    pub headroom: Headroom,
}

impl Runs {
    /// The plan for `app` as things are now; for another run of `task`, if it is one: then with the
    /// remedy that was applied to it.
    pub(super) fn plan(
        &self,
        app: &AppId,
        spec: &LaunchSpec,
        task: Option<&TaskId>,
        now: &Now<'_>,
    ) -> Result<Plan, LaunchError> {
        let remedied = task.and_then(|id| self.task(id)?.remedied.as_ref());
        let change = remedied.map(|applied| applied.proposal.remedy.change()).unwrap_or_default();
        self.plan_changed(app, spec, task, change, now)
    }

    /// The same, changed by a remedy.
    pub(super) fn plan_changed(
        &self,
        app: &AppId,
        spec: &LaunchSpec,
        task: Option<&TaskId>,
        change: Change,
        now: &Now<'_>,
    ) -> Result<Plan, LaunchError> {
        let spec = LaunchSpec { change, ..spec.clone() };
        let app = self.app(app).ok_or_else(|| LaunchError::UnknownApp(app.clone()))?;
        Ok(plan(app, &spec, &self.facts(app, task, now))?)
    }

    /// Everything that may change the plan for `app`; for another run of `task`, if it is one.
    pub(super) fn facts(&self, app: &App, task: Option<&TaskId>, now: &Now<'_>) -> Facts {
        let looked = (now.look_up)(app);
        Facts {
            display: self.display.clone(),
            machine: self.config.machine.clone(),
            program: looked.program,
            need: looked.need,
            headroom: looked.headroom,
            kubernetes: self.cluster.facts.clone(),
            policy: self.config.policy.clone(),
            remote_tasks: self.remote_tasks_besides(task),
            unique_keys: self.unique_keys_besides(task),
        }
    }

    fn alive_besides<'a>(&'a self, task: Option<&'a TaskId>) -> impl Iterator<Item = &'a Entry> {
        let other = move |entry: &&Entry| {
            entry.task.state != TaskState::Ended && Some(&entry.task.id) != task
        };
        self.table.iter().filter(other)
    }

    fn remote_tasks_besides(&self, task: Option<&TaskId>) -> u32 {
        let remote = |entry: &&Entry| {
            entry.task.engine.is_in_cluster() && entry.task.origin == Origin::Deskd
        };
        u32::try_from(self.alive_besides(task).filter(remote).count()).unwrap_or(u32::MAX)
    }

    /// `oc.uniquerunkey` of the apps of tasks that have not ended, and the task that holds each.
    fn unique_keys_besides(&self, task: Option<&TaskId>) -> BTreeMap<String, String> {
        let key_of = |entry: &Entry| {
            let container = self.app(&entry.task.app)?.container.as_ref()?;
            Some((container.unique_run_key.clone()?, entry.task.id.to_string()))
        };
        self.alive_besides(task).filter_map(key_of).collect()
    }
}
