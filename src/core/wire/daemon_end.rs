//! How a daemon ended, as its successor is told.

use serde::{Deserialize, Serialize};

use crate::task::Exit;
use crate::text;
use crate::text::Text;

/// How a daemon ended whose successor is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DaemonEnd {
    /// By itself, or somebody killed it.
    Ended(Exit),
    /// It did not answer, and the keeper killed it.
    Silent {
        /// It was stopped (SIGSTOP).
        stopped: bool,
    },
    /// SIGHUP asked for another program or configuration.
    Replaced,
    /// The program or configuration that SIGHUP asked for did not start, and the one of before runs again.
    NotStarted,
}

impl DaemonEnd {
    /// What happened to it, as the rest of a sentence about the daemon.
    #[must_use]
    pub fn sentence(&self) -> Text {
        match self {
            Self::Ended(exit) => text!("ended ({exit})", exit = exit.sentence()),
            Self::Silent { stopped: true } => text!("was stopped by a signal (SIGSTOP)"),
            Self::Silent { stopped: false } => text!("did not answer"),
            Self::Replaced => text!("was replaced (SIGHUP)"),
            Self::NotStarted => {
                text!("(SIGHUP) did not start: its program and configuration are not used")
            }
        }
    }
}
