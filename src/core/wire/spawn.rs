//! Why the keeper did not start a process.

use serde::{Deserialize, Serialize};

use crate::text;
use crate::text::Text;

/// Why a process was not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpawnError {
    /// The name is in no directory of PATH.
    NotInPath {
        /// As in `argv[0]`.
        program: String,
        /// The PATH searched.
        path: String,
    },
    /// The file cannot be executed.
    Exec {
        /// The file tried.
        file: String,
        /// errno of execve(2).
        errno: i32,
        /// What it means for this file, in words.
        reason: String,
    },
    /// A step between fork and exec failed.
    Setup {
        /// What was being done, with its value: `change to directory /nope`.
        step: String,
        /// errno.
        errno: i32,
        /// In words.
        reason: String,
    },
    /// The request cannot be carried out by anyone.
    Invalid(String),
    /// deskd is shutting down.
    Draining,
    /// A limit of the keeper.
    TooManyTasks {
        /// The limit.
        limit: usize,
    },
}

impl SpawnError {
    /// One sentence.
    #[must_use]
    pub fn sentence(&self) -> Text {
        match self {
            Self::NotInPath { program, path } => {
                text!("`{program}` was not found in PATH ({path})", program, path)
            }
            Self::Exec { file, errno, reason } => {
                text!("`{file}` cannot be executed: {reason} (errno {errno})", file, reason, errno)
            }
            Self::Setup { step, errno, reason } => {
                text!("cannot {step}: {reason} (errno {errno})", step, reason, errno)
            }
            Self::Invalid(why) => Text::words(why),
            Self::Draining => text!("deskd is shutting down and starts nothing new"),
            Self::TooManyTasks { limit } => {
                text!("deskd already keeps {limit} tasks, its limit: remove ended ones", limit)
            }
        }
    }
}

impl std::fmt::Display for SpawnError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sentence())
    }
}

impl std::error::Error for SpawnError {}
