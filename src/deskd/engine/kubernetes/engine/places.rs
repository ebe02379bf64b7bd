//! Runs at places: made through the API server once, started, stopped and read through their keepers.
//!
//! A place is followed like a run, whose number is 0 (`place_run`): the same patches, watches and
//! reasons. What is told of that one is turned here into what it means for the runs at the place.

use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use crate::engine::kubernetes::patches::Launch as Patch;
use crate::engine::kubernetes::places::file::{self, Remembered};
use crate::engine::kubernetes::places::link::{self, News};
use crate::engine::kubernetes::places::{AtPlace, Link};
use crate::engine::kubernetes::pods::stopped;
use crate::engine::kubernetes::runs::{Creation, Output, Run, app_of};
use crate::engine::kubernetes::{Event, Observation, manifest, private_directory};
use deskd_core::id::{AppId, TaskId};
use deskd_core::kubernetes::ObjectRef;
use deskd_core::place::{Launch, Life, PlaceSpec, Stage};
use deskd_core::plan::EngineKind;
use deskd_core::plan::remote::{ContainerPlan, EphemeralPlan};
use deskd_core::task::UnixMs;
use deskd_core::why::reason::{RefusalReason, WaitReason};
use deskd_core::wire::proof::{Bytes, Key};
use deskd_core::wire::{FromKeeper, RunEnd, RunId, TaskRecord, ToKeeper};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

/// How a place is called, before its number.
const NAME: &str = "place";

/// The run as which a place itself is followed. Runs of tasks count from 1.
pub(super) fn place_run(id: &TaskId) -> RunId {
    RunId { task: id.clone(), run: 0 }
}

/// Whether that is a place, and no run of a task.
pub(super) fn is_place(run: &RunId) -> bool {
    run.run == 0
}

impl<T: From<Event> + Send + 'static> Engine<T> {
    /// The places that an earlier daemon made.
    pub(super) fn remember_places(&mut self) {
        let Some(path) = &self.places.file else { return };
        for known in file::read(path, &self.own.uid) {
            let Remembered { id, container, spec, key, object, answered, unasked, last, .. } =
                known;
            let object = object.unwrap_or_else(|| self.container(container));
            self.follow_place(&id, &object, key, Creation::Done);
            if let Some(link) = self.places.links.get_mut(&id) {
                (link.answered, link.unasked) = (answered, unasked);
            }
            self.places.life.remember(id.clone(), spec, last);
            self.connect(&id);
        }
    }

    pub(super) fn follow_place(
        &mut self,
        id: &TaskId,
        object: &ObjectRef,
        key: Key,
        creation: Creation,
    ) {
        let run = self.run_in(app_of(id), object, creation);
        self.runs.insert(place_run(id), run);
        let link = Link {
            key,
            object: object.clone(),
            far: object.pod != self.own.name,
            unasked: self.places.life.is_unasked(id),
            queue: None,
            answered: false,
            keeper_since: None,
            silent_since: None,
            task: None,
            idle_since: None,
        };
        self.places.links.insert(id.clone(), link);
    }

    /// One of the own pod.
    fn container(&self, container: String) -> ObjectRef {
        let (namespace, pod) = (self.own.namespace.clone(), self.own.name.clone());
        ObjectRef { namespace, pod, container }
    }

    /// One whose processes are in a PID namespace of their own, and whose output no kubelet has.
    pub(super) fn run_in(&self, app: Option<AppId>, object: &ObjectRef, creation: Creation) -> Run {
        let app = app.unwrap_or_else(|| AppId::like(NAME));
        let engine = match object.pod == self.own.name {
            true => EngineKind::EphemeralContainer,
            false => EngineKind::PodApplication,
        };
        let mut run = Run::new(app, engine, object.clone(), creation);
        run.output = Output::Done;
        run.own_pids = true;
        run
    }

    /// Launches a run at a place. False: it cannot be, and gets a container of its own.
    pub(super) fn launch_at_place(
        &mut self,
        run: &RunId,
        app: &AppId,
        plan: &EphemeralPlan,
    ) -> bool {
        let spec = PlaceSpec::of(plan).filter(|spec| !self.places.unfit.contains(spec));
        let (Some(spec), Some(_)) = (spec, &self.places.file) else { return false };
        let Some(fresh) = self.fresh_place() else { return false };
        let Some(launch) = self.places.life.launch(run, spec.clone(), || fresh) else {
            return false;
        };
        let (Launch::Make(id) | Launch::Wait(id) | Launch::Ask(id)) = &launch;
        if matches!(launch, Launch::Make(_)) && !self.make_place(id, &spec) {
            self.places.life.dead(id);
            return false;
        }
        let mut plan = plan.clone();
        private_directory::prepare(&mut plan);
        self.begin_at_place((run, app), &plan.container, &launch);
        if !matches!(launch, Launch::Ask(_)) {
            let image = deskd_core::why::reason::Image { name: spec.image, volume: None };
            let node = self.known.node().map(str::to_owned);
            self.observe(run, Observation::Waiting(WaitReason::Prepared { node, image }.into()));
        }
        true
    }

    /// Follows a run that is to be at a place, and asks for it if its keeper is there.
    pub(super) fn begin_at_place(
        &mut self,
        (run, app): (&RunId, &AppId),
        container: &ContainerPlan,
        launch: &Launch,
    ) {
        let (Launch::Make(id) | Launch::Wait(id) | Launch::Ask(id)) = launch;
        let Some(link) = self.places.links.get_mut(id) else { return };
        link.idle_since = None;
        let object = link.object.clone();
        let creation = Creation::Pending(CancellationToken::new());
        let new = self.run_in(Some(app.clone()), &object, creation);
        self.runs.insert(run.clone(), new);
        let request = Some(Box::new(manifest::spawn_request(run, container)));
        self.places.runs.insert(run.clone(), AtPlace { request, ..AtPlace::default() });
        if let Launch::Ask(id) = launch {
            self.ask(id, run);
        }
    }

    /// A name that no place has; nothing if there is no randomness.
    pub(super) fn fresh_place(&self) -> Option<TaskId> {
        let free = |id: &TaskId| !self.places.links.contains_key(id);
        let fresh = || Some(TaskId::new(&AppId::like(NAME), getrandom::u32().ok()?));
        (0..16).find_map(|_| fresh().filter(free))
    }

    /// Asks the API server for a place, once it is on record. False: it cannot be recorded.
    pub(super) fn make_place(&mut self, id: &TaskId, spec: &PlaceSpec) -> bool {
        let object = self.container(format!("deskd-{id}"));
        let Some((key, cancel)) = self.found_place(id, &object) else { return false };
        let grace = Duration::from_secs(u64::from(self.config.policy.grace_s));
        let container = manifest::place(&place_run(id), &object, spec, &key, grace);
        let patch = Patch { run: place_run(id), container, cancel, may_exist: false };
        if self.patches.try_send(patch).is_err() {
            self.launched(place_run(id), Err(super::commands::too_many()));
        }
        true
    }

    /// Puts a new place on record, with a key of its own. Nothing: it cannot be recorded.
    pub(super) fn found_place(
        &mut self,
        id: &TaskId,
        object: &ObjectRef,
    ) -> Option<(Key, CancellationToken)> {
        let mut random = Bytes::default();
        getrandom::fill(&mut random).ok()?;
        let (key, cancel) = (Key::new(random), CancellationToken::new());
        self.follow_place(id, object, key.clone(), Creation::Pending(cancel.clone()));
        if let Err(error) = self.record_places() {
            tracing::error!(%error, "a place cannot be recorded, so none is made");
            self.places.links.remove(id);
            self.runs.remove(&place_run(id));
            return None;
        }
        Some((key, cancel))
    }

    pub(super) fn record_places(&self) -> std::io::Result<()> {
        let Some(path) = &self.places.file else { return Ok(()) };
        let all = self.places.life.iter().filter_map(|(id, spec)| {
            let Link { object, key, far, answered, unasked, .. } = self.places.links.get(id)?;
            Some(Remembered {
                id: id.clone(),
                container: object.container.clone(),
                spec: spec.clone(),
                key: key.clone(),
                pod: self.own.uid.clone(),
                object: far.then(|| object.clone()),
                answered: *answered,
                unasked: *unasked,
                last: self.places.life.last(id).filter(|_| *far).cloned(),
            })
        });
        file::write(path, &all.collect::<Vec<_>>())
    }

    /// Connects to its keeper, now and whenever the connection ends, or lets it do so.
    pub(super) fn connect(&mut self, id: &TaskId) {
        let Some(link) = self.places.links.get_mut(id).filter(|link| link.task.is_none()) else {
            return;
        };
        let (key, logs, told) = (link.key.clone(), self.logs.clone(), self.inputs.clone());
        link.silent_since = Some(Instant::now());
        link.task = Some(match &self.places.port {
            None if link.far => return,
            Some(port) if link.far => {
                let met = port.expect(&key);
                self.workers.spawn(link::run_far(id.clone(), met, logs, told))
            }
            _ => self.workers.spawn(link::run(id.clone(), key, logs, told)),
        });
    }

    /// Asks its keeper for a run. Where its output begins the log store has to say, unless it is the
    /// first.
    fn ask(&mut self, id: &TaskId, run: &RunId) {
        if run.run > 1 {
            return self.ask_for_output_end(&run.task);
        }
        self.spawn_at(id, run, 0);
    }

    pub(super) fn spawn_at(&mut self, id: &TaskId, run: &RunId, log_from: u64) {
        let Some(request) = self.places.runs.get(run).and_then(|at| at.request.clone()) else {
            return;
        };
        let mut request = *request;
        request.log_from = log_from;
        self.tell_place(id, ToKeeper::Spawn(Box::new(request)));
        self.tell_place(id, ToKeeper::ReadLog { task: run.task.clone(), from: log_from });
        self.stop_there(id, run);
    }

    /// What does not arrive is asked for again after the next welcome.
    pub(super) fn tell_place(&mut self, id: &TaskId, message: ToKeeper) {
        let Some(link) = self.places.links.get_mut(id) else { return };
        if link.queue.as_ref().is_some_and(|queue| queue.try_send(message).is_err()) {
            tracing::warn!(place = %id, "its keeper does not keep up and is connected anew");
            // Its link ends with the queue.
            link.queue = None;
        }
    }

    /// What a keeper, or the link to it, told.
    pub(super) fn place_news(&mut self, id: &TaskId, news: News) {
        match news {
            News::Up(queue, since, records) => {
                if let Some(link) = self.places.links.get_mut(id) {
                    link.keeper_since = Some(since);
                }
                self.place_up(id, queue, records);
            }
            News::Said(message) => self.place_said(id, message),
            News::Given(task, end) => {
                let runs = self.places.runs.iter_mut().filter(|(run, _)| run.task == task);
                if let Some((_, at)) = runs.max_by_key(|(run, _)| run.run) {
                    at.output_end = Some(end);
                }
            }
            News::OtherVersion => self.place_is_of_another_version(id),
            News::Down => {
                self.places.life.lost(id);
                if let Some(link) = self.places.links.get_mut(id) {
                    link.queue = None;
                    link.silent_since = Some(Instant::now());
                }
                self.tell_processes();
            }
        }
    }

    fn place_up(&mut self, id: &TaskId, queue: Sender<ToKeeper>, records: Vec<TaskRecord>) {
        let Some(link) = self.places.links.get_mut(id) else { return };
        (link.queue, link.silent_since) = (Some(queue), None);
        let first = !std::mem::replace(&mut link.answered, true);
        let object = link.object.clone();
        if link.far {
            self.far_keeper_came(first);
        }
        let up = self.places.life.up(id, records.iter().map(|record| record.id.clone()));
        for record in records {
            self.kept_at_place(id, &object, record);
        }
        for run in up.missing {
            self.places.runs.remove(&run);
            self.gone(&run);
        }
        for run in up.ask {
            self.ask(id, &run);
        }
        self.find_processes_again(id);
        self.tell_list_that_waited();
        self.note_idle(id);
    }

    fn kept_at_place(&mut self, id: &TaskId, object: &ObjectRef, record: TaskRecord) {
        let run = record.id;
        if !self.runs.contains_key(&run) {
            let mut unknown = self.run_in(app_of(&run.task), object, Creation::Done);
            unknown.known = false;
            self.runs.insert(run.clone(), unknown);
        }
        if !self.places.runs.contains_key(&run) {
            let stop = self.move_to_place(&run, object);
            self.places.runs.insert(run.clone(), AtPlace { stop, ..AtPlace::default() });
        }
        self.started_at_place(&run, record.spawned_at);
        if !record.stopping {
            self.stop_there(id, &run);
        }
        if record.tree_gone {
            self.places.life.over(&run);
        }
        if let Some(end) = record.end {
            self.ended_at_place(&run, end);
        }
        self.go_on_with_output(&run);
    }

    fn ended_at_place(&mut self, run: &RunId, end: RunEnd) {
        let RunEnd { exit, rusage, at, oom_killed } = end;
        self.out.push(Event::Used { run: run.clone(), usage: rusage, oom_killed });
        self.observe(run, Observation::Ended { exit, reason: None, at });
    }

    /// A run whose record was written before anybody knew that it is at a place: it was followed as one
    /// with a container of its own. Returns the stop that was asked for.
    fn move_to_place(&mut self, run: &RunId, object: &ObjectRef) -> Option<(Instant, Instant)> {
        let known = self.runs.get_mut(run)?;
        (known.own_pids, known.output) = (true, Output::Done);
        known.object.clone_from(object);
        let stop = known.stop.take()?;
        stop.worker.iter().for_each(tokio::task::AbortHandle::abort);
        Some((stop.term_at, stop.kill_at))
    }

    fn started_at_place(&mut self, run: &RunId, at: UnixMs) {
        self.places.life.there(run);
        if let Some(there) = self.places.runs.get_mut(run) {
            there.request = None;
        }
        let Some(known) = self.runs.get_mut(run) else { return };
        if !matches!(std::mem::replace(&mut known.creation, Creation::Done), Creation::Done) {
            // A later daemon must know of it before anybody takes it for accepted.
            let (far, object) = (known.engine == EngineKind::PodApplication, known.object.clone());
            if far {
                self.record_pod_places();
            }
            self.out.push(Event::Accepted { run: run.clone(), object });
        }
        let node = self.node_of(run);
        self.observe(run, Observation::Running { at, pid: None, node });
    }

    fn place_said(&mut self, id: &TaskId, message: FromKeeper) {
        match message {
            FromKeeper::Spawned { id: run, at, .. } => self.started_at_place(&run, at),
            FromKeeper::SpawnRefused { id: run, error } => {
                self.leave(&run);
                if self.runs.remove(&run).is_some() {
                    let refusal = RefusalReason::Spawn(error).into();
                    self.out.push(Event::Refused { run, refusal });
                }
                self.note_idle(id);
            }
            FromKeeper::TreeGone { id: run } => {
                self.places.life.over(&run);
                self.note_idle(id);
            }
            FromKeeper::Exited { id: run, end } => {
                self.ended_at_place(&run, end);
                self.close_output_if_over(&run);
            }
            FromKeeper::StopStep { id: run, round } => self.step(run, round.step()),
            FromKeeper::ProcessFound { pid, task } => self.process_found(id, pid, task),
            FromKeeper::LogTrouble { trouble: Some(trouble) } => {
                tracing::warn!(place = %id, "{trouble}");
            }
            _ => {}
        }
    }

    /// Stops a run at a place; false: it is not at one.
    pub(super) fn stop_at_place(
        &mut self,
        run: &RunId,
        term_after: Duration,
        kill_after: Duration,
    ) -> bool {
        let Some((id, stage)) = self.places.life.of(run) else { return false };
        let (id, now) = (id.clone(), Instant::now());
        let asked = (now + term_after, now + kill_after);
        let Some(at) = self.places.runs.get_mut(run) else { return false };
        at.stop = Some(at.stop.map_or(asked, |old| (old.0.min(asked.0), old.1.min(asked.1))));
        let up = self.places.life.life(&id) == Some(Life::Up);
        if stage == Stage::Asked && !up {
            self.leave(run);
            self.runs.remove(run);
            self.out.push(Event::Refused { run: run.clone(), refusal: stopped() });
            self.end_pod(&id, kill_after);
        } else {
            self.stop_there(&id, run);
        }
        true
    }

    /// Passes on a stop that was asked for.
    fn stop_there(&mut self, id: &TaskId, run: &RunId) {
        let Some((term, kill)) = self.places.runs.get(run).and_then(|at| at.stop) else { return };
        let ms = |at: Instant| {
            let left = at.saturating_duration_since(Instant::now()).as_millis();
            u64::try_from(left).unwrap_or(u64::MAX)
        };
        let (term_after_ms, kill_after_ms) = (ms(term), ms(kill));
        self.tell_place(id, ToKeeper::Stop { id: run.clone(), term_after_ms, kill_after_ms });
    }

    /// Follows a run that an earlier daemon started at a place; false: it is at none.
    pub(super) fn adopt_at_place(&mut self, run: &RunId, object: &ObjectRef, app: &AppId) -> bool {
        if !self.places.runs.contains_key(run) {
            let at = self.places.links.iter().find(|(_, link)| link.object == *object);
            let Some((id, _)) = at else { return false };
            if self.places.life.life(id) == Some(Life::Up) {
                return false;
            }
            let id = id.clone();
            self.places.life.keep(&id, run.clone());
            let new = self.run_in(Some(app.clone()), object, Creation::Done);
            self.runs.entry(run.clone()).or_insert(new);
            self.places.runs.insert(run.clone(), AtPlace::default());
        }
        if let Some(known) = self.runs.get_mut(run) {
            (known.known, known.forgotten) = (true, false);
        }
        self.tell_again(run);
        self.go_on_with_output(run);
        true
    }

    /// Nobody asks for a run at a place any more; false: it is at none.
    pub(super) fn forget_at_place(&mut self, run: &RunId) -> bool {
        let Some((id, stage)) = self.places.life.of(run) else { return false };
        let id = id.clone();
        // Else it would forget a later run, which may have ended already.
        if stage != Stage::Asked && !self.places.life.is_replaced(run) {
            self.tell_place(&id, ToKeeper::Forget { task: run.task.clone() });
        }
        self.leave(run);
        self.runs.remove(run);
        self.note_idle(&id);
        true
    }

    pub(super) fn leave(&mut self, run: &RunId) {
        self.places.life.forget(run);
        self.places.runs.remove(run);
    }
}
