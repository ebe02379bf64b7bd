//! When a launch was how far: of those under way, so that the answer can say where its time went.

use std::collections::HashMap;

use super::handle::{LaunchAdmission, LaunchError};
use deskd_core::id::TaskId;
use deskd_core::wire::StartTimes;
use deskd_keeper::clock::monotonic_ns;

/// When a launch that became a local process was how far, in nanoseconds of
/// [`monotonic_ns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchTimes {
    /// It was decided what follows.
    pub planned: u64,
    /// That was on record.
    pub recorded: u64,
    /// What the keeper says.
    pub start: StartTimes,
}

/// What became of a launch.
#[derive(Debug)]
pub struct Launched {
    /// The task, or why there is none.
    pub admission: Result<LaunchAdmission, LaunchError>,
    /// When it was how far; absent where no process was started.
    pub times: Option<LaunchTimes>,
}

impl Launched {
    /// An answer to what was not carried out.
    #[must_use]
    pub fn refused(error: LaunchError) -> Self {
        Self { admission: Err(error), times: None }
    }
}

/// The launches under way.
#[derive(Debug, Default)]
pub(super) struct Timings {
    /// When the plans of this batch were made, and recorded.
    planned: u64,
    recorded: u64,
    asked: HashMap<TaskId, [u64; 2]>,
    started: HashMap<TaskId, LaunchTimes>,
}

impl Timings {
    pub(super) fn planned(&mut self) {
        self.planned = monotonic_ns();
    }

    pub(super) fn recorded(&mut self) {
        self.recorded = monotonic_ns();
    }

    /// The keeper is asked to start a task's process.
    pub(super) fn asked(&mut self, task: TaskId) {
        self.asked.insert(task, [self.planned, self.recorded]);
    }

    /// The keeper has started it, or has refused.
    pub(super) fn answered(&mut self, task: &TaskId, start: Option<StartTimes>) {
        if let (Some([planned, recorded]), Some(start)) = (self.asked.remove(task), start) {
            self.started.insert(task.clone(), LaunchTimes { planned, recorded, start });
        }
    }

    /// An answer that is about to be given, with the times.
    pub(super) fn launched(&mut self, admission: Result<LaunchAdmission, LaunchError>) -> Launched {
        let times = match &admission {
            Ok(LaunchAdmission::Started(task)) => self.started.remove(&task.id),
            _ => None,
        };
        Launched { admission, times }
    }

    /// All answers of a batch were given: starts that nobody waits for (of a restart) are forgotten.
    pub(super) fn forget(&mut self) {
        self.started.clear();
    }
}
