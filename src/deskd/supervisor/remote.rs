//! Tasks in containers: from a plan to commands for the Kubernetes engine, and what it tells.
//!
//! Names are functions of task and run, and the journal has the task before the engine hears of it:
//! so after a `kill -9` a launch is simply asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::driver::{Driver, LaunchReply, now_ms};
use super::handle::{LaunchError, LaunchRequest};
use super::log_mark::log_mark;
use super::notes::RunNotes;
use super::table::Entry;
use crate::engine::kubernetes::{
    Command, CommandSender, Event, Observation, Refused, RemoteWork, Stranger,
};
use deskd_core::id::{AppId, TaskId};
use deskd_core::kubernetes::{APP_CONTAINER, LABEL_USER, ObjectRef, container_name, pod_name};
use deskd_core::origin::Origin;
use deskd_core::plan::facts::ApiState;
use deskd_core::plan::{EngineKind, KubernetesFacts, LaunchSpec, UnplannableCode};
use deskd_core::task::{Exit, Rusage, Task, TaskEvent, TaskState};
use deskd_core::why::reason::{Ended, LostReason, RefusalReason};
use deskd_core::wire::{RunId, ToKeeper};

/// Launches kept until the API answers or is known to be away.
const HELD_LAUNCHES_MAX: usize = 1024;

/// What the driver knows and remembers about the cluster.
#[derive(Debug)]
pub(super) struct Remote {
    commands: CommandSender,
    /// Sent once the journal has what they are about.
    outbox: Vec<Command>,
    pub(super) facts: Arc<KubernetesFacts>,
    /// The keeper said what it has, so logs can be resumed.
    welcomed: bool,
    /// Runs that had an object when an engine listed them, until that was compared with the table.
    present: BTreeMap<(EngineKind, Origin), BTreeSet<RunId>>,
    /// Tasks on record as starting, of an earlier daemon: whether the API server heard of them is
    /// known after the first list.
    unsent: Vec<TaskId>,
    /// Launches that need the API before it answered for the first time.
    held: Vec<(LaunchRequest, LaunchReply)>,
}

impl Remote {
    pub(super) fn new(commands: CommandSender) -> Self {
        Self {
            commands,
            outbox: Vec::new(),
            facts: Arc::default(),
            welcomed: false,
            present: BTreeMap::new(),
            unsent: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Keeps a launch until it is known whether the API answers; gives it back when that is known.
    pub(super) fn hold(
        &mut self,
        request: LaunchRequest,
        reply: LaunchReply,
        refusal: &LaunchError,
    ) -> Option<(LaunchRequest, LaunchReply)> {
        let away = matches!(refusal, LaunchError::Unplannable(why)
            if why.code == UnplannableCode::KubernetesUnavailable);
        if self.facts.api == ApiState::Unknown && away && self.held.len() < HELD_LAUNCHES_MAX {
            self.held.push((request, reply));
            return None;
        }
        Some((request, reply))
    }

    pub(super) fn tell(&mut self, command: Command) {
        self.outbox.push(command);
    }

    /// False when the engine ended or does not keep up.
    pub(super) fn flush(&mut self) -> bool {
        self.outbox.drain(..).all(|command| self.commands.send(command))
    }
}

impl Driver {
    /// Asks the Kubernetes engine for a run.
    pub(super) fn start_remote(&mut self, run: RunId, work: RemoteWork) {
        let Some(entry) = self.table.get(&run.task) else { return };
        let (app, name) = (entry.task.app.clone(), entry.task.display_name.clone());
        let object = match &work {
            RemoteWork::Ephemeral(plan) => ObjectRef {
                namespace: plan.namespace.clone(),
                pod: plan.pod.clone(),
                container: container_name(&self.user().unwrap_or(name), &app, &run.task, run.run),
            },
            RemoteWork::Pod(plan) => ObjectRef {
                namespace: plan.namespace.clone(),
                pod: {
                    let owner = self.user().unwrap_or_else(|| self.settings.name.clone());
                    pod_name(&owner, &app, &run.task, run.run)
                },
                container: APP_CONTAINER.to_owned(),
            },
        };
        self.apply(&run.task, TaskEvent::Placed { run: run.run, object: object.clone() });
        self.tell_keeper(&ToKeeper::OpenLog { task: run.task.clone() });
        self.remote.tell(Command::Launch { run, app, object, work });
    }

    /// abcdesktop's user, by whom it names applications.
    fn user(&self) -> Option<String> {
        self.remote.facts.own_pod.as_ref()?.labels.get(LABEL_USER).cloned()
    }

    pub(super) fn kubernetes_said(&mut self, event: Event) {
        let of_others =
            matches!(event, Event::Observed { stranger: Some(_), .. } | Event::Deleting { .. });
        if of_others && !self.remote.welcomed {
            return self.others.keep(event);
        }
        match event {
            Event::Facts(facts) => self.cluster_is(*facts),
            Event::Accepted { run, object } => {
                self.apply(&run.task, TaskEvent::Placed { run: run.run, object });
                self.answer_launch(&run);
            }
            Event::Refused { run, refusal } => self.launch_refused(&run, &refusal),
            Event::Observed { run, app, engine, object, what, stranger } => {
                if self.is_known(&run, app, engine, object, &what, stranger) {
                    self.observed(&run, what);
                }
            }
            Event::Stoppable { run, no_stop } => self.stoppable(&run, no_stop),
            Event::Deleting { run } => self.deleting(&run),
            Event::Said { run, said } => {
                if self.is_current(&run) {
                    self.table.note(&run.task, |notes| notes.cluster = said);
                    self.explain_wait(&run.task);
                }
            }
            Event::Synced { engine, origin, present } => self.synced(engine, origin, present),
            Event::Gone { run } => self.gone(&run, LostReason::PodDeleted),
            Event::StopStep { run, step } => {
                if self.is_current(&run) {
                    self.apply(&run.task, TaskEvent::StopStep(step));
                }
            }
            Event::LogDone { run, trouble } => {
                if let Some(trouble) = trouble {
                    tracing::warn!(task = %run.task, "its output is not complete: {trouble}");
                }
            }
            Event::Pull(status) => self.pull_said(status),
        }
    }

    pub(super) fn is_current(&self, run: &RunId) -> bool {
        self.table.get(&run.task).is_some_and(|entry| entry.task.runs == run.run)
    }

    fn cluster_is(&mut self, facts: KubernetesFacts) {
        let stale = matches!(facts.api, ApiState::Away(_));
        self.remote.facts = Arc::new(facts);
        self.resume_all_remote();
        if self.remote.facts.api != ApiState::Unknown {
            for (request, reply) in std::mem::take(&mut self.remote.held) {
                self.launch(request, reply);
            }
        }
        for id in self.remote_tasks(|task| !task.is_over()) {
            if self.apply(&id, TaskEvent::Stale(stale)).is_some() {
                self.explain_wait(&id);
            }
        }
    }

    pub(super) fn remote_tasks(&self, wanted: impl Fn(&Task) -> bool) -> Vec<TaskId> {
        let remote = self.table.iter().filter(|entry| entry.task.engine != EngineKind::Local);
        remote.filter(|entry| wanted(&entry.task)).map(|entry| entry.task.id.clone()).collect()
    }

    /// The API server said no.
    fn launch_refused(&mut self, run: &RunId, refusal: &Refused) {
        if self.is_current(run) {
            let said = refusal.words.clone();
            self.table.note(&run.task, |notes| notes.cluster.refusal = said);
        }
        let why = refusal.clone();
        self.not_started(run, why, |app| LaunchError::Refused {
            app,
            refusal: refusal.clone().into(),
        });
    }

    /// Whether a run is of a task in the table, which it may become now.
    fn is_known(
        &mut self,
        run: &RunId,
        app: AppId,
        engine: EngineKind,
        object: ObjectRef,
        what: &Observation,
        stranger: Option<Box<Stranger>>,
    ) -> bool {
        if stranger.is_some()
            && let Some(present) = self.remote.present.get_mut(&(engine, Origin::Other))
        {
            // It came after the list that is still to be compared with what is on record.
            present.insert(run.clone());
        }
        match (self.table.get(&run.task), stranger) {
            // One of deskd's may be called like an object of others.
            (Some(entry), stranger) => {
                stranger.is_none() || entry.task.object.as_ref() == Some(&object)
            }
            (None, Some(stranger)) => self.adopt_other(run, *stranger, engine, object),
            (None, None) => self.adopt_found(run, app, engine, object, what),
        }
    }

    fn observed(&mut self, run: &RunId, what: Observation) {
        if !self.is_current(run) {
            return;
        }
        // Whatever was seen, the launch arrived.
        self.answer_launch(run);
        match what {
            Observation::Waiting(why) => {
                self.apply(&run.task, TaskEvent::Waiting { run: run.run, why });
                self.explain_wait(&run.task);
            }
            Observation::Running { at, pid, node } => {
                self.apply(&run.task, TaskEvent::Started { run: run.run, pid, at });
                if let Some(node) = node {
                    self.apply(&run.task, TaskEvent::OnNode { run: run.run, node });
                }
                self.attribute_windows();
            }
            Observation::Ended { exit, reason, at } => self.ended(run, exit, reason, at),
        }
    }

    /// A task whose record was lost, found by its labels. What ended in this pod is left alone: its
    /// entry stays for as long as the pod, also after somebody removed the task.
    fn adopt_found(
        &mut self,
        run: &RunId,
        app: AppId,
        engine: EngineKind,
        object: ObjectRef,
        what: &Observation,
    ) -> bool {
        let over = matches!(what, Observation::Ended { .. });
        if !self.remote.welcomed || (over && engine == EngineKind::EphemeralContainer) {
            return false;
        }
        let name = self.apps.get(&app).map_or_else(|| app.to_string(), |a| a.display_name.clone());
        let task = Task::found(run.task.clone(), app, name, engine, object, run.run, now_ms());
        self.table.insert(Entry {
            task: Arc::new(task),
            spec: LaunchSpec::default(),
            key: None,
            env: Vec::new(),
            notes: RunNotes::default(),
            found: None,
        });
        tracing::info!(task = %run.task, "found a task that is on no record");
        self.follow_run(&run.task);
        true
    }

    fn ended(&mut self, run: &RunId, exit: Exit, reason: Option<Ended>, at: i64) {
        let Some(entry) = self.table.get(&run.task) else { return };
        if entry.task.started_at.is_none() {
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
        let rusage = Rusage::default();
        self.apply(&run.task, TaskEvent::Exited { run: run.run, exit, reason, rusage, at });
    }

    /// It ended before it began.
    pub(super) fn never_ran(&mut self, run: &RunId, why: Refused) {
        if self.apply(&run.task, TaskEvent::Refused { run: run.run, why }).is_some() {
            self.explain_end(&run.task);
            self.schedule_restart(&run.task);
            self.report_drained();
        }
    }

    /// Its object is no more, and nobody will tell how it ended.
    fn gone(&mut self, run: &RunId, why: LostReason) {
        if !self.is_current(run) {
            return;
        }
        self.deleting(run);
        let Some(task) = self.table.get(&run.task).map(|entry| entry.task.clone()) else { return };
        if task.started_at.is_none() {
            return self.never_ran(run, RefusalReason::Lost(why).into());
        }
        let (exit, rusage, at) = (Exit::Lost(why), Rusage::default(), now_ms());
        self.apply(&run.task, TaskEvent::Exited { run: run.run, exit, reason: None, rusage, at });
        if task.leftovers {
            self.tell_keeper(&ToKeeper::CloseLog { task: run.task.clone() });
        }
    }

    fn synced(&mut self, engine: EngineKind, origin: Origin, present: BTreeSet<RunId>) {
        if origin == Origin::Other {
            self.forget_hidden(engine, &present);
        }
        self.remote.present.insert((engine, origin), present);
        self.resume_remote(engine, origin);
    }

    /// The keeper told everything: containers' logs can be resumed where they are.
    pub(super) fn adopt_remote(&mut self) {
        self.remote.welcomed = true;
        for id in self.remote_tasks(|task| !task.is_over()) {
            let starting = self.table.get(&id).is_some_and(|e| e.task.state == TaskState::Starting);
            if starting && !self.is_others(&id) {
                self.remote.unsent.push(id);
            } else {
                self.follow_run(&id);
            }
        }
        for event in self.others.take_early() {
            self.kubernetes_said(event);
        }
        self.resume_all_remote();
    }

    /// Compares what is on record with what exists, once both are known.
    fn resume_remote(&mut self, engine: EngineKind, origin: Origin) {
        // Without these no plan can be made: a launch on record is not to be refused for that.
        let facts = &self.remote.facts;
        let known =
            facts.api == ApiState::Answers && facts.own_pod.is_some() && !facts.rights.is_empty();
        if !self.remote.welcomed || !self.health.looked || !known {
            return;
        }
        let Some(present) = self.remote.present.remove(&(engine, origin)) else { return };
        let mine = |driver: &Self, id: &TaskId| {
            let of = |task: &Task| (task.engine, task.origin) == (engine, origin);
            driver.table.get(id).is_some_and(|entry| of(&entry.task))
        };
        let unsent = std::mem::take(&mut self.remote.unsent);
        let (now, later): (Vec<_>, Vec<_>) = unsent.into_iter().partition(|id| mine(self, id));
        self.remote.unsent = later;
        for id in now {
            let Some(run) = self.run_of(&id) else { continue };
            if present.contains(&run) {
                self.follow_run(&id);
            } else {
                self.start_again(run);
            }
        }
        // Those that are starting are asked for again, if they are deskd's.
        let alive = |task: &Task| {
            let runs = matches!(task.state, TaskState::Running | TaskState::Stopping);
            let starts = origin == Origin::Other && task.state == TaskState::Starting;
            (task.engine, task.origin) == (engine, origin) && (runs || starts)
        };
        for id in self.remote_tasks(alive) {
            if let Some(run) = self.run_of(&id).filter(|run| !present.contains(run)) {
                self.gone(&run, LostReason::PodGone);
            }
        }
    }

    /// The first look at the display is over: launches on record can be planned again.
    pub(super) fn resume_all_remote(&mut self) {
        for engine in [EngineKind::EphemeralContainer, EngineKind::PodApplication] {
            for origin in [Origin::Deskd, Origin::Other] {
                self.resume_remote(engine, origin);
            }
        }
    }

    fn run_of(&self, id: &TaskId) -> Option<RunId> {
        let run = self.table.get(id)?.task.runs.max(1);
        Some(RunId { task: id.clone(), run })
    }

    /// Tells the engine to follow a run that an earlier daemon created.
    pub(super) fn follow_run(&mut self, id: &TaskId) {
        let Some(entry) = self.table.get(id) else { return };
        let task = entry.task.clone();
        let Some(object) = task.object.clone() else { return };
        self.tell_keeper(&ToKeeper::OpenLog { task: id.clone() });
        self.remote.tell(Command::Adopt {
            run: RunId { task: id.clone(), run: task.runs },
            app: task.app.clone(),
            origin: task.origin,
            object,
            engine: task.engine,
            log: log_mark(&self.settings.state_dir, id),
            stopping: task.state == TaskState::Stopping,
        });
    }

    /// Everything the task's container wrote is stored.
    pub(super) fn log_closed(&mut self, id: &TaskId) {
        let Some(run) = self.run_of(id) else { return };
        self.explain_end(id);
        self.tree_gone(&run);
        self.schedule_restart(id);
    }
}
