//! Facts for a plan: what is known already, and what is looked up for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ask::LaunchError;
use super::{Entry, Now, Runs};
use crate::id::{AppId, TaskId};
use crate::origin::Origin;
use crate::plan::facts::{Change, Facts, Headroom, ProgramPresence};
use crate::plan::{LaunchSpec, Plan, plan};
use crate::task::TaskState;
use crate::wall::{Need, WallFacts};

/// What a plan has to know of this machine and does not change.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Variables deskd passes on to local programs.
    pub inherited_env: Arc<[(String, String)]>,
    /// `XAUTHORITY` for local programs.
    pub xauthority: Option<String>,
    /// The display's cookie in hexadecimal, if deskd was given one.
    pub cookie: Option<String>,
    /// deskd's own user.
    pub uid: u32,
    /// This node's architecture in the words of images, such as `amd64`.
    pub architecture: &'static str,
    /// Where local programs start that name no directory; it exists.
    pub home: Option<String>,
    /// Files can be made in it.
    pub home_is_writable: bool,
    /// deskd's own time zone, as `TZ` names it.
    pub time_zone: Option<String>,
    /// What a wall between programs and deskd can do here.
    pub wall: Arc<WallFacts>,
}

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
        let looked = (now.look_up)(app);
        let here = &self.config.surroundings;
        let facts = Facts {
            display: self.display.clone(),
            inherited_env: here.inherited_env.clone(),
            xauthority: here.xauthority.clone(),
            cookie: here.cookie.clone(),
            uid: here.uid,
            architecture: here.architecture,
            home: here.home.clone(),
            home_is_writable: here.home_is_writable,
            time_zone: here.time_zone.clone(),
            program: looked.program,
            need: looked.need,
            wall: here.wall.clone(),
            headroom: looked.headroom,
            kubernetes: self.cluster.facts.clone(),
            policy: self.config.policy.clone(),
            remote_tasks: self.remote_tasks_besides(task),
            unique_keys: self.unique_keys_besides(task),
        };
        Ok(plan(app, &spec, &facts)?)
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
