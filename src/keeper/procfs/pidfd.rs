//! How a process ends that is nobody's child here. A pidfd tells when and, since Linux 6.15, how:
//! ioctl `PIDFD_GET_INFO` with `PIDFD_INFO_EXIT` (`include/uapi/linux/pidfd.h`). It needs no
//! privilege, only that the descriptor was opened before the end (measured as an ordinary user).

#![expect(unsafe_code, reason = "ioctl(PIDFD_GET_INFO), which has no safe wrapper")]

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::ioctl::{Updater, ioctl, opcode};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Asks for, and says that there is, the exit status.
const PIDFD_INFO_EXIT: u64 = 1 << 3;
/// `_IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: rustix::ioctl::Opcode = opcode::read_write::<PidfdInfo>(0xff, 11);

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

/// A descriptor of a process that exists; nothing when it does not any more.
#[must_use]
pub fn pidfd(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// The wait status of a process that ended, as soon as the kernel has it: once its parent has waited
/// for it. Nothing (or `ESRCH`) before.
///
/// # Errors
/// `ENOTTY` and others: this kernel does not say.
pub fn wait_status(pidfd: impl AsFd) -> Result<Option<i32>, Errno> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the opcode is that of a structure of this size and layout, which the kernel fills.
    unsafe { ioctl(pidfd, Updater::<PIDFD_GET_INFO, PidfdInfo>::new(&mut info)) }?;
    Ok((info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code))
}

/// The same of one that may be a zombie, too, which shows its status to its own user.
///
/// # Errors
/// As those of [`wait_status`].
pub fn status_of_ended(pidfd: impl AsFd, pid: u32) -> Result<Option<i32>, Errno> {
    let zombies = zombie_status(pid);
    // Only after the number was used it is clear that it was still this process's: it has not been waited for.
    match wait_status(pidfd)? {
        None => Ok(zombies),
        some => Ok(some),
    }
}

/// Field 52 of `/proc/PID/stat` (proc_pid_stat(5)) of a zombie.
fn zombie_status(pid: u32) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    if fields.next()? != "Z" {
        return None;
    }
    fields.last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structure_is_the_kernel_s() {
        assert_eq!(size_of::<PidfdInfo>(), 64);
        assert_eq!(std::mem::offset_of!(PidfdInfo, exit_code), 60);
    }
}
