//! Places: containers whose keepers outlive the daemon, and the engine's side of them, as the real one
//! behaves (`src/deskd/engine/kubernetes/engine/places.rs`). Their life is `core::place`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use deskd_core::id::{AppId, TaskId};
use deskd_core::kubernetes::ObjectRef;
use deskd_core::place::{Launch, Life, PlaceSpec, Places, Stage, WarmPlace};
use deskd_core::plan::{EngineKind, Work};
use deskd_core::port::{Event, Observation};
use deskd_core::task::Exit;
use deskd_core::why::reason::{LostReason, RefusalReason, Refused, WaitReason};
use deskd_core::wire::{FromKeeper, RunId, SpawnRequest, TaskRecord, ToKeeper};

use crate::cluster::Cluster;
use crate::engine::{Creation, Engine};
use crate::keeper::Keeper;
use crate::mutants::Mutant;
use crate::oracle::Oracle;
use crate::rng::Rng;

/// An application whose image has no keeper: each launch gets a container of its own.
const WITHOUT_PLACE: &str = "stubborn";

/// What is there whoever is the daemon.
#[derive(Debug, Default)]
pub struct Hosts {
    /// What daemons remember (`places.json`).
    pub record: BTreeMap<TaskId, PlaceSpec>,
    /// Keepers of places whose containers run.
    pub keepers: BTreeMap<TaskId, Keeper>,
    /// Places that were made so far.
    made: u32,
}

/// What the engine knows of places.
#[derive(Debug, Default)]
pub struct Known {
    life: Places,
    connected: BTreeSet<TaskId>,
    /// Records of a welcome that is not complete.
    records: BTreeMap<TaskId, Vec<TaskRecord>>,
    /// The runs at them, and when their stops are due.
    runs: BTreeMap<RunId, Option<(u64, u64)>>,
    /// What is to be there before anybody asks; absent: nobody told.
    pub wanted: Option<Vec<WarmPlace>>,
    /// Places that this daemon made although nobody asked.
    pub warm_made: u32,
    /// Programs that were asked for or seen at places.
    pub used: u32,
    /// The list is told once all places answered.
    pub list_waits: bool,
    /// The places of an earlier daemon were remembered.
    remembered: bool,
}

/// The run as which a place itself is followed.
pub fn is_place(run: &RunId) -> bool {
    run.run == 0
}

fn place_run(id: &TaskId) -> RunId {
    RunId { task: id.clone(), run: 0 }
}

fn object_of(id: &TaskId) -> ObjectRef {
    let (namespace, pod) = ("desktops".into(), "desktop".into());
    ObjectRef { namespace, pod, container: format!("deskd-{id}") }
}

fn request(run: &RunId) -> ToKeeper {
    ToKeeper::Spawn(Box::new(SpawnRequest::new(run.clone(), vec!["app".into()])))
}

impl Known {
    /// Which places are to be there before anybody asks.
    pub fn keep_warm(&mut self, wanted: Vec<WarmPlace>) {
        self.wanted = Some(wanted.clone());
        self.life.keep_warm(wanted);
    }

    /// How many there are of what is to be there, whatever runs there.
    pub fn warm(&self) -> usize {
        let wanted = self.wanted.iter().flatten();
        let of = |spec| self.life.iter().filter(|(_, it)| *it == spec).count();
        wanted.map(|wanted| of(&wanted.spec)).sum()
    }
}

impl Hosts {
    /// The container of a place runs.
    pub fn begin(&mut self, id: &TaskId, unix: i64) {
        self.keepers.insert(id.clone(), Keeper::at_place(unix));
    }

    /// Whether this is so of all that its keeper has.
    pub fn all_at(&self, id: &TaskId, so: impl Fn(&RunId) -> bool) -> bool {
        let tasks = self.keepers.get(id).into_iter().flat_map(|keeper| keeper.tasks.values());
        tasks.filter(|task| !task.is_forgotten()).all(|task| so(&task.id))
    }

    /// It dies with everything in it.
    pub fn die(&mut self, id: &TaskId, oracle: &mut Oracle) {
        let Some(keeper) = self.keepers.remove(id) else { return };
        let alive = keeper.tasks.values().filter(|task| task.end.is_none());
        alive.for_each(|task| oracle.lost(&task.id));
    }

    /// The daemon is gone.
    pub fn hang_up(&mut self) {
        for keeper in self.keepers.values_mut() {
            keeper.connected = false;
            keeper.out.clear();
        }
    }

    /// Nothing is under way between keepers and a daemon.
    pub fn are_quiet(&self) -> bool {
        let quiet = |it: &Keeper| it.connected && it.inbox.is_empty() && it.out.is_empty();
        self.keepers.values().all(quiet)
    }
}

/// What happens around a turn.
pub struct Moment<'a> {
    pub unix: i64,
    pub clock: u64,
    pub rng: &'a mut Rng,
    pub cluster: &'a mut Cluster,
    pub oracle: &'a mut Oracle,
    pub mutant: Option<Mutant>,
    /// Connections do not break any more.
    pub calm: bool,
}

impl Engine {
    /// The places that an earlier daemon made.
    pub fn remember_places(&mut self, cluster: &Cluster) {
        if std::mem::replace(&mut self.places.remembered, true) {
            return;
        }
        for (id, spec) in &cluster.hosts.record {
            self.follow_place(id, Creation::Done);
            self.places.life.remember(id.clone(), spec.clone(), None);
        }
    }

    fn follow_place(&mut self, id: &TaskId, creation: Creation) {
        let app = AppId::like("place");
        let engine = EngineKind::EphemeralContainer;
        self.follow(place_run(id), app, engine, object_of(id), creation, 30_000);
    }

    /// Makes what is to be there before anybody asks.
    pub fn make_warm(&mut self, moment: &mut Moment<'_>) {
        if Mutant::PauseForgotten.is(moment.mutant) {
            let wanted = self.places.wanted.clone().unwrap_or_default();
            self.places.life.keep_warm(Vec::new());
            self.places.life.keep_warm(wanted);
        }
        let now = Duration::from_millis(moment.clock);
        for (_, spec) in self.places.life.to_make(now, |_| true) {
            let hosts = &mut moment.cluster.hosts;
            hosts.made += 1;
            let id: TaskId = format!("place-{:05x}", hosts.made).parse().expect("an id");
            hosts.record.insert(id.clone(), spec.clone());
            self.places.life.make(id.clone(), spec);
            self.places.warm_made += 1;
            self.follow_place(&id, Creation::Pending { may_exist: false });
        }
    }

    /// Launches a run at a place. False: it gets a container of its own.
    pub fn launch_at_place(
        &mut self,
        run: &RunId,
        app: &AppId,
        work: &Work,
        cluster: &mut Cluster,
        mutant: Option<Mutant>,
    ) -> bool {
        let Work::EphemeralContainer(plan) = work else { return false };
        let Some(spec) = PlaceSpec::of(plan).filter(|_| app.as_str() != WITHOUT_PLACE) else {
            return false;
        };
        cluster.hosts.made += 1;
        let fresh = format!("place-{:05x}", cluster.hosts.made).parse().expect("an id");
        let Some(launch) = self.places.life.launch(run, spec.clone(), || fresh) else {
            return false;
        };
        self.places.used += 1;
        let (Launch::Make(id) | Launch::Wait(id) | Launch::Ask(id)) = &launch;
        if matches!(launch, Launch::Make(_)) {
            if !Mutant::PlaceNotRecorded.is(mutant) {
                cluster.hosts.record.insert(id.clone(), spec);
            }
            self.follow_place(id, Creation::Pending { may_exist: false });
        }
        let (engine, grace_ms) = (EngineKind::EphemeralContainer, 30_000);
        let creation = Creation::Pending { may_exist: false };
        self.follow(run.clone(), app.clone(), engine, object_of(id), creation, grace_ms);
        self.places.runs.insert(run.clone(), None);
        if let Launch::Ask(id) = &launch {
            let id = id.clone();
            self.ask(&id, run, 0, cluster);
        } else {
            self.observe(run, Observation::Waiting(WaitReason::Scheduler.into()));
        }
        true
    }

    fn tell_place(&self, id: &TaskId, message: ToKeeper, cluster: &mut Cluster) {
        if self.places.connected.contains(id)
            && let Some(keeper) = cluster.hosts.keepers.get_mut(id)
        {
            keeper.inbox.push_back(message);
        }
    }

    fn ask(&mut self, id: &TaskId, run: &RunId, clock: u64, cluster: &mut Cluster) {
        self.tell_place(id, request(run), cluster);
        self.stop_there(id, run, clock, cluster);
    }

    fn stop_there(&mut self, id: &TaskId, run: &RunId, clock: u64, cluster: &mut Cluster) {
        let Some((term, kill)) = self.places.runs.get(run).copied().flatten() else { return };
        let left = |at: u64| at.saturating_sub(clock);
        let (term_after_ms, kill_after_ms) = (left(term), left(kill));
        let stop = ToKeeper::Stop { id: run.clone(), term_after_ms, kill_after_ms };
        self.tell_place(id, stop, cluster);
    }

    /// Whether a run is at a place: what the watches see says nothing of it.
    pub fn is_at_place(&self, run: &RunId) -> bool {
        self.places.runs.contains_key(run)
    }

    /// The place that a run waits for.
    pub fn place_of(&self, run: &RunId) -> Option<RunId> {
        self.places.life.of(run).map(|(id, _)| place_run(id))
    }

    pub fn runs_at_places(&self) -> impl Iterator<Item = &RunId> {
        self.places.runs.keys()
    }

    /// False: it is not at one.
    pub fn stop_at_place(
        &mut self,
        run: &RunId,
        asked: (u64, u64),
        clock: u64,
        cluster: &mut Cluster,
    ) -> bool {
        let Some((id, stage)) = self.places.life.of(run) else { return false };
        let id = id.clone();
        let Some(at) = self.places.runs.get_mut(run) else { return false };
        *at = Some(at.map_or(asked, |old| (old.0.min(asked.0), old.1.min(asked.1))));
        if stage == Stage::Asked && self.places.life.life(&id) != Some(Life::Up) {
            self.leave(run);
            self.runs.remove(run);
            self.refuse(run, RefusalReason::Stopped);
        } else {
            self.stop_there(&id, run, clock, cluster);
        }
        true
    }

    /// Follows a run that an earlier daemon started at a place; false: it is at none.
    pub fn adopt_at_place(&mut self, run: &RunId, object: &ObjectRef, app: &AppId) -> bool {
        if !self.places.runs.contains_key(run) {
            let at = self.places.life.iter().map(|(id, _)| id).find(|id| object_of(id) == *object);
            let Some(id) = at.cloned() else { return false };
            if self.places.life.life(&id) == Some(Life::Up) {
                return false;
            }
            self.places.life.keep(&id, run.clone());
            if !self.runs.contains_key(run) {
                let engine = EngineKind::EphemeralContainer;
                let (app, object) = (app.clone(), object.clone());
                self.follow(run.clone(), app, engine, object, Creation::Done, 30_000);
            }
            self.places.runs.insert(run.clone(), None);
        }
        if let Some(known) = self.runs.get_mut(run) {
            (known.known, known.forgotten) = (true, false);
        }
        self.tell_again(run);
        true
    }

    /// False: it is at none.
    pub fn forget_at_place(&mut self, run: &RunId, cluster: &mut Cluster) -> bool {
        let Some((id, stage)) = self.places.life.of(run) else { return false };
        if stage == Stage::There && !self.places.life.is_replaced(run) {
            let id = id.clone();
            self.tell_place(&id, ToKeeper::Forget { task: run.task.clone() }, cluster);
        }
        self.leave(run);
        self.runs.remove(run);
        true
    }

    fn leave(&mut self, run: &RunId) {
        self.places.life.forget(run);
        self.places.runs.remove(run);
    }

    /// Connections are made, carry messages and break.
    pub fn places_turn(&mut self, moment: &mut Moment<'_>) {
        let ids: Vec<TaskId> = self.places.life.iter().map(|(id, _)| id.clone()).collect();
        for id in ids {
            let Some(keeper) = moment.cluster.hosts.keepers.get_mut(&id) else {
                self.connection_ended(&id);
                continue;
            };
            let breaks = !moment.calm && moment.rng.once_in(60);
            if !self.places.connected.contains(&id) {
                if moment.calm || moment.rng.once_in(3) {
                    keeper.hello(moment.unix, moment.clock, moment.rng, moment.oracle);
                    self.places.connected.insert(id);
                }
            } else if breaks {
                keeper.connected = false;
                keeper.out.clear();
                self.connection_ended(&id);
            } else {
                let messages = moment.rng.below(4).min(keeper.out.len());
                let messages: VecDeque<FromKeeper> = keeper.out.drain(..messages).collect();
                for message in messages {
                    self.place_said(&id, message, moment);
                }
            }
        }
        self.place_events();
    }

    fn connection_ended(&mut self, id: &TaskId) {
        self.places.records.remove(id);
        if self.places.connected.remove(id) {
            self.places.life.lost(id);
        }
    }

    fn place_said(&mut self, id: &TaskId, message: FromKeeper, moment: &mut Moment<'_>) {
        match message {
            FromKeeper::Welcome { tasks, more, .. } | FromKeeper::MoreTasks { tasks, more } => {
                let records = self.places.records.entry(id.clone()).or_default();
                records.extend(tasks);
                if !more && let Some(records) = self.places.records.remove(id) {
                    self.place_up(id, records, moment);
                }
            }
            FromKeeper::Spawned { id: run, at, .. } => self.started_at_place(&run, at),
            FromKeeper::SpawnRefused { id: run, error } => {
                self.leave(&run);
                if self.runs.remove(&run).is_some() {
                    self.refuse(&run, RefusalReason::Spawn(error));
                }
            }
            FromKeeper::Exited { id: run, end } => {
                let at = end.at;
                self.observe(&run, Observation::Ended { exit: end.exit, reason: None, at });
            }
            FromKeeper::StopStep { id: run, round } if self.runs.contains_key(&run) => {
                self.events.push_back(Event::StopStep { run, step: round.step() });
            }
            _ => {}
        }
    }

    fn place_up(&mut self, id: &TaskId, records: Vec<TaskRecord>, moment: &mut Moment<'_>) {
        let up = self.places.life.up(id, records.iter().map(|record| record.id.clone()));
        for record in records {
            self.kept_at_place(id, record, moment);
        }
        for run in up.missing.iter().filter(|_| !Mutant::MissingAtPlace.is(moment.mutant)) {
            self.places.runs.remove(run);
            self.gone(run);
        }
        for run in up.ask.into_iter().filter(|_| !Mutant::AskOnce.is(moment.mutant)) {
            self.ask(id, &run, moment.clock, moment.cluster);
        }
    }

    fn kept_at_place(&mut self, id: &TaskId, record: TaskRecord, moment: &mut Moment<'_>) {
        let run = record.id;
        if !self.runs.contains_key(&run) {
            let app = run.task.as_str().rsplit_once('-').map_or("app", |(app, _)| app);
            let (app, engine) = (AppId::like(app), EngineKind::EphemeralContainer);
            self.follow(run.clone(), app, engine, object_of(id), Creation::Done, 30_000);
            if let Some(unknown) = self.runs.get_mut(&run) {
                unknown.known = false;
            }
        }
        if !self.places.runs.contains_key(&run) {
            // It may have been followed as one with a container of its own.
            let known = self.runs.get_mut(&run);
            let stop = known.and_then(|known| {
                known.object = object_of(id);
                known.stop.take()
            });
            self.places.runs.insert(run.clone(), stop);
        }
        self.started_at_place(&run, record.spawned_at);
        if !record.stopping {
            self.stop_there(id, &run, moment.clock, moment.cluster);
        }
        if let Some(end) = record.end {
            let at = end.at;
            self.observe(&run, Observation::Ended { exit: end.exit, reason: None, at });
        }
    }

    fn started_at_place(&mut self, run: &RunId, at: i64) {
        self.places.life.there(run);
        self.places.used += 1;
        let Some(known) = self.runs.get_mut(run) else { return };
        if known.creation != Creation::Done {
            known.creation = Creation::Done;
            let object = known.object.clone();
            self.events.push_back(Event::Accepted { run: run.clone(), object });
        }
        self.observe(run, Observation::Running { at, pid: None, node: Some("n".into()) });
    }

    /// What is told of a place itself is turned into what it means for the runs there.
    pub fn place_events(&mut self) {
        let of_place = |event: &Event| event.run().is_some_and(is_place);
        if !self.events.iter().any(of_place) {
            return;
        }
        let mut events = std::mem::take(&mut self.events);
        while let Some(event) = events.pop_front() {
            match event.run().filter(|run| is_place(run)).cloned() {
                Some(run) => self.place_event(&run.task, event),
                None => self.events.push_back(event),
            }
        }
    }

    fn place_event(&mut self, id: &TaskId, event: Event) {
        match event {
            Event::Refused { refusal, .. } => self.place_refused(id, &refusal),
            Event::Observed { what: what @ Observation::Waiting(_), .. } => {
                let asked = self.places.life.runs(id).filter(|(_, stage)| *stage == Stage::Asked);
                let asked: Vec<RunId> = asked.map(|(run, _)| run.clone()).collect();
                asked.iter().for_each(|run| self.observe(run, what.clone()));
            }
            Event::Observed { what: Observation::Ended { .. }, .. } | Event::Gone { .. } => {
                let runs = self.places.life.dead(id);
                self.runs.remove(&place_run(id));
                for (run, _) in runs {
                    self.places.runs.remove(&run);
                    if let Some(known) = self.runs.get_mut(&run) {
                        // Nobody asks for it any more.
                        known.creation = Creation::Done;
                    }
                    let exit = Exit::Lost(LostReason::PlaceEnded);
                    self.observe(&run, Observation::Ended { exit, reason: None, at: 0 });
                }
            }
            _ => {}
        }
    }

    fn place_refused(&mut self, id: &TaskId, refusal: &Refused) {
        for (run, _) in self.places.life.dead(id) {
            self.places.runs.remove(&run);
            if self.runs.remove(&run).is_some() {
                self.events.push_back(Event::Refused { run, refusal: refusal.clone() });
            }
        }
        self.runs.remove(&place_run(id));
    }

    /// Whether a container runs whose keeper has not told yet what is there.
    pub fn has_untold_places(&self, mutant: Option<Mutant>) -> bool {
        let ran = |id: &TaskId| {
            let known = self.runs.get(&place_run(id));
            known.is_some_and(|known| matches!(known.told, Some(Observation::Running { .. })))
        };
        !Mutant::ListBeforePlaces.is(mutant) && self.places.life.away().any(ran)
    }

    /// What is no place any more is not remembered.
    pub fn forget_dead_places(&self, cluster: &mut Cluster) {
        let places: BTreeSet<&TaskId> = self.places.life.iter().map(|(id, _)| id).collect();
        cluster.hosts.record.retain(|id, _| places.contains(id));
    }
}
