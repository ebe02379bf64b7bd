//! Which processes belong to which task.
//!
//! The keeper is the subreaper (or PID 1) of everything it started, so whatever a task's process
//! does (double fork, `setsid`, closing everything), its descendants stay descendants of the
//! keeper. A process belongs to a task when, in this order,
//!
//! 1. its parent does, or it is a task's main process (ancestry);
//! 2. it is an orphan that was seen to belong to it before;
//! 3. it bears the task's mark ([`mark`]), or is in the session of its main process: neither can be
//!    had by a process of another task;
//! 4. its mark was destroyed, and of the tasks that there are it can only be this one's;
//! 5. no mark could be made here, and it was started with `DESKD_TASK_ID=<task>`.
//!
//! A process with a destroyed mark that may be of several tasks is [`Owner::Unclear`]: none of them may
//! say that nothing of it is left. The daemon, the starter and their descendants are nobody's.
//! [`attribute`] is pure; [`survey`] feeds it with one pass over `/proc`.

mod mark;

use std::collections::{HashMap, HashSet};
use std::io;

use nix::sys::resource::getrlimit;

use super::table::TaskKey;
use crate::procfs;
use deskd_core::id::TaskId;
use deskd_core::wire::TASK_VARIABLE;

pub use mark::{MARK_LIMITS, Tag, mark_of};

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
    /// What its processes' limits say.
    pub tag: u64,
    /// They are behind the wall, where that cannot be changed.
    pub pinned: bool,
}

/// What was seen at earlier looks: whose each process is that is still there.
pub type Seen = HashMap<(u32, u64), TaskKey>;

/// What an orphan says about itself; asked only where ancestry does not tell.
pub trait Evidence {
    /// Whose it was at an earlier look.
    fn seen(&self, process: &Process) -> Option<TaskKey>;
    /// What its limits say; nothing when it is gone.
    fn tag(&mut self, pid: u32) -> Option<Tag>;
    /// Its [`TASK_VARIABLE`], if that counts here.
    fn task(&mut self, pid: u32) -> Option<String>;
}

/// Reads evidence from `/proc`.
#[derive(Debug, Default)]
pub struct ProcEvidence {
    seen: Seen,
    /// Children of the keeper that had ended at the last look and were not reaped.
    dead: HashSet<(u32, u64)>,
    own: [u64; 2],
    /// The keeper's own limits are lower than marks are: nobody has one.
    unmarked: bool,
}

impl ProcEvidence {
    /// Of this keeper, whose own limits its programs begin with.
    #[must_use]
    pub fn new() -> Self {
        let hard = |resource| getrlimit(resource).map_or(u64::MAX, |(_, hard)| hard);
        let own = MARK_LIMITS.map(hard);
        Self { own, unmarked: !mark::can_be_marked(own), ..Self::default() }
    }

    /// Whether a child of the keeper had ended before the last look began.
    #[must_use]
    pub fn is_known_dead(&self, pid: u32, start_ticks: u64) -> bool {
        self.dead.contains(&(pid, start_ticks))
    }

    /// Keeps which children of the keeper had ended.
    pub fn remember_dead(&mut self, dead: HashSet<(u32, u64)>) {
        self.dead = dead;
    }

    /// Keeps whose each process is.
    fn remember(&mut self, survey: &Survey) {
        let of_task = |(key, processes): (&TaskKey, &Vec<Process>)| {
            let key = *key;
            processes.iter().map(move |it| ((it.pid, it.start_ticks), key)).collect::<Vec<_>>()
        };
        self.seen = survey.tasks.iter().flat_map(of_task).collect();
    }
}

impl Evidence for ProcEvidence {
    fn seen(&self, process: &Process) -> Option<TaskKey> {
        self.seen.get(&(process.pid, process.start_ticks)).copied()
    }
    fn tag(&mut self, pid: u32) -> Option<Tag> {
        if self.unmarked {
            return Some(Tag::None);
        }
        let limits = procfs::read_hard_limits(pid, mark::LIMIT_NAMES)?;
        Some(Tag::of(limits, self.own))
    }
    fn task(&mut self, pid: u32) -> Option<String> {
        if !self.unmarked {
            return None;
        }
        String::from_utf8(procfs::read_env_value(pid, TASK_VARIABLE)?).ok()
    }
}

/// Whose a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A task's.
    Task(TaskKey),
    /// Its mark was destroyed, and it may be of several tasks.
    Unclear,
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
    /// Of one of several tasks each.
    pub unclear: Vec<(Process, Vec<TaskKey>)>,
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

    /// All that were found alive.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        let unclear = self.unclear.iter().map(|(process, _)| process);
        self.tasks.values().flatten().chain(unclear).chain(&self.strays)
    }

    /// The processes that may be of a task, and may be of another.
    pub fn unclear_of(&self, key: TaskKey) -> impl Iterator<Item = &Process> {
        self.unclear.iter().filter(move |(_, of)| of.contains(&key)).map(|(process, _)| process)
    }
}

/// Where processes of tasks are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Family<'a> {
    /// Among what descends from it.
    pub keeper: u32,
    /// But not from these, its children that are no task's.
    pub own: &'a [u32],
    /// Also elsewhere: a keeper before this one, which was killed, started some. There only a whole mark
    /// counts.
    pub adopted: bool,
}

/// Looks at all processes.
pub fn survey(
    family: Family<'_>,
    marks: &[Mark],
    evidence: &mut ProcEvidence,
) -> io::Result<Survey> {
    let keeper = family.keeper;
    let processes = snapshot(keeper)?;
    let owners = attribute(&processes, family, marks, evidence);
    let mut survey = Survey::default();
    for (process, owner) in processes.into_iter().zip(owners) {
        match owner {
            _ if !process.alive && process.ppid == keeper => survey.zombies.push(process.pid),
            _ if !process.alive => {}
            Owner::Task(key) => survey.tasks.entry(key).or_default().push(process),
            Owner::Unclear => {
                let of = evidence.tag(process.pid).map(|tag| candidates(tag, marks));
                survey.unclear.push((process, of.unwrap_or_default()));
            }
            Owner::Stray => survey.strays.push(process),
            Owner::Other => {}
        }
    }
    evidence.remember(&survey);
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
    family: Family<'_>,
    marks: &[Mark],
    evidence: &mut impl Evidence,
) -> Vec<Owner> {
    let Family { keeper, own, adopted } = family;
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
            if process.pid == keeper || own.contains(&process.pid) || on_path_of[at] == start {
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
            if matches!(owner, Owner::Stray | Owner::Unclear) {
                owner = own_evidence(&processes[at], marks, evidence);
            } else if adopted && owner == Owner::Other {
                owner = elsewhere(&processes[at], marks, evidence);
            }
            owners[at] = Some(owner);
        }
    }
    owners.into_iter().map(|owner| owner.unwrap_or(Owner::Other)).collect()
}

/// A process that does not descend from the keeper.
fn elsewhere(process: &Process, marks: &[Mark], evidence: &mut impl Evidence) -> Owner {
    match if process.alive { evidence.tag(process.pid) } else { None } {
        Some(Tag::Whole(tag)) => marks
            .iter()
            .find(|mark| mark.tag == tag)
            .map_or(Owner::Other, |mark| Owner::Task(mark.key)),
        _ => Owner::Other,
    }
}

/// What a process that is not owned through its parent says about itself.
fn own_evidence(process: &Process, marks: &[Mark], evidence: &mut impl Evidence) -> Owner {
    if !process.alive {
        return Owner::Stray;
    }
    let seen = evidence.seen(process).filter(|key| marks.iter().any(|mark| mark.key == *key));
    // The newest run first: its pid may be a number that an older run's main process once had.
    let by_session = || marks.iter().rev().find(|mark| mark.pid == process.session);
    if let Some(key) = seen.or_else(|| by_session().map(|mark| mark.key)) {
        return Owner::Task(key);
    }
    let Some(tag) = evidence.tag(process.pid) else { return Owner::Stray };
    match (tag, candidates(tag, marks).as_slice()) {
        (_, [key]) => Owner::Task(*key),
        (Tag::Broken { .. }, [_, _, ..]) => Owner::Unclear,
        (Tag::None, _) => {
            let task = evidence.task(process.pid);
            let of = |mark: &&Mark| Some(mark.task.as_str()) == task.as_deref();
            marks.iter().find(of).map_or(Owner::Stray, |mark| Owner::Task(mark.key))
        }
        _ => Owner::Stray,
    }
}

/// The tasks that a child of the keeper can be of, whether it lives or waits to be reaped: its limits say so
/// then too. Its environment does not, so where nobody is marked its session has to.
pub fn owners_of_child(pid: u32, marks: &[Mark], evidence: &mut impl Evidence) -> Vec<TaskKey> {
    match evidence.tag(pid) {
        None => Vec::new(),
        Some(Tag::None) => {
            let session = procfs::read_stat(pid).map(|stat| stat.session);
            let mark = marks.iter().rev().find(|mark| Some(mark.pid) == session);
            mark.map(|mark| mark.key).into_iter().collect()
        }
        Some(tag) => candidates(tag, marks),
    }
}

/// The tasks that a process with this tag can be of. One whose mark cannot be changed is among them
/// only if there is no other: then somebody else's process changed it.
fn candidates(tag: Tag, marks: &[Mark]) -> Vec<TaskKey> {
    let (from, to) = match tag {
        Tag::None => return Vec::new(),
        Tag::Whole(tag) => (tag, tag),
        Tag::Broken { from, to } => (from, to),
    };
    let fits = |mark: &&Mark| (from..=to).contains(&mark.tag);
    let of = |pinned: bool| {
        let marks = marks.iter().filter(fits).filter(|mark| mark.pinned == pinned);
        let keys: std::collections::BTreeSet<TaskKey> = marks.map(|mark| mark.key).collect();
        keys.into_iter().collect::<Vec<_>>()
    };
    match (from == to, of(false)) {
        (true, found) => [found, of(true)].concat(),
        (false, found) if found.is_empty() => of(true),
        (false, found) => found,
    }
}

#[cfg(test)]
mod tests;
