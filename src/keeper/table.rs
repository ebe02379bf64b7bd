//! What the keeper knows about each task: the record the daemon re-adopts it from.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

use super::custody::Held;
use super::escalation::{Due, Stop};
use super::tree::Mark;
use crate::logs::TaskLog;
use deskd_core::id::TaskId;
use deskd_core::task::UnixMs;
use deskd_core::wire::{RunEnd, RunId, STOP_ROUNDS_MAX, StopRound, TaskRecord};

/// Numbers tasks in order of their first spawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey(pub u64);

/// One task.
#[derive(Debug)]
pub struct Task {
    /// Its last run.
    pub id: RunId,
    /// The last run's meta.
    pub meta: String,
    /// Main pid of the last run.
    pub pid: u32,
    /// When the last run was spawned.
    pub spawned_at: UnixMs,
    /// OOM kills that the keeper's control group had had by then.
    pub oom_kills: Option<u64>,
    /// How the last run ended.
    pub end: Option<RunEnd>,
    /// No process of the task is left.
    pub tree_gone: bool,
    /// A stop was asked for.
    pub stop_asked: bool,
    /// A stop that is not over.
    pub stop: Option<Stop>,
    /// Its rounds.
    pub rounds: Vec<StopRound>,
    /// What its processes are recognized by; several when processes of earlier runs are left.
    pub marks: Vec<Mark>,
    /// Processes a kill has reached already (pid and start).
    pub killed: HashSet<(u32, u64)>,
    /// The open log; none once nothing can write any more.
    pub log: Option<TaskLog>,
    /// Where the log ended when it was closed.
    pub log_end: u64,
    /// Pipes that are open.
    pub pipes: u32,
    /// Tell the daemon when the log ends beyond this.
    pub watch: Option<u64>,
    /// At a place: the daemon asked for the output from this cursor on.
    pub asked: Option<u64>,
    /// The daemon forgot it; the record goes when the last process does.
    pub forgotten: bool,
}

impl Task {
    /// A run that has begun.
    #[must_use]
    pub fn begun(id: RunId, meta: String, pid: u32, spawned_at: UnixMs) -> Self {
        Self {
            id,
            meta,
            pid,
            spawned_at,
            oom_kills: None,
            end: None,
            tree_gone: false,
            stop_asked: false,
            stop: None,
            rounds: Vec::new(),
            marks: Vec::new(),
            killed: HashSet::new(),
            log: None,
            log_end: 0,
            pipes: 0,
            watch: None,
            asked: None,
            forgotten: false,
        }
    }

    /// What its daemon is to know should the keeper be killed.
    #[must_use]
    pub fn held(&self, key: TaskKey, mark: &Mark, streams: [bool; 2]) -> Held {
        Held {
            key: key.0,
            id: self.id.clone(),
            meta: self.meta.clone(),
            pid: self.pid,
            spawned_at: self.spawned_at,
            tag: mark.tag,
            pinned: mark.pinned,
            oom_kills: self.oom_kills,
            end: self.end.clone(),
            stop_asked: self.stop_asked,
            streams,
        }
    }

    /// The record as the daemon gets it.
    #[must_use]
    pub fn record(&self) -> TaskRecord {
        TaskRecord {
            id: self.id.clone(),
            meta: self.meta.clone(),
            pid: self.pid,
            spawned_at: self.spawned_at,
            end: self.end.clone(),
            tree_gone: self.tree_gone,
            stopping: self.stop_asked,
            stop_steps: self.rounds.clone(),
        }
    }

    /// No process of it is left.
    pub fn mark_gone(&mut self) {
        self.tree_gone = true;
        self.stop = None;
        self.marks = Vec::new();
        self.killed = HashSet::new();
    }

    /// Keeps a round and says whether it is to be reported. That processes may be left always is.
    pub fn add_round(&mut self, round: &StopRound) -> bool {
        if !round.unclear.is_empty() {
            self.rounds.truncate(STOP_ROUNDS_MAX - 1);
        }
        let kept = self.rounds.len() < STOP_ROUNDS_MAX;
        if kept {
            self.rounds.push(round.clone());
        }
        kept
    }
}

/// All tasks.
#[derive(Debug, Default)]
pub struct Table {
    tasks: BTreeMap<TaskKey, Task>,
    keys: HashMap<TaskId, TaskKey>,
    mains: HashMap<u32, TaskKey>,
    /// Those that have a stop, and some that had one: few of many, and asked for in every turn.
    stopping: BTreeSet<TaskKey>,
    next_key: u64,
}

impl Table {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether any process may be left.
    #[must_use]
    pub fn all_gone(&self) -> bool {
        self.tasks.values().all(|task| task.tree_gone)
    }

    /// The task called `id`.
    #[must_use]
    pub fn key(&self, id: &TaskId) -> Option<TaskKey> {
        self.keys.get(id).copied()
    }

    /// A task by key.
    #[must_use]
    pub fn get(&self, key: TaskKey) -> Option<&Task> {
        self.tasks.get(&key)
    }

    /// A task by key.
    pub fn get_mut(&mut self, key: TaskKey) -> Option<&mut Task> {
        self.tasks.get_mut(&key)
    }

    /// In order of first spawn.
    pub fn iter(&self) -> impl Iterator<Item = (TaskKey, &Task)> {
        self.tasks.iter().map(|(key, task)| (*key, task))
    }

    /// In order of first spawn, from `key` on.
    pub fn iter_from(&self, key: TaskKey) -> impl Iterator<Item = (TaskKey, &Task)> {
        self.tasks.range(key..).map(|(key, task)| (*key, task))
    }

    /// In order of first spawn.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (TaskKey, &mut Task)> {
        self.tasks.iter_mut().map(|(key, task)| (*key, task))
    }

    /// Has a task stopped at these times, or sooner if that was asked for before.
    pub fn stop_by(&mut self, key: TaskKey, term_at: Instant, kill_at: Instant) {
        if let Some(task) = self.tasks.get_mut(&key) {
            task.stop_asked = true;
            match &mut task.stop {
                Some(stop) => stop.hasten(term_at, kill_at),
                None => task.stop = Some(Stop::new(term_at, kill_at)),
            }
            self.stopping.insert(key);
        }
    }

    /// Has what is left of a task killed now, which nobody asked for.
    pub fn end_rest(&mut self, key: TaskKey, now: Instant) {
        if let Some(task) = self.tasks.get_mut(&key) {
            task.stop = Some(Stop::new(now, now));
            self.stopping.insert(key);
        }
    }

    /// Every stop that is under way.
    pub fn stops(&self) -> impl Iterator<Item = &Stop> {
        self.stopping.iter().filter_map(|key| self.tasks.get(key)?.stop.as_ref())
    }

    /// The steps of stops that are due.
    pub fn take_due(&mut self, now: Instant) -> Vec<(TaskKey, Due)> {
        let mut due = Vec::new();
        let tasks = &mut self.tasks;
        self.stopping.retain(|key| {
            let stop = tasks.get_mut(key).and_then(|task| task.stop.as_mut());
            match stop {
                Some(stop) => {
                    due.extend(stop.take_due(now).map(|step| (*key, step)));
                    true
                }
                None => false,
            }
        });
        due
    }

    /// The key a task that is not known yet would get.
    pub fn new_key(&mut self) -> TaskKey {
        self.next_key += 1;
        TaskKey(self.next_key)
    }

    /// Adds a task, or replaces its record by that of a new run.
    pub fn put(&mut self, key: TaskKey, task: Task) {
        self.keys.insert(task.id.task.clone(), key);
        self.mains.insert(task.pid, key);
        self.tasks.insert(key, task);
    }

    /// The task whose first process this is.
    #[must_use]
    pub fn main(&self, pid: u32) -> Option<&Task> {
        self.tasks.get(self.mains.get(&pid)?)
    }

    /// Takes note that `pid` was reaped; the task whose main process it was, if it was one.
    pub fn reaped(&mut self, pid: u32) -> Option<TaskKey> {
        let key = self.mains.remove(&pid)?;
        for mark in self.tasks.get_mut(&key)?.marks.iter_mut().filter(|mark| mark.pid == pid) {
            mark.main_lives = false;
        }
        Some(key)
    }

    /// Whether this is a main process that was not reaped.
    #[must_use]
    pub fn is_main(&self, pid: u32) -> bool {
        self.mains.contains_key(&pid)
    }

    /// Forgets a task.
    pub fn remove(&mut self, key: TaskKey) -> Option<Task> {
        let task = self.tasks.remove(&key)?;
        self.keys.remove(&task.id.task);
        Some(task)
    }

    /// What the processes of all tasks are recognized by, oldest run first.
    #[must_use]
    pub fn marks(&self) -> Vec<Mark> {
        let mut marks: Vec<Mark> =
            self.tasks.values().flat_map(|task| task.marks.iter().cloned()).collect();
        marks.sort_by_key(|mark| mark.tag);
        marks
    }
}
