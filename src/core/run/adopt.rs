//! What an engine reports about runs that it keeps, and the re-adoption of what it kept.

use std::sync::Arc;
use std::time::Duration;

use super::{Effect, Entry, Step};
use crate::id::TaskId;
use crate::port::{Command, Event, Link};
use crate::task::{Exit, Rusage, Task, TaskEvent, TaskState, UnixMs};
use crate::why::Actor;
use crate::why::reason::{LostReason, RefusalReason};
use crate::wire::{RunEnd, RunId, TaskRecord};

/// Removals that the keeper is told again: more than a daemon that is killed can have under way.
const FORGET_AGAIN_MAX: usize = 256;

impl Step<'_> {
    pub(super) fn engine_reports(&mut self, event: Event) {
        match event {
            Event::Keeper { started_at } => self.keeper_answers(started_at),
            Event::Kept { record, log_bytes } => self.kept(*record, log_bytes),
            Event::Draining(drain) => self.drain(drain),
            Event::Refused { run, refusal } => self.launch_refused(&run, &refusal),
            Event::Exited { run, end, log_bytes } => self.exited(&run, end, log_bytes),
            Event::Closed { task, run, log_bytes } => self.closed(&task, run, log_bytes),
            Event::StopStep { run, step } => {
                if self.runs.is_current(&run) {
                    self.apply(&run.task, TaskEvent::StopStep(step));
                }
            }
            Event::Observed { run, object: None, what } => self.observed(&run, what),
            event => self.cluster_reports(event),
        }
    }

    /// A process ended, and everything that it wrote is stored.
    fn exited(&mut self, id: &RunId, end: RunEnd, log_bytes: Option<u64>) {
        let RunEnd { exit, rusage, at, oom_killed } = end;
        if self.runs.is_current(id) {
            self.runs.table.note(&id.task, |notes| notes.oom_killed = oom_killed);
        }
        let event = TaskEvent::Exited { run: id.run, exit, reason: None, rusage, at };
        let Some(task) = self.apply(&id.task, event) else { return };
        self.note_log_bytes(&id.task, log_bytes);
        match task.state {
            TaskState::Stopping => self.stop_rest(&id.task),
            TaskState::Ended => self.after_end(&id.task),
            _ => {}
        }
    }

    /// A log that cannot be read leaves the number as it was; reading it says why.
    fn note_log_bytes(&mut self, id: &TaskId, end: Option<u64>) {
        if let Some(end) = end {
            self.runs.table.change(id, |task| std::mem::replace(&mut task.log_bytes, end) != end);
        }
    }

    /// Nothing of a run is left: no process, and no output that is not stored.
    fn closed(&mut self, id: &TaskId, run: Option<u32>, log_bytes: Option<u64>) {
        let Some(task) = self.runs.task(id).cloned() else { return };
        self.note_log_bytes(id, log_bytes);
        let run = run.unwrap_or(task.runs.max(1));
        let gone = self.apply(id, TaskEvent::TreeGone { run });
        if task.engine.is_in_cluster() {
            // Its output is complete only now.
            self.after_end(id);
        } else if gone.is_some_and(|task| task.stop_asked) {
            self.explain_end_again(id);
        }
    }

    /// A keeper answers; what it keeps follows.
    fn keeper_answers(&mut self, started_at: UnixMs) {
        self.runs.keeper_answering = Some(started_at);
        self.runs.kept.clear();
    }

    /// The keeper told everything that it keeps.
    pub(super) fn keeper_synced(&mut self) {
        let kept = std::mem::take(&mut self.runs.kept);
        let (answers, known) = (self.runs.keeper_answering, self.runs.keeper_started_at);
        self.runs.keeper_is_new = answers != known;
        let tasks: Vec<Arc<Task>> =
            self.runs.table.iter().map(|entry| entry.task.clone()).collect();
        let planned: Vec<_> =
            tasks.iter().filter(|task| task.state == TaskState::Planned).cloned().collect();
        let unknown = |task: &&Arc<Task>| !task.engine.is_in_cluster() && !kept.contains(&task.id);
        for task in tasks.iter().filter(unknown) {
            self.not_kept(task);
        }
        for task in planned {
            self.rearm_restart(&task);
        }
        self.runs.keeper_connected = true;
        if self.runs.keeper_is_new {
            // Not before what follows from that is: the next daemon would take it for the old one.
            self.runs.keeper_started_at = answers;
            self.out.extend(answers.map(Effect::Keeper));
        }
        self.send_unsent();
        self.forget_again();
        self.adopt_containers();
    }

    fn kept(&mut self, record: TaskRecord, log_bytes: Option<u64>) {
        let id = record.id.task.clone();
        self.runs.kept.insert(id.clone());
        if self.runs.table.get(&id).is_none() {
            // On no record of ours (the journal could not be written): the keeper's copy is as it
            // was at launch.
            match serde_json::from_str::<Task>(&record.meta) {
                Ok(task) if !self.runs.table.was_removed(&id) => {
                    self.runs.table.insert(Entry::new(task));
                }
                _ => {
                    // The request to end what it left may have died with the daemon that removed it.
                    if record.end.is_some() && !record.tree_gone {
                        let run = record.id.clone();
                        let (term_after, kill_after) = (Duration::ZERO, self.runs.grace_of(&id));
                        self.tell(Link::Keeper, Command::Stop { run, term_after, kill_after });
                    }
                    let forget = Command::Forget { run: record.id, output: true };
                    return self.tell(Link::Keeper, forget);
                }
            }
        }
        let run = record.id.run;
        self.catch_up(&record.id);
        let asked = |state| matches!(state, TaskState::Starting | TaskState::Stopping);
        let ahead = |task: &Arc<Task>| asked(task.state) && task.runs > run;
        if self.runs.task(&id).is_some_and(ahead) {
            // The next run is on record, but the keeper never heard of it.
            return self.runs.unsent.push(id);
        }
        let TaskRecord { pid, spawned_at, end, tree_gone, stopping, stop_steps, .. } = record;
        self.started(&RunId { task: id.clone(), run }, Some(pid), spawned_at);
        if stopping {
            self.apply(&id, TaskEvent::StopAsked(Actor::a_user()));
        } else if !tree_gone
            && self.runs.task(&id).is_some_and(|it| it.state == TaskState::Stopping)
        {
            // On record as being stopped, but the keeper never heard of it.
            self.signal(&id, Duration::ZERO, self.runs.grace_of(&id));
        }
        for round in stop_steps {
            self.apply(&id, TaskEvent::StopStep(round.step()));
        }
        if let Some(end) = end {
            self.exited(&RunId { task: id.clone(), run }, end, log_bytes);
        }
        if tree_gone {
            self.closed(&id, Some(run), log_bytes);
        }
    }

    /// A later run than the one on record exists (the journal could not be written); whether it does.
    pub(super) fn catch_up(&mut self, run: &RunId) -> bool {
        self.runs.table.change(&run.task, |task| task.catch_up(run.run)).is_some()
    }

    /// A process exists.
    pub(super) fn started(&mut self, run: &RunId, pid: Option<u32>, at: UnixMs) {
        let news = self.apply(&run.task, TaskEvent::Started { run: run.run, pid, at });
        if news.is_some() && self.runs.task(&run.task).is_some_and(|it| it.engine.is_in_cluster()) {
            self.ask_places_again();
        }
        self.attribute_windows();
        self.answer_launch(run);
    }

    /// Output of what an earlier daemon removed, should it have been killed before the keeper heard of that.
    fn forget_again(&mut self) {
        let (link, output) = (Link::Keeper, true);
        for task in self.runs.table.removed_before(FORGET_AGAIN_MAX) {
            self.tell(link, Command::Forget { run: RunId { task, run: 0 }, output });
        }
    }

    fn not_kept(&mut self, task: &Arc<Task>) {
        let same_keeper = !self.runs.keeper_is_new;
        let (run, lost) = (task.runs, LostReason::KeeperRestarted);
        match task.state {
            TaskState::Starting if same_keeper => self.runs.unsent.push(task.id.clone()),
            TaskState::Starting | TaskState::Stopping if task.started_at.is_none() => {
                // The same keeper never heard of it, and somebody stopped it meanwhile.
                let why =
                    if same_keeper { RefusalReason::Stopped } else { RefusalReason::Lost(lost) };
                let (run, why) = (RunId { task: task.id.clone(), run }, why.into());
                self.launch_refused(&run, &why);
            }
            TaskState::Starting | TaskState::Running | TaskState::Stopping => {
                let (exit, rusage, at) = (Exit::Lost(lost), Rusage::default(), self.now.unix_ms);
                let ended = TaskEvent::Exited { run, exit, reason: None, rusage, at };
                self.apply(&task.id, ended);
                self.apply(&task.id, TaskEvent::TreeGone { run });
            }
            TaskState::Planned | TaskState::Ended => {
                self.apply(&task.id, TaskEvent::TreeGone { run });
            }
        }
    }
}
