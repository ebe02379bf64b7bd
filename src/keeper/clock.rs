//! The clock by which stages are measured.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`, the same for all processes of a machine (time namespaces aside). Makes no
/// system call where the kernel has a vDSO, and may be called in a child that shares its parent's memory.
#[must_use]
pub fn monotonic_ns() -> u64 {
    const NS_PER_S: u64 = 1_000_000_000;
    // Linux has this clock.
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    now.tv_sec().unsigned_abs() * NS_PER_S + now.tv_nsec().unsigned_abs()
}
