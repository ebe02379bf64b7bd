//! A world: a desktop with a keeper, a cluster, an X server, a disk, a clock and users, one step at a
//! time.

use std::collections::BTreeSet;
use std::time::Duration;

use deskd_core::id::TaskId;
use deskd_core::plan::{EngineKind, LaunchSpec};
use deskd_core::run::ask::{LaunchRequest, StopRequest};
use deskd_core::run::{Ancestry, Input, Runs};
use deskd_core::task::TaskState;
use deskd_core::why::RemedyMode;
use deskd_core::window::{Window, WindowEvent};
use deskd_core::wire::RunId;

use crate::cluster::{Api, Cluster, Container, Phase};
use crate::daemon::{Around, Asked, Daemon};
use crate::disk::Disk;
use crate::keeper::Keeper;
use crate::mutants::Mutant;
use crate::oracle::Oracle;
use crate::places::Moment;
use crate::rng::Rng;
use crate::setting;

/// Milliseconds since the Unix epoch at which worlds begin.
const BEGIN_MS: i64 = 1_800_000_000_000;

/// Rounds of settling after which the keeper of an idle daemon knows that nothing is left: 20, and those of the two
/// seconds in which a daemon that has pods waits for the news that its own pod is deleted.
const DRAIN_ROUNDS_MAX: u32 = 20 + 4 * 2_000 / 250;

/// Turns in which a daemon takes over what an earlier one left: it is killed more often then.
const YOUNG_TURNS: u32 = 8;

pub struct World {
    seed: u64,
    pub mutant: Option<Mutant>,
    remedy: RemedyMode,
    pub clock: u64,
    /// Of the wall clock.
    skew: i64,
    pub disk: Disk,
    pub keeper: Keeper,
    pub cluster: Cluster,
    pub oracle: Oracle,
    pub daemon: Option<Daemon>,
    daemons: u64,
    display: (bool, u64),
    windows: Vec<u32>,
    next_window: u32,
    closing: Vec<(TaskId, usize)>,
    keys: u32,
    /// Print what happens.
    pub trace: bool,
}

impl World {
    pub fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let remedy = match seed % 3 {
            0 => RemedyMode::Auto,
            _ => RemedyMode::Suggest,
        };
        Self {
            seed,
            mutant,
            remedy,
            clock: 0,
            skew: 0,
            disk: Disk::default(),
            keeper: Keeper::new(BEGIN_MS),
            cluster: Cluster::new(),
            oracle: Oracle::default(),
            daemon: None,
            daemons: 0,
            display: (true, 1),
            windows: Vec::new(),
            next_window: 0,
            closing: Vec::new(),
            keys: 0,
            trace: false,
        }
    }

    pub fn unix(&self) -> i64 {
        BEGIN_MS + i64::try_from(self.clock).unwrap_or(i64::MAX) + self.skew
    }

    fn note(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>9} {}", self.clock, what());
        }
    }

    /// One step, with all that it draws from `rng`.
    pub fn step(&mut self, rng: &mut Rng) {
        self.tick();
        match rng.below(1000) {
            0..=449 => {
                let young = self.daemon.as_ref().is_some_and(|it| it.turns < YOUNG_TURNS);
                let dies = young && rng.once_in(20);
                self.daemon_turn(rng, dies);
            }
            450..=549 => self.keeper_turn(rng),
            550..=649 => self.engine_turn(rng, false),
            650..=719 => self.advance(rng),
            720..=789 => self.request(rng),
            790..=839 => self.keeper.end_something(self.unix(), rng, &mut self.oracle),
            840..=909 => {
                let now = (self.unix(), self.clock);
                let daemon = self.daemon.as_ref();
                let acknowledged = |run: &RunId| {
                    let Some(daemon) = daemon else { return false };
                    let entry = daemon.runs.table().get(&run.task);
                    entry.is_some_and(|it| it.task.runs == run.run && it.notes.accepted)
                        && !daemon.unrecorded.contains(&run.task)
                };
                if rng.once_in(40) {
                    self.cluster.others_start(rng);
                }
                self.cluster.go_on(now, rng, &mut self.oracle, &acknowledged);
            }
            910..=959 => self.window(rng),
            960..=979 => self.answer_windows(rng),
            980..=987 => self.daemon_turn(rng, true),
            _ => self.fault(rng),
        }
        self.check();
    }

    fn tick(&mut self) {
        let (unix, clock) = (self.unix(), self.clock);
        self.keeper.tick(unix, clock, &mut self.oracle);
        self.cluster.tick(unix, clock, &mut self.oracle);
        if self.keeper.drained {
            self.container_restarts();
        }
        if self.daemon.is_none() {
            self.start_daemon();
        }
    }

    fn start_daemon(&mut self) {
        self.daemons += 1;
        let mut rng = Rng::new(self.seed ^ 0x5eed, self.daemons);
        let remembered = self.disk.read();
        self.note(|| format!("a daemon starts: {} tasks on record", remembered.tasks.len()));
        self.disk.opened();
        let display = setting::display(false, 0);
        let runs = Runs::new(setting::config(self.remedy), display, remembered, rng.next());
        self.keeper.hello(self.unix(), self.clock, &mut rng, &mut self.oracle);
        let mut daemon = Daemon::start(runs);
        let status = setting::display(self.display.0, self.display.1);
        daemon.push(Input::Display(Box::new(status)));
        self.closing.clear();
        self.windows.clear();
        self.daemon = Some(daemon);
    }

    fn daemon_turn(&mut self, rng: &mut Rng, dies: bool) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let mut around = Around {
            unix: self.unix(),
            clock: self.clock,
            disk: &mut self.disk,
            keeper: &mut self.keeper,
            cluster: &mut self.cluster,
            oracle: &mut self.oracle,
            mutant: self.mutant,
            trace: self.trace,
            closing: &mut self.closing,
        };
        if daemon.turn(rng, &mut around, dies) {
            self.daemon = Some(daemon);
        } else {
            self.note(|| "the daemon is killed".into());
            self.keeper.connected = false;
            self.cluster.hosts.hang_up();
        }
    }

    fn keeper_turn(&mut self, rng: &mut Rng) {
        let (unix, clock) = (self.unix(), self.clock);
        for _ in 0..=rng.below(3) {
            self.keeper.answer(unix, clock, rng, &mut self.oracle);
        }
    }

    fn engine_turn(&mut self, rng: &mut Rng, calm: bool) {
        let (unix, now) = (self.unix(), self.clock);
        for keeper in self.cluster.hosts.keepers.values_mut() {
            (0..=rng.below(2)).for_each(|_| keeper.answer(unix, now, rng, &mut self.oracle));
        }
        let Some(daemon) = &mut self.daemon else { return };
        let mut moment = Moment {
            unix,
            clock: now,
            rng,
            cluster: &mut self.cluster,
            oracle: &mut self.oracle,
            mutant: self.mutant,
            calm,
        };
        daemon.engine.turn(&mut moment, &mut self.keeper.inbox);
        daemon.hear(None);
    }

    fn advance(&mut self, rng: &mut Rng) {
        let due = self.daemon.as_ref().and_then(|daemon| daemon.runs.due());
        let due = due.map(|due| u64::try_from(due.as_millis()).unwrap_or(0));
        self.clock = match (rng.below(4), due) {
            (0, Some(due)) if due > self.clock => due,
            (1, _) => self.clock + rng.next() % 4_000,
            _ => self.clock + rng.next() % 50,
        };
    }

    fn request(&mut self, rng: &mut Rng) {
        let Some(daemon) = &mut self.daemon else { return };
        let ids: Vec<TaskId> =
            daemon.runs.table().iter().map(|entry| entry.task.id.clone()).collect();
        let task = rng.pick(&ids);
        match (rng.below(8), task) {
            (0..=3, _) | (_, None) => self.launch(rng),
            (4 | 5, Some(task)) => {
                let request = StopRequest {
                    grace: rng.once_in(4).then(|| Duration::from_millis(rng.next() % 3_000)),
                    force: rng.once_in(6),
                };
                if request.force || request.grace.is_some() {
                    self.oracle.hurried.insert(task.clone());
                }
                daemon.ask(Asked::Stop(task.clone()), |reply| Input::Stop(task, request, reply));
            }
            (6, Some(task)) => {
                // It may be carried out without being answered.
                self.oracle.launched.remove(&task);
                daemon.ask(Asked::Remove(task.clone()), |reply| Input::Remove(task, reply));
            }
            (_, Some(task)) => {
                daemon.ask(Asked::Remedy, |reply| Input::Remedy(task, reply));
            }
        }
    }

    fn launch(&mut self, rng: &mut Rng) {
        let apps: Vec<_> = setting::apps().keys().cloned().collect();
        let Some(app) = rng.pick(&apps) else { return };
        self.keys += u32::from(!rng.once_in(3));
        let key = rng.once_in(2).then(|| format!("k{}", self.keys));
        let spec = LaunchSpec::default();
        let request = LaunchRequest { app, spec, idempotency_key: key };
        let Some(daemon) = &mut self.daemon else { return };
        daemon.ask(Asked::Launch, |reply| Input::Launch(request, reply));
    }

    fn window(&mut self, rng: &mut Rng) {
        let Some(daemon) = &mut self.daemon else { return };
        if rng.once_in(3)
            && let Some(id) = rng.pick(&self.windows)
        {
            self.windows.retain(|window| *window != id);
            let gone = Input::Window(WindowEvent::Unmapped(id), Ancestry::default());
            return daemon.push(gone);
        }
        let Some((pid, machine)) = self.drawer(rng).filter(|_| self.display.0) else { return };
        self.next_window += 1;
        let window = Window {
            id: self.next_window,
            title: String::new(),
            instance: String::new(),
            class: String::new(),
            pid: pid.map(|pid| pid + 1000),
            machine,
            pid_origin: deskd_core::window::PidOrigin::default(),
            pid_disputed: false,
            can_close: !rng.once_in(3),
            override_redirect: false,
        };
        self.windows.push(window.id);
        let pids = pid.into_iter().flat_map(|pid| [pid + 1000, pid]).collect();
        let ancestry = Ancestry { pids, marked: None };
        let Some(daemon) = &mut self.daemon else { return };
        daemon.push(Input::Window(WindowEvent::Mapped(window), ancestry));
    }

    /// Whose window it is: a process below one of the keeper's, or one in a pod, whose host name is all
    /// that is known of it.
    fn drawer(&self, rng: &mut Rng) -> Option<(Option<u32>, Option<String>)> {
        if rng.once_in(3) {
            let draws = |it: &&Container| {
                let runs = matches!(it.phase, Phase::Running { .. });
                runs && it.engine == EngineKind::PodApplication
            };
            let pods = self.cluster.objects.values().filter(draws);
            let pods: Vec<String> = pods.map(|it| it.object.pod.clone()).collect();
            return rng.pick(&pods).map(|pod| (None, Some(pod)));
        }
        let alive = self.keeper.tasks.values().filter(|task| task.end.is_none());
        let pids: Vec<u32> = alive.map(|task| task.pid).collect();
        rng.pick(&pids).map(|pid| (Some(pid), None))
    }

    fn answer_windows(&mut self, rng: &mut Rng) {
        let Some(daemon) = &mut self.daemon else { return };
        if let Some((task, of)) = self.closing.pop() {
            let asked = rng.below(of + 1);
            daemon.push(Input::WindowsAsked { task, asked, of });
        }
    }

    fn fault(&mut self, rng: &mut Rng) {
        match rng.below(12) {
            0 => self.cluster.api = Api::Away,
            1 => self.cluster.api = Api::Forbids,
            2..=4 => self.cluster.api = Api::Answers,
            5 => self.disk.full = rng.once_in(2),
            6 => self.disk.full = false,
            7 => {
                let jump = i64::try_from(rng.next() % 7_200_000).unwrap_or(0) - 3_600_000;
                self.skew += jump;
            }
            8 if rng.once_in(3) => self.container_restarts(),
            9 if rng.once_in(4) => self.shut_down(),
            _ => self.display_changes(rng.once_in(3)),
        }
        let (api, full, display) = (self.cluster.api, self.disk.full, self.display);
        self.note(|| format!("now: API {api:?}, disk full {full}, display {display:?}"));
    }

    fn display_changes(&mut self, lost: bool) {
        self.display = (!lost, self.display.1 + u64::from(self.display.0));
        self.windows.clear();
        let status = setting::display(self.display.0, self.display.1);
        if let Some(daemon) = &mut self.daemon {
            daemon.push(Input::Display(Box::new(status)));
        }
    }

    /// Tasks on record, and in the table.
    fn known(&self) -> BTreeSet<TaskId> {
        let table = self.daemon.iter().flat_map(|daemon| daemon.runs.table().iter());
        let table = table.map(|entry| entry.task.id.clone());
        let record = self.disk.read().tasks.into_iter().map(|entry| entry.task.id.clone());
        table.chain(record).chain(self.keeper.tasks.keys().cloned()).collect()
    }

    fn shut_down(&mut self) {
        self.keeper.shut_down(self.unix(), self.clock);
    }

    /// deskd's container dies with everything in it; the state directory stays.
    fn container_restarts(&mut self) {
        self.note(|| "deskd's container is restarted".into());
        let known = self.known();
        if self.keeper.drain.is_some() {
            self.oracle.shut_down_with.extend(known.iter().cloned());
        }
        self.oracle.restarted_with.extend(known);
        for task in self.keeper.tasks.values().filter(|task| task.end.is_none()) {
            self.oracle.lost(&task.id);
        }
        let unrecorded = self.oracle.unrecorded.iter().cloned();
        self.oracle.forgotten.extend(unrecorded);
        let started_at = self.keeper.started_at + 1 + i64::try_from(self.clock).unwrap_or(0);
        self.keeper = Keeper::new(started_at);
        self.cluster.hosts.hang_up();
        self.daemon = None;
    }

    /// Everything works again, nobody asks for anything, and time passes until nothing happens.
    pub fn settle(&mut self, rng: &mut Rng) {
        self.cluster.api = Api::Answers;
        self.disk.full = false;
        self.display_changes(false);
        let (mut quiet, mut idle_drain) = (false, 0);
        for round in 0..4000 {
            self.tick();
            self.daemon_turn(rng, false);
            self.keeper_turn(rng);
            self.engine_turn(rng, true);
            self.answer_windows(rng);
            if round % 4 == 0 {
                self.clock += 250;
            }
            idle_drain = if self.could_be_drained() { idle_drain + 1 } else { 0 };
            if idle_drain > DRAIN_ROUNDS_MAX {
                self.oracle.violated("nothing is left to stop, and the keeper is not told");
            }
            if self.oracle.violation.is_some() {
                return;
            }
            if round > 600 && round % 50 == 0 {
                let was = std::mem::replace(&mut quiet, self.is_quiet());
                // What ended just now is told meanwhile.
                if was && quiet {
                    break;
                }
            }
        }
        crate::check::settled(self);
    }

    /// The keeper shuts down, and only waits to be told that nothing is left.
    fn could_be_drained(&self) -> bool {
        let idle = self.daemon.as_ref().is_some_and(|daemon| daemon.inputs.is_empty());
        self.keeper.drain.is_some()
            && idle
            && self.keeper.out.is_empty()
            && self.keeper.inbox.is_empty()
            && self.keeper.tasks.values().all(|task| task.tree_gone)
    }

    fn is_quiet(&self) -> bool {
        let Some(daemon) = &self.daemon else { return false };
        let stopping = |state| matches!(state, TaskState::Stopping);
        let ending = |it: &Container| {
            let runs = matches!(it.phase, Phase::Running { .. });
            it.stop.is_some() && (runs || it.engine == EngineKind::PodApplication)
        };
        let ends = self.keeper.drain.is_none();
        daemon.inputs.is_empty()
            && self.keeper.out.is_empty()
            && self.keeper.inbox.is_empty()
            && daemon.engine.is_idle()
            && self.cluster.hosts.are_quiet()
            && ends
            && !self.cluster.objects.values().any(ending)
            && !daemon.runs.table().iter().any(|entry| stopping(entry.task.state))
    }

    fn check(&mut self) {
        crate::check::always(self);
    }
}
