//! Where captured output goes: into the log store of a desktop, or, at a place, into files without a
//! name until the desktop's keeper has stored it.

use crate::logs::{LogStore, Spool, Stream, TaskLog};
use deskd_core::id::TaskId;

/// One of the two.
#[derive(Debug)]
pub enum Output {
    /// Of a desktop.
    Logs(LogStore),
    /// Of a place.
    Spool(Spool),
}

impl Output {
    /// Opens a task's log. At a place it begins at the cursor `from`.
    pub fn open_task(&mut self, task: &TaskId, from: u64) -> TaskLog {
        match self {
            Self::Logs(store) => store.open_task(task),
            Self::Spool(spool) => spool.open_task(task, from),
        }
    }

    /// Bytes just read from `stream`.
    pub fn append(&mut self, log: &mut TaskLog, stream: Stream, bytes: &[u8]) {
        match self {
            Self::Logs(store) => store.append(log, stream, bytes),
            Self::Spool(spool) => spool.append(log, stream, bytes),
        }
    }

    /// Where the task's log ends.
    #[must_use]
    pub fn end(&self, log: &TaskLog) -> u64 {
        match self {
            Self::Logs(store) => store.end(log),
            Self::Spool(spool) => spool.end(log),
        }
    }

    /// Nobody writes to it any more.
    pub fn close(&mut self, log: TaskLog) {
        if let Self::Logs(store) = self {
            store.close(log);
        }
    }

    /// Removes a task's log.
    pub fn remove(&mut self, task: &TaskId) {
        match self {
            Self::Logs(store) => {
                if let Err(error) = store.remove(task) {
                    tracing::warn!(%error, %task, "cannot remove a task's log");
                }
            }
            Self::Spool(spool) => spool.remove(task),
        }
    }

    /// Removes a log that was opened for a task that did not come to be.
    pub fn remove_if_empty(&mut self, task: &TaskId) {
        match self {
            Self::Logs(store) => store.remove_if_empty(task),
            Self::Spool(spool) => spool.remove_if_empty(task),
        }
    }

    /// What is wrong, in one sentence.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Logs(store) => store.trouble(),
            Self::Spool(spool) => spool.trouble(),
        }
    }

    /// Tries to write what is owed.
    pub fn retry(&mut self) {
        if let Self::Logs(store) = self {
            store.retry();
        }
    }

    /// The log store, at a desktop.
    pub fn logs(&mut self) -> Option<&mut LogStore> {
        match self {
            Self::Logs(store) => Some(store),
            Self::Spool(_) => None,
        }
    }

    /// The spool, at a place.
    pub fn spool(&mut self) -> Option<&mut Spool> {
        match self {
            Self::Logs(_) => None,
            Self::Spool(spool) => Some(spool),
        }
    }
}
