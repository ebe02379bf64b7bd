//! What the keeper says, and the re-adoption of what it keeps.

use std::collections::HashSet;
use std::sync::Arc;

use super::driver::{Driver, now_ms};
use super::last_words::last_words;
use super::table::Entry;
use crate::domain::id::TaskId;
use crate::domain::task::{Exit, Rusage, StopStep, StopStepKind, Task, TaskEvent, TaskState};
use crate::keeper::wire::{FromKeeper, RunEnd, RunId, TaskRecord, ToKeeper};

/// Said of tasks whose keeper died with them.
const KEEPER_RESTARTED: &str =
    "deskd's container was restarted while it ran; nobody saw how it ended";

impl Driver {
    pub(super) fn keeper_said(&mut self, message: FromKeeper) {
        match message {
            FromKeeper::Welcome { started_at, tasks, draining, log_trouble, .. } => {
                self.health.keeper_connected = true;
                self.health.log_trouble = log_trouble;
                self.adopt(started_at, tasks);
                if let Some(drain) = draining {
                    self.drain(drain);
                }
            }
            FromKeeper::Spawned { id, pid, at } => self.spawned(&id, pid, at),
            FromKeeper::SpawnRefused { id, error } => self.spawn_refused(&id, error),
            FromKeeper::Exited { id, end } => self.exited(&id, end),
            FromKeeper::TreeGone { id } => self.tree_gone(&id),
            FromKeeper::StopStep { id, at, step, pids } => {
                self.apply(&id.task, TaskEvent::StopStep(stop_step(at, step, &pids)));
            }
            FromKeeper::LogAdvanced { task, end } => self.log_advanced(&task, end),
            FromKeeper::LogTrouble { trouble } => self.health.log_trouble = trouble,
            FromKeeper::Draining(drain) => self.drain(drain),
            FromKeeper::Ping { number } => self.tell_keeper(ToKeeper::Pong { number }),
            FromKeeper::VersionRefused { version } => {
                tracing::error!(version, "the keeper speaks another version of the protocol");
                self.health.keeper_connected = false;
            }
        }
    }

    fn exited(&mut self, id: &RunId, end: RunEnd) {
        let RunEnd { exit, rusage, at } = end;
        let failed = exit.is_failure();
        let event = TaskEvent::Exited { run: id.run, exit, rusage, at };
        let Some(task) = self.apply(&id.task, event) else { return };
        tracing::info!(task = %id.task, state = task.state.as_str(), "task's process ended");
        match task.state {
            TaskState::Stopping => self.stop_rest(&id.task),
            TaskState::Ended => {
                if failed && let Some(line) = last_words(&self.settings.state_dir, &id.task) {
                    self.table.change(&id.task, |task| {
                        let cause = task.cause.take().unwrap_or_default();
                        task.cause = Some(format!("{cause}; its last line was: {line}"));
                        true
                    });
                }
                self.schedule_restart(&id.task);
            }
            _ => {}
        }
    }

    fn tree_gone(&mut self, id: &RunId) {
        if self.removing.remove(&id.task) {
            self.tell_keeper(ToKeeper::Forget { task: id.task.clone() });
        }
        self.apply(&id.task, TaskEvent::TreeGone { run: id.run });
        self.close_follow(&id.task);
        self.report_drained();
    }

    /// Brings the table and the keeper's records together.
    fn adopt(&mut self, started_at: i64, records: Vec<TaskRecord>) {
        let same_keeper = self.keeper_started_at == Some(started_at);
        if !same_keeper {
            self.journal.keeper(started_at);
            self.keeper_started_at = Some(started_at);
        }
        let known: HashSet<TaskId> = records.iter().map(|record| record.id.task.clone()).collect();
        for record in records {
            self.adopt_record(record);
        }
        let rest: Vec<Arc<Task>> = self
            .table
            .iter()
            .filter(|entry| !known.contains(&entry.task.id))
            .map(|entry| entry.task.clone())
            .collect();
        for task in rest {
            self.adopt_unknown(&task, same_keeper);
        }
        let planned: Vec<Arc<Task>> = self
            .table
            .iter()
            .filter(|entry| entry.task.state == TaskState::Planned)
            .map(|entry| entry.task.clone())
            .collect();
        for task in planned {
            self.rearm_restart(&task);
        }
        self.send_unsent();
    }

    fn adopt_record(&mut self, record: TaskRecord) {
        let id = record.id.task.clone();
        if self.table.get(&id).is_none() {
            // On no record of ours (the journal could not be written): the keeper's copy is as it
            // was at launch.
            match serde_json::from_str::<Task>(&record.meta) {
                Ok(task) => self.table.insert(Entry {
                    task: Arc::new(task),
                    args: Vec::new(),
                    key: None,
                    env: Vec::new(),
                }),
                Err(_) => return self.forget(&id),
            }
        }
        let run = record.id.run;
        let behind = self.table.get(&id).is_some_and(|entry| entry.task.runs < run);
        if behind {
            self.table.change(&id, |task| {
                task.runs = run;
                task.state = TaskState::Starting;
                task.started_at = None;
                task.pid = None;
                true
            });
        }
        let TaskRecord { pid, spawned_at, end, tree_gone, stopping, stop_steps, .. } = record;
        self.spawned(&RunId { task: id.clone(), run }, pid, spawned_at);
        if stopping {
            self.apply(&id, TaskEvent::StopAsked("you".into()));
        }
        for (at, step, pids) in stop_steps {
            self.apply(&id, TaskEvent::StopStep(stop_step(at, step, &pids)));
        }
        if let Some(end) = end {
            self.exited(&RunId { task: id.clone(), run }, end);
        }
        if tree_gone {
            self.tree_gone(&RunId { task: id, run });
        }
    }

    fn adopt_unknown(&mut self, task: &Arc<Task>, same_keeper: bool) {
        match task.state {
            TaskState::Planned | TaskState::Ended if same_keeper => {}
            TaskState::Starting if same_keeper => self.unsent.push(task.id.clone()),
            TaskState::Planned => {}
            TaskState::Starting | TaskState::Running | TaskState::Stopping => {
                let why = KEEPER_RESTARTED.to_owned();
                let exit = Exit::Reason(why.clone());
                let (run, at) = (task.runs, now_ms());
                if task.state == TaskState::Starting {
                    self.apply(&task.id, TaskEvent::Refused { run, why });
                } else {
                    let rusage = Rusage::default();
                    self.apply(&task.id, TaskEvent::Exited { run, exit, rusage, at });
                }
                self.apply(&task.id, TaskEvent::TreeGone { run });
            }
            TaskState::Ended => {
                self.apply(&task.id, TaskEvent::TreeGone { run: task.runs });
            }
        }
    }
}

fn stop_step(at: i64, step: StopStepKind, pids: &[u32]) -> StopStep {
    let signal = if step == StopStepKind::Kill { "SIGKILL" } else { "SIGTERM" };
    let list: Vec<String> = pids.iter().map(u32::to_string).collect();
    let detail = match pids {
        [one] => format!("{signal} to process {one}"),
        _ => format!("{signal} to {} processes: {}", pids.len(), list.join(", ")),
    };
    StopStep { at, step, detail }
}
