//! Waiting for a predicate, with a bound.

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up: for hangs, also on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until there is something; fails after [`PATIENCE`].
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look)
}

/// The same for what takes longer by its nature.
pub(crate) fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain until {what}");
        pause(PAUSE);
    }
}

/// Lets time pass.
#[expect(clippy::disallowed_methods, reason = "the pause between two looks at a predicate")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
