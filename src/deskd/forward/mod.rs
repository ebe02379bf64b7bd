//! `log_store.forward = "stdout"`: what applications write, as JSON on deskd's own standard output, so
//! that `kubectl logs` and the cluster's log pipeline have it.
//!
//! ```text
//!  log store --> one follower per task --> queue (bounded) --> thread --> standard output
//!     |               waits for room            |                 blocks as long as it must
//!     +-- drops its oldest at its limits: a gap record, counted as lost
//! ```
//!
//! A pipeline that does not read fills the queue; then followers wait, and the log store, which has
//! limits of its own, is what forgets. Nothing else waits for them.

mod line;
mod sink;

use std::collections::HashMap;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::supervisor::{Handle, Snapshot};
use deskd_core::id::TaskId;
use deskd_core::task::Task;
use deskd_keeper::logs::LogReader;
use line::Encoder;

/// Stored bytes of one read.
const READ_BYTES_MAX: usize = 64 << 10;
/// Reads that wait for the pipeline, of all tasks together.
const QUEUE_READS_MAX: usize = 16;

/// What was forwarded, and what was not.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Lines, or pieces of long ones.
    lines: Counter,
    /// Bytes of applications' output that were lost before they could be forwarded.
    lost_bytes: Counter,
}

impl Counts {
    /// For `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let lost = "Bytes of output that were dropped before they could be forwarded";
        registry.register("forwarded_lines", "Lines of output forwarded", self.lines.clone());
        registry.register("forward_lost_bytes", lost, self.lost_bytes.clone());
    }
}

/// Forwards until `stop`, or until nobody can read standard output any more.
pub async fn run(handle: Handle, counts: Counts, stop: CancellationToken) {
    let (queue, chunks) = mpsc::channel(QUEUE_READS_MAX);
    if let Err(error) = sink::start(chunks) {
        tracing::error!("applications' output is not forwarded: {error}");
        return;
    }
    let began = now_ms();
    let mut snapshots = handle.watch();
    let mut followed: HashMap<TaskId, Followed> = HashMap::new();
    let mut followers = JoinSet::new();
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        followed.retain(|task, _| snapshot.task(task).is_some());
        for task in snapshot.tasks.iter().filter(|task| !task.is_over()) {
            let known = followed.entry(task.id.clone()).or_insert_with(|| {
                // Whoever was before this daemon forwarded what there is.
                Followed { at: (task.created_at >= began).then_some(0), is_running: false }
            });
            if known.is_running {
                continue;
            }
            known.is_running = true;
            let follower = Follower {
                handle: handle.clone(),
                snapshots: handle.watch(),
                queue: queue.clone(),
                counts: counts.clone(),
                task: task.clone(),
            };
            followers.spawn(follower.run(known.at));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = queue.closed() => return,
            changed = snapshots.changed() => if changed.is_err() { return },
            Some(Ok((task, at))) = followers.join_next() => {
                if let Some(known) = followed.get_mut(&task) {
                    *known = Followed { at: Some(at), is_running: false };
                }
            }
        }
    }
}

/// Where a task's output was read up to; absent: its end when it was first seen.
struct Followed {
    at: Option<u64>,
    is_running: bool,
}

struct Follower {
    handle: Handle,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    queue: mpsc::Sender<Vec<u8>>,
    counts: Counts,
    task: Arc<Task>,
}

impl Follower {
    /// Until its task is over and everything of it is on its way, or nobody reads: the task, and where
    /// it came to.
    async fn run(mut self, at: Option<u64>) -> (TaskId, u64) {
        let id = self.task.id.clone();
        let mut cursor = at.unwrap_or(0);
        let (Ok(mut reader), Ok(mut growth)) =
            (self.handle.log_reader(&id), self.handle.follow_log(id.clone()).await)
        else {
            return (id, cursor);
        };
        if at.is_none() {
            cursor = reader.bounds().map_or(0, |bounds| bounds.end);
        }
        let task = self.task.clone();
        let mut encoder = Encoder::new(&task.id, &task.app);
        loop {
            // Both are looked at before the read: what comes after it wakes the wait below.
            growth.borrow_and_update();
            let over = self.is_over();
            match self.forward(&mut reader, &mut encoder, cursor, over).await {
                Some(next) if next > cursor => {
                    cursor = next;
                    // Others get their turn, however fast this program writes.
                    tokio::task::yield_now().await;
                    continue;
                }
                Some(_) => {}
                None => {
                    // Removed before all of it was read, or nobody reads any more.
                    let lost = growth.borrow().saturating_sub(cursor);
                    self.counts.lost_bytes.inc_by(lost);
                    return (id, cursor);
                }
            }
            if over {
                return (id, cursor);
            }
            let (task, snapshots) = (&id, &mut self.snapshots);
            let gone = |snapshot: &Arc<Snapshot>| snapshot.task(task).is_none_or(|it| it.is_over());
            let over = async {
                if snapshots.wait_for(gone).await.is_err() {
                    // The daemon is ending, and this follower with it.
                    std::future::pending().await
                }
            };
            let grown = async {
                if growth.changed().await.is_err() {
                    // The snapshot says that it is over, now or in a moment.
                    std::future::pending().await
                }
            };
            tokio::select! {
                () = grown => {}
                () = over => {}
            }
        }
    }

    /// Where to read on; nothing when this follower is of no use any more.
    async fn forward(
        &self,
        reader: &mut LogReader,
        encoder: &mut Encoder<'_>,
        cursor: u64,
        over: bool,
    ) -> Option<u64> {
        let mut stored = Vec::new();
        let chunk = match reader.read(cursor, READ_BYTES_MAX, &mut stored) {
            Ok(chunk) => chunk,
            Err(error) => {
                tracing::debug!(task = %self.task.id, %error, "a forwarded log ended early");
                return None;
            }
        };
        let mut out = Vec::new();
        encoder.encode(&stored, &chunk, &mut out);
        if over && chunk.next == cursor {
            encoder.finish(&mut out);
        }
        let counted = encoder.counted();
        self.counts.lines.inc_by(counted.lines);
        self.counts.lost_bytes.inc_by(counted.lost_bytes);
        if !out.is_empty() {
            // The only place where a pipeline that does not read is noticed.
            self.queue.send(out).await.ok()?;
        }
        Some(chunk.next)
    }

    fn is_over(&self) -> bool {
        self.snapshots.borrow().task(&self.task.id).is_none_or(|task| task.is_over())
    }
}
