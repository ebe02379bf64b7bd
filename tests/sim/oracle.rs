//! What really happened, as the simulated keepers and nodes saw it: the measure of what the
//! implementation says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deskd_core::id::{AppId, TaskId};
use deskd_core::task::Exit;
use deskd_core::wire::RunId;

use crate::setting;

/// Where a run was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Keeper,
    Cluster,
    /// By the keeper of a place.
    FarKeeper,
}

/// What is known of a run.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    pub place: Option<Place>,
    pub starts: u32,
    pub alive: bool,
    /// How it ended, if somebody saw that.
    pub exit: Option<Exit>,
}

/// Everything that counts.
#[derive(Debug, Default)]
pub struct Oracle {
    pub runs: BTreeMap<RunId, Truth>,
    /// Tasks that somebody was told of as launched, and that nobody removed.
    pub launched: BTreeSet<TaskId>,
    /// Tasks whose stop was answered, with their run then: no later one may start.
    pub stopped: BTreeMap<TaskId, u32>,
    /// Tasks whose removal was answered.
    pub removed: BTreeSet<TaskId>,
    /// Tasks whose record may be lost: the disk did not take it.
    pub unrecorded: BTreeSet<TaskId>,
    /// Of those, the ones whose keeper was lost too: nobody can know of their last runs.
    pub forgotten: BTreeSet<TaskId>,
    /// Tasks of which somebody said how long their stop may take.
    pub hurried: BTreeSet<TaskId>,
    /// Tasks that were there when deskd's container was restarted: of these alone it may be said that
    /// they were lost with it.
    pub restarted_with: BTreeSet<TaskId>,
    /// Tasks that were there during a shutdown: nothing is run again meanwhile.
    pub shut_down_with: BTreeSet<TaskId>,
    /// The first thing that must not be.
    pub violation: Option<String>,
}

impl Oracle {
    pub fn violated(&mut self, what: impl Into<String>) {
        self.violation.get_or_insert_with(|| what.into());
    }

    /// A process was started.
    pub fn started(&mut self, run: &RunId, place: Place) {
        let truth = self.runs.entry(run.clone()).or_default();
        truth.starts += 1;
        (truth.place, truth.alive) = (Some(place), true);
        let excused = match place {
            Place::Cluster | Place::FarKeeper => self.unrecorded.contains(&run.task),
            Place::Keeper => self.forgotten.contains(&run.task),
        };
        if truth.starts > 1 && !excused {
            self.violated(format!("{} run {} was started twice", run.task, run.run));
        }
        // An entry of the desktop's pod cannot be taken back: should its node start it, it is ended then.
        if place == Place::Keeper && self.removed.contains(&run.task) {
            self.violated(format!("{} run {} started after its removal", run.task, run.run));
        }
        if self.stopped.get(&run.task).is_some_and(|stopped| run.run > *stopped) {
            self.violated(format!("{} run {} started after its stop", run.task, run.run));
        }
        let alive = |(id, truth): (&RunId, &Truth)| {
            id.task == run.task && id.run != run.run && truth.alive && truth.place == Some(place)
        };
        if place != Place::Cluster && self.runs.iter().any(alive) {
            self.violated(format!("two runs of {} are alive", run.task));
        }
    }

    /// A stop of a run of `app` reaches its engine, with this long from SIGTERM to SIGKILL.
    pub fn stopping(&mut self, run: &RunId, app: Option<&AppId>, grace: Duration) {
        let of_app = app.filter(|_| !self.unrecorded.contains(&run.task));
        let least = of_app.map_or(setting::GRACE, setting::grace_of);
        if grace < least && !self.hurried.contains(&run.task) {
            self.violated(format!(
                "{} run {} has {grace:?} to end, not {least:?}",
                run.task, run.run
            ));
        }
    }

    pub fn ended(&mut self, run: &RunId, exit: &Exit) {
        let truth = self.runs.entry(run.clone()).or_default();
        if truth.alive {
            truth.exit = Some(exit.clone());
        }
        truth.alive = false;
    }

    /// It died and nobody saw how.
    pub fn lost(&mut self, run: &RunId) {
        self.runs.entry(run.clone()).or_default().alive = false;
    }
}
