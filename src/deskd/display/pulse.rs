//! Whether the display thread still looks: a verdict that nobody renews is not true for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock::ms_since;

use super::DisplayConfig;

/// The thread wakes at least this often while a server answers, and while one is away.
const WAKES_AT_LEAST: Duration = Duration::from_secs(10);
/// Handshakes and proofs of one look: three ways, two attempts.
const WAITS_PER_LOOK: u32 = 6;
/// Everything of a look that has no limit of its own, on a busy machine.
const REST: Duration = Duration::from_secs(10);

/// When the thread was last seen to go on.
#[derive(Debug)]
pub struct Pulse {
    origin: Instant,
    beat_ms: AtomicU64,
    limit: Duration,
}

impl Pulse {
    pub(super) fn new(config: &DisplayConfig) -> Self {
        let look = (config.handshake_timeout + config.hang_timeout) * WAITS_PER_LOOK;
        Self {
            origin: Instant::now(),
            beat_ms: AtomicU64::new(0),
            limit: WAKES_AT_LEAST + look + REST,
        }
    }

    /// The thread goes on.
    pub(super) fn beat(&self) {
        self.beat_ms.store(ms_since(self.origin), Ordering::Relaxed);
    }

    /// For how long the thread has been silent, if that is longer than any look takes.
    #[must_use]
    pub fn silent_for(&self) -> Option<Duration> {
        let beat = self.beat_ms.load(Ordering::Relaxed);
        let silent = Duration::from_millis(ms_since(self.origin).saturating_sub(beat));
        (silent > self.limit).then_some(silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_told_when_it_is_longer_than_any_look() {
        let short = Duration::from_millis(1);
        let (origin, limit) = (Instant::now(), Duration::from_secs(60));
        let pulse = Pulse { origin, beat_ms: AtomicU64::new(0), limit };
        assert_eq!(pulse.silent_for(), None);
        let pulse = Pulse { limit: short, ..pulse };
        while pulse.silent_for().is_none() {
            std::thread::yield_now();
        }
        assert!(pulse.silent_for().is_some_and(|silent| silent > short));
        pulse.beat();
        assert!(pulse.beat_ms.load(Ordering::Relaxed) > 0);
    }
}
