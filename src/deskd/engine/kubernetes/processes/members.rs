//! Which processes belong to a run.

use std::collections::{HashMap, HashSet};

use super::is_of;
use deskd_core::wire::RunId;
use deskd_keeper::procfs;

/// A process, named for good: its pid may mean another one later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// When it started.
    pub start_ticks: u64,
}

/// What was read of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    process: Process,
    ppid: u32,
    cgroup: Option<String>,
    /// The run's names are in its environment.
    named: bool,
}

/// The living processes of a run whose first one is or was `first`.
#[must_use]
pub fn of_container(first: Option<u32>, run: &RunId) -> Vec<Process> {
    let own = std::process::id();
    // A /proc that cannot be listed shows nothing now; stopping looks again.
    let pids = procfs::pids().unwrap_or_default();
    let seen: Vec<Seen> = pids
        .into_iter()
        .filter(|pid| *pid != 1 && *pid != own)
        .filter_map(|pid| {
            let stat = procfs::read_stat(pid).filter(procfs::ProcessStat::is_alive)?;
            Some(Seen {
                process: Process { pid, start_ticks: stat.start_ticks },
                ppid: stat.ppid,
                cgroup: procfs::read_cgroup(pid),
                named: is_of(pid, run),
            })
        })
        .collect();
    choose(&seen, first, procfs::read_cgroup(own).as_deref())
}

/// Those with the run's names and their descendants, and everything in the cgroup of any of those
/// unless that is deskd's own (a runtime without cgroups of its own for containers).
fn choose(seen: &[Seen], first: Option<u32>, own_cgroup: Option<&str>) -> Vec<Process> {
    let is_root = |seen: &&Seen| seen.named || Some(seen.process.pid) == first;
    let cgroups: HashSet<&str> = seen
        .iter()
        .filter(is_root)
        .filter_map(|seen| seen.cgroup.as_deref())
        .filter(|cgroup| Some(*cgroup) != own_cgroup)
        .collect();
    let parents: HashMap<u32, u32> =
        seen.iter().map(|seen| (seen.process.pid, seen.ppid)).collect();
    let roots: HashSet<u32> = seen.iter().filter(is_root).map(|seen| seen.process.pid).collect();
    let descends = |pid: u32| {
        let mut at = Some(pid);
        // As many steps as there are processes: a snapshot may have a cycle.
        for _ in 0..=seen.len() {
            match at {
                Some(pid) if roots.contains(&pid) => return true,
                Some(pid) => at = parents.get(&pid).copied(),
                None => return false,
            }
        }
        false
    };
    seen.iter()
        .filter(|seen| {
            seen.cgroup.as_deref().is_some_and(|cgroup| cgroups.contains(cgroup))
                || descends(seen.process.pid)
        })
        .map(|seen| seen.process)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pid: u32, ppid: u32, cgroup: &str, named: bool) -> Seen {
        let process = Process { pid, start_ticks: 1 };
        Seen { process, ppid, cgroup: Some(cgroup.to_owned()), named }
    }

    fn pids(chosen: Vec<Process>) -> Vec<u32> {
        chosen.into_iter().map(|process| process.pid).collect()
    }

    #[test]
    fn a_container_s_cgroup_finds_what_hides_its_name_and_parent() {
        let all = [
            seen(10, 0, "/c1", true),
            seen(11, 10, "/c1", false),
            seen(12, 1, "/c1", false),
            seen(20, 0, "/c2", false),
            seen(30, 1, "/own", false),
        ];
        assert_eq!(pids(choose(&all, None, Some("/own"))), [10, 11, 12]);
    }

    #[test]
    fn in_deskd_s_own_cgroup_names_and_descent_decide() {
        let all = [
            seen(10, 0, "/own", true),
            seen(11, 10, "/own", false),
            seen(12, 11, "/own", false),
            seen(13, 1, "/own", true),
            seen(30, 1, "/own", false),
        ];
        assert_eq!(pids(choose(&all, None, Some("/own"))), [10, 11, 12, 13]);
    }

    #[test]
    fn a_first_process_that_may_not_be_looked_into_still_names_its_cgroup() {
        let all =
            [seen(10, 0, "/c1", false), seen(12, 1, "/c1", false), seen(30, 1, "/own", false)];
        assert_eq!(pids(choose(&all, Some(10), Some("/own"))), [10, 12]);
        assert!(choose(&all, None, Some("/own")).is_empty());
    }

    #[test]
    fn a_snapshot_with_a_cycle_ends() {
        let all = [seen(10, 11, "/own", false), seen(11, 10, "/own", false)];
        assert!(choose(&all, None, Some("/own")).is_empty());
    }
}
