//! Logs of tasks that run in containers: the daemon brings their output, since only it talks to the
//! Kubernetes API; the keeper stores it, since a log store has one writer.

use std::collections::HashMap;
use std::ops::Range;

use super::Keeper;
use crate::logs::TaskLog;
use deskd_core::id::TaskId;
use deskd_core::wire::{FromKeeper, LogLine};

/// The logs the daemon opened.
#[derive(Debug, Default)]
pub(super) struct ContainerLogs(HashMap<TaskId, ContainerLog>);

#[derive(Debug)]
struct ContainerLog {
    /// Absent while nothing is expected to come.
    log: Option<TaskLog>,
    /// Where it ended when it was closed.
    end: u64,
    /// Somebody follows it who has seen so much.
    watch: Option<u64>,
}

impl Keeper {
    pub(super) fn open_container_log(&mut self, task: TaskId) {
        let logs = &mut self.container_logs.0;
        if logs.len() >= self.config.tasks_max && !logs.contains_key(&task) {
            tracing::error!(%task, "too many container logs; this one is not kept");
            return;
        }
        let Some(store) = self.store.logs() else { return };
        let log = Some(store.open_task(&task));
        let new = ContainerLog { log: None, end: 0, watch: None };
        logs.entry(task).or_insert(new).log = log;
        self.report_logs(Vec::new());
    }

    pub(super) fn append_to_container_log(&mut self, task: TaskId, lines: &[LogLine]) {
        let Some(entry) = self.container_logs.0.get_mut(&task) else { return };
        let Some(store) = self.store.logs() else { return };
        let log = entry.log.get_or_insert_with(|| store.open_task(&task));
        for line in lines {
            store.append_line(log, &line.time, &line.bytes, line.ends_line);
        }
        let end = store.end(log);
        let advanced = entry.watch.take_if(|seen| end > *seen).map(|_| (task, end));
        self.report_logs(advanced.into_iter().collect());
    }

    /// What a place gave away.
    pub(super) fn store_records(&mut self, task: TaskId, of: Range<u64>, records: &[u8]) {
        let Some(entry) = self.container_logs.0.get_mut(&task) else { return };
        let Some(store) = self.store.logs() else { return };
        let log = entry.log.get_or_insert_with(|| store.open_task(&task));
        let stored = store.append_records(log, of, records);
        let end = store.end(log);
        let advanced = entry.watch.take_if(|seen| end > *seen).map(|_| (task.clone(), end));
        self.report_logs(advanced.into_iter().collect());
        self.tell(&FromKeeper::RecordsStored { task, end: stored });
    }

    pub(super) fn close_container_log(&mut self, task: TaskId) {
        let end = match self.container_logs.0.get_mut(&task) {
            Some(entry) => {
                if let Some(log) = entry.log.take() {
                    entry.end = self.store.end(&log);
                    self.store.close(log);
                }
                entry.end
            }
            None => 0,
        };
        self.tell(&FromKeeper::LogClosed { task, end });
    }

    /// False when it is no task in a container.
    pub(super) fn watch_container_log(&mut self, task: &TaskId, seen: u64) -> bool {
        let Some(entry) = self.container_logs.0.get_mut(task) else { return false };
        let end = entry.log.as_ref().map_or(entry.end, |log| self.store.end(log));
        if end > seen {
            entry.watch = None;
            self.tell_grown(task.clone(), end);
        } else {
            entry.watch = Some(seen);
        }
        true
    }

    /// False when it is no task in a container.
    pub(super) fn forget_container_log(&mut self, task: &TaskId) -> bool {
        let known = self.container_logs.0.remove(task).is_some();
        if known {
            self.store.remove(task);
        }
        known
    }
}
