//! `/metrics`: what the newest snapshot says, and counters of this door, as OpenMetrics text.
//!
//! Label values come from closed sets. Ends, runs and first windows are counted by a watcher of
//! snapshots; snapshots are levels, so of two runs that end between two of them only the last is
//! told apart by kind (the other counts as `unseen`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::state::ApiState;
use crate::clock::now_ms;
use crate::supervisor::Snapshot;
use deskd_core::id::TaskId;
use deskd_core::shm::ShmVerdict;
use deskd_core::stage::Stage;
use deskd_core::task::{Exit, Task, TaskState};

/// Upper bounds of the first-window histogram, seconds.
const FIRST_WINDOW_S: [f64; 9] = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// Upper bounds of the histograms of stages, seconds: from a process to an image of gigabytes.
const STAGE_S: [f64; 10] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 30.0, 120.0, 600.0];
const STATES: [TaskState; 5] = [
    TaskState::Planned,
    TaskState::Starting,
    TaskState::Running,
    TaskState::Stopping,
    TaskState::Ended,
];
const VERDICTS: [&str; 7] =
    ["works", "refused", "remote", "wrong_memory", "absent", "unreachable", "unproved"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Word {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    door: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabel {
    check: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShmLabels {
    kind: &'static str,
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

/// Counters that live as long as the daemon.
#[derive(Debug, Clone)]
pub struct Counters {
    requests: Family<RequestLabels, Counter>,
    launches: Family<Word, Counter>,
    exits: Family<Word, Counter>,
    causes: Family<CauseLabel, Counter>,
    runs: Counter,
    first_window: Histogram,
    stages: Family<StageLabel, Histogram, fn() -> Histogram>,
    log_bytes: Counter,
    streams: Arc<[AtomicI64; 2]>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            launches: Family::default(),
            exits: Family::default(),
            causes: Family::default(),
            runs: Counter::default(),
            first_window: Histogram::new(FIRST_WINDOW_S),
            stages: Family::new_with_constructor(|| Histogram::new(STAGE_S)),
            log_bytes: Counter::default(),
            streams: Arc::default(),
        }
    }
}

/// Counts as one open stream until it is dropped.
#[derive(Debug)]
pub struct OpenStream {
    streams: Arc<[AtomicI64; 2]>,
    at: usize,
}

impl OpenStream {
    /// Open streams of this kind, this one included.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::try_from(self.streams[self.at].load(Ordering::Relaxed)).unwrap_or(0)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams[self.at].fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// A request to `/v1` was answered.
    pub fn request(&self, door: &'static str, status: StatusCode) {
        let status = match status.as_u16() {
            100..=299 => "success",
            300..=399 => "redirect",
            400..=499 => "refused",
            _ => "failed",
        };
        self.requests.get_or_create(&RequestLabels { door, status }).inc();
    }

    /// A launch over this API ended as `outcome`: `started`, `repeated`, or an error's stable code.
    pub fn launch(&self, outcome: &'static str) {
        self.launches.get_or_create(&Word { kind: outcome }).inc();
    }

    /// A stream of `kind` (`log` or `events`) was opened.
    pub fn stream(&self, kind: &str) -> OpenStream {
        let at = usize::from(kind == "events");
        self.streams[at].fetch_add(1, Ordering::Relaxed);
        OpenStream { streams: self.streams.clone(), at }
    }

    /// Bytes were sent to a follower.
    pub fn log_bytes(&self, bytes: usize) {
        self.log_bytes.inc_by(bytes as u64);
    }

    /// Counts what happens to tasks until the driver is gone.
    pub async fn watch(self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        let mut history = History { since_ms: now_ms(), ..History::default() };
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            history.look(&snapshot, &self);
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    fn registry(&self, snapshot: &Snapshot) -> Registry {
        let mut registry = Registry::with_prefix("deskd");
        let r = &mut registry;
        r.register("http_requests", "Requests to /v1 answered", self.requests.clone());
        r.register("launches", "Launches over the API by outcome", self.launches.clone());
        r.register("task_runs", "Runs of tasks that began", self.runs.clone());
        r.register("task_causes", "Runs of tasks that failed, by cause", self.causes.clone());
        r.register("task_exits", "Runs of tasks that ended, by kind", self.exits.clone());
        r.register(
            "first_window_seconds",
            "From the asking for a run to its first mapped window",
            self.first_window.clone(),
        );
        r.register("launch_stage_seconds", "Stages of launches that are over", self.stages.clone());
        r.register("log_streamed_bytes", "Log bytes sent to followers", self.log_bytes.clone());
        let streams = Family::<Word, Gauge>::default();
        for (kind, open) in ["log", "events"].into_iter().zip(self.streams.iter()) {
            streams.get_or_create(&Word { kind }).set(open.load(Ordering::Relaxed));
        }
        r.register("streams", "Open streams", streams);
        snapshot_metrics(snapshot, r);
        registry
    }
}

fn snapshot_metrics(snapshot: &Snapshot, r: &mut Registry) {
    let tasks = Family::<StateLabel, Gauge>::default();
    for state in STATES {
        let count = snapshot.tasks.iter().filter(|task| task.state == state).count();
        let label = StateLabel { state: state.as_str() };
        tasks.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    r.register("tasks", "Tasks by state", tasks);
    let gauge = |r: &mut Registry, name: &str, help: &str, value: i64| {
        let gauge: Gauge = Gauge::default();
        gauge.set(value);
        r.register(name, help, gauge);
    };
    let desktop = &snapshot.desktop;
    let windows: i64 = snapshot.tasks.iter().map(|task| i64::from(task.windows)).sum();
    gauge(r, "apps", "Applications that can be launched", snapshot.apps.len() as i64);
    gauge(r, "windows", "Mapped windows of tasks", windows);
    gauge(r, "display_up", "1 while the display answers", desktop.display.answers().into());
    gauge(r, "ready", "1 while every required check passes", desktop.ready.into());
    gauge(
        r,
        "display_servers",
        "X servers seen since deskd started: one more each time a new one answers",
        i64::try_from(desktop.display.server_epoch).unwrap_or(i64::MAX),
    );
    let checks = Family::<CheckLabel, Gauge>::default();
    for check in &desktop.checks {
        checks.get_or_create(&CheckLabel { check: check.name.clone() }).set(check.ok.into());
    }
    r.register("check_ok", "1 while the check passes", checks);
    let shm = Family::<ShmLabels, Gauge>::default();
    for (kind, verdict) in [("sysv", &desktop.display.shm.sysv), ("fd", &desktop.display.shm.fd)] {
        let is = verdict_word(verdict);
        for verdict in VERDICTS {
            shm.get_or_create(&ShmLabels { kind, verdict }).set((verdict == is).into());
        }
    }
    r.register("shm_verdict", "1 for the verdict about shared memory that holds now", shm);
}

fn verdict_word(verdict: &ShmVerdict) -> &'static str {
    match verdict {
        ShmVerdict::Works => "works",
        ShmVerdict::Refused => "refused",
        ShmVerdict::Remote => "remote",
        ShmVerdict::WrongMemory => "wrong_memory",
        ShmVerdict::Absent => "absent",
        ShmVerdict::Unreachable => "unreachable",
        ShmVerdict::Unproved(_) => "unproved",
    }
}

/// What was counted of each task. Ends and windows from before `since_ms` were another daemon's.
#[derive(Debug, Default)]
struct History {
    since_ms: i64,
    generation: u64,
    tasks: HashMap<TaskId, Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    runs: u32,
    ended: u32,
    windowed: u32,
    /// The last run whose cause was counted.
    explained: u32,
    /// Of which run how many stages were counted.
    staged: (u32, usize),
}

impl Counted {
    /// The failure that a remedy mended counts as well as one that stands.
    fn count_causes(&mut self, task: &Task, counters: &Counters) {
        let mended = task.remedied.iter().map(|applied| (applied.run - 1, &applied.diagnosis));
        let ended = task.state == TaskState::Ended;
        let last = task.diagnosis.iter().filter(|_| ended).map(|found| (task.runs, found));
        for (run, diagnosis) in mended.chain(last) {
            if let Some(cause) = diagnosis.cause.filter(|_| run > self.explained) {
                self.explained = run;
                counters.causes.get_or_create(&CauseLabel { cause: cause.as_str() }).inc();
            }
        }
    }
}

impl Counted {
    /// Each stage once it is over; not the time without a window of a run that shows none.
    fn count_stages(&mut self, task: &Task, since_ms: i64, counters: &Counters) {
        let (run, before) = self.staged;
        let done = if run == task.runs { before } else { 0 };
        let over = task.stages.iter().take_while(|it| it.to.is_some());
        let windowless = |stage| stage == Stage::FirstWindow && task.first_window_ms.is_none();
        let fresh = over.clone().skip(done).filter(|it| it.to.is_some_and(|to| to >= since_ms));
        for it in fresh.filter(|it| !windowless(it.stage)) {
            let label = StageLabel { stage: it.stage.as_str() };
            let seconds = it.took_ms().unwrap_or(0) as f64 / 1000.0;
            counters.stages.get_or_create(&label).observe(seconds);
        }
        self.staged = (task.runs, over.count());
    }
}

impl History {
    fn look(&mut self, snapshot: &Snapshot, counters: &Counters) {
        let seen = self.generation;
        for task in snapshot.tasks.iter().filter(|task| task.generation > seen) {
            self.count(task, counters);
        }
        self.generation = snapshot.generation;
        if self.tasks.len() > snapshot.tasks.len() {
            self.tasks.retain(|id, _| snapshot.task(id).is_some());
        }
    }

    fn count(&mut self, task: &Task, counters: &Counters) {
        let since_ms = self.since_ms;
        let fresh = |at: Option<i64>| at.is_some_and(|at| at >= since_ms);
        let running = task.ended_at.is_none_or(|end| task.started_at.is_some_and(|at| at > end));
        let ended = if running { task.runs.saturating_sub(1) } else { task.runs };
        let before = match task.created_at >= since_ms {
            true => Counted::default(),
            false => Counted {
                runs: if fresh(task.started_at) { task.runs.saturating_sub(1) } else { task.runs },
                ended: if fresh(task.ended_at) { ended.saturating_sub(1) } else { ended },
                windowed: 0,
                explained: if fresh(task.ended_at) { 0 } else { ended },
                staged: (0, 0),
            },
        };
        let counted = self.tasks.entry(task.id.clone()).or_insert(before);
        counters.runs.inc_by(u64::from(task.runs.saturating_sub(counted.runs)));
        counted.runs = task.runs;
        let new_ends = ended.saturating_sub(counted.ended);
        counted.ended = ended;
        if new_ends > 0 {
            let kind = task.exit.as_ref().map_or("unseen", exit_word);
            counters.exits.get_or_create(&Word { kind }).inc();
        }
        counted.count_causes(task, counters);
        counted.count_stages(task, since_ms, counters);
        if new_ends > 1 {
            let unseen = counters.exits.get_or_create_owned(&Word { kind: "unseen" });
            unseen.inc_by(u64::from(new_ends - 1));
        }
        if let Some(ms) = task.first_window_ms
            && counted.windowed != task.runs
        {
            counted.windowed = task.runs;
            if fresh(task.started_at) {
                counters.first_window.observe(ms as f64 / 1000.0);
            }
        }
    }
}

fn exit_word(exit: &Exit) -> &'static str {
    match exit {
        Exit::Code(0) | Exit::EntryPoint(0) => "code_zero",
        Exit::Code(_) | Exit::EntryPoint(_) => "code_nonzero",
        Exit::Signal { .. } => "signal",
        Exit::Lost(_) => "reason",
    }
}

/// Metrics in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, description = "OpenMetrics", body = String, content_type = "application/openmetrics-text")))]
pub async fn metrics(State(state): State<ApiState>) -> Response {
    let mut registry = state.counters.registry(&state.handle.snapshot());
    state.handle.kubernetes_calls().register(&mut registry);
    if let Some(forwarded) = &state.forward {
        forwarded.register(&mut registry);
    }
    if let Some(traces) = &state.traces {
        traces.register(&mut registry);
    }
    let mut text = String::with_capacity(8 << 10);
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
        tracing::error!(%error, "metrics could not be written");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, format)], text).into_response()
}
