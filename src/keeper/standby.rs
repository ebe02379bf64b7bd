//! A second keeper of a state directory, where the first one was killed: its daemon became the keeper, as no child of
//! whatever started the first. What started it (supervisord, an init) starts `deskd run` again. That process stands by:
//! it passes signals on and lives as long as the keeper does, so that the service is one again.
//!
//! The keeper that took over says so in the lock of the state directory.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal as Received};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{KeeperError, LOCK_NAME, tried};
use crate::files;
use deskd_core::exit::Exit;

/// In the lock, after the pid of a keeper that took over.
const TOOK_OVER: &str = " took over";
/// Longest content of the lock, bytes.
const CONTENT_BYTES_MAX: u64 = 64;
/// From the end of a keeper until its daemon has become one, or has let go of the lock and the address.
pub const SUCCESSION_MS_MAX: u64 = 5_000;
/// Between two looks meanwhile.
pub const LOOK_MS: u8 = 20;
/// What is passed on.
const SIGNALS: [(Received, Signal); 3] = [
    (Received::SIGTERM, Signal::TERM),
    (Received::SIGINT, Signal::INT),
    (Received::SIGHUP, Signal::HUP),
];

/// Who has the lock, by what the lock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder {
    pid: Pid,
    took_over: bool,
}

/// Says in the lock who has it: this process, which took over from a keeper that was killed, or did not.
pub fn declare(lock: &File, took_over: bool) {
    let text = format!("{}{}\n", std::process::id(), if took_over { TOOK_OVER } else { "" });
    // In this order it is never empty: whoever reads meanwhile finds this line, and a rest of the one before.
    // A full disk: the next `deskd run` ends, as it does where any other keeper is.
    let _ = lock.write_all_at(text.as_bytes(), 0).and_then(|()| lock.set_len(text.len() as u64));
}

/// Waits while a keeper that took over has the directory; what the process is to exit with if it was asked to end.
///
/// # Errors
/// The system's.
pub fn until_free(state_dir: &Path) -> Result<Option<Exit>, KeeperError> {
    let mut vacant: Option<Instant> = None;
    while let Some(declared) = declared(state_dir) {
        let holder = Holder::of(&declared);
        let living = holder.and_then(|holder| Some((holder, living(holder.pid)?)));
        let Some((holder, keeper)) = living else {
            let since = *vacant.get_or_insert_with(Instant::now);
            if since.elapsed() >= Duration::from_millis(SUCCESSION_MS_MAX) {
                break;
            }
            // A signal waits until there is somebody to pass it on to.
            let _ = poll(&mut [], LOOK_MS);
            continue;
        };
        if !holder.took_over {
            break;
        }
        vacant = None;
        let pid = holder.pid.as_raw_nonzero();
        tracing::warn!(
            pid,
            "the keeper before was killed and its daemon became the keeper: this process passes signals on to it and \
             ends with it"
        );
        if accompany(&keeper)? {
            return Ok(Some(Exit::Ok));
        }
    }
    Ok(None)
}

impl Holder {
    /// Nothing where it was not declared yet, or cannot be read.
    fn of(declared: &str) -> Option<Self> {
        let line = declared.lines().next()?;
        let pid = line.strip_suffix(TOOK_OVER);
        let took_over = pid.is_some();
        Some(Self { pid: Pid::from_raw(pid.unwrap_or(line).parse().ok()?)?, took_over })
    }
}

/// What the lock says; nothing where it is free, or cannot be opened.
fn declared(state_dir: &Path) -> Option<String> {
    let mut options = File::options();
    let mut lock =
        files::open_own(options.read(true).write(true), &state_dir.join(LOCK_NAME)).ok()?;
    let mut text = Vec::new();
    (&mut lock).take(CONTENT_BYTES_MAX).read_to_end(&mut text).ok()?;
    // One that is free is so again once it is dropped.
    let Err((_, Errno::EWOULDBLOCK)) = Flock::lock(lock, FlockArg::LockExclusiveNonblock) else {
        return None;
    };
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Its pidfd, unless it has ended.
fn living(pid: Pid) -> Option<OwnedFd> {
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    let ended = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO);
    matches!(ended, Ok(0)).then_some(pidfd)
}

/// Waits for its end and passes signals on meanwhile; whether it was asked to end.
fn accompany(keeper: &OwnedFd) -> Result<bool, KeeperError> {
    let mask: SigSet = SIGNALS.iter().map(|(received, _)| *received).collect();
    let failed = tried("receive signals through a descriptor");
    let signals = mask
        .thread_block()
        .and_then(|()| SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC));
    let signals = signals.map_err(failed)?;
    let mut asked = false;
    loop {
        let mut fds = [
            PollFd::new(keeper.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(tried("wait for events")(errno)),
        }
        let over = fds[0].any().unwrap_or(false);
        while let Ok(Some(info)) = signals.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or_default();
            for (received, signal) in SIGNALS {
                if received as i32 == number {
                    asked |= received != Received::SIGHUP;
                    // It may be gone already, which is what is waited for.
                    let _ = pidfd_send_signal(keeper, signal);
                }
            }
        }
        if over {
            return Ok(asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(declared: &str) -> Option<(i32, bool)> {
        Holder::of(declared).map(|holder| (holder.pid.as_raw_nonzero().get(), holder.took_over))
    }

    #[test]
    fn a_lock_says_whose_it_is_at_every_moment_of_a_succession() {
        let dir = tempfile::tempdir().expect("a directory");
        let lock = File::create(dir.path().join(LOCK_NAME)).expect("a file");
        let own = i32::try_from(std::process::id()).expect("a pid");
        for before in ["", "7\n", "4194303 took over\n"] {
            lock.set_len(0).and_then(|()| lock.write_all_at(before.as_bytes(), 0)).expect("room");
            for took_over in [true, false] {
                declare(&lock, took_over);
                let text = std::fs::read_to_string(dir.path().join(LOCK_NAME)).expect("a file");
                assert_eq!(holder(&text), Some((own, took_over)), "{text:?}");
                assert_eq!(text.lines().count(), 1, "{text:?}");
                // Before the rest of the line before was cut off.
                assert_eq!(holder(&format!("{text}er\n")), Some((own, took_over)));
            }
        }
        assert_eq!(holder(""), None);
        assert_eq!(holder("no pid\n"), None);
    }
}
