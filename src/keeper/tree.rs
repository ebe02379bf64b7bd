//! Which processes belong to which task.
//!
//! The keeper is the subreaper (or PID 1) of everything it started, so whatever a task's process
//! does (double fork, `setsid`, closing everything), its descendants stay descendants of the
//! keeper. A process belongs to a task when, in this order,
//!
//! 1. its parent does, or it is a task's main process (ancestry);
//! 2. it is an orphan and bears the task's tag: a unique RLIMIT_RTTIME, which has no effect on a
//!    process that is not real-time, is inherited over fork, exec and setsid, and can be read by
//!    everyone in `/proc/PID/limits`;
//! 3. it is in the session of the task's main process;
//! 4. it was started with `DESKD_TASK_ID=<task>`.
//!
//! The daemon and its descendants are nobody's. [`attribute`] is pure; [`survey`] feeds it with one
//! pass over `/proc`.

use std::collections::HashMap;
use std::io;

use super::table::TaskKey;
use crate::procfs;
use deskd_core::id::TaskId;
use deskd_core::wire::TASK_VARIABLE;

/// The limit's name in `/proc/PID/limits`.
const TAG_LIMIT: &str = "Max realtime timeout";
/// Times a process is read again whose parent vanished during the pass.
const REREADS_MAX: usize = 3;

/// A process of the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent.
    pub ppid: u32,
    /// Its session.
    pub session: u32,
    /// With the pid: this process and no later one.
    pub start_ticks: u64,
    /// Not a zombie.
    pub alive: bool,
}

/// What the processes of one run are recognized by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Whose run.
    pub key: TaskKey,
    /// The task's id.
    pub task: TaskId,
    /// Pid of the main process: the session's number even after it ended.
    pub pid: u32,
    /// The main process has not been reaped, so that its pid is surely its own.
    pub main_lives: bool,
    /// RLIMIT_RTTIME of its processes.
    pub tag: u64,
}

/// What an orphan says about itself; asked only where ancestry does not tell.
pub trait Evidence {
    /// Its RLIMIT_RTTIME.
    fn tag(&mut self, pid: u32) -> Option<u64>;
    /// Its [`TASK_VARIABLE`].
    fn task(&mut self, pid: u32) -> Option<String>;
}

/// Reads evidence from `/proc`.
#[derive(Debug)]
pub struct ProcEvidence;

impl Evidence for ProcEvidence {
    fn tag(&mut self, pid: u32) -> Option<u64> {
        procfs::read_soft_limit(pid, TAG_LIMIT)
    }
    fn task(&mut self, pid: u32) -> Option<String> {
        String::from_utf8(procfs::read_env_value(pid, TASK_VARIABLE)?).ok()
    }
}

/// Whose a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A task's.
    Task(TaskKey),
    /// A descendant of the keeper that no evidence ties to a task.
    Stray,
    /// Not the keeper's business: the daemon's, or not a descendant.
    Other,
}

/// The processes there are, by owner.
#[derive(Debug, Default)]
pub struct Survey {
    /// Of each task that has any.
    pub tasks: HashMap<TaskKey, Vec<Process>>,
    /// Of the keeper, but of no task.
    pub strays: Vec<Process>,
    /// The keeper's children that wait to be reaped.
    pub zombies: Vec<u32>,
}

impl Survey {
    /// The processes of a task.
    #[must_use]
    pub fn of(&self, key: TaskKey) -> &[Process] {
        self.tasks.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// Looks at all processes.
pub fn survey(keeper: u32, daemon: Option<u32>, marks: &[Mark]) -> io::Result<Survey> {
    let processes = snapshot(keeper)?;
    let owners = attribute(&processes, keeper, daemon, marks, &mut ProcEvidence);
    let mut survey = Survey::default();
    for (process, owner) in processes.into_iter().zip(owners) {
        match owner {
            _ if !process.alive && process.ppid == keeper => survey.zombies.push(process.pid),
            _ if !process.alive => {}
            Owner::Task(key) => survey.tasks.entry(key).or_default().push(process),
            Owner::Stray => survey.strays.push(process),
            Owner::Other => {}
        }
    }
    Ok(survey)
}

/// Everything in `/proc`. A process whose parent ended between the two being read is read again,
/// for it has a new parent now: the keeper, most likely.
fn snapshot(keeper: u32) -> io::Result<Vec<Process>> {
    let pids = procfs::pids()?.into_iter();
    let mut processes: Vec<Process> =
        pids.filter_map(|pid| read(pid).transpose()).collect::<io::Result<_>>()?;
    for _ in 0..REREADS_MAX {
        let known: std::collections::HashSet<u32> = processes.iter().map(|p| p.pid).collect();
        let orphaned = |p: &Process| p.ppid != 0 && p.ppid != keeper && !known.contains(&p.ppid);
        if !processes.iter().any(orphaned) {
            break;
        }
        processes = processes
            .into_iter()
            .map(|process| if orphaned(&process) { read(process.pid) } else { Ok(Some(process)) })
            .filter_map(io::Result::transpose)
            .collect::<io::Result<_>>()?;
    }
    Ok(processes)
}

fn read(pid: u32) -> io::Result<Option<Process>> {
    let process = |stat: procfs::ProcessStat| Process {
        pid,
        ppid: stat.ppid,
        session: stat.session,
        start_ticks: stat.start_ticks,
        alive: stat.is_alive(),
    };
    Ok(procfs::look_at(pid)?.map(process))
}

/// The owner of each process, in order.
pub fn attribute(
    processes: &[Process],
    keeper: u32,
    daemon: Option<u32>,
    marks: &[Mark],
    evidence: &mut impl Evidence,
) -> Vec<Owner> {
    let index: HashMap<u32, usize> =
        processes.iter().enumerate().map(|(at, process)| (process.pid, at)).collect();
    let mains: HashMap<u32, TaskKey> =
        marks.iter().filter(|mark| mark.main_lives).map(|mark| (mark.pid, mark.key)).collect();
    let mut owners: Vec<Option<Owner>> = vec![None; processes.len()];
    let mut on_path_of = vec![usize::MAX; processes.len()];
    for start in 0..processes.len() {
        // Up to the first process whose owner is clear, then down again. A loop that never gets
        // there (parents that changed during the pass) ends at a process already on the path.
        let mut path = Vec::new();
        let mut at = start;
        let mut owner = loop {
            let process = &processes[at];
            if let Some(owner) = owners[at] {
                break owner;
            }
            if process.pid == keeper || Some(process.pid) == daemon || on_path_of[at] == start {
                break Owner::Other;
            }
            if let Some(key) = mains.get(&process.pid) {
                break Owner::Task(*key);
            }
            path.push(at);
            on_path_of[at] = start;
            if process.ppid == keeper {
                break Owner::Stray;
            }
            match index.get(&process.ppid) {
                Some(parent) => at = *parent,
                None => break Owner::Other,
            }
        };
        owners[at].get_or_insert(owner);
        for at in path.into_iter().rev() {
            if owner == Owner::Stray {
                owner = own_evidence(&processes[at], marks, evidence);
            }
            owners[at] = Some(owner);
        }
    }
    owners.into_iter().map(|owner| owner.unwrap_or(Owner::Other)).collect()
}

/// What a process that is not owned through its parent says about itself.
fn own_evidence(process: &Process, marks: &[Mark], evidence: &mut impl Evidence) -> Owner {
    if !process.alive {
        return Owner::Stray;
    }
    let tag = evidence.tag(process.pid);
    let by_tag = marks.iter().find(|mark| Some(mark.tag) == tag);
    // The newest run first: its pid may be a number that an older run's main process once had.
    let by_session = || marks.iter().rev().find(|mark| mark.pid == process.session);
    let by_variable = |evidence: &mut dyn FnMut(u32) -> Option<String>| {
        let task = evidence(process.pid)?;
        marks.iter().find(|mark| mark.task.as_str() == task)
    };
    by_tag
        .or_else(by_session)
        .or_else(|| by_variable(&mut |pid| evidence.task(pid)))
        .map_or(Owner::Stray, |mark| Owner::Task(mark.key))
}

#[cfg(test)]
mod tests;
