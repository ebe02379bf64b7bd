//! The escalation of one stop: when SIGTERM and SIGKILL are due. Pure; `core` carries it out.

use std::time::{Duration, Instant};

/// First pause between a SIGKILL round and the next look, if nothing is reported meanwhile.
const KILL_RETRY_MS_FIRST: u64 = 10;
/// Longest such pause: something is in an uninterruptible sleep, or runs as another user.
const KILL_RETRY_MS_MAX: u64 = 5_000;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// SIGTERM to the whole tree.
    Term,
    /// SIGKILL until nothing is left.
    Kill,
}

/// A stop that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    term_at: Option<Instant>,
    kill_at: Instant,
    retry: Option<Duration>,
}

impl Stop {
    /// SIGTERM and SIGKILL at these times.
    #[must_use]
    pub fn new(term_at: Instant, kill_at: Instant) -> Self {
        Self { term_at: Some(term_at), kill_at, retry: None }
    }

    /// Asked for again: it may only come sooner.
    pub fn hasten(&mut self, term_at: Instant, kill_at: Instant) {
        self.term_at = self.term_at.map(|at| at.min(term_at));
        self.kill_at = self.kill_at.min(kill_at);
    }

    /// When something is due next.
    #[must_use]
    pub fn next_at(&self) -> Instant {
        self.term_at.map_or(self.kill_at, |term_at| term_at.min(self.kill_at))
    }

    /// Whether SIGKILL has begun: whatever shows up now is killed at once.
    #[must_use]
    pub fn is_killing(&self) -> bool {
        self.retry.is_some()
    }

    /// What is due at `now`; what is returned counts as done, and SIGKILL is due again after a
    /// pause that doubles. When both are due, SIGTERM would be pointless.
    pub fn take_due(&mut self, now: Instant) -> Option<Due> {
        if now >= self.kill_at {
            let pause = self.retry.map_or(Duration::from_millis(KILL_RETRY_MS_FIRST), |pause| {
                (pause * 2).min(Duration::from_millis(KILL_RETRY_MS_MAX))
            });
            self.term_at = None;
            self.retry = Some(pause);
            self.kill_at = now + pause;
            return Some(Due::Kill);
        }
        if self.term_at.is_some_and(|at| now >= at) {
            self.term_at = None;
            return Some(Due::Term);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn term_then_kill_then_kill_again_ever_more_rarely() {
        let start = Instant::now();
        let mut stop = Stop::new(at(start, 100), at(start, 200));
        assert_eq!(stop.take_due(at(start, 99)), None);
        assert_eq!(stop.take_due(at(start, 100)), Some(Due::Term));
        assert_eq!(stop.take_due(at(start, 100)), None);
        assert_eq!(stop.next_at(), at(start, 200));
        assert_eq!(stop.take_due(at(start, 200)), Some(Due::Kill));
        assert_eq!(stop.next_at(), at(start, 210));
        assert_eq!(stop.take_due(at(start, 210)), Some(Due::Kill));
        assert_eq!(stop.next_at(), at(start, 230));
    }

    #[test]
    fn a_forced_stop_sends_no_term() {
        let start = Instant::now();
        let mut stop = Stop::new(start, start);
        assert_eq!(stop.take_due(start), Some(Due::Kill));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn asking_again_never_delays(asked in prop::collection::vec((0..1000u64, 0..1000u64), 1..8)) {
            let start = Instant::now();
            let mut stop = Stop::new(at(start, asked[0].0), at(start, asked[0].1));
            for (term, kill) in &asked[1..] {
                let before = stop.next_at();
                stop.hasten(at(start, *term), at(start, *kill));
                prop_assert!(stop.next_at() <= before);
            }
            let kill_at = asked.iter().map(|(_, kill)| *kill).min().unwrap();
            prop_assert_eq!(stop.take_due(at(start, kill_at)), Some(Due::Kill));
        }
    }
}
