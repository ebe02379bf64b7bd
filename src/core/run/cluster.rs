//! Tasks in containers: what the Kubernetes API tells of them, and the comparison of what is on record
//! with what exists.
//!
//! Names are functions of task and run, and the journal has the task before the engine hears of it:
//! so after a `kill -9` a launch is simply asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::ask::{LaunchError, LaunchRequest};
use super::effect::ReplyId;
use super::{Entry, Step};
use crate::id::TaskId;
use crate::origin::Origin;
use crate::plan::facts::ApiState;
use crate::plan::{EngineKind, KubernetesFacts, UnplannableCode};
use crate::port::{Command, Event, Link, LogMark, Object, Observation};
use crate::task::{Exit, Rusage, Task, TaskEvent, TaskState};
use crate::why::reason::{Ended, LostReason, RefusalReason, Refused};
use crate::wire::RunId;

/// Launches kept until the API answers or is known to be away.
const HELD_LAUNCHES_MAX: usize = 1024;

/// What is told of tasks on no record before the keeper said what it has; one or two for each that the
/// engine follows.
const EARLY_MAX: usize = 4096;

/// What is known and remembered about the cluster.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub(super) facts: Arc<KubernetesFacts>,
    /// The keeper said what it has, so logs can be resumed.
    welcomed: bool,
    /// Runs that had an object when an engine listed them, until that was compared with the table.
    present: BTreeMap<(EngineKind, Origin), BTreeSet<RunId>>,
    /// Tasks on record as starting, of an earlier daemon: whether the API server heard of them is
    /// known after the first list.
    unsent: Vec<TaskId>,
    /// Launches that need the API before it answered for the first time.
    held: Vec<(LaunchRequest, ReplyId)>,
    /// Told of tasks on no record before the keeper said what it has: output cannot be stored yet.
    early: Vec<Event>,
}

impl Cluster {
    /// Keeps an event for later.
    fn keep(&mut self, event: Event) {
        if self.early.len() < EARLY_MAX {
            self.early.push(event);
        }
    }

    /// Keeps a launch until it is known whether the API answers; gives it back when that is known.
    pub(super) fn hold(
        &mut self,
        request: LaunchRequest,
        reply: ReplyId,
        refusal: &LaunchError,
    ) -> Option<(LaunchRequest, ReplyId)> {
        let away = matches!(refusal, LaunchError::Unplannable(why)
            if why.code == UnplannableCode::KubernetesUnavailable);
        if self.facts.api == ApiState::Unknown && away && self.held.len() < HELD_LAUNCHES_MAX {
            self.held.push((request, reply));
            return None;
        }
        Some((request, reply))
    }
}

impl Step<'_> {
    /// A container, or the API server.
    pub(super) fn cluster_reports(&mut self, event: Event) {
        if !self.runs.cluster.welcomed && self.is_early(&event) {
            return self.runs.cluster.keep(event);
        }
        match event {
            Event::Facts(facts) => self.cluster_is(*facts),
            Event::Accepted { run, object } => {
                self.accepted(&run);
                if let Some(engine) = self.runs.task(&run.task).map(|task| task.engine) {
                    self.exists(&run, engine);
                }
                self.apply(&run.task, TaskEvent::Placed { run: run.run, object });
                self.answer_launch(&run);
            }
            Event::Observed { run, object: Some(object), what } => {
                // Without its own word an engine only says what it waits for.
                let exists = !matches!(what, Observation::Waiting(_));
                if self.is_known(&run, *object, &what) {
                    if exists {
                        self.accepted(&run);
                    }
                    self.end_what_is_over(&run, &what);
                    self.observed(&run, what);
                }
            }
            Event::ProcessFound { pid, tasks } => self.process_found(pid, &tasks),
            Event::Stoppable { run, no_stop } => self.stoppable(&run, no_stop),
            Event::Deleting { run } => self.deleting(&run),
            Event::Said { run, said } if self.runs.is_current(&run) => {
                self.runs.table.note(&run.task, |notes| notes.cluster = said);
                self.explain_wait(&run.task);
            }
            Event::Synced { engine, origin, present } => match engine.link() {
                Link::Keeper => self.keeper_synced(),
                Link::Cluster => self.synced(engine, origin, present),
            },
            Event::Used { run, usage, oom_killed } if self.runs.is_current(&run) => {
                self.runs.table.note(&run.task, |notes| {
                    (notes.usage, notes.oom_killed) = (Some(usage), oom_killed);
                });
            }
            Event::Gone { run } => self.gone(&run, LostReason::PodDeleted),
            // The others are no news of the cluster, or change no task.
            _ => {}
        }
    }

    /// Whether an event is of a run that cannot be taken in before the keeper said what it has: others
    /// started it, or the record of its task was lost. The engine tells of it once.
    fn is_early(&self, event: &Event) -> bool {
        let of = match event {
            Event::Observed { object: Some(object), .. } if object.stranger.is_some() => {
                return true;
            }
            Event::Deleting { .. } => return true,
            Event::Observed { run, .. }
            | Event::Accepted { run, .. }
            | Event::Stoppable { run, .. }
            | Event::Said { run, .. }
            | Event::Used { run, .. }
            | Event::Gone { run } => run,
            _ => return false,
        };
        self.runs.task(&of.task).is_none()
    }

    /// What was stopped or given up before its container started, and is started after all: Kubernetes
    /// has no way to take an ephemeral container back. And what is left of an earlier run, of which the
    /// engine was not told before a daemon was killed.
    fn end_what_is_over(&mut self, run: &RunId, what: &Observation) {
        let Some(task) = self.runs.task(&run.task).filter(|it| it.origin == Origin::Deskd) else {
            return;
        };
        if task.runs > run.run {
            return self.supersede(run.clone(), !matches!(what, Observation::Ended { .. }));
        }
        let over = task.runs == run.run && task.state == TaskState::Ended;
        if over && matches!(what, Observation::Running { .. }) {
            let (term_after, kill_after) = (Duration::ZERO, self.runs.grace_of(&run.task));
            let stop = Command::Stop { run: run.clone(), term_after, kill_after };
            self.tell(Link::Cluster, stop);
        }
    }

    fn accepted(&mut self, run: &RunId) {
        let of = self.runs.table.get(&run.task).filter(|entry| entry.task.runs == run.run);
        if of.is_some_and(|entry| !entry.notes.accepted) {
            self.runs.table.note(&run.task, |notes| notes.accepted = true);
        }
    }

    fn cluster_is(&mut self, facts: KubernetesFacts) {
        let stale = matches!(facts.api, ApiState::Away(_));
        let before = std::mem::replace(&mut self.runs.cluster.facts, Arc::new(facts));
        self.warm_after(&before);
        self.resume_all_remote();
        if self.runs.cluster.facts.api != ApiState::Unknown {
            for (request, reply) in std::mem::take(&mut self.runs.cluster.held) {
                self.launch(request, reply);
            }
        }
        for id in self.remote_tasks(|task| !task.is_over()) {
            if self.apply(&id, TaskEvent::Stale(stale)).is_some() {
                self.explain_wait(&id);
            }
        }
        self.drain_after_news();
    }

    pub(super) fn remote_tasks(&self, wanted: impl Fn(&Task) -> bool) -> Vec<TaskId> {
        let remote = self.runs.table.iter().filter(|entry| entry.task.engine.is_in_cluster());
        remote.filter(|entry| wanted(&entry.task)).map(|entry| entry.task.id.clone()).collect()
    }

    /// An object was seen, or made: of lists that are still to be compared with what is on record, it may
    /// be younger.
    fn exists(&mut self, run: &RunId, engine: EngineKind) {
        let lists = self.runs.cluster.present.iter_mut();
        for (_, present) in lists.filter(|((of, _), _)| *of == engine) {
            present.insert(run.clone());
        }
    }

    /// Whether a run is of a task in the table, which it may become now.
    fn is_known(&mut self, run: &RunId, object: Object, what: &Observation) -> bool {
        let Object { engine, place, stranger, .. } = &object;
        self.exists(run, *engine);
        match (self.runs.task(&run.task), stranger) {
            // One of deskd's may be called like an object of others.
            (Some(task), Some(_)) => task.object.as_ref() == Some(place),
            (Some(task), None) => {
                let before = RunId { task: run.task.clone(), run: task.runs };
                let lived = task.object.is_some() && task.state != TaskState::Ended;
                if self.catch_up(run) {
                    if lived {
                        self.supersede(before, true);
                    }
                    let (engine, place) = (*engine, place.clone());
                    // A remedy, or the plan of another moment, may have taken it elsewhere.
                    self.runs.table.change(&run.task, |task| {
                        std::mem::replace(&mut task.engine, engine) != engine
                    });
                    self.apply(&run.task, TaskEvent::Placed { run: run.run, object: place });
                    self.follow_run(&run.task);
                }
                true
            }
            (None, Some(_)) => self.adopt_other(run, object),
            // The engine did not know it yet when it was removed.
            (None, None) if self.runs.table.was_removed(&run.task) => {
                let (run, grace) = (run.clone(), self.runs.config.term_grace);
                let (term_after, kill_after) = (Duration::ZERO, grace);
                self.tell(
                    Link::Cluster,
                    Command::Stop { run: run.clone(), term_after, kill_after },
                );
                self.tell(Link::Cluster, Command::Forget { run, output: false });
                false
            }
            (None, None) => self.adopt_found(run, object, what),
        }
    }

    pub(super) fn observed(&mut self, run: &RunId, what: Observation) {
        if !self.runs.is_current(run) {
            return;
        }
        match what {
            Observation::Waiting(why) => {
                self.apply(&run.task, TaskEvent::Waiting { run: run.run, why });
                self.explain_wait(&run.task);
            }
            Observation::Running { at, pid, node } => {
                self.started(run, pid, at);
                if let Some(node) = node {
                    self.apply(&run.task, TaskEvent::OnNode { run: run.run, node });
                }
            }
            Observation::Ended { exit, reason, at } => self.ended(run, exit, reason, at),
        }
        // Whatever was seen, the launch arrived.
        self.answer_launch(run);
    }

    /// A task whose record was lost, found by its labels. What ended in this pod is left alone: its
    /// entry stays for as long as the pod, also after somebody removed the task.
    fn adopt_found(&mut self, run: &RunId, object: Object, what: &Observation) -> bool {
        let Object { app, engine, place, .. } = object;
        let over = matches!(what, Observation::Ended { .. });
        if over && !engine.has_own_pod() {
            return false;
        }
        let name =
            self.runs.app(&app).map_or_else(|| app.to_string(), |app| app.display_name.clone());
        let id = run.task.clone();
        let task = Task::found(id, app, name, engine, place, run.run, self.now.unix_ms);
        self.runs.table.insert(Entry::new(task));
        self.follow_run(&run.task);
        true
    }

    fn ended(&mut self, run: &RunId, exit: Exit, reason: Option<Ended>, at: i64) {
        let Some(task) = self.runs.task(&run.task) else { return };
        if task.started_at.is_none() {
            if let Exit::Lost(lost) = &exit {
                let why = match reason {
                    Some(Ended { reason, words }) => {
                        Refused { reason: RefusalReason::Ended(reason), words }
                    }
                    None => RefusalReason::Lost(lost.clone()).into(),
                };
                return self.never_ran(run, why);
            }
            self.apply(&run.task, TaskEvent::Started { run: run.run, pid: None, at });
        }
        let usage = self.runs.table.get(&run.task).and_then(|entry| entry.notes.usage);
        let rusage = usage.unwrap_or_default();
        self.apply(&run.task, TaskEvent::Exited { run: run.run, exit, reason, rusage, at });
    }

    /// It ended before it began.
    pub(super) fn never_ran(&mut self, run: &RunId, why: Refused) {
        if self.apply(&run.task, TaskEvent::Refused { run: run.run, why }).is_some() {
            self.after_end(&run.task);
        }
    }

    /// Its object is no more, and nobody will tell how it ended.
    fn gone(&mut self, run: &RunId, why: LostReason) {
        if !self.runs.is_current(run) {
            return;
        }
        self.deleting(run);
        let Some(task) = self.runs.table.get(&run.task).map(|entry| entry.task.clone()) else {
            return;
        };
        if task.started_at.is_none() {
            return self.never_ran(run, RefusalReason::Lost(why).into());
        }
        let (exit, rusage) = (Exit::Lost(why), Rusage::default());
        self.apply(
            &run.task,
            TaskEvent::Exited { run: run.run, exit, reason: None, rusage, at: self.now.unix_ms },
        );
        if task.leftovers {
            self.tell(Link::Keeper, Command::CloseOutput { task: run.task.clone() });
        }
    }

    fn synced(&mut self, engine: EngineKind, origin: Origin, present: BTreeSet<RunId>) {
        if origin == Origin::Other {
            self.forget_hidden(engine, &present);
        }
        self.runs.cluster.present.insert((engine, origin), present);
        self.resume_remote(engine, origin);
    }

    /// The keeper told everything: containers' logs can be resumed where they are.
    pub(super) fn adopt_containers(&mut self) {
        self.runs.cluster.welcomed = true;
        for id in self.remote_tasks(|task| !task.is_over()) {
            if self.is_unsent(&id) {
                self.runs.cluster.unsent.push(id);
            } else {
                self.follow_run(&id);
            }
        }
        for event in std::mem::take(&mut self.runs.cluster.early) {
            self.cluster_reports(event);
        }
        self.resume_all_remote();
    }

    /// Compares what is on record with what exists, once both are known.
    fn resume_remote(&mut self, engine: EngineKind, origin: Origin) {
        // Without these no plan can be made: a launch on record is not to be refused for that.
        let facts = &self.runs.cluster.facts;
        let known =
            facts.api == ApiState::Answers && facts.own_pod.is_some() && !facts.rights.is_empty();
        if !self.runs.cluster.welcomed || !self.runs.looked || !known {
            return;
        }
        let Some(present) = self.runs.cluster.present.remove(&(engine, origin)) else { return };
        let mine = |step: &Self, id: &TaskId| {
            let of = |task: &Task| (task.engine, task.origin) == (engine, origin);
            step.runs.table.get(id).is_some_and(|entry| of(&entry.task))
        };
        let unsent = std::mem::take(&mut self.runs.cluster.unsent);
        let (now, later): (Vec<_>, Vec<_>) = unsent.into_iter().partition(|id| mine(self, id));
        self.runs.cluster.unsent = later;
        for id in now {
            let Some(run) = self.run_of(&id) else { continue };
            if present.contains(&run) || !self.is_unsent(&id) {
                self.follow_run(&id);
            } else {
                self.start_again(run);
            }
        }
        let alive = |task: &Task| {
            let lives = matches!(
                task.state,
                TaskState::Starting | TaskState::Running | TaskState::Stopping
            );
            (task.engine, task.origin) == (engine, origin) && lives
        };
        for id in self.remote_tasks(alive) {
            let is_gone = |run: &RunId| !self.is_unsent(&id) && !present.contains(run);
            if let Some(run) = self.run_of(&id).filter(is_gone) {
                self.gone(&run, LostReason::PodGone);
            }
        }
    }

    /// The first look at the display is over: launches on record can be planned again.
    pub(super) fn resume_all_remote(&mut self) {
        let listed: Vec<_> = self.runs.cluster.present.keys().copied().collect();
        for (engine, origin) in listed {
            self.resume_remote(engine, origin);
        }
    }

    /// Whether the API server may never have heard of a launch on record. What it accepted is not asked
    /// for again, and what others started deskd cannot ask for.
    fn is_unsent(&self, id: &TaskId) -> bool {
        let unsent =
            |entry: &Entry| entry.task.state == TaskState::Starting && !entry.notes.accepted;
        self.runs.table.get(id).is_some_and(unsent) && !self.is_others(id)
    }

    fn run_of(&self, id: &TaskId) -> Option<RunId> {
        let run = self.runs.table.get(id)?.task.runs.max(1);
        Some(RunId { task: id.clone(), run })
    }

    /// Tells the engine to follow a run that an earlier daemon created.
    pub(super) fn follow_run(&mut self, id: &TaskId) {
        let Some(task) = self.runs.task(id).cloned() else { return };
        let Some(object) = task.object.clone() else { return };
        let grace = self.runs.grace_of(id);
        let adopt = Command::Adopt {
            run: RunId { task: id.clone(), run: task.runs },
            app: task.app.clone(),
            origin: task.origin,
            object,
            engine: task.engine,
            log: LogMark::default(),
            stopping: (task.state == TaskState::Stopping).then_some(grace),
        };
        self.tell(task.engine.link(), adopt);
    }
}
