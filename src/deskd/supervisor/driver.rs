//! The driver: takes inputs in batches, lets `core::run` say what follows, then commits: journal first,
//! then the engines, then the snapshot, then the answers. So whatever somebody was told is on record
//! and visible, and whatever an engine was asked for survives a `kill -9` of the daemon.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::apps::Apps;
use super::busy::Busy;
use super::follow::Follows;
use super::health::Health;
use super::input::{Input, Reply};
use super::journal::Journal;
use super::lookup::look_up;
use super::pulls::Pulls;
use super::replies::{Replies, Waiting};
use super::settings::Settings;
use super::snapshot::{Desktop, Snapshot};
use crate::clock::{now_ms, sleep_until};
use crate::display::DisplayHandle;
use crate::engine::port::Port;
use deskd_core::health::{Check, KeeperStatus};
use deskd_core::named_check::{Found, NamedCheck};
use deskd_core::plan::Work;
use deskd_core::port::Command;
use deskd_core::port::keeper::Translator;
use deskd_core::run::{self, Effect, Now, Runs};
use deskd_core::wire::{DaemonEnd, ToKeeper};
use deskd_keeper::procfs::MemoryCgroup;

/// Inputs handled before the results are committed.
const BATCH_INPUTS_MAX: usize = 256;

/// Owns all state.
pub(super) struct Driver {
    pub(super) settings: Settings,
    pub(super) display_thread: DisplayHandle,
    pub(super) own_inputs: mpsc::Sender<Input>,
    pub(super) runs: Runs,
    /// What is to be done with the next commit.
    pub(super) effects: Vec<Effect>,
    /// Messages to the keeper that are about no task's life.
    pub(super) to_keeper: Vec<ToKeeper>,
    pub(super) apps: Apps,
    pub(super) apps_generation: u64,
    pub(super) journal: Journal,
    pub(super) pulls: Pulls,
    pub(super) follows: Arc<Follows>,
    /// Where deskd's container counts memory.
    pub(super) cgroup: Option<MemoryCgroup>,
    pub(super) port: Port,
    pub(super) translator: Translator,
    pub(super) replies: Replies,
    pub(super) log_trouble: Option<String>,
    /// Verdicts of the operator's checks, in their order.
    pub(super) named: Vec<Check>,
    pub(super) predecessor: Option<DaemonEnd>,
    pub(super) keeper: KeeperStatus,
    /// Origin of the clock.
    started: Instant,
    /// A command was lost: only another daemon, which asks the engines anew, can know what is the case.
    pub(super) link_failed: bool,
    answers: Vec<Box<dyn FnOnce() + Send>>,
    pub(super) desktop: Arc<Desktop>,
    /// The health and the journal's trouble that `desktop` shows.
    pub(super) shown: (Health, Option<String>),
    pub(super) epoch: u64,
    pub(super) snapshots: watch::Sender<Arc<Snapshot>>,
    busy: Arc<Busy>,
}

/// What a driver is made of.
pub(super) struct Parts {
    pub(super) settings: Settings,
    pub(super) port: Port,
    pub(super) display_thread: DisplayHandle,
    pub(super) own_inputs: mpsc::Sender<Input>,
    pub(super) journal: Journal,
    pub(super) runs: Runs,
    pub(super) apps: Apps,
    pub(super) follows: Arc<Follows>,
    pub(super) busy: Arc<Busy>,
    pub(super) epoch: u64,
}

impl Driver {
    pub(super) fn new(parts: Parts) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let Parts { settings, port, display_thread, own_inputs, journal, runs, .. } = parts;
        let unchecked = |check: &NamedCheck| check.verdict(&Found::Unchecked);
        let named: Vec<_> = settings.checks.iter().map(unchecked).collect();
        let health = Health { named: named.clone(), ..Health::default() };
        let trouble = journal.trouble().map(str::to_owned);
        let (display, kubernetes) = (runs.display(), runs.kubernetes());
        let desktop = health.desktop(&settings, display, kubernetes, trouble.as_deref(), 0);
        let desktop = Arc::new(desktop);
        let (snapshots, receiver) =
            watch::channel(Arc::new(Snapshot::empty(parts.epoch, desktop.clone())));
        let mut driver = Self {
            settings,
            display_thread,
            own_inputs,
            runs,
            effects: Vec::new(),
            to_keeper: Vec::new(),
            apps: parts.apps,
            apps_generation: 1,
            journal,
            pulls: Pulls::default(),
            follows: parts.follows,
            cgroup: MemoryCgroup::own(),
            port,
            translator: Translator::default(),
            replies: Replies::default(),
            log_trouble: None,
            named,
            predecessor: None,
            keeper: KeeperStatus::default(),
            started: Instant::now(),
            link_failed: false,
            answers: Vec::new(),
            desktop,
            shown: (health, trouble),
            epoch: parts.epoch,
            snapshots,
            busy: parts.busy,
        };
        driver.give_apps();
        driver.runs.next_generation();
        driver.publish();
        (driver, receiver)
    }

    /// Runs until the keeper is lost.
    pub(super) async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let mut batch = Vec::new();
        loop {
            let due = self.runs.due().map(|due| self.started + due);
            tokio::select! {
                count = inputs.recv_many(&mut batch, BATCH_INPUTS_MAX) => if count == 0 { return },
                () = sleep_until(due) => {}
            }
            self.busy.begin();
            let lost = batch.iter().any(|input| matches!(input, Input::KeeperLost));
            for input in batch.drain(..) {
                self.handle(input);
            }
            self.step(run::Input::Due);
            // What cannot be asked of an engine is answered like what was.
            while self.commit() {}
            self.busy.end();
            if lost || self.link_failed {
                return;
            }
        }
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Launch(launches) => {
                for (request, reply) in launches {
                    let reply = self.replies.wait(Waiting::Launch(reply));
                    self.step(run::Input::Launch(request, reply));
                }
            }
            Input::Stop(task, request, reply) => {
                let reply = self.replies.wait(Waiting::Stop(reply));
                self.step(run::Input::Stop(task, request, reply));
            }
            Input::Remedy(task, reply) => {
                let reply = self.replies.wait(Waiting::Remedy(reply));
                self.step(run::Input::Remedy(task, reply));
            }
            Input::Remove(task, reply) => {
                let reply = self.replies.wait(Waiting::Remove(reply));
                self.step(run::Input::Remove(task, reply));
            }
            Input::Explain(app, spec, reply) => {
                let plan = self.now(|runs, now| runs.explain(&app, &spec, now));
                self.answer(reply, plan);
            }
            Input::Env(task, reply) => {
                let env = self.runs.table().get(&task).map(|entry| entry.env.clone());
                self.answer(reply, env);
            }
            Input::PutApps(apps, reply) => self.put_apps(apps, reply),
            Input::RemoveApp(app, reply) => self.remove_app(&app, reply),
            Input::DirectoryApps(apps, reply) => self.directory_apps(apps, reply),
            Input::FollowLog(task, reply) => self.follow_log(task, reply),
            Input::Probe(reply) => self.probe(reply),
            Input::Keeper(message) => self.keeper_reports(message),
            Input::Kubernetes(event) => self.engine_reports(event),
            Input::Pull(app, reply) => self.pull(&app, reply),
            Input::KeeperLost => self.step(run::Input::KeeperLost),
            Input::Display(status) => self.step(run::Input::Display(status)),
            Input::Window(event, ancestry) => self.step(run::Input::Window(event, ancestry)),
            Input::Looked(status, reply) => {
                self.step(run::Input::Display(status));
                self.answer(reply, ());
            }
            Input::Checked(index, verdict) => {
                if let Some(check) = self.named.get_mut(index) {
                    *check = verdict;
                }
            }
            Input::WindowsAsked(task, outcomes) => self.windows_asked(task, &outcomes),
        }
    }

    /// Lets the life of tasks take one step, and those that follow from what is looked up for it.
    pub(super) fn step(&mut self, input: run::Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut effects = Vec::new();
            self.now(|runs, now| runs.step(input, now, &mut effects));
            for effect in effects {
                match effect {
                    Effect::Diagnose(question) => {
                        let diagnosis = self.diagnose(&question);
                        inputs.extend(
                            diagnosis.map(|found| run::Input::Diagnosed(question, Box::new(found))),
                        );
                    }
                    effect => self.effects.push(effect),
                }
            }
        }
    }

    fn now<T>(&mut self, act: impl FnOnce(&mut Runs, &Now<'_>) -> T) -> T {
        let (env, cgroup) = (&self.settings.inherited_env, self.cgroup.as_ref());
        let look_up = |app: &deskd_core::app::App| look_up(app, env, cgroup);
        let clock = self.started.elapsed();
        act(&mut self.runs, &Now { unix_ms: now_ms(), clock, look_up: &look_up })
    }

    /// Sends an answer once the snapshot that shows what it says is published.
    pub(super) fn answer<T: Send + 'static>(&mut self, reply: Reply<T>, answer: T) {
        // A caller that went away does not want its answer.
        self.answers.push(Box::new(move || drop(reply.send(answer))));
    }

    /// Whether something follows that is to be committed too.
    fn commit(&mut self) -> bool {
        let effects = std::mem::take(&mut self.effects);
        self.replies.timings.planned();
        self.record(&effects);
        self.replies.timings.recorded();
        let mut answers = Vec::new();
        let mut refused = Vec::new();
        for effect in effects {
            match effect {
                Effect::Command(link, command) => {
                    let local = match &command {
                        Command::Start { run, work: Work::Local(_), .. } => Some(run.task.clone()),
                        _ => None,
                    };
                    match self.port.send(link, command) {
                        // What cannot be asked for is never answered either.
                        Ok(Some(event)) => refused.push(event),
                        Ok(None) => {
                            local.into_iter().for_each(|task| self.replies.timings.asked(task));
                        }
                        Err(error) => self.lost(&error),
                    }
                }
                Effect::CloseWindows(task, windows) => self.close_windows(task, windows),
                Effect::Answer(reply, answer) => answers.push((reply, answer)),
                Effect::Warn(text) => tracing::warn!("{text}"),
                _ => {}
            }
        }
        self.send_to_keeper();
        self.close_follows();
        self.publish();
        self.send_to_keeper();
        for (reply, answer) in answers {
            self.replies.answer(reply, answer);
        }
        self.answers.drain(..).for_each(|answer| answer());
        self.replies.timings.forget();
        let more = !refused.is_empty();
        refused.into_iter().for_each(|event| self.engine_reports(event));
        more
    }

    /// On record before anything else happens.
    fn record(&mut self, effects: &[Effect]) {
        self.runs.lines(effects).for_each(|line| self.journal.push(&line));
        self.journal.flush();
        if self.journal.wants_rewrite() {
            self.journal.rewrite(self.apps.lines().chain(self.runs.all_lines()));
        }
    }
}
