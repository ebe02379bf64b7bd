//! Sending signals to processes of a snapshot, and who sent one.

use std::collections::HashSet;

use nix::sys::signalfd::siginfo;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::tree::Process;
use crate::procfs;

/// What became of one signal to many processes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Took it.
    pub pids: Vec<u32>,
    /// May not be signalled.
    pub refused: Vec<u32>,
}

/// Sends `signals`, in order, to each process. One that is gone meanwhile is left out, also when
/// its pid already means another process.
pub fn send(processes: &[Process], signals: &[Signal]) -> Sent {
    let mut sent = Sent::default();
    for process in processes {
        match send_one(process, signals) {
            Ok(()) => sent.pids.push(process.pid),
            Err(Errno::PERM) => sent.refused.push(process.pid),
            Err(_) => {}
        }
    }
    sent
}

fn send_one(process: &Process, signals: &[Signal]) -> Result<(), Errno> {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let fd = pidfd_open(pid, PidfdFlags::empty())?;
    // Only now is the pid pinned: is it still the process that was seen?
    let stat = procfs::read_stat(process.pid).ok_or(Errno::SRCH)?;
    if stat.start_ticks != process.start_ticks {
        return Err(Errno::SRCH);
    }
    signals.iter().try_for_each(|signal| pidfd_send_signal(&fd, *signal))
}

/// Whether the sender of a signal is outside of this PID namespace, where it has no number. Of kill(2) the kernel
/// says who sent it. With sigqueue(3) the sender says that, and with `F_SETSIG` (fcntl(2)) nobody.
#[must_use]
pub fn is_from_outside(info: &siginfo) -> bool {
    info.ssi_pid == 0 && info.ssi_code == nix::libc::SI_USER
}

/// The processes that are not in `known`, which they are added to.
pub fn only_new(processes: &[Process], known: &mut HashSet<(u32, u64)>) -> Vec<Process> {
    processes.iter().filter(|p| known.insert((p.pid, p.start_ticks))).copied().collect()
}
