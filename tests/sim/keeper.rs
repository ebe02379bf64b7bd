//! A keeper as the real one behaves (`src/keeper/event_loop`), with programs that end, leave children
//! behind, and take SIGTERM or do not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use deskd_core::id::TaskId;
use deskd_core::task::{Exit, Rusage, StopStepKind};
use deskd_core::wire::{
    Drain, FromKeeper, RunEnd, RunId, SpawnError, SpawnRequest, StopRound, TaskRecord, ToKeeper,
    VERSION,
};

use crate::oracle::{Oracle, Place};
use crate::rng::Rng;

/// Longest time from the first SIGTERM of a shutdown to its end, in milliseconds.
const SHUTDOWN_MS: u64 = 25_000;

#[derive(Debug)]
pub struct Kept {
    pub id: RunId,
    meta: String,
    pub pid: u32,
    spawned_at: i64,
    pub end: Option<RunEnd>,
    /// Processes beside the main one.
    pub children: u32,
    pub tree_gone: bool,
    stopping: bool,
    steps: Vec<StopRound>,
    stop: Option<(u64, u64)>,
    term_sent: bool,
    obeys: bool,
    forgotten: bool,
}

#[derive(Debug)]
pub struct Keeper {
    pub started_at: i64,
    pub tasks: BTreeMap<TaskId, Kept>,
    pub logs: BTreeSet<TaskId>,
    /// From the daemon, also from one that is dead by now.
    pub inbox: VecDeque<ToKeeper>,
    /// To the daemon, while one is connected.
    pub out: VecDeque<FromKeeper>,
    pub connected: bool,
    pub drain: Option<(u64, Drain)>,
    pub drained: bool,
    next_pid: u32,
    /// Of a place, where what a run leaves ends with it.
    at_place: bool,
}

impl Keeper {
    pub fn at_place(started_at: i64) -> Self {
        Self { at_place: true, ..Self::new(started_at) }
    }

    pub fn new(started_at: i64) -> Self {
        Self {
            started_at,
            tasks: BTreeMap::new(),
            logs: BTreeSet::new(),
            inbox: VecDeque::new(),
            out: VecDeque::new(),
            connected: false,
            drain: None,
            drained: false,
            next_pid: 100,
            at_place: false,
        }
    }

    fn tell(&mut self, message: FromKeeper) {
        if self.connected {
            self.out.push_back(message);
        }
    }

    /// A daemon connects: what the one before still asked for counts.
    pub fn hello(&mut self, unix: i64, clock: u64, rng: &mut Rng, oracle: &mut Oracle) {
        self.connected = false;
        while !self.inbox.is_empty() {
            self.answer(unix, clock, rng, oracle);
        }
        self.out.clear();
        self.connected = true;
        let mut records: Vec<TaskRecord> =
            self.tasks.values().filter(|task| !task.forgotten).map(Kept::record).collect();
        let rest = records.split_off(rng.below(records.len() + 1));
        let more = !rest.is_empty();
        self.out.push_back(FromKeeper::Welcome {
            version: VERSION,
            keeper_pid: 1,
            started_at: self.started_at,
            tasks: records,
            more,
            draining: self.drain.map(|(_, drain)| drain),
            log_trouble: None,
            predecessor: None,
            release: None,
        });
        if more {
            self.out.push_back(FromKeeper::MoreTasks { tasks: rest, more: false });
        }
    }

    /// Takes the next request.
    pub fn answer(&mut self, unix: i64, clock: u64, rng: &mut Rng, oracle: &mut Oracle) {
        match self.inbox.pop_front() {
            Some(ToKeeper::Spawn(request)) => self.spawn(*request, unix, rng, oracle),
            Some(ToKeeper::Stop { id, term_after_ms, kill_after_ms }) => {
                if let Some(task) = self.tasks.get_mut(&id.task).filter(|task| task.id == id)
                    && !task.tree_gone
                {
                    let at = (clock + term_after_ms, clock + kill_after_ms);
                    task.stopping = true;
                    task.stop =
                        Some(task.stop.map_or(at, |old| (old.0.min(at.0), old.1.min(at.1))));
                }
            }
            Some(ToKeeper::Forget { task }) => {
                if !self.logs.remove(&task)
                    && let Some(kept) = self.tasks.get_mut(&task)
                    && kept.end.is_some()
                {
                    kept.forgotten = true;
                }
                self.drop_forgotten();
            }
            Some(ToKeeper::OpenLog { task }) => drop(self.logs.insert(task)),
            Some(ToKeeper::CloseLog { task }) if self.logs.contains(&task) => {
                self.tell(FromKeeper::LogClosed { task, end: 7 });
            }
            Some(ToKeeper::Drained) => self.drained = self.drain.is_some(),
            _ => {}
        }
    }

    fn spawn(&mut self, request: SpawnRequest, unix: i64, rng: &mut Rng, oracle: &mut Oracle) {
        let id = request.id.clone();
        if let Some(known) = self.tasks.get_mut(&id.task).filter(|task| task.id == id) {
            known.forgotten = false;
            let (pid, at) = (known.pid, known.spawned_at);
            let (end, gone) = (known.end.clone(), known.tree_gone);
            self.tell(FromKeeper::Spawned { id: id.clone(), pid, at, times: None });
            if let Some(end) = end {
                self.tell(FromKeeper::Exited { id: id.clone(), end });
            }
            if gone {
                self.tell(FromKeeper::TreeGone { id });
            }
            return;
        }
        let known = self.tasks.get(&id.task);
        let invalid = |why: &str| Some(SpawnError::Invalid(why.to_owned()));
        let error = match known {
            _ if self.drain.is_some() => Some(SpawnError::Draining),
            Some(task) if task.id.run > id.run => invalid("a later run is known"),
            Some(task) if task.end.is_none() => invalid("the run before has not ended"),
            _ if rng.once_in(12) => {
                Some(SpawnError::NotInPath { program: "nothing".into(), path: "/bin".into() })
            }
            _ => None,
        };
        if let Some(error) = error {
            return self.tell(FromKeeper::SpawnRefused { id, error });
        }
        let children = known.map_or(0, |task| task.children);
        self.next_pid += 1;
        let pid = self.next_pid;
        let place = if self.at_place { Place::FarKeeper } else { Place::Keeper };
        oracle.started(&id, place);
        self.tell(FromKeeper::Spawned { id: id.clone(), pid, at: unix, times: None });
        let kept = Kept {
            id: id.clone(),
            meta: request.meta,
            pid,
            spawned_at: unix,
            end: None,
            children: children + u32::from(rng.once_in(4)),
            tree_gone: false,
            stopping: false,
            steps: Vec::new(),
            stop: None,
            term_sent: false,
            obeys: !rng.once_in(4),
            forgotten: false,
        };
        self.tasks.insert(id.task, kept);
    }

    /// A main process ends by itself, or a child of one that ended does.
    pub fn end_something(&mut self, unix: i64, rng: &mut Rng, oracle: &mut Oracle) {
        let alive = |task: &&Kept| !task.tree_gone;
        let ids: Vec<TaskId> =
            self.tasks.values().filter(alive).map(|task| task.id.task.clone()).collect();
        let Some(id) = rng.pick(&ids) else { return };
        let exit = match rng.below(4) {
            0 | 1 => Exit::Code(0),
            2 => Exit::Code(3),
            _ => Exit::Signal { number: 11, name: "SIGSEGV".into(), core_dumped: false },
        };
        let Some(task) = self.tasks.get_mut(&id) else { return };
        if task.end.is_some() {
            task.children = task.children.saturating_sub(1);
        }
        self.main_ends(&id, exit, unix, oracle);
        self.gone_if_gone(&id);
    }

    fn main_ends(&mut self, id: &TaskId, exit: Exit, unix: i64, oracle: &mut Oracle) {
        let Some(task) = self.tasks.get_mut(id).filter(|task| task.end.is_none()) else { return };
        let end =
            RunEnd { exit: exit.clone(), rusage: Rusage::default(), at: unix, oom_killed: None };
        task.end = Some(end.clone());
        if self.at_place {
            task.children = 0;
        }
        let id = task.id.clone();
        oracle.ended(&id, &exit);
        self.tell(FromKeeper::Exited { id, end });
    }

    fn gone_if_gone(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        if task.end.is_some() && task.children == 0 && !task.tree_gone {
            task.tree_gone = true;
            task.stop = None;
            let id = task.id.clone();
            self.tell(FromKeeper::TreeGone { id });
        }
        self.drop_forgotten();
    }

    fn drop_forgotten(&mut self) {
        self.tasks.retain(|_, task| !(task.forgotten && task.tree_gone));
    }

    /// Signals that are due.
    pub fn tick(&mut self, unix: i64, clock: u64, oracle: &mut Oracle) {
        let ids: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|(_, it)| it.stop.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.signal_if_due(&id, unix, clock, oracle);
        }
        if self.drain.is_some_and(|(deadline, _)| clock >= deadline) {
            self.drained = true;
        }
    }

    fn signal_if_due(&mut self, id: &TaskId, unix: i64, clock: u64, oracle: &mut Oracle) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let Some((term_at, kill_at)) = task.stop else { return };
        let kill = clock >= kill_at;
        if !kill && (clock < term_at || task.term_sent) {
            return;
        }
        let step = if kill { StopStepKind::Kill } else { StopStepKind::Term };
        task.term_sent = true;
        let round = StopRound {
            at: unix,
            step,
            count: 1,
            pids: vec![task.pid],
            refused: Vec::new(),
            unclear: Vec::new(),
        };
        task.steps.push(round.clone());
        let (run, dies) = (task.id.clone(), kill || task.obeys);
        if dies {
            task.children = 0;
        }
        self.tell(FromKeeper::StopStep { id: run, round });
        if dies {
            let (number, name) = if kill { (9, "SIGKILL") } else { (15, "SIGTERM") };
            let exit = Exit::Signal { number, name: name.into(), core_dumped: false };
            self.main_ends(id, exit, unix, oracle);
            self.gone_if_gone(id);
        }
    }

    /// SIGTERM of the container.
    pub fn shut_down(&mut self, unix: i64, clock: u64) {
        let hurry = self.drain.is_some();
        let deadline = self.drain.map_or(clock + SHUTDOWN_MS, |(deadline, _)| deadline);
        let left = i64::try_from(deadline.saturating_sub(clock)).unwrap_or(0);
        let drain = Drain { deadline: unix + left, hurry };
        self.drain = Some((deadline, drain));
        self.tell(FromKeeper::Draining(drain));
    }
}

impl Kept {
    /// The daemon needs it no more; it goes with its last process.
    pub fn is_forgotten(&self) -> bool {
        self.forgotten
    }

    fn record(&self) -> TaskRecord {
        TaskRecord {
            id: self.id.clone(),
            meta: self.meta.clone(),
            pid: self.pid,
            spawned_at: self.spawned_at,
            end: self.end.clone(),
            tree_gone: self.tree_gone,
            stopping: self.stopping,
            stop_steps: self.steps.clone(),
        }
    }
}
