//! Looks that ask the kernel alone: the process table, who listens, a path.

use std::path::Path;

use deskd_core::named_check::Found;
use deskd_keeper::procfs;

use crate::listeners;

/// The kernel keeps this many bytes of a thread's name (`TASK_COMM_LEN` less its end).
const COMM_BYTES_MAX: usize = 15;

/// A process whose own name, or whose program's, is this; zombies do not count.
pub(super) fn process(name: &str) -> Found {
    let pids = match procfs::pids() {
        Ok(pids) => pids,
        Err(error) => return Found::Wrong(format!("the process table cannot be read: {error}")),
    };
    let short = name.as_bytes().get(..COMM_BYTES_MAX).unwrap_or(name.as_bytes());
    let is_named = |pid: &u32| {
        let Some(stat) = procfs::read_stat(*pid).filter(procfs::ProcessStat::is_alive) else {
            return false;
        };
        if stat.comm == name {
            return true;
        }
        // Only a name that was cut, or that a program gave itself, makes another file worth reading.
        let arguments = procfs::read_arguments(*pid);
        let program = arguments.first().and_then(|path| path.rsplit('/').next());
        program == Some(name) || (name.len() > COMM_BYTES_MAX && stat.comm.as_bytes() == short)
    };
    match pids.iter().find(|pid| is_named(pid)) {
        Some(pid) => Found::Present(Some(format!("pid {pid}"))),
        None => Found::Absent,
    }
}

/// Somebody listens, as the kernel says of this network namespace: nobody is connected to.
pub(super) fn port(port: u16) -> Found {
    let [ipv4, ipv6] = listeners::tcp(port);
    if ipv4 || ipv6 { Found::Present(None) } else { Found::Absent }
}

/// Something with this path, whatever it is.
pub(super) fn file(path: &Path) -> Found {
    match std::fs::metadata(path) {
        Ok(_) => Found::Present(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Found::Absent,
        Err(error) => Found::Wrong(error.to_string()),
    }
}
