//! What all handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use super::activity::Watch;
use super::composer::Composer;
use super::configuration::RunningConfiguration;
use super::error::ApiError;
use super::fan_out::Feeds;
use super::guard::Peer;
use super::hold::Hold;
use super::limits::Limits;
use super::metrics::Counters;
use super::session::Sessions;
use super::streams::{StreamPermit, Streams};
use super::token::Token;
use super::usage::Usage;
use crate::config::Panel;
use crate::forward::Counts;
use crate::supervisor::Handle;
use crate::traces::Exporter;
use deskd_core::app::access::Identity;

/// Cheap to clone.
pub type ApiState = Arc<Shared>;

/// See the module.
#[derive(Debug)]
pub struct Shared {
    /// The only door to the supervisor.
    pub handle: Handle,
    /// The bearer token.
    pub token: Token,
    /// Panel sessions.
    pub sessions: Sessions,
    /// What the daemon runs with.
    pub configuration: RunningConfiguration,
    /// What was forwarded to standard output, if anything is.
    pub forward: Option<Counts>,
    /// Sends the stages of launches, if anybody wants them.
    pub traces: Option<Exporter>,
    /// Whether the desktop is used.
    pub activity: Watch,
    /// abcdesktop's own calls, if they are answered.
    pub composer: Option<Composer>,
    /// How browsers reach the panel.
    pub panel: Panel,
    /// Who uses this desktop.
    pub identity: Identity,
    /// Where the panel is: `http://127.0.0.1:29791`.
    pub panel_url: Option<String>,
    /// Limits.
    pub limits: Limits,
    /// Counters of this door.
    pub counters: Counters,
    /// Shared reads of followed logs.
    pub feeds: Feeds,
    /// CPU and memory of tasks, sampled while somebody watches.
    pub usage: Usage,
    /// Probes that wait for their answer.
    pub held: Held,
    /// Cancelled when open streams must end.
    pub stop: CancellationToken,
    /// deskd's own uid, which the unix socket admits.
    pub own_uid: u32,
    /// Room for streams.
    pub streams: Arc<Streams>,
    /// Makes request ids of this daemon unlike those of one before it.
    pub request_prefix: String,
    /// Counts requests.
    pub request_number: AtomicU64,
}

/// Probes that wait for their answer, by path.
#[derive(Debug, Default)]
pub struct Held {
    /// `/readyz`.
    pub ready: Hold,
    /// `/startupz`.
    pub started: Hold,
}

impl Shared {
    /// The id of the next request: `<daemon>-<number>`.
    pub fn next_request_id(&self) -> String {
        let number = self.request_number.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.request_prefix)
    }

    /// Room for one more stream of this peer, held while it is open.
    pub fn stream_permit(&self, peer: Peer) -> Result<StreamPermit, ApiError> {
        if self.stop.is_cancelled() {
            return Err(ApiError::ShuttingDown);
        }
        self.streams.permit(peer.key())
    }
}
