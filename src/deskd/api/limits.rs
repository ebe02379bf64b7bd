//! Every limit of the HTTP door, by name and unit.

use std::time::Duration;

/// Largest request body. An application with a `data:` icon fits.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Largest request head (request line and headers).
pub const HEAD_BYTES_MAX: usize = 32 << 10;
/// Bytes of one stored log range that are handled at a time.
pub const CHUNK_BYTES_MAX: usize = 64 << 10;
/// Largest `bytes_max` of a log range.
pub const RANGE_BYTES_MAX: usize = 8 << 20;
/// Longest `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// Most launches of one request.
pub const LAUNCHES_MAX: usize = 256;
/// Most arguments of one launch.
pub const ARGS_MAX: usize = 4096;
/// Most bytes of the arguments of one launch, which its task keeps, and the journal: as many as the kernel takes of a
/// single one (MAX_ARG_STRLEN, `execve(2)`).
pub const ARGS_BYTES_MAX: usize = 128 << 10;
/// Longest wait of `/wait`.
pub const WAIT_MS_MAX: u64 = 60_000;
/// Longest grace of a stop.
pub const GRACE_MS_MAX: u64 = 600_000;
/// Longest `?wait` of a health path.
pub const PROBE_WAIT_MS_MAX: u64 = 60_000;
/// Requests held at once on one health path; kubelet has one on its way.
pub const HELD_PROBES_MAX: usize = 8;
/// Connections on each door beyond all others, in which only the open paths (health, metrics) are
/// answered.
pub const RESERVED_CONNECTIONS: usize = 32;
/// Largest icon file that is served.
pub const ICON_BYTES_MAX: u64 = 512 << 10;
/// Lifetime of a one-time login.
pub const LOGIN_CODE_S: u64 = 300;
/// One-time logins that may be open at once; the oldest goes first.
pub const LOGIN_CODES_MAX: usize = 32;
/// Lifetime of a panel session.
pub const SESSION_S: u64 = 12 * 3600;
/// A driver whose oldest input has waited this long is stalled (`/livez`).
pub const STALL_MS_MAX: u64 = 10_000;
/// How long open connections get to finish once the daemon stops.
pub const DRAIN_MS_MAX: u64 = 1_000;
/// Silence after which an open stream gets a comment, so that a dead peer is noticed.
pub const KEEP_ALIVE_S: u64 = 15;
/// Time between two samples of CPU and memory, while somebody watches.
pub const USAGE_INTERVAL_MS: u64 = 2_000;

/// The limits that a test or an operator may want lower.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first byte of a connection (or the end of the last answer) to the end of the head.
    pub head_time: Duration,
    /// From a request's head to its answer's head, its body included; `/wait` has its own.
    pub request_time: Duration,
    /// How long a peer may take nothing of an answer before it is cut.
    pub write_time: Duration,
    /// From the daemon's stop to the first request of a connection that had none; within [`DRAIN_MS_MAX`].
    pub first_request_time: Duration,
    /// Open event and log streams, and log downloads, together.
    pub streams: usize,
    /// Those of one peer (an address, or a user of the unix socket).
    pub peer_streams: usize,
    /// Open connections on each door.
    pub connections: usize,
    /// Those of one peer.
    pub peer_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_time: Duration::from_secs(10),
            request_time: Duration::from_secs(20),
            write_time: Duration::from_secs(30),
            first_request_time: Duration::from_millis(200),
            streams: 240,
            peer_streams: 200,
            connections: 256,
            peer_connections: 224,
        }
    }
}
