//! How the keeper ends. Pure: facts and the time come in, what to do comes out.
//!
//! ```text
//!  SIGTERM           Drained, or time is short      deadline near        nothing left
//! --------> Polite -------------------------> Terminating ------> Killing ------+
//!              |  nothing left and drained         | nothing left               v
//!              +-----------------------------------+--------------> daemon: SIGTERM, SIGKILL
//!                                                                               |  gone
//!                                                                               v  finish
//! ```
//!
//! In Polite the daemon stops everything in its own way; what it does not manage (or if there is no
//! daemon) the keeper does itself in the reserve at the end of the grace. A second SIGTERM goes to
//! Terminating at once.

use std::time::{Duration, Instant};

/// Most time the keeper reserves for itself at the end of the grace; else a quarter of it.
const RESERVE_MS_MAX: u64 = 2_000;
/// From a second SIGTERM to SIGKILL.
const HURRY_KILL_MS: u64 = 500;
/// From a second SIGTERM to the end, the daemon's too.
const HURRY_MS: u64 = 1_500;
/// Most time the daemon has from its SIGTERM to its SIGKILL.
const DAEMON_TERM_MS_MAX: u64 = 1_000;
/// Between two looks while killing, if no process reports its end.
const KILL_LOOK_MS: u64 = 50;
/// How long a process that was sent SIGKILL is waited for, beyond the deadline.
const UNKILLABLE_MS: u64 = 500;

/// What is the case.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts {
    /// Any process but the daemon's is left.
    pub left: bool,
    /// The daemon runs, or will be started again.
    pub daemon: bool,
    /// The daemon said that it stopped everything.
    pub drained: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SIGTERM to everything but the daemon, SIGKILL at the time given.
    Terminate {
        /// When.
        kill_at: Instant,
    },
    /// SIGKILL to whatever is still there.
    Kill,
    /// SIGTERM to the daemon.
    StopDaemon,
    /// SIGKILL to the daemon.
    KillDaemon,
    /// Leave.
    Finish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Polite { until: Instant },
    Terminating { kill_at: Instant },
    Killing { look_at: Instant },
    DaemonTerm { kill_at: Instant },
    DaemonKill { leave_at: Instant },
}

/// A shutdown under way.
#[derive(Debug, Clone)]
pub struct Shutdown {
    deadline: Instant,
    reserve: Duration,
    /// From SIGTERM to SIGKILL of what is left, unless somebody is in a hurry.
    term_wait: Duration,
    hurry: bool,
    phase: Phase,
}

impl Shutdown {
    /// SIGTERM arrived: everything is to be over within `grace`.
    #[must_use]
    pub fn begin(now: Instant, grace: Duration) -> Self {
        let reserve = (grace / 4).min(Duration::from_millis(RESERVE_MS_MAX));
        let deadline = now + grace;
        let phase = Phase::Polite { until: deadline - reserve };
        Self { deadline, reserve, term_wait: reserve / 4, hurry: false, phase }
    }

    /// The same at a place: the programs get SIGTERM at once, as the first process of a container does.
    #[must_use]
    pub fn of_place(now: Instant, grace: Duration) -> Self {
        let phase = Phase::Polite { until: now };
        let begun = Self::begin(now, grace);
        Self { term_wait: grace - begun.reserve, phase, ..begun }
    }

    /// When everything will have been killed.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether a second SIGTERM arrived.
    #[must_use]
    pub fn is_hurried(&self) -> bool {
        self.hurry
    }

    /// Whether SIGKILL has begun: whatever is found is killed.
    #[must_use]
    pub fn is_killing(&self) -> bool {
        matches!(self.phase, Phase::Killing { .. })
    }

    /// Whether the applications are over with and only the daemon is waited for.
    #[must_use]
    pub fn is_daemons_turn(&self) -> bool {
        matches!(self.phase, Phase::DaemonTerm { .. } | Phase::DaemonKill { .. })
    }

    /// A second SIGTERM arrived.
    pub fn hurry(&mut self, now: Instant) {
        self.hurry = true;
        self.deadline = self.deadline.min(now + Duration::from_millis(HURRY_MS));
        if let Phase::Polite { until } = &mut self.phase {
            *until = now;
        }
        if let Phase::Terminating { kill_at } = &mut self.phase {
            *kill_at = (*kill_at).min(now + Duration::from_millis(HURRY_KILL_MS));
        }
    }

    /// When to look again even if nothing happens.
    #[must_use]
    pub fn next_at(&self) -> Instant {
        match self.phase {
            Phase::Polite { until } => until,
            Phase::Terminating { kill_at } | Phase::DaemonTerm { kill_at } => kill_at,
            Phase::Killing { look_at } => look_at,
            Phase::DaemonKill { leave_at } => leave_at,
        }
    }

    /// What to do now, once; ask again until there is nothing.
    pub fn next(&mut self, now: Instant, facts: Facts) -> Option<Action> {
        match self.phase {
            Phase::Polite { .. } if !facts.left && (facts.drained || !facts.daemon) => {
                self.turn_to_daemon(now, facts)
            }
            Phase::Polite { until } if facts.drained || now >= until => {
                if facts.left {
                    Some(self.terminate(now))
                } else {
                    self.turn_to_daemon(now, facts)
                }
            }
            Phase::Terminating { .. } | Phase::Killing { .. } if !facts.left => {
                self.turn_to_daemon(now, facts)
            }
            Phase::Killing { .. }
                if now >= self.deadline + Duration::from_millis(UNKILLABLE_MS) =>
            {
                self.turn_to_daemon(now, facts)
            }
            Phase::Terminating { kill_at: at } | Phase::Killing { look_at: at } if now >= at => {
                self.phase = Phase::Killing { look_at: now + Duration::from_millis(KILL_LOOK_MS) };
                Some(Action::Kill)
            }
            Phase::DaemonTerm { .. } | Phase::DaemonKill { .. } if !facts.daemon => {
                Some(Action::Finish)
            }
            Phase::DaemonTerm { kill_at } if now >= kill_at => {
                let leave_at = now + Duration::from_millis(UNKILLABLE_MS);
                self.phase = Phase::DaemonKill { leave_at };
                Some(Action::KillDaemon)
            }
            Phase::DaemonKill { leave_at } if now >= leave_at => Some(Action::Finish),
            _ => None,
        }
    }

    fn terminate(&mut self, now: Instant) -> Action {
        let wait = if self.hurry { Duration::from_millis(HURRY_KILL_MS) } else { self.term_wait };
        let kill_at = now + wait;
        self.phase = Phase::Terminating { kill_at };
        Action::Terminate { kill_at }
    }

    fn turn_to_daemon(&mut self, now: Instant, facts: Facts) -> Option<Action> {
        if !facts.daemon {
            return Some(Action::Finish);
        }
        let most = Duration::from_millis(DAEMON_TERM_MS_MAX);
        let kill_at = now + most.min(self.reserve / 2);
        self.phase = Phase::DaemonTerm { kill_at };
        Some(Action::StopDaemon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn facts(left: bool, daemon: bool, drained: bool) -> Facts {
        Facts { left, daemon, drained }
    }

    #[test]
    fn a_daemon_that_drains_in_time_is_the_only_one_to_signal() {
        let start = Instant::now();
        let mut shutdown = Shutdown::begin(start, Duration::from_secs(20));
        assert_eq!(shutdown.next(start, facts(true, true, false)), None);
        assert_eq!(shutdown.next(at(start, 900), facts(false, true, false)), None, "it may flush");
        let drained = shutdown.next(at(start, 950), facts(false, true, true));
        assert_eq!(drained, Some(Action::StopDaemon));
        assert_eq!(shutdown.next(at(start, 960), facts(false, true, true)), None);
        assert_eq!(shutdown.next(at(start, 970), facts(false, false, true)), Some(Action::Finish));
    }

    #[test]
    fn without_a_daemon_the_keeper_terminates_in_the_reserve_and_then_kills() {
        let start = Instant::now();
        let mut shutdown = Shutdown::begin(start, Duration::from_secs(20));
        let left = facts(true, false, false);
        assert_eq!(shutdown.next_at(), at(start, 18_000));
        assert_eq!(shutdown.next(at(start, 17_999), left), None);
        let kill_at = at(start, 18_500);
        assert_eq!(shutdown.next(at(start, 18_000), left), Some(Action::Terminate { kill_at }));
        assert_eq!(shutdown.next(at(start, 18_499), left), None);
        assert_eq!(shutdown.next(kill_at, left), Some(Action::Kill));
        let gone = facts(false, false, false);
        assert_eq!(shutdown.next(at(start, 18_510), gone), Some(Action::Finish));
    }

    #[test]
    fn a_second_request_terminates_at_once_and_kills_half_a_second_later() {
        let start = Instant::now();
        let mut shutdown = Shutdown::begin(start, Duration::from_secs(20));
        shutdown.hurry(at(start, 100));
        let kill_at = at(start, 600);
        let action = shutdown.next(at(start, 100), facts(true, true, false));
        assert_eq!(action, Some(Action::Terminate { kill_at }));
        assert!(shutdown.deadline() <= at(start, 1_600));
    }

    #[test]
    fn with_nothing_to_stop_and_no_daemon_it_is_over_at_once() {
        let start = Instant::now();
        let mut shutdown = Shutdown::begin(start, Duration::from_secs(20));
        assert_eq!(shutdown.next(start, facts(false, false, false)), Some(Action::Finish));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        /// Even if nothing ever ends, the keeper leaves, and soon after the grace.
        #[test]
        fn it_always_ends(grace_ms in 0..60_000u64, drained: bool, second in prop::option::of(0..60_000u64)) {
            let start = Instant::now();
            let mut shutdown = Shutdown::begin(start, Duration::from_millis(grace_ms));
            let mut now = start;
            let facts = facts(true, true, drained);
            let mut finished = false;
            for _ in 0..10_000 {
                if second.is_some_and(|ms| now >= at(start, ms)) && !shutdown.is_hurried() {
                    shutdown.hurry(now);
                }
                match shutdown.next(now, facts) {
                    Some(Action::Finish) => { finished = true; break; }
                    Some(_) => {}
                    None => {
                        let next = shutdown.next_at();
                        prop_assert!(next > now, "it would spin");
                        now = second.filter(|_| !shutdown.is_hurried())
                            .map_or(next, |ms| next.min(at(start, ms).max(now)));
                    }
                }
            }
            prop_assert!(finished);
            prop_assert!(now <= at(start, grace_ms + 4_000));
        }
    }
}
