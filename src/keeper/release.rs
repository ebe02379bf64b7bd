//! What daemons are started from, and how one release follows another. Values only.
//!
//! ```text
//!  SIGHUP            checked: exit 0           the daemon ended           the first answer
//! --------> Checking ---------------> Stopping ---------------> Trial ---------------------> (the new one)
//!               | else                                            | it ends, or is silent
//!               v                                                 v
//!         (the old one)                                     (the old one)
//! ```
//!
//! The check is the new program's: it reads the configuration anew, compares it with the one in use, and writes it into a
//! memory file, which the new daemon gets. So nothing that is wrong reaches a daemon, and nothing is taken over by halves.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::executable::Program;
use super::spawn::Command;

/// Most time that a check may take: it reads a few files and asks nobody.
const CHECK_MS_MAX: u64 = 30_000;
/// From the daemon's SIGTERM to its SIGKILL: it answers what it was asked before, and its journal is on the disk.
const STOP_MS_MAX: u64 = 5_000;

/// A program and its configuration.
#[derive(Debug)]
pub struct Release {
    /// What is executed.
    pub command: Command,
    /// Keeps the file open that it is executed from; absent if it is looked for in PATH.
    pub _program: Option<Program>,
    /// What a daemon gets as its descriptor [`DAEMON_FILE_FD`](crate::DAEMON_FILE_FD).
    pub file: Option<OwnedFd>,
}

impl Release {
    /// Of a keeper that starts no daemon.
    #[must_use]
    pub fn none() -> Self {
        Self { command: Command::none(), _program: None, file: None }
    }
}

/// How far the next release is.
#[derive(Debug, Default)]
pub enum Reload {
    /// There is none.
    #[default]
    Idle,
    /// The new program reads the configuration.
    Checking {
        /// The process that does.
        pid: u32,
        /// When it is killed.
        until: Instant,
        /// Started if it finds nothing wrong.
        next: Release,
    },
    /// The old daemon is to end.
    Stopping {
        /// When it is killed.
        until: Instant,
        /// Started then.
        next: Release,
    },
    /// The new daemon runs and has not answered yet.
    Trial {
        /// Started again if it does not.
        previous: Release,
    },
}

impl Reload {
    /// A check began.
    #[must_use]
    pub fn checking(pid: u32, next: Release, now: Instant) -> Self {
        Self::Checking { pid, until: now + Duration::from_millis(CHECK_MS_MAX), next }
    }

    /// The daemon was asked to end.
    #[must_use]
    pub fn stopping(next: Release, now: Instant) -> Self {
        Self::Stopping { until: now + Duration::from_millis(STOP_MS_MAX), next }
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// The process that checks, if one does.
    #[must_use]
    pub fn checker(&self) -> Option<u32> {
        match self {
            Self::Checking { pid, .. } => Some(*pid),
            _ => None,
        }
    }

    /// When the process that is waited for is to be killed.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        match self {
            Self::Checking { until, .. } | Self::Stopping { until, .. } => Some(*until),
            Self::Idle | Self::Trial { .. } => None,
        }
    }

    /// It was killed: not again.
    pub fn killed(&mut self, now: Instant) {
        if let Self::Checking { until, .. } | Self::Stopping { until, .. } = self {
            *until = now + Duration::from_millis(CHECK_MS_MAX);
        }
    }
}
