//! Whether the checks are still made: a verdict that nobody renews is not true for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock::ms_since;
use deskd_core::named_check::NamedCheck;

/// What a look and its pause may take beyond their times, on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

/// When each check was made last.
#[derive(Debug)]
pub struct Freshness {
    origin: Instant,
    checks: Vec<Last>,
}

#[derive(Debug)]
struct Last {
    name: String,
    made_ms: AtomicU64,
    limit: Duration,
}

impl Freshness {
    pub(super) fn new(checks: &[NamedCheck]) -> Self {
        let last = |check: &NamedCheck| Last {
            name: check.name.clone(),
            made_ms: AtomicU64::new(0),
            limit: check.interval + check.timeout + SLACK,
        };
        Self { origin: Instant::now(), checks: checks.iter().map(last).collect() }
    }

    pub(super) fn renew(&self, index: usize) {
        if let Some(last) = self.checks.get(index) {
            last.made_ms.store(ms_since(self.origin), Ordering::Relaxed);
        }
    }

    /// The checks that were not made for longer than they may take, and for how long.
    pub fn stale(&self) -> impl Iterator<Item = (&str, Duration)> {
        let now = ms_since(self.origin);
        self.checks.iter().filter_map(move |last| {
            let made = last.made_ms.load(Ordering::Relaxed);
            let silent = Duration::from_millis(now.saturating_sub(made));
            (silent > last.limit).then_some((last.name.as_str(), silent))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_is_not_made_any_more_is_stale_and_one_that_is_made_is_not() {
        let last = |name: &str, limit| Last {
            name: name.into(),
            made_ms: AtomicU64::new(0),
            limit: Duration::from_millis(limit),
        };
        let freshness =
            Freshness { origin: Instant::now(), checks: vec![last("a", 1), last("b", 60_000)] };
        while freshness.stale().next().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(freshness.stale().map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
        freshness.renew(1);
        freshness.renew(7);
    }
}
