//! Complaints about what others do, once in a while: who floods a door does not fill the log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines of the log about the same.
const PAUSE: Duration = Duration::from_secs(60);

/// One complaint.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether the log should have it now.
    pub fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|at| at.elapsed() >= PAUSE);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ten_thousand_complaints_at_once_the_log_has_one() {
        let complaint = Seldom::default();
        assert_eq!((0..10_000).filter(|_| complaint.is_due()).count(), 1);
    }
}
