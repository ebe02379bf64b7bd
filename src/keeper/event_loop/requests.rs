//! What the daemon asks for.

use std::time::{Duration, Instant};

use super::Keeper;
use crate::table::TaskKey;
use deskd_core::id::TaskId;
use deskd_core::wire::{RunId, ToKeeper};

impl Keeper {
    pub(super) fn answer(&mut self, request: ToKeeper) {
        match request {
            ToKeeper::Hello { .. } => {
                tracing::warn!("the daemon sent a second hello; the connection is closed");
                self.drop_connection();
            }
            ToKeeper::Spawn(request) => self.spawn(*request),
            ToKeeper::Stop { id, term_after_ms, kill_after_ms } => {
                self.stop(&id, term_after_ms, kill_after_ms);
            }
            ToKeeper::Forget { task } => self.forget(&task),
            ToKeeper::WatchLog { task, seen } => self.watch_log(&task, seen),
            ToKeeper::ReadLog { task, from } => self.read_log(task, from),
            ToKeeper::FindProcess { pid } => self.find_process(pid),
            ToKeeper::StoreRecords { task, from, next, records } => {
                self.store_records(task, from..next, &records);
            }
            ToKeeper::OpenLog { task } => self.open_container_log(task),
            ToKeeper::AppendLog { task, lines } => self.append_to_container_log(task, &lines),
            ToKeeper::CloseLog { task } => self.close_container_log(task),
            ToKeeper::Status { ready, status } => self.notify.status(ready, &status),
            ToKeeper::Pong { number } => {
                if self.heartbeat.answered(number, Instant::now()) {
                    self.notify.alive();
                    self.proved();
                }
            }
            ToKeeper::Drained => self.drained = self.shutdown.is_some(),
        }
    }

    fn stop(&mut self, id: &RunId, term_after_ms: u64, kill_after_ms: u64) {
        let now = Instant::now();
        let term_at = now + Duration::from_millis(term_after_ms);
        let kill_at = now + Duration::from_millis(kill_after_ms);
        if self.stop_start(id, term_at, kill_at) {
            return;
        }
        let Some(key) = self.table.key(&id.task) else { return };
        if self.table.get(key).is_some_and(|task| task.id == *id && !task.tree_gone) {
            self.table.stop_by(key, term_at, kill_at);
        }
    }

    fn forget(&mut self, id: &TaskId) {
        if self.forget_container_log(id) {
            return;
        }
        let Some(key) = self.table.key(id) else { return };
        let Some(task) = self.table.get_mut(key) else { return };
        if task.end.is_some() {
            task.forgotten = true;
            self.remove_if_forgotten(key);
        }
    }

    /// Removes a forgotten task once nothing of it is left.
    pub(super) fn remove_if_forgotten(&mut self, key: TaskKey) {
        if !self.table.get(key).is_some_and(|task| task.forgotten && task.tree_gone) {
            return;
        }
        self.capture.close(key);
        let Some(task) = self.table.remove(key) else { return };
        let id = task.id.task.clone();
        drop(task);
        self.store.remove(&id);
    }

    pub(super) fn watch_log(&mut self, id: &TaskId, seen: u64) {
        if self.watch_container_log(id, seen) {
            return;
        }
        if let Some(start) = self.starts.of_task(id) {
            start.watch = Some(seen);
            return;
        }
        let Some(task) = self.table.key(id).and_then(|key| self.table.get_mut(key)) else {
            return;
        };
        let end = task.log.as_ref().map_or(task.log_end, |log| self.store.end(log));
        if end > seen {
            task.watch = None;
            self.tell_grown(id.clone(), end);
        } else {
            task.watch = Some(seen);
        }
    }
}
