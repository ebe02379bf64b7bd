//! The processes of ephemeral containers that join deskd's own PID namespace: found, watched to
//! their end, and signalled. Everything here is `/proc`, pidfds and signals; the API server is not
//! asked.
//!
//! A run's first process has the run's names in its environment and a parent in another namespace.
//! All processes of a container share its cgroup, whatever they did to their environment and
//! parents.

mod cgroup;
mod exit;
mod members;
mod program;
mod stop;

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

pub use cgroup::first_of_container;
pub use members::of_container as members_of;
pub use stop::StopWork;

use self::exit::ExitWatch;
use deskd_core::kubernetes::{RUN_VARIABLE, TASK_VARIABLE};
use deskd_core::task::Exit;
use deskd_core::wire::RunId;
use deskd_keeper::procfs;

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

/// How a container ended, as far as its processes showed it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// Its first process.
    pub exit: Option<Exit>,
    /// The program that its entry point started.
    pub program: Option<Exit>,
}

/// Once the first process is gone, how long its program's end may take to be known.
const PROGRAM_AFTER: Duration = Duration::from_secs(2);

/// Waits for the end of the container with the first process `first`, whose entry point starts
/// `program`; nothing when it cannot be waited for.
pub async fn end_of(first: u32, program: Option<&str>) -> Option<End> {
    let watch = ExitWatch::open(first)?;
    let of_program = pin!(async {
        let found = program::find(first, program?).await?;
        found.ended().await
    });
    Some(match select(pin!(watch.ended()), of_program).await {
        Either::Left((exit, of_program)) => {
            let program = tokio::time::timeout(PROGRAM_AFTER, of_program).await.ok().flatten();
            End { exit, program }
        }
        Either::Right((program, ended)) => End { exit: ended.await, program },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_process_that_is_gone_is_not_waited_for() {
        assert_eq!(end_of(u32::MAX, None).await, None);
    }

    #[test]
    fn what_has_a_parent_here_is_looked_at_once() {
        let mut finder = Finder::default();
        let run = RunId { task: "none-00000".parse().unwrap(), run: 1 };
        assert!(finder.find(std::slice::from_ref(&run)).is_empty());
        assert!(finder.others.contains(&std::process::id()));
    }
}
