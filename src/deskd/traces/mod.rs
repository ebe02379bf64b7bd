//! `otlp_traces`: each launch as a trace of its stages, for an OpenTelemetry collector.
//!
//! ```text
//!  snapshots --> launches that are over --> one request: OTLP, JSON, HTTP --> collector
//! ```
//!
//! A collector that is away, slow or refuses costs the traces of that time, which are counted: nothing is
//! kept for it, and nothing waits for it. Deliberately not here: TLS, and traces of anything else.

mod otlp;

use std::collections::HashMap;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::config::TracesEndpoint;
use crate::supervisor::{Handle, Snapshot};
use deskd_core::id::TaskId;
use deskd_core::kubernetes::PodIdentity;
use otlp::Launch;

/// Time for one request, from the connection to the answer: the default of OTLP exporters,
/// <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.
const SEND_S_MAX: u64 = 10;
/// Launches in one request: half a kilobyte each, and one more for each stage.
const LAUNCHES_MAX: usize = 256;

/// What was sent, and what was not.
#[derive(Debug, Clone, Default)]
struct Counts {
    sent: Counter,
    lost: Counter,
}

/// Sends traces to one collector.
#[derive(Debug, Clone)]
pub struct Exporter {
    endpoint: TracesEndpoint,
    pod: PodIdentity,
    counts: Counts,
}

/// Why a request did not arrive.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("nothing answers: {0}")]
    Connect(#[from] std::io::Error),
    #[error("the connection broke: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request has no valid form: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("it answers with {0}")]
    Status(hyper::StatusCode),
    #[error("no answer within {SEND_S_MAX} s")]
    Slow,
}

impl Exporter {
    /// To `endpoint`, of the desktop in `pod`.
    #[must_use]
    pub fn new(endpoint: TracesEndpoint, pod: PodIdentity) -> Self {
        Self { endpoint, pod, counts: Counts::default() }
    }

    /// For `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let Counts { sent, lost } = &self.counts;
        registry.register("traces_sent", "Launches sent to the collector", sent.clone());
        registry.register("traces_lost", "Launches that the collector did not take", lost.clone());
    }

    /// Sends until `stop`.
    pub async fn run(self, handle: Handle, stop: CancellationToken) {
        let mut snapshots = handle.watch();
        let mut known = Known { since_ms: now_ms(), ..Known::default() };
        let mut is_away = false;
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            for launches in known.fresh(&snapshot).chunks(LAUNCHES_MAX) {
                let sent = tokio::select! {
                    () = stop.cancelled() => return,
                    sent = self.send(otlp::request(&self.pod, launches)) => sent,
                };
                let number = u64::try_from(launches.len()).unwrap_or(u64::MAX);
                let counter = if sent.is_ok() { &self.counts.sent } else { &self.counts.lost };
                counter.inc_by(number);
                let TracesEndpoint { host, port, .. } = &self.endpoint;
                match &sent {
                    Ok(()) if is_away => {
                        tracing::info!("the collector {host}:{port} takes traces again")
                    }
                    Err(error) if !is_away => {
                        tracing::warn!("traces do not reach the collector {host}:{port}: {error}");
                    }
                    _ => {}
                }
                is_away = sent.is_err();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = snapshots.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn send(&self, body: Vec<u8>) -> Result<(), SendError> {
        let limit = Duration::from_secs(SEND_S_MAX);
        tokio::time::timeout(limit, self.post(body)).await.unwrap_or(Err(SendError::Slow))
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), SendError> {
        let TracesEndpoint { host, port, path } = &self.endpoint;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let host =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let request = hyper::Request::post(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        // The connection ends when it has no sender any more.
        let ask = async move {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            // What of it was not taken, nobody here could mend.
            let mut body = answer.into_body();
            while let Some(frame) = body.frame().await {
                frame?;
            }
            if status.is_success() { Ok(()) } else { Err(SendError::Status(status)) }
        };
        // What breaks the connection, the request is told as well.
        let (answered, _) = tokio::join!(ask, connection);
        answered
    }
}

/// Which launches were seen to be over.
#[derive(Debug, Default)]
struct Known {
    since_ms: i64,
    generation: u64,
    runs: HashMap<TaskId, u32>,
}

impl Known {
    /// Those that are over since the last time; not those that an earlier daemon has seen.
    fn fresh(&mut self, snapshot: &Snapshot) -> Vec<Launch> {
        let seen = self.generation;
        self.generation = snapshot.generation;
        if self.runs.len() > snapshot.tasks.len() {
            self.runs.retain(|id, _| snapshot.task(id).is_some());
        }
        let changed = snapshot.tasks.iter().filter(|task| task.generation > seen);
        let launches = changed.filter_map(|task| Launch::of(task));
        let fresh = launches.filter(|launch| launch.ended_ms() >= self.since_ms);
        let runs = &mut self.runs;
        fresh.filter(|it| runs.insert(it.task.clone(), it.run) != Some(it.run)).collect()
    }
}
