//! Probes that are answered when the answer is there: `?wait=25s`.
//!
//! On the way up kubelet would otherwise hear "no" a few times, which is a Warning event each, and
//! hear "yes" at the end of a period. So a request may be held until the answer is "yes", or its time
//! is over. Only on the way up: once the answer was "yes", a later "no" is told at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::limits::{HELD_PROBES_MAX, PROBE_WAIT_MS_MAX};
use super::state::Shared;
use crate::supervisor::Snapshot;

/// What the held requests of one path share.
#[derive(Debug)]
pub struct Hold {
    /// Beyond its permits requests are answered at once.
    room: Semaphore,
    /// The way up is over.
    passed: AtomicBool,
}

impl Default for Hold {
    fn default() -> Self {
        Self { room: Semaphore::new(HELD_PROBES_MAX), passed: AtomicBool::new(false) }
    }
}

impl Hold {
    /// Returns when `pass` is true, after `wait`, or as soon as waiting is of no use.
    pub async fn until(&self, state: &Shared, wait: Duration, pass: impl Fn(&Snapshot) -> bool) {
        let mut snapshots = state.handle.watch();
        let over = |snapshot: &Snapshot| pass(snapshot) || snapshot.desktop.draining;
        if !wait.is_zero()
            && !self.passed.load(Ordering::Relaxed)
            && let Ok(_permit) = self.room.try_acquire()
        {
            tokio::select! {
                _ = snapshots.wait_for(|snapshot| over(snapshot)) => {}
                () = tokio::time::sleep(wait) => {}
                () = state.stop.cancelled() => {}
            }
        }
        if pass(&state.handle.snapshot()) {
            self.passed.store(true, Ordering::Relaxed);
        }
    }
}

/// `25s` or `500ms`, as `deskd health --wait` takes it, at most [`PROBE_WAIT_MS_MAX`].
pub fn wait(text: &str) -> Result<Duration, String> {
    let (number, factor) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or_default(), 1000),
    };
    let ms = number.parse().ok().and_then(|number: u64| number.checked_mul(factor));
    ms.filter(|ms| *ms <= PROBE_WAIT_MS_MAX).map(Duration::from_millis).ok_or_else(|| {
        format!(
            "`wait` is a time such as 25s or 500ms, at most {} s; kubelet's timeoutSeconds has to be longer",
            PROBE_WAIT_MS_MAX / 1000
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_has_a_unit_and_a_limit() {
        assert_eq!(wait("25s"), Ok(Duration::from_secs(25)));
        assert_eq!(wait("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "s", "25", "1m", "-1s", "61s", "99999999999999999999s"] {
            assert!(wait(bad).unwrap_err().contains("at most 60 s"), "{bad}");
        }
    }
}
