//! What the daemon asks for.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{Keeper, unix_ms};
use crate::logs::Stream;
use crate::spawn::Started;
use crate::table::{Task, TaskKey};
use crate::tree::Mark;
use deskd_core::id::TaskId;
use deskd_core::wire::{FromKeeper, META_BYTES_MAX, RunId, SpawnError, SpawnRequest, ToKeeper};

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

    fn spawn(&mut self, request: SpawnRequest) {
        let known = self.table.key(&request.id.task);
        if let Some(key) = known
            && self.table.get(key).is_some_and(|task| task.id == request.id)
        {
            return self.say_what_became_of(key);
        }
        let id = request.id.clone();
        let started = self.admit(&request, known).and_then(|()| {
            let tag = self.next_tag();
            Ok((tag, self.spawner.start_captured(&request, tag)?))
        });
        match started {
            Ok((tag, started)) => self.began(known, request, tag, started),
            Err(error) => self.tell(&FromKeeper::SpawnRefused { id, error }),
        }
    }

    /// Whether a run that is not known may be started.
    fn admit(&self, request: &SpawnRequest, known: Option<TaskKey>) -> Result<(), SpawnError> {
        if self.shutdown.is_some() {
            return Err(SpawnError::Draining);
        }
        if request.meta.len() > META_BYTES_MAX {
            return Err(SpawnError::Invalid(format!(
                "the field meta has {} bytes, more than {META_BYTES_MAX}",
                request.meta.len()
            )));
        }
        match known.and_then(|key| self.table.get(key)) {
            Some(task) if task.id.run > request.id.run => Err(SpawnError::Invalid(format!(
                "run {} of {} is older than run {}, which is known",
                request.id.run, task.id.task, task.id.run
            ))),
            Some(task) if task.end.is_none() => Err(SpawnError::Invalid(format!(
                "run {} of {} has not ended",
                task.id.run, task.id.task
            ))),
            None if self.table.len() >= self.config.tasks_max => {
                Err(SpawnError::TooManyTasks { limit: self.config.tasks_max })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn began(&mut self, known: Option<TaskKey>, request: SpawnRequest, tag: u64, started: Started) {
        let pid = started.pid;
        let at = unix_ms();
        let key = known.unwrap_or_else(|| self.table.new_key());
        // Processes of earlier runs that are left stay the task's: a stop takes them too.
        let earlier = self.table.get_mut(key);
        let (mut marks, log, log_end, pipes, watch) = match earlier {
            Some(task) => (
                std::mem::take(&mut task.marks),
                task.log.take(),
                task.log_end,
                task.pipes,
                task.watch,
            ),
            None => (Vec::new(), None, 0, 0, None),
        };
        let task = request.id.task.clone();
        let pinned = request.wall.is_some();
        marks.push(Mark { key, task, pid, main_lives: true, tag, pinned });
        let id = request.id;
        let record = Task {
            id: id.clone(),
            meta: request.meta,
            pid,
            spawned_at: at,
            end: None,
            tree_gone: false,
            stop_asked: false,
            stop: None,
            rounds: Vec::new(),
            marks,
            killed: HashSet::new(),
            log,
            log_end,
            pipes,
            watch,
            forgotten: false,
        };
        self.table.put(key, record);
        self.tell(&FromKeeper::Spawned { id, pid, at });
        let pipes = [(started.stdout, Stream::Stdout), (started.stderr, Stream::Stderr)];
        for (fd, stream) in pipes {
            match self.capture.add(fd, key, stream) {
                Ok(()) => self.table.get_mut(key).into_iter().for_each(|task| task.pipes += 1),
                Err(error) => tracing::error!(%error, "cannot capture an application's output"),
            }
        }
        self.open_log(key);
    }

    /// The answer to a request that was carried out before.
    fn say_what_became_of(&mut self, key: TaskKey) {
        let Some(task) = self.table.get_mut(key) else { return };
        task.forgotten = false;
        let id = task.id.clone();
        let (end, gone) = (task.end.clone(), task.tree_gone);
        let spawned = FromKeeper::Spawned { id: id.clone(), pid: task.pid, at: task.spawned_at };
        self.tell(&spawned);
        if let Some(end) = end {
            self.tell(&FromKeeper::Exited { id: id.clone(), end });
        }
        if gone {
            self.tell(&FromKeeper::TreeGone { id });
        }
    }

    fn stop(&mut self, id: &RunId, term_after_ms: u64, kill_after_ms: u64) {
        let now = Instant::now();
        let key = self.table.key(&id.task);
        let Some(task) = key.and_then(|key| self.table.get_mut(key)) else { return };
        if task.id == *id && !task.tree_gone {
            let term_at = now + Duration::from_millis(term_after_ms);
            task.stop_by(term_at, now + Duration::from_millis(kill_after_ms));
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
        if let Err(error) = self.store.remove(&id) {
            tracing::warn!(%error, task = %id, "cannot remove a task's log");
        }
    }

    fn watch_log(&mut self, id: &TaskId, seen: u64) {
        if self.watch_container_log(id, seen) {
            return;
        }
        let Some(task) = self.table.key(id).and_then(|key| self.table.get_mut(key)) else {
            return;
        };
        let end = task.log.as_ref().map_or(task.log_end, |log| self.store.end(log));
        if end > seen {
            task.watch = None;
            self.tell(&FromKeeper::LogAdvanced { task: id.clone(), end });
        } else {
            task.watch = Some(seen);
        }
    }
}
