//! The clock, as the daemon and the command line read it.

use std::time::Instant as Monotonic;

use deskd_core::task::UnixMs;
use tokio::time::Instant;

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> UnixMs {
    jiff::Timestamp::now().as_millisecond()
}

/// Milliseconds since `origin`, for a number that threads share.
#[must_use]
pub fn ms_since(origin: Monotonic) -> u64 {
    u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Until something is due; for ever if nothing is.
pub async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
