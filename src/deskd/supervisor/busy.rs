//! Whether the driver is stuck, without a heartbeat: it notes when it begins a batch and when it
//! is done, and whoever asks compares with the clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock::ms_since;

/// Since when the driver has been busy with one batch.
#[derive(Debug)]
pub struct Busy {
    origin: Instant,
    /// Milliseconds after `origin`, plus one; 0: idle.
    since: AtomicU64,
}

impl Busy {
    /// Idle.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now(), since: AtomicU64::new(0) }
    }

    /// A batch begins.
    pub fn begin(&self) {
        self.since.store(ms_since(self.origin) + 1, Ordering::Relaxed);
    }

    /// The batch is done.
    pub fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// How long the current batch has taken; zero when idle.
    #[must_use]
    pub fn busy_for(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis((ms_since(self.origin) + 1).saturating_sub(since)),
        }
    }
}
