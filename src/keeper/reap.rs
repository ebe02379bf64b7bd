//! Taking away what ended: exit status and resource use of every child, and no zombies.
//!
//! The keeper is the only one in its process who waits, and everything orphaned below it comes to
//! it, so it waits for any child. Not here: whose process it was.

#![expect(unsafe_code, reason = "wait4(2), the only call that tells what a child used")]

use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};

use crate::procfs::exit_of;
use deskd_core::task::{Exit, Rusage};

/// A child that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its pid; free for others from now on.
    pub pid: u32,
    /// How.
    pub exit: Exit,
    /// What it used.
    pub rusage: Rusage,
}

/// Makes sure that ended children wait to be reaped: a parent that ignores SIGCHLD hands that down,
/// and then exit statuses would be lost.
pub fn keep_exit_statuses() -> nix::Result<()> {
    // SAFETY: the default disposition; no handler of ours is involved.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map(drop)
}

/// Reaps one child that ended, if there is any; does not wait.
#[must_use]
pub fn reap() -> Option<Ended> {
    let mut status = 0;
    // SAFETY: a zeroed rusage is valid; both pointers are to locals of the right type.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let pid = libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage);
        (pid, usage)
    };
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    Some(Ended { pid, exit: exit_of(status), rusage: rusage(&usage) })
}

fn rusage(usage: &libc::rusage) -> Rusage {
    let micros =
        |time: libc::timeval| time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_usec.unsigned_abs();
    Rusage {
        user_us: micros(usage.ru_utime),
        system_us: micros(usage.ru_stime),
        max_rss_kib: usage.ru_maxrss.unsigned_abs(),
        major_faults: usage.ru_majflt.unsigned_abs(),
    }
}
