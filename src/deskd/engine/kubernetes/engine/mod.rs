//! The task that owns what the engine knows: commands and news in, events out. It never waits for
//! the API server; workers do, and tell it.

mod commands;
mod facts;
mod observe;
mod others;
mod place_ends;
mod place_output;
mod place_processes;
mod places;
mod pod_places;
mod processes;
mod stops;
mod warm_places;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use self::facts::Known;
use super::api::Api;
use super::calls::Calls;
use super::identity::{EngineConfig, Own};
use super::objects::Pod;
use super::patches::{Fullness, LAUNCHES_WAITING_MAX, Launch, Patches};
use super::places::Places;
use super::places::link::News;
use super::processes::{End, Finder};
use super::pull::Pulls;
use super::runs::Run;
use super::watch::{Watch, Watched, Which};
use super::{Command, Event, Refused, Waiting};
use crate::clock::sleep_until;
use crate::engine::keeper::LogQueue;
use deskd_core::id::TaskId;
use deskd_core::kubernetes::{LABEL_DESKTOP_UID, LABEL_MANAGED_BY, MANAGED_BY};
use deskd_core::origin::NoStopCode;
use deskd_core::plan::facts::{ApiState, Quota, Right};
use deskd_core::pull::PullStatus;
use deskd_core::task::{StopStep, UnixMs};
use deskd_core::wire::RunId;

/// Commands waiting for the engine.
pub const COMMANDS_MAX: usize = 4096;
/// News waiting for the engine.
const INPUTS_MAX: usize = 1024;

/// What workers tell.
#[derive(Debug)]
pub enum Input {
    /// By a watch.
    Watched(Which, Watched),
    /// A launch was answered.
    Launched(RunId, Result<(), Refused>),
    /// The object of a launch that was answered, and that no list or watch showed, is not there.
    Vanished(RunId),
    /// Why a run does not start yet.
    Waits(RunId, Waiting),
    /// What kubelet said about a container that does not start, and what that means, if anything.
    Complaints(RunId, Vec<String>, Option<Waiting>),
    /// What deskd may do, and the quotas if it may see them.
    Rights(Vec<Right>, Vec<Quota>),
    /// Output was read to its end.
    LogDone(RunId, Option<String>),
    /// First processes were looked for.
    Found(Finder, Vec<(RunId, u32)>),
    /// The first process of a run ended.
    Exited(RunId, UnixMs, End),
    /// A stop went on.
    Step(RunId, StopStep),
    /// A stop has come to an end, and no process of the run was seen meanwhile.
    NoProcess(RunId),
    /// Whether a run that others started can be stopped was found out.
    Stoppable(RunId, Option<NoStopCode>),
    /// A pull went on.
    Pull(PullStatus),
    /// The keeper of a place, or the link to it.
    Place(TaskId, News),
}

impl From<(TaskId, News)> for Input {
    fn from((id, news): (TaskId, News)) -> Self {
        Self::Place(id, news)
    }
}

/// The way to the engine.
#[derive(Debug, Clone)]
pub struct CommandSender {
    queue: mpsc::Sender<Command>,
    calls: Calls,
}

impl CommandSender {
    /// Queues a command; false when the engine is gone or does not keep up.
    #[must_use]
    pub fn send(&self, command: Command) -> bool {
        self.queue.try_send(command).is_ok()
    }

    /// The counter of requests, for `/metrics`.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.calls
    }
}

/// Starts the engine; it never fails: what is missing is told as [`Event::Facts`]. It ends when the
/// last sender is dropped or nobody takes its events.
#[must_use]
pub fn start<T: From<Event> + Send + 'static>(
    config: EngineConfig,
    logs: LogQueue,
    events: mpsc::Sender<T>,
) -> (CommandSender, JoinHandle<()>) {
    let (queue, commands) = mpsc::channel(COMMANDS_MAX);
    let calls = Calls::default();
    let sender = CommandSender { queue, calls: calls.clone() };
    let task = tokio::spawn(async move {
        let own = match config.own() {
            Ok(own) => config.client().await.map(|_| own),
            Err(off) => Err(off),
        };
        match own {
            Ok(own) => Engine::new(config, own, calls, logs, events).run(commands).await,
            Err(off) => facts::off(&off, commands, &events).await,
        }
    });
    (sender, task)
}

/// Owns what is known.
struct Engine<T> {
    config: EngineConfig,
    own: Own,
    api: Arc<Api>,
    logs: LogQueue,
    events: mpsc::Sender<T>,
    /// Events that are sent once an input was handled.
    out: Vec<Event>,
    inputs: mpsc::Sender<Input>,
    news: mpsc::Receiver<Input>,
    /// Everything that waits for something else.
    workers: JoinSet<()>,
    runs: HashMap<RunId, Run>,
    /// Watches that go on, or are told that they may not: the API server answers both.
    up: HashSet<Which>,
    /// Watches that told everything at least once.
    synced: HashSet<Which>,
    /// Runs told of since a list began, per watch.
    listing: HashMap<Which, BTreeSet<RunId>>,
    patches: mpsc::Sender<Launch>,
    fullness: Arc<Fullness>,
    /// At most so many pods are asked for at once.
    turns: Arc<Semaphore>,
    known: Known,
    /// Rights are asked for again.
    ask_rights: Arc<Notify>,
    /// deskd sees the processes of ephemeral containers.
    sees_processes: bool,
    /// Absent while it looks.
    finder: Option<Finder>,
    /// Runs whose processes it is to look for as soon as it can.
    find_next: HashSet<RunId>,
    /// When processes are looked for next.
    look_at: Option<Instant>,
    /// Pods whose status says something else later.
    look_again: HashMap<RunId, Box<Pod>>,
    /// What others started is watched too, or there is nothing to watch.
    watches_others: bool,
    pulls: Pulls,
    places: Places,
}

impl<T: From<Event> + Send + 'static> Engine<T> {
    fn new(
        config: EngineConfig,
        own: Own,
        calls: Calls,
        logs: LogQueue,
        events: mpsc::Sender<T>,
    ) -> Self {
        let api = Arc::new(Api::new(config.clone(), calls));
        let (inputs, news) = mpsc::channel(INPUTS_MAX);
        let (patches, queue) = mpsc::channel(LAUNCHES_WAITING_MAX);
        let fullness = Arc::<Fullness>::default();
        let mut workers = JoinSet::new();
        let patcher = Patches {
            api: api.clone(),
            own: own.clone(),
            fullness: fullness.clone(),
            queue,
            told: inputs.clone(),
        };
        workers.spawn(patcher.run());
        let turns = Arc::new(Semaphore::new(config.policy.launches_at_once.max(1) as usize));
        let pulls = Pulls::new(api.clone(), own.clone(), config.policy.clone(), inputs.clone());
        let mut places = Places { file: config.places.clone(), ..Places::default() };
        if config.policy.keeps_warm() {
            places.life.expect_warm();
        }
        Self {
            config,
            own,
            api,
            logs,
            events,
            out: Vec::new(),
            inputs,
            news,
            workers,
            runs: HashMap::new(),
            up: HashSet::new(),
            synced: HashSet::new(),
            listing: HashMap::new(),
            patches,
            fullness,
            turns,
            known: Known::default(),
            ask_rights: Arc::default(),
            sees_processes: false,
            finder: Some(Finder::default()),
            find_next: HashSet::new(),
            look_at: None,
            look_again: HashMap::new(),
            watches_others: false,
            pulls,
            places,
        }
    }

    /// Runs until nobody commands or listens any more. Workers end with it.
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        self.open_port();
        self.remember_places();
        self.start_watches();
        self.start_asking_for_rights();
        self.known.set_api(ApiState::Unknown);
        loop {
            if !self.send_events().await {
                return;
            }
            self.close_outputs();
            self.look_after_warm_places();
            let due = self.next_due();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                Some(input) = self.news.recv() => self.input(input),
                () = sleep_until(due) => self.run_due(),
            }
            while let Some(done) = self.workers.try_join_next() {
                if let Err(error) = done
                    && error.is_panic()
                {
                    tracing::error!(%error, "a part of the Kubernetes engine failed");
                }
            }
        }
    }

    fn start_watches(&mut self) {
        let labels =
            format!("{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_DESKTOP_UID}={}", self.own.uid);
        let sets = [
            (
                Which::Own,
                &self.own.namespace,
                format!("fieldSelector=metadata.name={}", self.own.name),
            ),
            (Which::Apps, &self.own.apps_namespace, format!("labelSelector={labels}")),
        ];
        for (which, namespace, selector) in sets {
            let watch = Watch {
                api: self.api.clone(),
                which,
                namespace: namespace.clone(),
                selector,
                told: self.inputs.clone(),
            };
            self.workers.spawn(watch.run());
        }
    }

    /// False when nobody listens.
    async fn send_events(&mut self) -> bool {
        self.tell_places();
        if let Some(facts) = self.known.news() {
            self.out.push(Event::Facts(Box::new(facts)));
        }
        let mut events = VecDeque::from(std::mem::take(&mut self.out));
        while let Some(event) = events.pop_front() {
            if event.run().is_some_and(places::is_place) {
                self.place_event(event);
                events.extend(self.out.drain(..));
            } else if self.events.send(event.into()).await.is_err() {
                return false;
            }
        }
        true
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Watched(which, watched) => self.watched(which, watched),
            Input::Launched(run, answer) => self.launched(run, answer),
            Input::Vanished(run) => self.vanished(&run),
            Input::Waits(run, why) => self.waits(&run, why),
            Input::Complaints(run, events, why) => self.complaints(&run, events, why),
            Input::Rights(rights, quotas) => {
                self.known.set_rights(rights, quotas);
                self.find_out_stoppable_again();
            }
            Input::Stoppable(run, no_stop) => self.stoppable(run, no_stop),
            Input::LogDone(run, trouble) => self.log_done(run, trouble),
            Input::Found(finder, found) => self.found(finder, found),
            Input::Exited(run, at, end) => self.exited(&run, at, end),
            Input::Step(run, step) => self.step(run, step),
            Input::Place(id, news) => self.place_news(&id, news),
            Input::NoProcess(run) => self.no_process(&run),
            Input::Pull(status) => self.pull_said(status),
        }
    }

    fn watched(&mut self, which: Which, watched: Watched) {
        match watched {
            Watched::Listing => {
                self.places.list_waits &= which != Which::Own;
                self.listing.insert(which, BTreeSet::new());
            }
            Watched::Works => self.answers(which),
            // The other two say what is wrong.
            Watched::Failed(error) if which == Which::Others => {
                tracing::debug!("application pods of others are not seen: {error}");
            }
            Watched::Failed(error) => {
                let namespace = match which {
                    Which::Own | Which::Others => &self.own.namespace,
                    Which::Apps => &self.own.apps_namespace,
                };
                // Not again and again for a right that is known to be missing.
                if error.code() == Some(403) && !self.known.is_denied(namespace) {
                    self.ask_rights.notify_one();
                }
                // An answer is an answer, whatever it says.
                if error.code().is_some_and(|code| code < 500 && code != 401) {
                    self.answers(which);
                } else {
                    self.up.remove(&which);
                    self.known.set_api(ApiState::Away(error.to_string()));
                }
            }
            Watched::Pod(pod, bytes) => match which {
                Which::Own => self.own_pod_is(pod, bytes),
                Which::Apps => self.app_pod_is(pod),
                Which::Others => self.other_pod_is(pod),
            },
            Watched::Deleted(pod) => match which {
                Which::Own => tracing::warn!("the desktop's own pod was deleted"),
                Which::Apps => self.app_pod_is_gone(&pod),
                Which::Others => self.other_pod_is_gone(&pod),
            },
            // What is at places belongs to it.
            Watched::Listed if which == Which::Own && self.has_untold_places() => {
                self.places.list_waits = true;
            }
            Watched::Listed => self.listed(which),
        }
    }
}

impl<T> Engine<T> {
    /// Both of deskd's own are needed: before, not everything that exists was told.
    fn answers(&mut self, which: Which) {
        self.up.insert(which);
        if [Which::Own, Which::Apps].iter().all(|which| self.up.contains(which)) {
            self.known.set_api(ApiState::Answers);
        }
    }
}
