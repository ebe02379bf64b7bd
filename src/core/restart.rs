//! Restart policy: exponential backoff with jitter, a cap, and a reset after a healthy run.

use serde::{Deserialize, Serialize};

/// First delay.
pub const BACKOFF_FIRST_MS: u64 = 500;
/// Longest delay before jitter.
pub const BACKOFF_MS_MAX: u64 = 60_000;
/// A run this long is healthy: the next failure starts again at [`BACKOFF_FIRST_MS`].
pub const HEALTHY_RUN_MS: u64 = 30_000;
/// Jitter: a delay is shortened or lengthened by up to this many percent.
pub const JITTER_PERCENT: u64 = 20;
/// Longest delay of all.
pub const DELAY_MS_MAX: u64 = BACKOFF_MS_MAX + BACKOFF_MS_MAX * JITTER_PERCENT / 100;

/// When a task is started again after it ended by itself. Stopped tasks never are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    Never,
    /// After a non-zero exit code or a signal.
    OnFailure,
    /// After every end.
    Always,
}

impl RestartPolicy {
    /// Whether a run that ended in `failure` (or not) is followed by another.
    #[must_use]
    pub fn wants_restart(self, failure: bool) -> bool {
        match self {
            Self::Never => false,
            Self::OnFailure => failure,
            Self::Always => true,
        }
    }
}

/// Failures in a row, and from them the next delay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Backoff {
    /// Runs in a row that ended before [`HEALTHY_RUN_MS`].
    pub failures: u32,
}

impl Backoff {
    /// Counts a run that lasted `run_ms` and returns the delay before the next, in milliseconds.
    /// `random` is any uniformly distributed number.
    pub fn next_delay_ms(&mut self, run_ms: u64, random: u32) -> u64 {
        if run_ms >= HEALTHY_RUN_MS {
            self.failures = 0;
        }
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let base = (BACKOFF_FIRST_MS << doublings).min(BACKOFF_MS_MAX);
        let span = base * JITTER_PERCENT / 100;
        base - span + (2 * span) * u64::from(random) / u64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn delays_grow_to_the_cap_and_a_healthy_run_resets_them(runs in prop::collection::vec((0..60_000u64, any::<u32>()), 1..40)) {
            let mut backoff = Backoff::default();
            let mut short_runs = 0u32;
            for (run_ms, random) in runs {
                if run_ms >= HEALTHY_RUN_MS { short_runs = 0; }
                let delay = backoff.next_delay_ms(run_ms, random);
                let base = (BACKOFF_FIRST_MS << short_runs.min(16)).min(BACKOFF_MS_MAX);
                prop_assert!(delay >= base * 8 / 10 && delay <= base * 12 / 10);
                short_runs += 1;
            }
        }
    }
}
