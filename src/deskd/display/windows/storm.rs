//! When clients change windows faster than they can be followed. Pure.
//!
//! An X server queues events for whoever asked for them, without a limit, and x11rb those it has
//! read. So beyond a number of events nobody asks for any more, all that wait are dropped, and after
//! a pause the windows are read anew: the work that clients cause is bounded, whatever they do.

use std::time::{Duration, Instant};

/// Events per second that are followed. Moving windows makes some hundreds.
const EVENTS_PER_S_MAX: u64 = 5_000;
/// Events that may wait.
const WAITING_MAX: u64 = 4_096;
/// First and longest pause.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LONGEST: Duration = Duration::from_secs(8);
/// After so much time without a storm pauses are short again.
const CALM: Duration = Duration::from_secs(20);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Storm {
    /// Events taken from the connection.
    taken: u64,
    /// The second that is counted: its begin, and `taken` then.
    second: Option<(Instant, u64)>,
    pause: Duration,
    /// The end of the pause.
    until: Option<Instant>,
    last: Option<Instant>,
}

impl Storm {
    /// An event was taken.
    pub(super) fn took_event(&mut self) {
        self.taken += 1;
    }

    /// Whether that is more than can be followed; `read`: all events that came so far.
    pub(super) fn is_too_much(&mut self, read: u64, now: Instant) -> bool {
        let (begin, before) = *self.second.get_or_insert((now, self.taken));
        if now.duration_since(begin) >= Duration::from_secs(1) {
            self.second = Some((now, self.taken));
        }
        self.until.is_none()
            && (self.taken - before > EVENTS_PER_S_MAX
                || read.saturating_sub(self.taken) > WAITING_MAX)
    }

    /// A pause begins.
    pub(super) fn begin(&mut self, now: Instant) {
        let calm = self.last.is_none_or(|last| now.duration_since(last) > CALM);
        self.pause = if calm { PAUSE_FIRST } else { (self.pause * 2).min(PAUSE_LONGEST) };
        self.until = Some(now + self.pause);
        self.last = Some(now);
        self.second = None;
    }

    /// The end of the pause, while there is one.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether a pause is over, once.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        self.until.take_if(|until| *until <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_seen_by_its_rate_and_by_what_waits_and_pauses_grow() {
        let mut storm = Storm::default();
        let mut now = Instant::now();
        assert!(!storm.is_too_much(WAITING_MAX, now));
        assert!(storm.is_too_much(WAITING_MAX + 1, now));
        let mut pauses = Vec::new();
        for _ in 0..7 {
            storm.begin(now);
            assert!(!storm.is_over(now) && !storm.is_too_much(u64::MAX, now));
            pauses.push(storm.until().unwrap() - now);
            now = storm.until().unwrap();
            assert!(storm.is_over(now) && !storm.is_over(now));
        }
        assert_eq!((pauses[0], pauses[6]), (PAUSE_FIRST, PAUSE_LONGEST));
        storm.begin(now + CALM * 2);
        assert_eq!(storm.pause, PAUSE_FIRST);
    }

    #[test]
    fn a_steady_rate_below_the_limit_is_none() {
        let mut storm = Storm::default();
        let begin = Instant::now();
        for event in 0..20_000_u64 {
            storm.took_event();
            let now = begin + Duration::from_micros(event * 1_000_000 / (EVENTS_PER_S_MAX / 2));
            assert!(!storm.is_too_much(storm.taken, now));
        }
        for _ in 0..EVENTS_PER_S_MAX {
            storm.took_event();
        }
        assert!(storm.is_too_much(storm.taken, begin + Duration::from_secs(8)));
    }
}
