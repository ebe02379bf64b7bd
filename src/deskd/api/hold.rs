//! Probes that are answered when the answer is there: `?wait=25s`.
//!
//! On the way up kubelet would otherwise hear "no" a few times, which is a Warning event each, and
//! hear "yes" at the end of a period. So a request may be held until the answer is "yes", or its time
//! is over. Only on the way up: once the answer was "yes", a later "no" is told at once.
//!
//! So many are held, of whoever asks. Where there is no room, the oldest of the peer with most is
//! answered, so that nobody takes kubelet's place.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::limits::{HELD_PROBES_MAX, PROBE_WAIT_MS_MAX};
use super::peers::PeerKey;
use super::state::Shared;
use crate::supervisor::Snapshot;

/// What the held requests of one path share.
#[derive(Debug, Default)]
pub struct Hold {
    /// The oldest first.
    held: Arc<Mutex<VecDeque<Held>>>,
    /// The way up is over.
    passed: AtomicBool,
}

#[derive(Debug)]
struct Held {
    peer: PeerKey,
    /// Told when its place is needed.
    over: Arc<Notify>,
}

/// Of a held request; given back when it is dropped.
struct Place {
    held: Arc<Mutex<VecDeque<Held>>>,
    over: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|other| !Arc::ptr_eq(&other.over, &self.over));
    }
}

impl Hold {
    /// Returns when `pass` is true, after `wait`, or as soon as waiting is of no use.
    pub async fn until(
        &self,
        state: &Shared,
        peer: PeerKey,
        wait: Duration,
        pass: impl Fn(&Snapshot) -> bool,
    ) {
        let mut snapshots = state.handle.watch();
        let over = |snapshot: &Snapshot| pass(snapshot) || snapshot.desktop.draining;
        if !wait.is_zero() && !self.passed.load(Ordering::Relaxed) {
            let place = self.place(peer);
            tokio::select! {
                _ = snapshots.wait_for(|snapshot| over(snapshot)) => {}
                () = tokio::time::sleep(wait) => {}
                () = place.over.notified() => {}
                () = state.stop.cancelled() => {}
            }
        }
        if pass(&state.handle.snapshot()) {
            self.passed.store(true, Ordering::Relaxed);
        }
    }

    fn place(&self, peer: PeerKey) -> Place {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= HELD_PROBES_MAX {
            let of = |peer: PeerKey| held.iter().filter(|it| it.peer == peer).count();
            // The last of those with as many: from behind, the oldest.
            let crowd = (0..held.len()).rev().max_by_key(|&at| of(held[at].peer));
            if let Some(oldest) = crowd.and_then(|at| held.remove(at)) {
                oldest.over.notify_one();
            }
        }
        let over = Arc::new(Notify::new());
        held.push_back(Held { peer, over: over.clone() });
        Place { held: self.held.clone(), over }
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
    fn a_crowd_that_waits_makes_room_for_a_single_probe() {
        let hold = Hold::default();
        let (crowd, kubelet) = (PeerKey::Uid(1), PeerKey::Uid(2));
        let first = hold.place(crowd);
        let probe = hold.place(kubelet);
        let flood: Vec<_> = (0..100).map(|_| hold.place(crowd)).collect();
        let is_held = |place: &Place| {
            hold.held.lock().unwrap().iter().any(|it| Arc::ptr_eq(&it.over, &place.over))
        };
        assert!(is_held(&probe) && !is_held(&first) && is_held(flood.last().unwrap()));
        assert_eq!(hold.held.lock().unwrap().len(), HELD_PROBES_MAX);
        drop((first, probe, flood));
        assert!(hold.held.lock().unwrap().is_empty());
    }

    #[test]
    fn a_wait_has_a_unit_and_a_limit() {
        assert_eq!(wait("25s"), Ok(Duration::from_secs(25)));
        assert_eq!(wait("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "s", "25", "1m", "-1s", "61s", "99999999999999999999s"] {
            assert!(wait(bad).unwrap_err().contains("at most 60 s"), "{bad}");
        }
    }
}
