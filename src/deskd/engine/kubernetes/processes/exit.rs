//! How a process ends that is nobody's child here. A pidfd tells when and, since Linux 6.15, how:
//! ioctl `PIDFD_GET_INFO` with `PIDFD_INFO_EXIT` (`include/uapi/linux/pidfd.h`). It needs no
//! privilege, only that the descriptor was opened before the end (measured as an ordinary user).

#![expect(unsafe_code, reason = "ioctl(PIDFD_GET_INFO), which has no safe wrapper")]

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::ioctl::{Updater, ioctl, opcode};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use deskd_core::task::Exit;
use deskd_keeper::procfs;

/// Asks for, and says that there is, the exit status.
const PIDFD_INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: rustix::ioctl::Opcode = opcode::read_write::<PidfdInfo>(0xff, 11);
/// The kernel knows the status once the parent has waited for the process: how long that may take.
const REAPED_WITHIN: Duration = Duration::from_secs(1);
/// First pause between two looks; each is twice the one before.
const REAPED_PAUSE_FIRST: Duration = Duration::from_micros(200);

/// `struct pidfd_info` in its first version, 64 bytes; the kernel takes every later size, too.
#[repr(C)]
#[derive(Debug, Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    /// pid, tgid, ppid, and the four user and group ids.
    ids: [u32; 11],
    /// A wait status.
    exit_code: i32,
}

/// A process whose end is waited for.
#[derive(Debug)]
pub struct ExitWatch(AsyncFd<OwnedFd>);

/// A descriptor of a process that exists; nothing when it does not any more.
#[must_use]
pub fn pidfd(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

impl ExitWatch {
    /// Of a process that exists; nothing when it does not any more.
    #[must_use]
    pub fn open(pid: u32) -> Option<Self> {
        pidfd(pid).and_then(Self::of)
    }

    /// Of the process that a pidfd is for.
    #[must_use]
    #[expect(
        deprecated,
        reason = "unsound only for descriptors that are closed or replaced while registered: this \
                  one is owned by the AsyncFd"
    )]
    pub fn of(pidfd: OwnedFd) -> Option<Self> {
        AsyncFd::with_interest(pidfd, Interest::READABLE).ok().map(Self)
    }

    /// Waits for its end. How it ended is unknown to kernels before 6.15.
    pub async fn ended(&self) -> Option<Exit> {
        // Readable once the process has ended (pidfd_open(2)).
        drop(self.0.readable().await.ok()?);
        let mut pause = REAPED_PAUSE_FIRST;
        while pause < REAPED_WITHIN {
            match status(self.0.get_ref()) {
                Ok(Some(status)) => return Some(procfs::exit_of(status)),
                Ok(None) | Err(Errno::SRCH) => tokio::time::sleep(pause).await,
                Err(_) => return None,
            }
            pause *= 2;
        }
        None
    }
}

/// The wait status, as soon as the kernel has it.
fn status(fd: impl AsFd) -> Result<Option<i32>, Errno> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the opcode is that of a structure of this size and layout, which the kernel fills.
    unsafe { ioctl(fd, Updater::<PIDFD_GET_INFO, PidfdInfo>::new(&mut info)) }?;
    Ok((info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_that_is_gone_cannot_be_watched() {
        assert!(ExitWatch::open(u32::MAX).is_none());
    }

    #[test]
    fn the_structure_is_the_kernel_s() {
        assert_eq!(size_of::<PidfdInfo>(), 64);
        assert_eq!(std::mem::offset_of!(PidfdInfo, exit_code), 60);
    }
}
