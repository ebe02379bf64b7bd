//! CPU and memory of running tasks, sampled only while somebody watches.
//!
//! A process belongs to a task when it is in the task's session, when an ancestor of it belongs to
//! the task, or when it did at the last sample (a double fork loses the ancestor, not the process).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::sync::watch;

use super::limits::USAGE_INTERVAL_MS;
use super::sse;
use crate::supervisor::{Handle, Snapshot};
use deskd_core::id::TaskId;

/// What a task's processes use together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskUsage {
    /// Of one CPU, since the last sample; more than 100 on several.
    pub cpu_percent: f32,
    /// Resident memory; pages shared by its processes count for each of them.
    pub rss_bytes: u64,
}

/// The sampler's subscribers.
#[derive(Debug)]
pub struct Usage {
    events: Arc<watch::Sender<Bytes>>,
    running: Arc<AtomicBool>,
}

impl Default for Usage {
    fn default() -> Self {
        Self { events: Arc::new(watch::Sender::default()), running: Arc::default() }
    }
}

impl Usage {
    /// Encoded `usage` events as they come; the sampler ends with its last subscriber.
    pub fn subscribe(&self, handle: &Handle) -> watch::Receiver<Bytes> {
        let receiver = self.events.subscribe();
        if !self.running.swap(true, Ordering::AcqRel) {
            let (events, running) = (self.events.clone(), self.running.clone());
            tokio::spawn(run(events, running, handle.watch()));
        }
        receiver
    }
}

async fn run(
    events: Arc<watch::Sender<Bytes>>,
    running: Arc<AtomicBool>,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
) {
    let mut sampler = match Sampler::new() {
        Ok(sampler) => Box::new(sampler),
        Err(error) => {
            // Tasks are shown without CPU and memory.
            tracing::warn!(%error, "processes cannot be sampled");
            return running.store(false, Ordering::Release);
        }
    };
    let mut idle = false;
    loop {
        let roots = roots(&snapshots.borrow_and_update());
        if roots.is_empty() && idle {
            tokio::select! {
                () = events.closed() => break,
                changed = snapshots.changed() => if changed.is_err() { break },
            }
            idle = snapshots.borrow().tasks.iter().all(|task| task.pid.is_none());
            continue;
        }
        idle = roots.is_empty();
        // Hundreds of small files under /proc: not on the thread that answers requests.
        let sampled = tokio::task::spawn_blocking(move || {
            let usage = sampler.sample(&roots);
            (sampler, usage)
        });
        let Ok((again, usage)) = sampled.await else { break };
        sampler = again;
        let mut out = Vec::new();
        sse::event(&mut out, "usage", None, &usage);
        events.send_replace(out.into());
        tokio::select! {
            () = events.closed() => break,
            () = tokio::time::sleep(Duration::from_millis(USAGE_INTERVAL_MS)) => {}
        }
    }
    running.store(false, Ordering::Release);
}

/// The processes that tasks began with, as far as deskd sees them.
pub fn roots(snapshot: &Snapshot) -> Vec<(u32, TaskId)> {
    snapshot.tasks.iter().filter_map(|task| Some((task.pid?, task.id.clone()))).collect()
}

/// Samples processes.
#[derive(Debug)]
pub struct Sampler {
    system: System,
    /// Whose each process was, with its start time: pids are used again.
    owners: HashMap<Pid, (u64, TaskId)>,
}

impl Sampler {
    /// Nothing to compare with yet.
    pub fn new() -> Result<Self, sysinfo::Error> {
        Ok(Self { system: System::new()?, owners: HashMap::new() })
    }

    /// What the tasks with these roots use, since the last sample.
    pub fn sample(&mut self, roots: &[(u32, TaskId)]) -> HashMap<TaskId, TaskUsage> {
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
        let roots: HashMap<Pid, &TaskId> =
            roots.iter().map(|(pid, task)| (Pid::from_u32(*pid), task)).collect();
        let mut usage: HashMap<TaskId, TaskUsage> =
            roots.values().map(|task| ((*task).clone(), TaskUsage::default())).collect();
        let mut owners = HashMap::new();
        for (pid, process) in self.system.processes() {
            let Some(task) = self.owner(*pid, &roots) else { continue };
            let Some(sum) = usage.get_mut(&task) else { continue };
            sum.cpu_percent += process.cpu_usage();
            sum.rss_bytes += process.memory();
            owners.insert(*pid, (process.start_time(), task));
        }
        self.owners = owners;
        for sum in usage.values_mut() {
            sum.cpu_percent = (sum.cpu_percent * 10.0).round() / 10.0;
        }
        usage
    }

    fn owner(&self, pid: Pid, roots: &HashMap<Pid, &TaskId>) -> Option<TaskId> {
        /// Deepest process tree that is climbed; deeper ones are a loop in a torn view of /proc.
        const DEPTH_MAX: usize = 64;
        let mut at = Some(pid);
        for _ in 0..DEPTH_MAX {
            let process = self.system.process(at?)?;
            let known = self.owners.get(&at?).filter(|(start, _)| *start == process.start_time());
            let session = process.session_id().and_then(|session| roots.get(&session));
            if let Some(task) = roots.get(&at?).or(session) {
                return Some((*task).clone());
            }
            if let Some((_, task)) = known {
                return Some(task.clone());
            }
            at = process.parent();
        }
        None
    }
}
