//! Processes that a look at `/proc` misses, because each of them ends before it is read and leaves one child
//! that does the same.
//!
//! Whatever they do, they are orphans: children of the keeper, and when they ended they stay so until they
//! are reaped, with their limits, which have the mark. The keeper does not reap while it looks, so its own
//! children say what a look missed, and their ids cannot mean other processes.

use std::collections::HashSet;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid, getpgrp};

use super::Keeper;
use crate::procfs;
use crate::table::TaskKey;
use crate::tree::{self, Survey};

/// Looks at the keeper's own children in one kill: each generation is killed that is found, and one of
/// the next ones before it has a child.
const CHASES_MAX: usize = 256;

impl Keeper {
    /// The children of the keeper, zombies too, that are neither its own nor the main process of a run.
    pub(super) fn orphans(&mut self) -> std::io::Result<Vec<u32>> {
        let mut children = procfs::own_children()?;
        children.retain(|pid| self.is_orphan(*pid));
        Ok(children)
    }

    fn is_orphan(&mut self, pid: u32) -> bool {
        !(self.table.is_main(pid)
            || self.daemon.pid() == Some(pid)
            || self.reload.checker() == Some(pid)
            || self.starts.pids().any(|starter| starter == pid)
            || self.starts.of_pid(pid).is_some())
    }

    /// The tasks of which there were, or are, processes that a look did not find alive. One that had ended
    /// before the look began does not count again: its children would have been found, or be here too.
    pub(super) fn missed(&mut self, survey: &Survey) -> HashSet<TaskKey> {
        let found: HashSet<u32> = survey.processes().map(|process| process.pid).collect();
        let marks = self.table.marks();
        let (mut dead, mut missed) = (HashSet::new(), HashSet::new());
        for pid in self.orphans().unwrap_or_default() {
            let process = procfs::look_at(pid).ok().flatten();
            let Some(stat) = process.filter(|_| !found.contains(&pid)) else { continue };
            if !stat.is_alive() {
                dead.insert((pid, stat.start_ticks));
            }
            if self.evidence.is_known_dead(pid, stat.start_ticks) {
                continue;
            }
            if let [key] = tree::owners_of_child(pid, &marks, &mut self.evidence)[..] {
                missed.insert(key);
            }
        }
        self.evidence.remember_dead(dead);
        missed
    }

    /// SIGKILL to the children of the keeper that can only be of `keys`, and to their process groups: a
    /// signal to a group reaches all of it at once, and whoever has it forks no more.
    pub(super) fn chase(&mut self, keys: &[TaskKey]) {
        let marks = self.table.marks();
        let own_group = getpgrp();
        let mut known = HashSet::new();
        for _ in 0..CHASES_MAX {
            let Ok(orphans) = self.orphans() else { return };
            let new: Vec<u32> = orphans.into_iter().filter(|pid| known.insert(*pid)).collect();
            if new.is_empty() {
                return;
            }
            for pid in new {
                let of = tree::owners_of_child(pid, &marks, &mut self.evidence);
                if of.is_empty() || !of.iter().all(|key| keys.contains(key)) {
                    continue;
                }
                let pid = Pid::from_raw(pid.cast_signed());
                // What refuses is of another user, and told by the round that found it.
                let _ = kill(pid, Signal::SIGKILL);
                // Its session is of its task, and so is everything in its group. 0 is one outside of this
                // PID namespace, and 1 would mean everybody.
                let is_theirs = |group: &Pid| group.as_raw() > 1 && *group != own_group;
                if let Some(group) = getpgid(Some(pid)).ok().filter(is_theirs) {
                    let _ = killpg(group, Signal::SIGKILL);
                }
            }
        }
    }
}
