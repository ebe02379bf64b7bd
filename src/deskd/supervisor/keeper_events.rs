//! What the keeper says, and the re-adoption of what it keeps.

use std::collections::HashSet;
use std::sync::Arc;

use super::driver::{Driver, now_ms};
use super::notes::RunNotes;
use super::table::Entry;
use deskd_core::id::TaskId;
use deskd_core::plan::{EngineKind, LaunchSpec};
use deskd_core::task::{Exit, Rusage, StopStep, StopStepKind, Task, TaskEvent, TaskState};
use deskd_core::why::Actor;
use deskd_core::why::reason::{LostReason, RefusalReason};
use deskd_core::wire::{Drain, FromKeeper, RunEnd, RunId, StopRound, TaskRecord, ToKeeper};
use deskd_keeper::logs::{Bounds, LogReader};

/// A Welcome whose records have not all arrived.
#[derive(Debug)]
pub(super) struct Adoption {
    started_at: i64,
    draining: Option<Drain>,
    known: HashSet<TaskId>,
}

impl Driver {
    pub(super) fn keeper_said(&mut self, message: FromKeeper) {
        match message {
            FromKeeper::Welcome { started_at, tasks, more, draining, log_trouble, .. } => {
                self.health.log_trouble = log_trouble;
                self.adoption = Some(Adoption { started_at, draining, known: HashSet::new() });
                self.adopt(tasks, more);
            }
            FromKeeper::MoreTasks { tasks, more } => self.adopt(tasks, more),
            FromKeeper::Spawned { id, pid, at } => self.spawned(&id, pid, at),
            FromKeeper::SpawnRefused { id, error } => self.spawn_refused(&id, &error),
            FromKeeper::Exited { id, end } => self.exited(&id, end),
            FromKeeper::TreeGone { id } => self.tree_gone(&id),
            FromKeeper::StopStep { id, round } => {
                self.apply(&id.task, TaskEvent::StopStep(stop_step(&round)));
            }
            FromKeeper::LogAdvanced { task, end } => self.log_advanced(&task, end),
            FromKeeper::LogClosed { task, .. } => self.log_closed(&task),
            FromKeeper::LogTrouble { trouble } => self.health.log_trouble = trouble,
            FromKeeper::Draining(drain) => self.drain(drain),
            FromKeeper::Ping { number } => self.tell_keeper(&ToKeeper::Pong { number }),
            FromKeeper::VersionRefused { version } => {
                tracing::error!(version, "the keeper speaks another version of the protocol");
                self.health.keeper_connected = false;
            }
        }
    }

    fn exited(&mut self, id: &RunId, end: RunEnd) {
        let RunEnd { exit, rusage, at } = end;
        let event = TaskEvent::Exited { run: id.run, exit, reason: None, rusage, at };
        let Some(task) = self.apply(&id.task, event) else { return };
        self.note_log_bytes(&id.task);
        tracing::info!(task = %id.task, state = task.state.as_str(), "task's process ended");
        match task.state {
            TaskState::Stopping => self.stop_rest(&id.task),
            TaskState::Ended => {
                self.explain_end(&id.task);
                self.schedule_restart(&id.task);
            }
            _ => {}
        }
    }

    /// A log that cannot be read leaves the number as it was; reading it says why.
    fn note_log_bytes(&mut self, id: &TaskId) {
        let logs = self.settings.state_dir.join("logs");
        let bounds = LogReader::open(&logs, id).and_then(|mut log| log.bounds());
        if let Ok(Bounds { end, .. }) = bounds {
            self.table.change(id, |task| std::mem::replace(&mut task.log_bytes, end) != end);
        }
    }

    pub(super) fn tree_gone(&mut self, id: &RunId) {
        self.note_log_bytes(&id.task);
        if self.apply(&id.task, TaskEvent::TreeGone { run: id.run }).is_some_and(|t| t.stop_asked) {
            self.explain_end(&id.task);
        }
        self.close_follow(&id.task);
        self.report_drained();
    }

    /// Brings the table and the keeper's records together; they may come in several messages.
    fn adopt(&mut self, records: Vec<TaskRecord>, more: bool) {
        let Some(mut adoption) = self.adoption.take() else { return };
        for record in records {
            adoption.known.insert(record.id.task.clone());
            self.adopt_record(record);
        }
        if more {
            self.adoption = Some(adoption);
        } else {
            self.adopted(adoption);
        }
    }

    fn adopted(&mut self, adoption: Adoption) {
        let Adoption { started_at, draining, known } = adoption;
        let same_keeper = self.keeper_started_at == Some(started_at);
        if !same_keeper {
            self.journal.keeper(started_at);
            self.keeper_started_at = Some(started_at);
        }
        let tasks: Vec<Arc<Task>> = self.table.iter().map(|entry| entry.task.clone()).collect();
        let waits = |task: &&Arc<Task>| task.state == TaskState::Planned;
        let planned: Vec<_> = tasks.iter().filter(waits).cloned().collect();
        let local = |task: &Arc<Task>| task.engine == EngineKind::Local;
        let tasks: Vec<_> = tasks.into_iter().filter(local).collect();
        for task in tasks.iter().filter(|task| !known.contains(&task.id)) {
            self.adopt_unknown(task, same_keeper);
        }
        for task in planned {
            self.rearm_restart(&task);
        }
        self.health.keeper_connected = true;
        self.send_unsent();
        self.adopt_remote();
        if let Some(drain) = draining {
            self.drain(drain);
        }
    }

    fn adopt_record(&mut self, record: TaskRecord) {
        let id = record.id.task.clone();
        if self.table.get(&id).is_none() {
            // On no record of ours (the journal could not be written): the keeper's copy is as it
            // was at launch.
            match serde_json::from_str::<Task>(&record.meta) {
                Ok(task) => self.table.insert(Entry {
                    task: Arc::new(task),
                    spec: LaunchSpec::default(),
                    key: None,
                    env: Vec::new(),
                    notes: RunNotes::default(),
                    found: None,
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
        let ahead =
            |entry: &Entry| entry.task.state == TaskState::Starting && entry.task.runs > run;
        if self.table.get(&id).is_some_and(ahead) {
            // The next run is on record, but the keeper never heard of it.
            return self.unsent.push(id);
        }
        let TaskRecord { pid, spawned_at, end, tree_gone, stopping, stop_steps, .. } = record;
        self.spawned(&RunId { task: id.clone(), run }, pid, spawned_at);
        if stopping {
            self.apply(&id, TaskEvent::StopAsked(Actor::a_user()));
        }
        for round in stop_steps {
            self.apply(&id, TaskEvent::StopStep(stop_step(&round)));
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
                let lost = LostReason::KeeperRestarted;
                let (run, at) = (task.runs, now_ms());
                if task.state == TaskState::Starting {
                    self.apply(
                        &task.id,
                        TaskEvent::Refused { run, why: RefusalReason::Lost(lost).into() },
                    );
                } else {
                    let (exit, rusage) = (Exit::Lost(lost), Rusage::default());
                    let ended = TaskEvent::Exited { run, exit, reason: None, rusage, at };
                    self.apply(&task.id, ended);
                }
                self.apply(&task.id, TaskEvent::TreeGone { run });
            }
            TaskState::Ended => {
                self.apply(&task.id, TaskEvent::TreeGone { run: task.runs });
            }
        }
    }
}

fn stop_step(round: &StopRound) -> StopStep {
    let signal = if round.step == StopStepKind::Kill { "SIGKILL" } else { "SIGTERM" };
    let list = |pids: &[u32]| pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let mut detail = match round.pids.as_slice() {
        [one] => format!("{signal} to process {one}"),
        pids => format!("{signal} to {} processes: {}", round.count, list(pids)),
    };
    if !round.refused.is_empty() {
        let refused = list(&round.refused);
        detail.push_str(&format!("; not permitted (they run as another user): {refused}"));
    }
    StopStep { at: round.at, step: round.step, detail }
}
