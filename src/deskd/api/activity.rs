//! `/v1/activity`: looks whether the desktop is used, when asked and in between, so that a viewer who
//! came and went between two questions counts.
//!
//! Deliberately not here: the verdict (`deskd_core::idle`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::error::{ApiError, ErrorBody};
use super::state::{ApiState, Shared};
use super::usage::{Sampler, roots};
use crate::clock::now_ms;
use crate::config::ActivityConfig;
use crate::readiness::RFB_ADDRESS;
use crate::supervisor::Snapshot;
use deskd_core::id::TaskId;
use deskd_core::idle::{Activity, BusyTask, Evidence, Viewers, judge};
use deskd_core::task::{TaskState, UnixMs};
use deskd_keeper::procfs::sockets;

/// Between two looks while nobody asks, in seconds.
const LOOK_S: u64 = 15;
/// Looks that follow each other sooner than this, in milliseconds, are one: CPU use needs some time.
const LOOK_MS_MIN: u64 = 1_000;
/// Longest wait for the X server's answer, in milliseconds.
const INPUT_MS_MAX: u64 = 2_000;

/// Who watches.
#[derive(Debug)]
pub struct Watch {
    config: ActivityConfig,
    watcher: Mutex<Watcher>,
}

#[derive(Debug, Default)]
struct Watcher {
    sampler: Option<Box<Sampler>>,
    /// The first look is of no use for CPU: it has nothing to compare with.
    since: Option<UnixMs>,
    last_viewer_at: Option<UnixMs>,
    last_busy_at: Option<UnixMs>,
    looked: Option<(Instant, Evidence)>,
}

impl Watch {
    /// Nobody looked yet.
    #[must_use]
    pub fn new(config: ActivityConfig) -> Self {
        Self { config, watcher: Mutex::default() }
    }
}

/// Whether the desktop is used, and since when not. deskd watches from the first question on (from
/// its start if viewers are configured).
#[utoipa::path(get, path = "/v1/activity", tag = "desktop",
    responses((status = 200, description = "The verdict and its evidence", body = Activity),
              (status = 503, description = "`shutting_down`", body = ErrorBody)))]
pub async fn activity(State(state): State<ApiState>) -> Result<Json<Activity>, ApiError> {
    let first = state.activity.watcher.lock().await.looked.is_none();
    let mut evidence = state.look().await;
    if first {
        tokio::spawn(keep_looking(state.clone()));
        sleep(Duration::from_millis(LOOK_MS_MIN)).await;
        evidence = state.look().await;
    }
    Ok(Json(judge(evidence)))
}

/// From the daemon's start, if there is something to watch.
pub async fn from_start(state: ApiState) {
    if !state.activity.config.viewers.is_empty() {
        keep_looking(state).await;
    }
}

async fn keep_looking(state: ApiState) {
    loop {
        state.look().await;
        tokio::select! {
            () = state.stop.cancelled() => return,
            () = sleep(Duration::from_secs(LOOK_S)) => {}
        }
    }
}

impl Shared {
    /// Looks, unless somebody did a moment ago.
    async fn look(&self) -> Evidence {
        let mut watcher = self.activity.watcher.lock().await;
        if let Some((at, evidence)) = &watcher.looked
            && at.elapsed() < Duration::from_millis(LOOK_MS_MIN)
        {
            return evidence.clone();
        }
        let snapshot = self.handle.snapshot();
        let viewers = viewers(&self.activity.config.viewers).await;
        let limit = Duration::from_millis(INPUT_MS_MAX);
        let idle = timeout(limit, self.handle.display_questions().input_idle_ms()).await;
        let idle = idle.ok().flatten().and_then(|ms| i64::try_from(ms).ok());
        let busy_tasks = watcher.busy(&snapshot, self.activity.config.busy_percent).await;
        let now = now_ms();
        let since = *watcher.since.get_or_insert(now);
        if viewers.iter().any(|viewers| viewers.connections > 0) {
            watcher.last_viewer_at = Some(now);
        }
        if !busy_tasks.is_empty() {
            watcher.last_busy_at = Some(now);
        }
        let evidence = Evidence {
            at: now,
            watching_since: since,
            viewers,
            last_viewer_at: watcher.last_viewer_at,
            last_input_at: idle.map(|ms| now - ms),
            busy_tasks,
            last_busy_at: watcher.last_busy_at,
            unseen_tasks: unseen(&snapshot),
        };
        watcher.looked = Some((Instant::now(), evidence.clone()));
        evidence
    }
}

impl Watcher {
    /// The tasks that used at least `percent` of a CPU since the last look.
    async fn busy(&mut self, snapshot: &Arc<Snapshot>, percent: u8) -> Vec<BusyTask> {
        let Some(mut sampler) =
            self.sampler.take().or_else(|| Some(Box::new(Sampler::new().ok()?)))
        else {
            return Vec::new();
        };
        let roots = roots(snapshot);
        // Hundreds of small files under /proc: not on the thread that answers requests.
        let sampled = tokio::task::spawn_blocking(move || {
            let usage = sampler.sample(&roots);
            (sampler, usage)
        });
        let Ok((sampler, usage)) = sampled.await else { return Vec::new() };
        self.sampler = Some(sampler);
        let busy = usage.into_iter().filter(|(_, usage)| usage.cpu_percent >= f32::from(percent));
        let mut busy: Vec<_> =
            busy.map(|(task, usage)| BusyTask { task, cpu_percent: usage.cpu_percent }).collect();
        busy.sort_by(|a, b| a.task.cmp(&b.task));
        busy
    }
}

fn unseen(snapshot: &Snapshot) -> Vec<TaskId> {
    let tasks = snapshot.tasks.iter();
    let unseen = tasks.filter(|task| task.state == TaskState::Running && task.pid.is_none());
    unseen.map(|task| task.id.clone()).collect()
}

/// Established connections to each port. Those of deskd's own readiness checks are no viewers.
async fn viewers(ports: &BTreeMap<String, u16>) -> Vec<Viewers> {
    if ports.is_empty() {
        return Vec::new();
    }
    // A pod has some hundred sockets, a host tens of thousands.
    let read = || ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let Ok(tables) = tokio::task::spawn_blocking(read).await else { return Vec::new() };
    let tables: Vec<String> = tables.into_iter().flatten().collect();
    let connected: Vec<u16> = tables
        .iter()
        .flat_map(|table| sockets::tcp_connected(table))
        .filter(|(_, remote)| *remote != RFB_ADDRESS)
        .map(|(port, _)| port)
        .collect();
    let of = |(name, port): (&String, &u16)| Viewers {
        name: name.clone(),
        port: *port,
        connections: connected.iter().filter(|known| *known == port).count(),
    };
    ports.iter().map(of).collect()
}
