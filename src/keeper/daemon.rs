//! The daemon as a child: started, and started again when it dies.
//!
//! Values only; `core` starts and signals the process.

use std::time::{Duration, Instant};

use super::release::Release;

/// A daemon that lived shorter than this died young.
const YOUNG_MS: u64 = 5_000;
/// Pause after the second young death in a row; doubles with every further one.
const BACKOFF_MS_FIRST: u64 = 50;
/// Longest pause.
const BACKOFF_MS_MAX: u64 = 5_000;

#[derive(Debug, Clone, Copy)]
enum Life {
    Down { start_at: Instant },
    Up { pid: u32, since: Instant },
    Over,
}

/// The daemon.
#[derive(Debug)]
pub struct Daemon {
    /// What is started.
    pub release: Release,
    life: Life,
    young_deaths: u32,
    starts: u32,
}

impl Daemon {
    /// To be started now.
    #[must_use]
    pub fn new(release: Release, now: Instant) -> Self {
        Self { release, life: Life::Down { start_at: now }, young_deaths: 0, starts: 0 }
    }

    /// None: of a place, whose daemon is elsewhere.
    #[must_use]
    pub fn none() -> Self {
        Self { release: Release::none(), life: Life::Over, young_deaths: 0, starts: 0 }
    }

    /// Its pid while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self.life {
            Life::Up { pid, .. } => Some(pid),
            Life::Down { .. } | Life::Over => None,
        }
    }

    /// When it is to be started.
    #[must_use]
    pub fn start_at(&self) -> Option<Instant> {
        match self.life {
            Life::Down { start_at } => Some(start_at),
            Life::Up { .. } | Life::Over => None,
        }
    }

    /// It runs; `starts` counts.
    pub fn started(&mut self, pid: u32, now: Instant) {
        self.starts += 1;
        self.life = Life::Up { pid, since: now };
    }

    /// Whether it could ever be started.
    #[must_use]
    pub fn has_run(&self) -> bool {
        self.starts > 0
    }

    /// Whether the one that runs, or ran last, was the first.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.starts <= 1
    }

    /// It ended, or could not be started; it will be, after the pause that is returned.
    pub fn died(&mut self, now: Instant) -> Duration {
        let lived = match self.life {
            Life::Up { since, .. } => now.saturating_duration_since(since),
            Life::Down { .. } | Life::Over => Duration::ZERO,
        };
        if lived >= Duration::from_millis(YOUNG_MS) {
            self.young_deaths = 0;
        }
        let pause = pause(self.young_deaths);
        self.young_deaths = self.young_deaths.saturating_add(1);
        if !matches!(self.life, Life::Over) {
            self.life = Life::Down { start_at: now + pause };
        }
        pause
    }

    /// It ended, and another release is to be started, which is not to blame for earlier deaths.
    pub fn start_at_once(&mut self, now: Instant) {
        self.young_deaths = 0;
        self.life = Life::Down { start_at: now };
    }

    /// It ended and is not needed any more.
    pub fn over(&mut self) {
        self.life = Life::Over;
    }
}

/// The pause before the next start after `young_deaths` earlier ones in a row.
fn pause(young_deaths: u32) -> Duration {
    let ms = match young_deaths {
        0 => 0,
        deaths => (BACKOFF_MS_FIRST << (deaths - 1).min(16)).min(BACKOFF_MS_MAX),
    };
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spawn::Command;

    #[test]
    fn the_first_death_is_repaired_at_once_and_repeated_ones_ever_more_slowly() {
        let now = Instant::now();
        let command = Command::of_program(&["/bin/true".into()], [].into_iter()).unwrap();
        let release = Release { command, _program: None, file: None };
        let mut daemon = Daemon::new(release, now);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            daemon.started(7, now);
            pauses.push(daemon.died(now).as_millis());
        }
        assert_eq!(pauses, [0, 50, 100, 200, 400, 800, 1600, 3200, 5000]);
        daemon.started(8, now);
        let later = now + Duration::from_millis(YOUNG_MS);
        assert_eq!(daemon.died(later), Duration::ZERO);
        assert_eq!(daemon.start_at(), Some(later));
    }
}
