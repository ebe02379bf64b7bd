//! Starts under way: what was asked for and is not answered yet, and the starters that do it.
//!
//! Bookkeeping; [`crate::event_loop`] says what follows. A start waits until there is room, is under way with
//! a starter, and ends with a pid or an error. A starter that is gone answers nothing any more: what it had
//! not begun is asked of another one.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::clock::monotonic_ns;
use super::reap::Ended;
use super::spawn::starter::{Answered, KINDS, Kind, Lost, Parcel, Starter, not_started};
use super::spawn::{Pipes, SLOTS};
use deskd_core::id::TaskId;
use deskd_core::wire::{SpawnError, SpawnRequest, StartTimes};

/// Starts that wait for room, at most: the daemon's further requests are not read until then.
const WAITING_MAX: usize = 64;
/// Starters tried for one start: one may be dead already.
const STARTERS_MAX: u32 = 3;
/// Until a starter is continued, if somebody stopped it.
const CONTINUE_MS: u64 = 100;
/// Until a start is given up: a program on a file system that hangs, or a starter that is stopped
/// again and again.
const START_MS_MAX: u64 = 30_000;
/// From the end of a starter to that of its socket, which a process has that hangs in the kernel.
const LEAVE_MS_MAX: u64 = 1_000;

/// A start.
#[derive(Debug)]
pub struct Start {
    /// What is to run, without its meta.
    pub request: SpawnRequest,
    /// The run's meta.
    pub meta: String,
    /// A stop that was asked for meanwhile: when SIGTERM and SIGKILL are due.
    pub stop: Option<(Instant, Instant)>,
    /// Where a follower is who asked meanwhile.
    pub watch: Option<u64>,
    /// At a place: the daemon asked for the output from this cursor on.
    pub asked: Option<u64>,
    starters: u32,
    received: u64,
}

impl Start {
    /// Of what a daemon asks for.
    #[must_use]
    pub fn new(mut request: SpawnRequest) -> Self {
        let meta = std::mem::take(&mut request.meta);
        let received = monotonic_ns();
        Self { request, meta, stop: None, watch: None, asked: None, starters: 0, received }
    }

    /// Whose run it is.
    #[must_use]
    pub fn task(&self) -> &TaskId {
        &self.request.id.task
    }
}

/// A start that a starter has.
#[derive(Debug)]
pub struct UnderWay {
    /// It.
    pub start: Start,
    /// What its processes bear.
    pub tag: u64,
    /// Its output.
    pub pipes: Pipes,
    /// How its process ended, if that was seen before the answer.
    pub ended: Option<Ended>,
    kind: Kind,
    slot: u32,
    since: Instant,
}

impl UnderWay {
    /// What starts it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// As a starter gets it.
    ///
    /// # Errors
    /// The system's.
    pub fn parcel(&self) -> io::Result<Parcel<'_>> {
        let output = self.pipes.write.each_ref().map(OwnedFd::as_fd);
        Parcel::pack(self.slot, self.tag, &self.start.request, output)
    }
}

/// What became of a start.
#[derive(Debug)]
pub struct Finished {
    /// The start.
    pub under_way: UnderWay,
    /// The pid of a process that runs its program.
    pub outcome: Result<u32, SpawnError>,
    /// When it was how far, if that is known.
    pub times: Option<StartTimes>,
}

/// A starter, and how far its end is.
#[derive(Debug)]
struct Entry {
    starter: Starter,
    /// It is to end, or has ended: nothing is asked of it.
    leaving: Option<Instant>,
    /// Its pid may be somebody else's.
    reaped: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Starts {
    starters: [Option<Entry>; KINDS.len()],
    waiting: VecDeque<Start>,
    under_way: Vec<UnderWay>,
    continue_at: Option<Instant>,
}

/// What became of asking a starter.
#[derive(Debug)]
pub enum Asking {
    /// It is under way.
    Asked,
    /// There is no starter of this kind.
    NoStarter(Box<UnderWay>),
    /// Nobody can send descriptors, and nothing is under way: a starter has to inherit those of it.
    Crowded(Box<UnderWay>),
    /// It has to wait: the starter has much to do, or is about to go.
    Later,
    /// It cannot be asked for.
    Refused(Box<Finished>),
}

impl Starts {
    /// Adds a start.
    pub fn push(&mut self, start: Start) {
        self.waiting.push_back(start);
    }

    /// Whether no more are to be added.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Start> {
        self.under_way.iter().map(|it| &it.start).chain(&self.waiting)
    }

    /// That of a task.
    pub fn of_task(&mut self, task: &TaskId) -> Option<&mut Start> {
        let under_way = self.under_way.iter_mut().map(|it| &mut it.start);
        under_way.chain(&mut self.waiting).find(|start| start.task() == task)
    }

    /// Those that nobody was asked for.
    pub fn take_waiting(&mut self) -> VecDeque<Start> {
        std::mem::take(&mut self.waiting)
    }

    /// The next one, if there is room for it.
    pub fn next(&mut self) -> Option<Start> {
        if self.under_way.len() < SLOTS { self.waiting.pop_front() } else { None }
    }

    /// Puts one back that is to be the next.
    fn put_back(&mut self, start: Start) {
        self.waiting.push_front(start);
    }

    /// A start with what it needs.
    #[must_use]
    pub fn prepare(&self, start: Start, tag: u64, pipes: Pipes, now: Instant) -> UnderWay {
        let taken = |slot: &u32| self.under_way.iter().any(|it| it.slot == *slot);
        let slot = (0..SLOTS as u32).find(|slot| !taken(slot)).unwrap_or(0);
        let kind = Kind::of(&start.request);
        UnderWay { start, tag, pipes, ended: None, kind, slot, since: now }
    }

    /// Asks a starter.
    pub fn ask(&mut self, mut asked: UnderWay, now: Instant) -> Asking {
        let Some(entry) = &self.starters[asked.kind as usize] else {
            return Asking::NoStarter(Box::new(asked));
        };
        if entry.leaving.is_some() {
            self.put_back(asked.start);
            return Asking::Later;
        }
        asked.start.starters += 1;
        match asked.parcel().and_then(|parcel| entry.starter.ask(&parcel)) {
            Ok(()) => self.asked(asked, now),
            Err(error) if self.has_to_wait(&error) => {
                asked.start.starters -= 1;
                self.put_back(asked.start);
                Asking::Later
            }
            Err(error) if is(&error, Errno::ETOOMANYREFS) => Asking::Crowded(Box::new(asked)),
            Err(error) if is_gone(&error) && asked.start.starters < STARTERS_MAX => {
                self.put_back(asked.start);
                // Its end is seen at its socket.
                Asking::Later
            }
            Err(error) => {
                let outcome = Err(not_started(&error));
                Asking::Refused(Box::new(Finished { under_way: asked, outcome, times: None }))
            }
        }
    }

    /// A starter has it.
    pub fn asked(&mut self, asked: UnderWay, now: Instant) -> Asking {
        self.continue_at.get_or_insert(now + Duration::from_millis(CONTINUE_MS));
        self.under_way.push(asked);
        Asking::Asked
    }

    /// The socket's buffer is full, or too many descriptors are on their way: answers will make room.
    fn has_to_wait(&self, error: &io::Error) -> bool {
        let full = is(error, Errno::EAGAIN) || is(error, Errno::ETOOMANYREFS);
        full && !self.under_way.is_empty()
    }

    /// A new starter of the kind that `asked` needs.
    pub fn add_starter(&mut self, asked: &UnderWay, starter: Starter) {
        self.starters[asked.kind as usize] = Some(Entry { starter, leaving: None, reaped: false });
    }

    /// The starter of a kind.
    #[must_use]
    pub fn starter(&self, kind: Kind) -> Option<&Starter> {
        Some(&self.starters[kind as usize].as_ref()?.starter)
    }

    /// The pids of all starters.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.entries().filter(|entry| !entry.reaped).map(|entry| entry.starter.pid())
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.starters.iter().flatten()
    }

    /// What a starter has answered, and whether it is gone.
    pub fn answers(&mut self, kind: Kind) -> (Vec<Finished>, bool) {
        let mut finished = Vec::new();
        loop {
            let Some(entry) = &self.starters[kind as usize] else { return (finished, false) };
            match entry.starter.answer() {
                Ok(Some(Answered { slot, outcome, times })) => {
                    let mine = |it: &UnderWay| it.kind == kind && it.slot == slot;
                    let Some(at) = self.under_way.iter().position(mine) else { continue };
                    let under_way = self.under_way.swap_remove(at);
                    let times = StartTimes { received: under_way.start.received, ..times };
                    finished.push(Finished { under_way, outcome, times: Some(times) });
                }
                Ok(None) => break,
                Err(_) => return (finished, true),
            }
        }
        if self.under_way.is_empty() {
            self.continue_at = None;
        }
        (finished, false)
    }

    /// A starter is gone: what can be said of what it had. What it had not begun waits again.
    pub fn lost(&mut self, kind: Kind, now: Instant) -> Vec<Finished> {
        let Some(entry) = self.starters[kind as usize].take() else { return Vec::new() };
        if !entry.reaped {
            entry.starter.signal(Signal::SIGKILL);
        }
        let (of_it, others) =
            std::mem::take(&mut self.under_way).into_iter().partition(|it| it.kind == kind);
        self.under_way = others;
        let mut finished = Vec::new();
        let mut again = Vec::new();
        let of_it: Vec<UnderWay> = of_it;
        for under_way in of_it {
            let late = now >= under_way.since + Duration::from_millis(START_MS_MAX);
            let outcome = match entry.starter.lost(under_way.slot, under_way.ended.is_some()) {
                Lost::Runs(pid) => Ok(pid),
                Lost::NotBegun if !late && under_way.start.starters < STARTERS_MAX => {
                    again.push(under_way.start);
                    continue;
                }
                Lost::NotBegun => Err(not_started(&io::ErrorKind::TimedOut.into())),
                Lost::Failed(errno) => Err(not_started(&io::Error::from_raw_os_error(errno))),
            };
            finished.push(Finished { under_way, outcome, times: None });
        }
        again.into_iter().rev().for_each(|start| self.put_back(start));
        finished
    }

    /// Takes note that `pid` was reaped. True if it was a starter: its socket ends as soon as what it had
    /// begun is its program.
    pub fn starter_reaped(&mut self, pid: u32, now: Instant) -> bool {
        let of_pid = |entry: &&mut Entry| !entry.reaped && entry.starter.pid() == pid;
        let Some(entry) = self.starters.iter_mut().flatten().find(of_pid) else { return false };
        entry.reaped = true;
        entry.leaving.get_or_insert(now + Duration::from_millis(LEAVE_MS_MAX));
        true
    }

    /// The start whose process has this pid and is not answered yet.
    pub fn of_pid(&mut self, pid: u32) -> Option<&mut UnderWay> {
        let starters = &self.starters;
        self.under_way.iter_mut().find(|it| {
            let starter = starters[it.kind as usize].as_ref();
            starter.is_some_and(|entry| entry.starter.process(it.slot) == Some(pid))
        })
    }

    /// When to look again even if nothing happens.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        // What is under way for too long is seen with the next time to continue.
        let leaving = self.entries().filter_map(|entry| entry.leaving);
        leaving.chain(self.continue_at.filter(|_| !self.under_way.is_empty())).min()
    }

    /// Continues starters that somebody may have stopped, ends those that do not answer, and says which are
    /// to be given up.
    pub fn go_on(&mut self, now: Instant) -> Vec<Kind> {
        let mut given_up = Vec::new();
        let continues = self.continue_at.is_some_and(|at| now >= at) && !self.under_way.is_empty();
        if continues {
            self.continue_at = Some(now + Duration::from_millis(CONTINUE_MS));
        }
        for kind in KINDS {
            let Some(entry) = &mut self.starters[kind as usize] else { continue };
            if entry.leaving.is_some_and(|at| now >= at) {
                given_up.push(kind);
                continue;
            }
            let of_it = || self.under_way.iter().filter(|it| it.kind == kind);
            let Some(oldest) = of_it().map(|it| it.since).min().filter(|_| continues) else {
                continue;
            };
            if now >= oldest + Duration::from_millis(START_MS_MAX) && entry.leaving.is_none() {
                entry.leaving = Some(now + Duration::from_millis(LEAVE_MS_MAX));
                entry.starter.end(of_it().map(|it| it.slot), entry.reaped);
            } else if !entry.reaped {
                entry.starter.signal(Signal::SIGCONT);
            }
        }
        given_up
    }
}

fn is_gone(error: &io::Error) -> bool {
    [Errno::EPIPE, Errno::ECONNRESET, Errno::ENOTCONN].into_iter().any(|errno| is(error, errno))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}
