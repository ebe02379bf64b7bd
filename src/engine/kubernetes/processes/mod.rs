//! The processes of ephemeral containers that join deskd's own PID namespace: found, watched to
//! their end, and signalled. Everything here is `/proc`, pidfds and signals; the API server is not
//! asked.
//!
//! A run's first process has the run's names in its environment and a parent in another namespace.
//! All processes of a container share its cgroup, whatever they did to their environment and
//! parents.

mod cgroup;
mod members;
mod stop;

use std::collections::HashSet;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub use cgroup::first_of_container;
pub use members::of_container as members_of;
pub use stop::StopWork;

use crate::domain::kubernetes::{RUN_VARIABLE, TASK_VARIABLE};
use crate::keeper::wire::RunId;
use crate::procfs;

/// Looks for first processes again and again; those that cannot be one are looked at once.
#[derive(Debug, Default)]
pub struct Finder {
    others: HashSet<u32>,
}

impl Finder {
    /// First processes of `wanted` that exist now.
    pub fn find(&mut self, wanted: &[RunId]) -> Vec<(RunId, u32)> {
        // A /proc that cannot be listed (no descriptor is free) shows nothing now.
        let pids = procfs::pids().unwrap_or_default();
        let now: HashSet<u32> = pids.iter().copied().collect();
        self.others.retain(|pid| now.contains(pid));
        let mut found = Vec::new();
        for pid in pids {
            if self.others.contains(&pid) {
                continue;
            }
            let Some(stat) = procfs::read_stat(pid) else { continue };
            // What comes from another namespace may still be the runtime, before it executes the
            // program: its environment changes, so it is looked at again.
            if stat.ppid != 0 {
                self.others.insert(pid);
            } else if stat.is_alive()
                && let Some(run) = wanted.iter().find(|run| is_of(pid, run))
            {
                found.push((run.clone(), pid));
            }
        }
        found
    }
}

/// Whether a process was started with the names of the run.
fn is_of(pid: u32, run: &RunId) -> bool {
    let has =
        |key, value: &str| procfs::read_env_value(pid, key).as_deref() == Some(value.as_bytes());
    has(TASK_VARIABLE, run.task.as_str()) && has(RUN_VARIABLE, &run.run.to_string())
}

/// The first process of the run that `pid` belongs to (a window's owner may be a child of it).
#[must_use]
pub fn first_of(pid: u32, run: &RunId) -> Option<u32> {
    let first = |pid: &u32| procfs::read_stat(*pid).is_some_and(|stat| stat.ppid == 0);
    if first(&pid) {
        return Some(pid);
    }
    members_of(Some(pid), run).into_iter().map(|process| process.pid).find(first)
}

/// Waits for the end of a process; nothing when it cannot be waited for.
#[expect(
    deprecated,
    reason = "unsound only for descriptors that are closed or replaced while registered: this one \
              is owned by the AsyncFd"
)]
pub async fn ended(pid: u32) -> Option<()> {
    let fd = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
    let fd = AsyncFd::with_interest(fd, Interest::READABLE).ok()?;
    // Readable once the process has ended (pidfd_open(2)).
    fd.readable().await.ok().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_process_that_is_gone_is_not_waited_for() {
        assert_eq!(ended(u32::MAX).await, None);
    }

    #[test]
    fn what_has_a_parent_here_is_looked_at_once() {
        let mut finder = Finder::default();
        let run = RunId { task: "none-00000".parse().unwrap(), run: 1 };
        assert!(finder.find(std::slice::from_ref(&run)).is_empty());
        assert!(finder.others.contains(&std::process::id()));
    }
}
