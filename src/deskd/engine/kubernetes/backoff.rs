//! Pauses between attempts: doubling, bounded, with jitter so that desktops do not come back
//! together after the API server was away.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// First pause.
const PAUSE_MS_FIRST: u64 = 100;
/// Longest pause, before jitter (which adds up to the first pause's length each time).
const PAUSE_MS_MAX: u64 = 10_000;

/// Pauses that never end.
#[derive(Debug)]
pub struct Pauses {
    /// Absent: the next is the first.
    running: Option<ExponentialBackoff>,
    seed: u64,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { running: None, seed: getrandom::u64().unwrap_or(0) }
    }
}

impl Pauses {
    /// It worked: the next pause is the first one again.
    pub fn reset(&mut self) {
        self.running = None;
    }

    /// Waits for the next pause.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.next()).await;
    }

    /// The next pause.
    pub fn next(&mut self) -> Duration {
        self.seed = self.seed.wrapping_add(1);
        let seed = self.seed;
        let new = || {
            ExponentialBuilder::new()
                .with_min_delay(Duration::from_millis(PAUSE_MS_FIRST))
                .with_max_delay(Duration::from_millis(PAUSE_MS_MAX))
                .without_max_times()
                .with_jitter()
                .with_jitter_seed(seed)
                .build()
        };
        let longest = Duration::from_millis(PAUSE_MS_MAX);
        self.running.get_or_insert_with(new).next().unwrap_or(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_never_end_and_begin_anew() {
        let mut pauses = Pauses::default();
        let first = pauses.next();
        assert!(first >= Duration::from_millis(PAUSE_MS_FIRST), "{first:?}");
        let long = (0..100).map(|_| pauses.next()).last().unwrap();
        assert!(long >= Duration::from_millis(PAUSE_MS_MAX), "{long:?}");
        assert!(long <= Duration::from_millis(2 * PAUSE_MS_MAX), "{long:?}");
        pauses.reset();
        assert!(pauses.next() < Duration::from_millis(3 * PAUSE_MS_FIRST));
    }
}
