//! Tasks in containers: from a plan to a command for the Kubernetes engine, and what it tells.

use super::driver::Driver;
use crate::domain::id::TaskId;
use crate::keeper::wire::RunId;

impl Driver {
    /// Everything the task's container wrote is stored.
    pub(super) fn log_closed(&mut self, task: &TaskId, _end: u64) {
        let Some(run) = self.table.get(task).map(|entry| entry.task.runs) else { return };
        self.tree_gone(&RunId { task: task.clone(), run });
    }
}
