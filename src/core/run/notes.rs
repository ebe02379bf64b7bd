//! What was seen around a run, for its diagnosis.

use serde::{Deserialize, Serialize};

use crate::display::DisplayStatus;
use crate::task::Rusage;
use crate::why::Actor;
use crate::why::evidence::ClusterEvidence;

/// Noted from the launch of a run to its end: not shown, and on record with the task, so that a
/// daemon that is killed in between explains as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunNotes {
    /// The X server answered when it was launched.
    pub display_answered: Option<bool>,
    /// Shared memory was proved to work then.
    pub shm_worked: Option<bool>,
    /// The kernel killed a process of its container meanwhile, for want of memory.
    pub oom_killed: Option<bool>,
    /// The X server went away, or was restarted, while it ran.
    pub display_lost: bool,
    /// Who asked for its end.
    pub stopped_by: Option<Actor>,
    /// Where its output begins in the task's log: behind that of the runs before.
    pub log_from: u64,
    /// The API server has, or had, its object: should it not be there, somebody deleted it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
    /// What it used in a container, as the keeper there saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Rusage>,
    /// What the cluster said about it last.
    pub cluster: Box<ClusterEvidence>,
}

impl RunNotes {
    /// Those of a run that is launched now, of a task that wrote `log_from` bytes so far.
    #[must_use]
    pub fn at_launch(display: &DisplayStatus, log_from: u64) -> Self {
        Self {
            log_from,
            display_answered: Some(display.answers()),
            shm_worked: Some(display.shm.sysv.works()),
            ..Self::default()
        }
    }
}
