//! The driver: takes inputs in batches, changes the table, then commits: journal first, then the
//! effects, then the snapshot, then the answers. So whatever somebody was told is on record and
//! visible, and whatever the keeper was asked for survives a `kill -9` of the daemon.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::apps::Apps;
use super::busy::Busy;
use super::handle::{LaunchAdmission, LaunchError};
use super::health::Health;
use super::input::{Input, Reply};
use super::journal::Journal;
use super::keeper_events::Adoption;
use super::others::Others;
use super::pulls::Pulls;
use super::remote::Remote;
use super::settings::Settings;
use super::snapshot::{Desktop, Snapshot};
use super::table::Table;
use super::windows::Windows;
use crate::display::DisplayHandle;
use crate::engine::local::{Frame, FrameError, LocalEngine, frame};
use deskd_core::display::DisplayStatus;
use deskd_core::id::TaskId;
use deskd_core::task::{Task, TaskEvent, UnixMs};
use deskd_core::wire::{RunId, ToKeeper};
use deskd_keeper::procfs::MemoryCgroup;

/// Inputs handled before the results are committed.
const BATCH_INPUTS_MAX: usize = 256;

pub(super) type LaunchReply = Reply<Result<LaunchAdmission, LaunchError>>;

/// Owns all state.
pub(super) struct Driver {
    pub(super) settings: Settings,
    pub(super) engine: LocalEngine,
    pub(super) display_thread: DisplayHandle,
    pub(super) own_inputs: mpsc::Sender<Input>,
    pub(super) table: Table,
    pub(super) apps: Apps,
    pub(super) apps_generation: u64,
    pub(super) journal: Journal,
    pub(super) remote: Remote,
    pub(super) others: Others,
    pub(super) pulls: Pulls,
    pub(super) display: DisplayStatus,
    pub(super) windows: Windows,
    pub(super) health: Health,
    /// Launches whose process is being started.
    pub(super) launching: HashMap<RunId, Vec<LaunchReply>>,
    /// Tasks whose start is asked of the keeper with the next commit.
    pub(super) spawning: Vec<TaskId>,
    /// Tasks on record as starting that the keeper never heard of.
    pub(super) unsent: Vec<TaskId>,
    /// When which task is due to run again.
    pub(super) restarts: BTreeSet<(Instant, TaskId)>,
    pub(super) adoption: Option<Adoption>,
    pub(super) followers: HashMap<TaskId, watch::Sender<u64>>,
    /// Start time of the keeper, of the one before the daemon was started until it says hello.
    pub(super) keeper_started_at: Option<UnixMs>,
    /// Where deskd's container counts memory.
    pub(super) cgroup: Option<MemoryCgroup>,
    effects: Vec<Frame>,
    /// A message to the keeper was lost: only another daemon, which asks the keeper anew, can know
    /// what is the case.
    link_failed: bool,
    answers: Vec<Box<dyn FnOnce() + Send>>,
    desktop: Arc<Desktop>,
    /// The health and the journal's trouble that `desktop` shows.
    shown: (Health, Option<String>),
    epoch: u64,
    snapshots: watch::Sender<Arc<Snapshot>>,
    busy: Arc<Busy>,
}

/// What a driver is made of.
pub(super) struct Parts {
    pub(super) settings: Settings,
    pub(super) engine: LocalEngine,
    pub(super) display_thread: DisplayHandle,
    pub(super) own_inputs: mpsc::Sender<Input>,
    pub(super) journal: Journal,
    pub(super) remote: Remote,
    pub(super) others: Others,
    pub(super) table: Table,
    pub(super) apps: Apps,
    pub(super) keeper_started_at: Option<UnixMs>,
    pub(super) busy: Arc<Busy>,
    pub(super) epoch: u64,
}

impl Driver {
    pub(super) fn new(parts: Parts) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let Parts { settings, engine, display_thread, own_inputs, journal, .. } = parts;
        let display = settings.unknown_display();
        let health = Health::default();
        let trouble = journal.trouble().map(str::to_owned);
        let desktop = Arc::new(health.desktop(
            &settings,
            &display,
            &parts.remote.facts,
            trouble.as_deref(),
            0,
        ));
        let snapshot = Arc::new(Snapshot {
            epoch: parts.epoch,
            generation: 0,
            desktop: desktop.clone(),
            tasks: Arc::default(),
            apps: Arc::default(),
            pulls: Arc::default(),
            apps_generation: 0,
            removed: Arc::default(),
            removed_since: 0,
        });
        let (snapshots, receiver) = watch::channel(snapshot);
        let mut driver = Self {
            settings,
            engine,
            display_thread,
            own_inputs,
            table: parts.table,
            apps: parts.apps,
            apps_generation: 1,
            journal,
            remote: parts.remote,
            others: parts.others,
            pulls: Pulls::default(),
            display,
            windows: Windows::default(),
            shown: (health.clone(), trouble),
            health,
            launching: HashMap::new(),
            spawning: Vec::new(),
            unsent: Vec::new(),
            restarts: BTreeSet::new(),
            adoption: None,
            followers: HashMap::new(),
            keeper_started_at: parts.keeper_started_at,
            cgroup: MemoryCgroup::own(),
            effects: Vec::new(),
            link_failed: false,
            answers: Vec::new(),
            desktop,
            epoch: parts.epoch,
            snapshots,
            busy: parts.busy,
        };
        driver.table.generation += 1;
        driver.publish();
        (driver, receiver)
    }

    /// Runs until the keeper is lost.
    pub(super) async fn run(mut self, mut inputs: mpsc::Receiver<Input>) {
        let mut batch = Vec::new();
        loop {
            let due = self.restarts.first().map(|(at, _)| *at);
            tokio::select! {
                count = inputs.recv_many(&mut batch, BATCH_INPUTS_MAX) => if count == 0 { return },
                () = sleep_until(due) => {}
            }
            self.busy.begin();
            let lost = batch.iter().any(|input| matches!(input, Input::KeeperLost));
            for input in batch.drain(..) {
                self.handle(input);
            }
            self.run_due();
            self.commit();
            self.busy.end();
            if lost || self.link_failed {
                return;
            }
        }
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Launch(request, reply) => self.launch(request, reply),
            Input::Explain(app, spec, reply) => {
                let plan = self.plan(&app, &spec, None);
                self.answer(reply, plan);
            }
            Input::Stop(task, request, reply) => self.stop(&task, request, reply),
            Input::Remedy(task, reply) => self.remedy(&task, reply),
            Input::Remove(task, reply) => self.remove(&task, reply),
            Input::Env(task, reply) => {
                let env = self.table.get(&task).map(|entry| entry.env.clone());
                self.answer(reply, env);
            }
            Input::PutApps(apps, reply) => self.put_apps(apps, reply),
            Input::RemoveApp(app, reply) => self.remove_app(&app, reply),
            Input::DirectoryApps(apps, reply) => self.directory_apps(apps, reply),
            Input::FollowLog(task, reply) => self.follow_log(task, reply),
            Input::Probe(reply) => self.probe(reply),
            Input::Keeper(message) => self.keeper_said(message),
            Input::Kubernetes(event) => self.kubernetes_said(event),
            Input::Pull(app, reply) => self.pull(&app, reply),
            Input::KeeperLost => self.health.keeper_connected = false,
            Input::Display(event) => self.display_said(event),
            Input::Looked(status, reply) => {
                self.display_said(crate::display::DisplayEvent::Status(status));
                self.answer(reply, ());
            }
            Input::WindowsAsked(task, outcomes) => self.windows_asked(&task, &outcomes),
        }
    }

    /// Applies an event to a task.
    pub(super) fn apply(&mut self, id: &TaskId, event: TaskEvent) -> Option<Arc<Task>> {
        self.table.apply(id, event, now_ms())
    }

    /// Sends an answer once the snapshot that shows what it says is published.
    pub(super) fn answer<T: Send + 'static>(&mut self, reply: Reply<T>, answer: T) {
        // A caller that went away does not want its answer.
        self.answers.push(Box::new(move || drop(reply.send(answer))));
    }

    /// Tells the keeper something once the journal has what it is about.
    pub(super) fn tell_keeper(&mut self, message: &ToKeeper) {
        if let Err(error) = self.try_tell_keeper(message) {
            // Only a Spawn can be large.
            tracing::error!(%error, "a message to the keeper was not sent");
        }
    }

    /// The same; fails when the message is larger than the keeper takes.
    pub(super) fn try_tell_keeper(&mut self, message: &ToKeeper) -> Result<(), FrameError> {
        self.effects.push(frame(message)?);
        Ok(())
    }

    fn commit(&mut self) {
        for entry in self.table.take_dirty() {
            self.journal.task(entry);
        }
        self.journal.flush();
        if self.journal.wants_rewrite() {
            let hidden = self.others.hidden().iter();
            let (tasks, apps) = (self.table.iter(), self.apps.added());
            self.journal.rewrite(self.keeper_started_at, tasks, apps, hidden);
        }
        self.send_effects();
        self.note_oom_kills();
        self.publish();
        self.send_effects();
        for answer in self.answers.drain(..) {
            answer();
        }
    }

    fn send_effects(&mut self) {
        if !self.remote.flush() {
            tracing::error!("the Kubernetes engine does not keep up");
            self.link_failed = true;
        }
        for frame in self.effects.drain(..) {
            if !self.engine.send(frame) {
                self.health.keeper_connected = false;
                self.link_failed = true;
            }
        }
    }

    /// The desktop anew, if anything that it is made from changed: most batches are about tasks.
    fn renew_desktop(&mut self) {
        let trouble = self.journal.trouble();
        let (shown_health, shown_trouble) = &self.shown;
        if self.desktop.display == self.display
            && Arc::ptr_eq(&self.desktop.kubernetes, &self.remote.facts)
            && *shown_health == self.health
            && shown_trouble.as_deref() == trouble
        {
            return;
        }
        self.table.generation += 1;
        let generation = self.table.generation;
        let desktop = self.health.desktop(
            &self.settings,
            &self.display,
            &self.remote.facts,
            trouble,
            generation,
        );
        self.shown = (self.health.clone(), trouble.map(str::to_owned));
        if desktop.sentence != self.desktop.sentence {
            tracing::info!(ready = desktop.ready, "{}", desktop.sentence);
        }
        if desktop.started != self.desktop.started || desktop.sentence != self.desktop.sentence {
            let status = desktop.sentence.clone();
            self.tell_keeper(&ToKeeper::Status { ready: desktop.started, status });
        }
        self.desktop = Arc::new(desktop);
    }

    fn publish(&mut self) {
        self.renew_desktop();
        if self.snapshots.borrow().generation == self.table.generation {
            return;
        }
        let (removed, removed_since) = self.table.shared_removed();
        let old = self.snapshots.borrow().clone();
        let apps = if old.apps_generation == self.apps_generation {
            old.apps.clone()
        } else {
            Arc::new(self.apps.all())
        };
        self.snapshots.send_replace(Arc::new(Snapshot {
            epoch: self.epoch,
            generation: self.table.generation,
            desktop: self.desktop.clone(),
            tasks: self.table.shared(),
            apps,
            pulls: self.pulls.shared(),
            apps_generation: self.apps_generation,
            removed,
            removed_since,
        }));
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> UnixMs {
    jiff::Timestamp::now().as_millisecond()
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
