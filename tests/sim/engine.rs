//! The Kubernetes engine as the real one behaves (`src/deskd/engine/kubernetes/engine`): it dies with
//! the daemon, its requests may be answered late, twice or not at all, and its watch lags.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use deskd_core::id::AppId;
use deskd_core::kubernetes::ObjectRef;
use deskd_core::origin::{Found, Origin};
use deskd_core::plan::EngineKind;
use deskd_core::port::{Command, Event, Object, Observation, Stranger};
use deskd_core::task::{Exit, StopStep, StopStepKind};
use deskd_core::why::reason::{LostReason, RefusalReason, WaitReason, Waiting};
use deskd_core::wire::{RunId, ToKeeper};

use crate::cluster::{Api, Cluster, Container, Phase};
use crate::mutants::Mutant;
use crate::places::{Known, Moment, is_place};
use crate::rng::Rng;

#[derive(Debug, PartialEq, Eq)]
pub enum Creation {
    /// Not answered yet; whether a request may have arrived.
    Pending {
        may_exist: bool,
    },
    Done,
}

#[derive(Debug)]
pub struct Followed {
    /// Others made it.
    found: Option<Found>,
    /// It was told that others delete it.
    deleting: bool,
    app: AppId,
    engine: EngineKind,
    pub object: ObjectRef,
    pub creation: Creation,
    grace_ms: u64,
    pub known: bool,
    pub forgotten: bool,
    present: bool,
    pub told: Option<Observation>,
    pub stop: Option<(u64, u64)>,
    stop_sent: bool,
    closed: bool,
}

#[derive(Debug, Default)]
pub struct Engine {
    pub runs: BTreeMap<RunId, Followed>,
    pub places: Known,
    pub events: VecDeque<Event>,
    /// What everything that exists was told of.
    synced: bool,
    told_api: Option<Api>,
}

const KINDS: [EngineKind; 2] = [EngineKind::EphemeralContainer, EngineKind::PodApplication];

impl Engine {
    pub fn is_idle(&self) -> bool {
        self.events.is_empty()
    }

    pub fn command(
        &mut self,
        command: Command,
        clock: u64,
        cluster: &mut Cluster,
        mutant: Option<Mutant>,
    ) {
        self.remember_places(cluster);
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match command {
            Command::Start { run, app, object: Some(object), work, .. } => {
                if let Some(known) = self.runs.get_mut(&run) {
                    known.known = true;
                    if known.creation == Creation::Done {
                        let object = known.object.clone();
                        self.events.push_back(Event::Accepted { run: run.clone(), object });
                        self.tell_again(&run);
                    }
                    return;
                }
                if self.launch_at_place(&run, &app, &work, cluster, mutant) {
                    return;
                }
                let engine = match work {
                    deskd_core::plan::Work::PodApplication(_) => EngineKind::PodApplication,
                    _ => EngineKind::EphemeralContainer,
                };
                let grace_ms = u64::from(work.grace_s().unwrap_or(5)) * 1000;
                let creation = Creation::Pending { may_exist: false };
                self.follow(run, app, engine, object, creation, grace_ms);
            }
            Command::Adopt { run, app, object, engine, stopping, origin, .. } => {
                if self.adopt_at_place(&run, &object, &app) {
                    if let Some(grace) = stopping {
                        self.stop(&run, clock, clock, clock + ms(grace), cluster);
                    }
                    return;
                }
                if !self.runs.contains_key(&run) {
                    self.follow(run.clone(), app, engine, object, Creation::Done, 30_000);
                    if let (Origin::Other, Some(known)) = (origin, self.runs.get_mut(&run)) {
                        let name = known.object.container.clone();
                        known.found = Some(Found::new(&name, "an/image", Vec::new(), &[]));
                    }
                }
                let Some(known) = self.runs.get_mut(&run) else { return };
                (known.known, known.forgotten) = (true, false);
                if !known.present && !is_over(known) && self.synced {
                    return self.gone(&run);
                }
                self.tell_again(&run);
                if let Some(grace) = stopping {
                    self.stop(&run, clock, clock, clock + ms(grace), cluster);
                }
            }
            Command::Stop { run, term_after, kill_after } => {
                let (term_at, kill_at) = (clock + ms(term_after), clock + ms(kill_after));
                self.stop(&run, clock, term_at, kill_at, cluster);
            }
            Command::Forget { run, .. } => self.forget(&run, clock, cluster),
            Command::KeepWarm(wanted) => self.places.keep_warm(wanted),
            _ => {}
        }
    }

    fn forget(&mut self, run: &RunId, clock: u64, cluster: &mut Cluster) {
        if self.forget_at_place(run, cluster) {
            return;
        }
        let Some(known) = self.runs.get_mut(run) else { return };
        known.forgotten = true;
        if known.found.is_some() {
            // It is theirs.
            return;
        }
        match (known.engine, known.present, &known.creation) {
            (_, _, Creation::Pending { may_exist }) => {
                if *may_exist {
                    cluster.stop(run, clock, clock + 1000);
                }
                self.runs.remove(run);
            }
            (EngineKind::PodApplication, ..) => cluster.stop(run, clock, clock + 1000),
            // Its entry stays, so it stays forgotten. What has none may still turn up at a place.
            (EngineKind::EphemeralContainer, false, _) => drop(self.runs.remove(run)),
            _ => {}
        }
    }

    pub fn follow(
        &mut self,
        run: RunId,
        app: AppId,
        engine: EngineKind,
        object: ObjectRef,
        creation: Creation,
        grace_ms: u64,
    ) {
        let followed = Followed {
            found: None,
            deleting: false,
            app,
            engine,
            object,
            creation,
            grace_ms,
            known: true,
            forgotten: false,
            present: false,
            told: None,
            stop: None,
            stop_sent: false,
            closed: false,
        };
        self.runs.insert(run, followed);
    }

    fn stop(&mut self, run: &RunId, clock: u64, term_at: u64, kill_at: u64, cluster: &mut Cluster) {
        if self.stop_at_place(run, (term_at, kill_at), clock, cluster) {
            return;
        }
        let Some(known) = self.runs.get_mut(run) else { return };
        let old = known.stop.unwrap_or((u64::MAX, u64::MAX));
        known.stop = Some((old.0.min(term_at), old.1.min(kill_at)));
        known.stop_sent = false;
        if known.creation == (Creation::Pending { may_exist: false }) {
            // It was not sent yet.
            self.runs.remove(run);
            self.refuse(run, RefusalReason::Stopped);
        } else if known.creation == (Creation::Pending { may_exist: true })
            && known.engine == EngineKind::PodApplication
        {
            // Deleted, should it be there. (A container is stopped once it is there.)
            cluster.stop(run, term_at, term_at + 1000);
            self.runs.remove(run);
            self.refuse(run, RefusalReason::Stopped);
        }
    }

    pub fn refuse(&mut self, run: &RunId, reason: RefusalReason) {
        let refusal = reason.into();
        self.events.push_back(Event::Refused { run: run.clone(), refusal });
    }

    pub fn tell_again(&mut self, run: &RunId) {
        let Some(known) = self.runs.get(run) else { return };
        if let Some(what) = known.told.clone() {
            let object = Some(Box::new(described(known)));
            self.events.push_back(Event::Observed { run: run.clone(), object, what });
        }
    }

    pub fn observe(&mut self, run: &RunId, what: Observation) {
        let Some(known) = self.runs.get_mut(run) else { return };
        let back = match (&known.told, &what) {
            (Some(Observation::Ended { .. }), _)
            | (
                Some(Observation::Running { .. }),
                Observation::Waiting(_) | Observation::Running { .. },
            ) => true,
            (Some(told), what) => told == what,
            (None, _) => false,
        };
        if back {
            return;
        }
        known.told = Some(what.clone());
        if !known.forgotten {
            let object = Some(Box::new(described(known)));
            self.events.push_back(Event::Observed { run: run.clone(), object, what });
        }
    }

    pub fn gone(&mut self, run: &RunId) {
        let Some(known) = self.runs.get_mut(run) else { return };
        known.present = false;
        if !is_over(known) {
            let exit = Exit::Lost(LostReason::Unseen);
            let ended = Observation::Ended { exit, reason: None, at: 0 };
            if known.stop.is_some() && !matches!(known.told, Some(Observation::Running { .. })) {
                self.observe(run, ended);
            } else {
                known.told = Some(ended);
                if !known.forgotten {
                    self.events.push_back(Event::Gone { run: run.clone() });
                }
            }
        }
        if self.runs.get(run).is_some_and(|known| known.forgotten) {
            self.runs.remove(run);
        }
    }

    /// One thing that the engine does by itself; messages to the keeper come back.
    pub fn turn(&mut self, moment: &mut Moment<'_>, to_keeper: &mut VecDeque<ToKeeper>) {
        self.remember_places(moment.cluster);
        self.watch(moment, to_keeper);
        self.place_events();
        self.places_turn(moment);
        self.make_warm(moment);
        self.forget_dead_places(moment.cluster);
    }

    fn watch(&mut self, moment: &mut Moment<'_>, to_keeper: &mut VecDeque<ToKeeper>) {
        let Moment { clock, rng, cluster, mutant, .. } = moment;
        let (clock, mutant) = (*clock, *mutant);
        if self.told_api != Some(cluster.api) {
            self.told_api = Some(cluster.api);
            let facts = crate::setting::cluster_facts(cluster.api);
            self.events.push_back(Event::Facts(Box::new(facts)));
            return;
        }
        self.read_output(to_keeper);
        if cluster.api == Api::Away {
            return;
        }
        let waited = self.places.list_waits && !self.has_untold_places(mutant);
        if !self.synced || waited || rng.once_in(50) {
            return self.list(clock, cluster, mutant);
        }
        let ids: Vec<RunId> = self.runs.keys().cloned().collect();
        for run in ids {
            if rng.once_in(2) || self.is_at_place(&run) {
                continue;
            }
            self.go_on(&run, clock, rng, cluster);
            self.look(&run, clock, cluster);
        }
    }

    fn go_on(&mut self, run: &RunId, clock: u64, rng: &mut Rng, cluster: &mut Cluster) {
        let Some(known) = self.runs.get_mut(run) else { return };
        if let Creation::Pending { may_exist } = &mut known.creation {
            if cluster.api == Api::Forbids && !*may_exist {
                self.runs.remove(run);
                return self.refuse(run, RefusalReason::NoPod);
            }
            match rng.below(4) {
                // Not answered, and not arrived.
                0 => {
                    let why = Waiting::from("cannot create it yet".to_owned());
                    self.observe(run, Observation::Waiting(why));
                }
                // Arrived, and not answered.
                1 => {
                    let (app, engine) = (known.app.clone(), known.engine);
                    cluster.create(run, &app, engine, &known.object, known.grace_ms, rng);
                    *may_exist = true;
                }
                _ => {
                    let (app, engine) = (known.app.clone(), known.engine);
                    cluster.create(run, &app, engine, &known.object, known.grace_ms, rng);
                    known.creation = Creation::Done;
                    known.present = true;
                    let object = known.object.clone();
                    self.events.push_back(Event::Accepted { run: run.clone(), object });
                }
            }
            return;
        }
        if let Some((term_at, kill_at)) = known.stop
            && !known.stop_sent
            && clock >= term_at
        {
            known.stop_sent = true;
            cluster.stop(run, term_at, kill_at.max(term_at + 1000));
            let step = StopStep {
                at: 0,
                step: StopStepKind::Term,
                detail: deskd_core::text::Text::words("SIGTERM"),
            };
            self.events.push_back(Event::StopStep { run: run.clone(), step });
            // An entry that never ran cannot be removed: it is over.
            let waits = !matches!(
                known.told,
                Some(Observation::Running { .. } | Observation::Ended { .. })
            );
            if waits && known.engine == EngineKind::EphemeralContainer {
                let exit = Exit::Lost(LostReason::BeforeItStarted);
                self.observe(run, Observation::Ended { exit, reason: None, at: 0 });
            }
        }
    }

    /// What the watch tells of a run.
    fn look(&mut self, run: &RunId, clock: u64, cluster: &mut Cluster) {
        let Some(known) = self.runs.get_mut(run) else { return };
        let Some(container) = cluster.objects.get(run) else {
            if known.present {
                self.gone(run);
            }
            return;
        };
        known.present = true;
        let by_others = container.found.is_some() && container.stop.is_some();
        let deleted = by_others && known.stop.is_none() && container.engine.has_own_pod();
        if deleted && !std::mem::replace(&mut known.deleting, true) && !known.forgotten {
            self.events.push_back(Event::Deleting { run: run.clone() });
        }
        let Some(known) = self.runs.get_mut(run) else { return };
        let late = is_over(known) && (known.stop.is_some() || known.forgotten);
        if late && matches!(container.phase, Phase::Running { .. }) {
            // It was stopped before it started, and is started after all.
            return cluster.stop(run, clock, clock + 1000);
        }
        if known.creation != Creation::Done {
            known.creation = Creation::Done;
            let object = known.object.clone();
            self.events.push_back(Event::Accepted { run: run.clone(), object });
        }
        let what = match &container.phase {
            Phase::Pending => Observation::Waiting(match container.stuck {
                true => WaitReason::Unschedulable.into(),
                false => WaitReason::Scheduler.into(),
            }),
            Phase::Running { at } => {
                Observation::Running { at: *at, pid: None, node: Some("n".into()) }
            }
            Phase::Ended { exit, at } => {
                Observation::Ended { exit: exit.clone(), reason: None, at: *at }
            }
        };
        self.observe(run, what);
    }

    fn list(&mut self, clock: u64, cluster: &mut Cluster, mutant: Option<Mutant>) {
        for (run, container) in cluster.objects.clone() {
            // One that is over, or that nobody has the key of.
            if is_place(&run) && !self.runs.contains_key(&run) {
                continue;
            }
            if !self.runs.contains_key(&run) {
                let found = container.found;
                let (app, engine, object) = (container.app, container.engine, container.object);
                self.follow(run.clone(), app, engine, object, Creation::Done, 30_000);
                if let Some(known) = self.runs.get_mut(&run) {
                    known.known = false;
                    known.found = found;
                }
            }
            self.look(&run, clock, cluster);
        }
        self.place_events();
        self.places.list_waits = self.has_untold_places(mutant);
        if self.places.list_waits {
            return;
        }
        let missing = |(run, known): (&RunId, &Followed)| {
            let missing = known.creation == Creation::Done
                && !cluster.objects.contains_key(run)
                && !self.is_at_place(run);
            (missing && !is_over(known)).then(|| run.clone())
        };
        let missing: Vec<RunId> = self.runs.iter().filter_map(missing).collect();
        missing.iter().for_each(|run| self.gone(run));
        self.synced = true;
        for engine in KINDS {
            for origin in [Origin::Deskd, Origin::Other] {
                let of = |it: &Container| {
                    it.engine == engine && it.found.is_some() == (origin == Origin::Other)
                };
                let present = cluster.objects.iter().filter(|(_, it)| of(it));
                let mut present: BTreeSet<RunId> = present.map(|(run, _)| run.clone()).collect();
                present.retain(|run| !is_place(run));
                if (engine, origin) == (EngineKind::EphemeralContainer, Origin::Deskd) {
                    present.extend(self.runs_at_places().cloned());
                }
                self.events.push_back(Event::Synced { engine, origin, present });
            }
        }
    }

    /// Output of what ended is read to its end, and closed at the keeper.
    fn read_output(&mut self, to_keeper: &mut VecDeque<ToKeeper>) {
        for (run, known) in &mut self.runs {
            if known.known && is_over(known) && !known.closed {
                known.closed = true;
                if is_place(run) {
                    continue;
                }
                to_keeper.push_back(ToKeeper::CloseLog { task: run.task.clone() });
                if !known.forgotten {
                    let done = Event::LogDone { run: run.clone(), trouble: None };
                    self.events.push_back(done);
                }
            }
        }
    }
}

fn is_over(known: &Followed) -> bool {
    matches!(known.told, Some(Observation::Ended { .. }))
}

fn described(known: &Followed) -> Object {
    Object {
        app: known.app.clone(),
        engine: known.engine,
        place: known.object.clone(),
        // Once it is adopted, its daemon knows.
        stranger: known
            .found
            .clone()
            .filter(|_| !known.known)
            .map(|found| Box::new(Stranger { found, env: Vec::new() })),
    }
}
