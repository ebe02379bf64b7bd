//! Writing: used by the keeper alone.

use std::path::PathBuf;

use super::record::Stream;
use crate::domain::id::TaskId;

/// Limits of the store, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of one task.
    pub task_bytes: u64,
    /// Of all tasks together.
    pub total_bytes: u64,
}

/// The store: directory, limits, one scratch buffer for all tasks.
#[derive(Debug)]
pub struct LogStore {}

/// The write side of one task's log.
#[derive(Debug)]
pub struct TaskLog {}

impl LogStore {
    /// Opens (and creates, mode 0700) the directory; adds up what is there.
    pub fn open(_dir: PathBuf, _limits: Limits) -> std::io::Result<Self> {
        unimplemented!()
    }

    /// Opens the log of `task` for appending: repairs a torn last record, continues after the end.
    /// Never fails for good: an unwritable directory becomes trouble and a later gap.
    pub fn open_task(&mut self, _task: &TaskId) -> TaskLog {
        unimplemented!()
    }

    /// Stores `bytes` just read from `stream`, all with one timestamp. Everything is on its way to
    /// the page cache when this returns; what could not be written is counted and becomes a gap.
    pub fn append(&mut self, _log: &mut TaskLog, _stream: Stream, _bytes: &[u8]) {
        unimplemented!()
    }

    /// Where the task's log ends now (its next cursor).
    #[must_use]
    pub fn end(&self, _log: &TaskLog) -> u64 {
        unimplemented!()
    }

    /// What is wrong, in one sentence; nothing once writing works again.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        unimplemented!()
    }

    /// Removes a task's log.
    pub fn remove(&mut self, _task: &TaskId) -> std::io::Result<()> {
        unimplemented!()
    }
}
