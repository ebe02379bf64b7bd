//! Processes of ephemeral containers as proof: they show that a run started half a second before
//! its status does, and that it ended within a millisecond.

use std::time::Duration;

use tokio::time::Instant;

use super::{Engine, Input};
use crate::clock::now_ms;
use crate::engine::kubernetes::processes::{self, End, Finder};
use crate::engine::kubernetes::{Event, Observation};
use deskd_core::origin::Origin;
use deskd_core::plan::EngineKind;
use deskd_core::task::{Exit, UnixMs};
use deskd_core::why::reason::{EndReason, Ended, LostReason};
use deskd_core::wire::RunId;

/// Between two looks for processes of a launch that was just accepted.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How long they are looked for that often.
const LOOK_OFTEN: Duration = Duration::from_secs(3);
/// Between two looks after that: an image is being pulled.
const LOOK_PAUSE_LATER: Duration = Duration::from_millis(200);
/// How long they are looked for at all; then the status tells.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// How long the status may take to say how a process that is gone ended.
const EXIT_CODE_WAIT_MS: UnixMs = 30_000;
/// How often runs are looked at whose state changes by itself.
const DUE_PAUSE: Duration = Duration::from_millis(500);

impl<T: From<Event> + Send + 'static> Engine<T> {
    /// A launch was accepted: its first process is looked for.
    pub(super) fn look_for_process(&mut self, run: &RunId) {
        let Some(known) = self.runs.get_mut(run) else { return };
        known.looks_since = Some(Instant::now());
        if known.engine == EngineKind::EphemeralContainer && !known.own_pids {
            let soon = Instant::now() + LOOK_PAUSE;
            self.look_at = Some(self.look_at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// When something is to be done although nothing happened.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let changes = |run: &crate::engine::kubernetes::runs::Run| {
            run.look_again_at.is_some() || (run.exit_seen.is_some() && !run.is_over())
        };
        let changes = self.runs.values().any(changes).then(|| Instant::now() + DUE_PAUSE);
        let obstacle = self.runs.values().filter_map(|run| run.obstacle_at).min();
        let (silent, pods) = (self.next_place_due(), self.next_pod_due());
        let warm = self.next_warm_due();
        [self.look_at, changes, obstacle, silent, pods, warm].into_iter().flatten().min()
    }

    pub(super) fn run_due(&mut self) {
        if self.look_at.is_some_and(|at| at <= Instant::now()) {
            self.look();
        }
        self.look_again();
        self.give_up_silent_places();
        self.look_after_pods();
        self.ask_for_obstacles();
        let late = now_ms() - EXIT_CODE_WAIT_MS;
        let unexplained = self
            .runs
            .iter()
            .filter(|(_, known)| !known.is_over() && known.exit_seen.is_some_and(|at| at <= late));
        let unexplained: Vec<_> =
            unexplained.filter_map(|(run, known)| Some((run.clone(), known.exit_seen?))).collect();
        for (run, at) in unexplained {
            let reason = Ended::from(EndReason::CodeUntold);
            let exit = Exit::Lost(LostReason::Ended(Box::new(reason.clone())));
            self.observe(&run, Observation::Ended { exit, reason: Some(reason), at });
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        let waits = |known: &crate::engine::kubernetes::runs::Run| {
            let wanted = known.engine == EngineKind::EphemeralContainer
                && known.pid.is_none()
                && !known.own_pids
                && !known.is_over();
            let age = now.saturating_duration_since(known.looks_since?);
            (wanted && age < LOOK_MAX).then_some(age)
        };
        let waiting: Vec<_> = self
            .runs
            .iter()
            .filter_map(|(run, known)| Some((run.clone(), waits(known)?)))
            .collect();
        let often = waiting.iter().any(|(_, age)| *age < LOOK_OFTEN);
        let pause = if often { LOOK_PAUSE } else { LOOK_PAUSE_LATER };
        self.look_at = (self.sees_processes && !waiting.is_empty()).then(|| now + pause);
        if self.sees_processes {
            self.find(waiting.into_iter().map(|(run, _)| run));
        }
    }

    /// Looks for first processes on a thread of its own: the kernel lets whoever reads the environment
    /// of a process wait for what that process waits for, such as a slow disk.
    fn find(&mut self, runs: impl IntoIterator<Item = RunId>) {
        self.find_next.extend(runs);
        if self.find_next.is_empty() {
            return;
        }
        let Some(mut finder) = self.finder.take() else { return };
        let wanted: Vec<_> = self.find_next.drain().collect();
        let inputs = self.inputs.clone();
        self.workers.spawn(async move {
            let find = move || {
                let found = finder.find(&wanted);
                Input::Found(finder, found)
            };
            if let Ok(found) = tokio::task::spawn_blocking(find).await {
                // The engine is gone when nobody listens.
                let _ = inputs.send(found).await;
            }
        });
    }

    pub(super) fn found(&mut self, finder: Finder, found: Vec<(RunId, u32)>) {
        self.finder = Some(finder);
        for (run, pid) in found {
            // A window or its end may have been faster.
            if self.runs.get(&run).is_some_and(|known| known.pid.is_none() && !known.is_over()) {
                self.process_seen(&run, pid);
            }
        }
        self.find([]);
    }

    pub(super) fn process_seen(&mut self, run: &RunId, pid: u32) {
        let Some(known) = self.runs.get_mut(run) else { return };
        known.pid = Some(pid);
        known.has_log = true;
        let node = self.known.node().map(str::to_owned);
        self.observe(run, Observation::Running { at: now_ms(), pid: Some(pid), node });
        let program = self.runs.get(run).and_then(|known| known.program.clone());
        let (inputs, run) = (self.inputs.clone(), run.clone());
        self.workers.spawn(async move {
            if let Some(end) = processes::end_of(pid, program.as_deref()).await {
                // The engine is gone when nobody listens.
                let _ = inputs.send(Input::Exited(run, now_ms(), end)).await;
            }
        });
    }

    /// It runs: if its first process is not known yet, it is looked for once.
    pub(super) fn watch_process(&mut self, run: &RunId) {
        let Some(known) = self.runs.get(run) else { return };
        let ephemeral = known.engine == EngineKind::EphemeralContainer;
        let wanted =
            ephemeral && known.origin == Origin::Deskd && known.pid.is_none() && !known.own_pids;
        if wanted && self.sees_processes {
            self.find([run.clone()]);
        }
    }

    pub(super) fn window_mapped(&mut self, run: &RunId, pid: Option<u32>) {
        let Some(known) = self.runs.get(run) else { return };
        if known.pid.is_some() || known.is_over() {
            return;
        }
        let ephemeral = known.engine == EngineKind::EphemeralContainer;
        // What others started may mean a process of another namespace.
        let is_own = ephemeral && known.origin == Origin::Deskd && !known.own_pids;
        let first = pid.filter(|_| is_own && self.sees_processes);
        match first.and_then(|pid| processes::first_of(pid, run)) {
            Some(first) => self.process_seen(run, first),
            None => {
                let node = self.known.node().filter(|_| ephemeral).map(str::to_owned);
                self.observe(run, Observation::Running { at: now_ms(), pid: None, node });
            }
        }
    }

    /// Its first process ended. Why a container failed (out of memory) only its status tells, so
    /// that is waited for unless nobody asks why, or no status will come.
    pub(super) fn exited(&mut self, run: &RunId, at: UnixMs, end: End) {
        let terminating = self.known.terminating();
        let Some(known) = self.runs.get_mut(run) else { return };
        known.exit_seen = Some(at);
        known.end = end;
        let asked_for = known.stop.is_some() || terminating;
        let told = match &known.end.exit {
            Some(exit) if asked_for || *exit == Exit::Code(0) => Some(exit.clone()),
            None if terminating => Some(Exit::Lost(LostReason::WithItsPod)),
            _ => None,
        };
        if let Some(exit) = told {
            self.observe(run, Observation::Ended { exit, reason: None, at });
        }
    }
}
