//! Whether the daemon still answers. Pure: the time comes in, what to do comes out.
//!
//! The keeper asks, and asks again a while after each answer. A daemon that was stopped, or hangs, is silent for
//! [`LOOKS_MAX`] looks, one every [`LOOK_MS`]: a look counts once however late the keeper comes to it. So a keeper that was
//! stopped itself, with its daemon or without, a frozen container and a suspended machine are not taken for a
//! dead daemon: each of them makes one look late, and after it the daemon has the others' time to answer.
//!
//! Why 14 s: kubelet restarts the container, with every application in it, 25 s after the last good answer at the
//! earliest (three probes each 10 s, 5 s for each). 7 s until the question, 14 s of silence and the start of another
//! daemon are less. More would be too late; less would gain nothing, and a busy machine must not look like a dead daemon:
//! an answer needs hardly any time of a processor, and with 70 busy processes on two processors none was given up. Each
//! question wakes both programs, so an idle desktop has few of them.

use std::time::{Duration, Instant};

/// From an answer to the next question.
const ASK_MS: u64 = 7_000;
/// Between two looks at a question that is not answered.
const LOOK_MS: u64 = 1_000;
/// Looks in vain after which a daemon is given up.
const LOOKS_MAX: u32 = 14;
/// The same for a daemon that has not said hello: it has its configuration to read, and its libraries.
const START_LOOKS_MAX: u32 = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No daemon, or one that was given up.
    Off,
    Resting {
        ask_at: Instant,
    },
    Waiting {
        look_at: Instant,
        looks_left: u32,
    },
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Ask, with this number.
    Ask(u64),
    /// It is silent for too long; said once.
    Silent,
}

/// The questions to one daemon after the other.
#[derive(Debug)]
pub struct Heartbeat {
    every: Duration,
    number: u64,
    phase: Phase,
}

impl Heartbeat {
    /// Without a daemon. A service manager's watchdog wants to hear of an answer at least each `watchdog`.
    #[must_use]
    pub fn new(watchdog: Option<Duration>) -> Self {
        let every = Duration::from_millis(ASK_MS);
        let every = watchdog.map_or(every, |timeout| every.min(timeout / 2));
        Self { every, number: 0, phase: Phase::Off }
    }

    /// A daemon was started: it is to say hello.
    pub fn started(&mut self, now: Instant) {
        self.phase = waiting(now, START_LOOKS_MAX);
    }

    /// It said hello: it is asked for the first time.
    pub fn greeted(&mut self, now: Instant) {
        self.phase = Phase::Resting { ask_at: now };
    }

    /// It answered a question; false if that was another one than the last.
    pub fn answered(&mut self, number: u64, now: Instant) -> bool {
        let last = number == self.number && matches!(self.phase, Phase::Waiting { .. });
        if last {
            self.phase = Phase::Resting { ask_at: now + self.every };
        }
        last
    }

    /// It has not answered yet, but shows that it lives, or that there is a reason to wait.
    pub fn wait_anew(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Resting { .. }) {
            self.phase = waiting(now, LOOKS_MAX);
        }
    }

    /// There is no daemon.
    pub fn over(&mut self) {
        self.phase = Phase::Off;
    }

    /// When there is something to do.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Off => None,
            Phase::Resting { ask_at: at } | Phase::Waiting { look_at: at, .. } => Some(at),
        }
    }

    /// What is due now, if anything.
    pub fn take_due(&mut self, now: Instant) -> Option<Due> {
        match self.phase {
            Phase::Resting { ask_at } if now >= ask_at => {
                self.number += 1;
                self.phase = waiting(now, LOOKS_MAX);
                Some(Due::Ask(self.number))
            }
            Phase::Waiting { look_at, looks_left: 0 | 1 } if now >= look_at => {
                self.phase = Phase::Off;
                Some(Due::Silent)
            }
            Phase::Waiting { look_at, looks_left } if now >= look_at => {
                self.phase = waiting(now, looks_left - 1);
                None
            }
            _ => None,
        }
    }
}

fn waiting(now: Instant, looks_left: u32) -> Phase {
    Phase::Waiting { look_at: now + Duration::from_millis(LOOK_MS), looks_left }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Goes on as the keeper does, awake when something is due; what that was, and when.
    fn next(heart: &mut Heartbeat, now: &mut Instant) -> Due {
        loop {
            *now = (*now).max(heart.next_at().expect("something to wait for"));
            if let Some(due) = heart.take_due(*now) {
                return due;
            }
        }
    }

    fn greeted(now: Instant) -> Heartbeat {
        let mut heart = Heartbeat::new(None);
        heart.started(now);
        heart.greeted(now);
        heart
    }

    #[test]
    fn a_daemon_that_answers_is_asked_every_seven_seconds_and_nobody_wakes_up_between() {
        let start = Instant::now();
        let (mut heart, mut now) = (greeted(start), start);
        for number in 1..=100 {
            assert_eq!(heart.take_due(now), Some(Due::Ask(number)));
            assert!(heart.answered(number, now));
            assert!(!heart.answered(number, now), "once");
            assert_eq!(heart.next_at(), Some(now + Duration::from_millis(ASK_MS)));
            now += Duration::from_millis(ASK_MS);
        }
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_given_up_once_before_kubelet_gives_up_the_container() {
        let start = Instant::now();
        let (mut heart, mut now) = (greeted(start), start);
        assert_eq!(next(&mut heart, &mut now), Due::Ask(1));
        assert!(heart.answered(1, now), "the last good answer");
        assert_eq!(next(&mut heart, &mut now), Due::Ask(2));
        assert!(!heart.answered(1, now), "an answer to an earlier question");
        assert_eq!(next(&mut heart, &mut now), Due::Silent);
        assert_eq!(now - start, Duration::from_secs(21));
        assert_eq!((heart.next_at(), heart.take_due(now + HOUR)), (None, None));
    }

    #[test]
    fn a_daemon_that_never_says_hello_is_given_up_too() {
        let start = Instant::now();
        let (mut heart, mut now) = (Heartbeat::new(None), start);
        heart.started(start);
        assert_eq!(next(&mut heart, &mut now), Due::Silent);
        assert_eq!(now - start, Duration::from_secs(60));
    }

    #[test]
    fn a_suspended_machine_or_a_stopped_keeper_is_no_silent_daemon() {
        let start = Instant::now();
        let mut now = start;
        let mut heart = greeted(start);
        assert_eq!(heart.take_due(now), Some(Due::Ask(1)));
        // Stopped again and again, for an hour each.
        for _ in 1..LOOKS_MAX {
            now += HOUR;
            assert_eq!(heart.take_due(now), None);
            assert_eq!(heart.take_due(now), None, "late is late once");
        }
        assert!(heart.answered(1, now));
    }

    #[test]
    fn a_service_manager_hears_of_the_daemon_twice_in_its_time() {
        let start = Instant::now();
        let mut heart = Heartbeat::new(Some(Duration::from_secs(2)));
        heart.greeted(start);
        assert_eq!(heart.take_due(start), Some(Due::Ask(1)));
        assert!(heart.answered(1, start));
        assert_eq!(heart.next_at(), Some(start + Duration::from_secs(1)));
    }
}
