//! Runs that an earlier keeper started, which was killed: this one is not their parent. Their main
//! processes are followed through pidfds; what descends from them is known by its mark.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::{Keeper, Source};
use crate::capture::Left;
use crate::custody::{Custody, Estate, HELD_MAX, Held};
use crate::logs::Stream;
use crate::procfs;
use crate::table::{Task, TaskKey};
use crate::tree::Mark;
use deskd_core::task::{Exit, Rusage};
use deskd_core::why::reason::LostReason;
use deskd_core::wire::FromKeeper;

/// How long the new parent of a process that ended may take to wait for it: only then the kernel says how it
/// ended.
const REAPED_MS_MAX: u64 = 1_000;
/// Between two looks at that.
const STATUS_LOOK_MS: u64 = 5;
/// Between two looks at what is left of a run whose main process ended: nobody tells of its end.
const REST_LOOK_MS: u64 = 500;
/// Until the daemon is told again of what it had no room for.
const CUSTODY_RETRY_MS: u64 = 20;

/// Those runs.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    mains: BTreeMap<TaskKey, Main>,
    look_at: Option<Instant>,
    /// There were any: what does not descend from this keeper can be theirs.
    pub(super) any: bool,
    pub(super) custody_at: Option<Instant>,
}

#[derive(Debug)]
struct Main {
    pidfd: OwnedFd,
    ended: Option<Instant>,
}

impl Adopted {
    pub(super) fn next_at(&self) -> Option<Instant> {
        [self.look_at, self.custody_at].into_iter().flatten().min()
    }
}

impl Keeper {
    /// Takes over what the keeper before had.
    pub(super) fn adopt(&mut self, estate: Estate) {
        // Before anything more is taken from a pipe.
        let mut left = self.capture.under_way().left();
        self.adopted.any = true;
        for (key, (held, fds)) in estate.held {
            let left = left.take_if(|left| left.task == TaskKey(key));
            self.adopt_one(held, fds, left);
        }
        let count = self.table.len();
        tracing::warn!(count, "the keeper before was killed; this one takes its programs over");
        self.survey_wanted = true;
    }

    fn adopt_one(&mut self, held: Held, fds: Vec<OwnedFd>, left: Option<Left>) {
        let mut fds = fds.into_iter();
        let pidfd = if held.end.is_none() { fds.next() } else { None };
        let key = self.table.new_key();
        let (task, pid) = (held.id.task.clone(), held.pid);
        let (tag, pinned) = (held.tag, held.pinned);
        let mark = Mark { key, task, pid, main_lives: pidfd.is_some(), tag, pinned };
        let mut record = Task::begun(held.id, held.meta, pid, held.spawned_at);
        record.stop_asked = held.stop_asked;
        record.oom_kills = held.oom_kills;
        record.end = held.end;
        record.marks.push(mark);
        self.table.put(key, record);
        self.open_log(key, 0);
        if let Some(left) = left {
            self.store_rest(key, &left);
        }
        let streams = [Stream::Stdout, Stream::Stderr].into_iter().zip(held.streams);
        for (stream, _) in streams.filter(|(_, has)| *has) {
            let Some(fd) = fds.next() else { break };
            self.capture_pipe(key, fd, stream);
        }
        let Some(pidfd) = pidfd else {
            self.table.reaped(pid);
            self.adopted.look_at = Some(Instant::now());
            return;
        };
        let event = EpollEvent::new(EpollFlags::EPOLLIN, Source::Adopted as u64 + key.0);
        let ended = self.epoll.add(&pidfd, event).err().map(|_| Instant::now());
        self.adopted.mains.insert(key, Main { pidfd, ended });
        self.adopted.look_at = ended.or(self.adopted.look_at);
    }

    /// Stores what the keeper before had taken and not stored: its log has grown by what it had.
    fn store_rest(&mut self, key: TaskKey, left: &Left) {
        let Some(task) = self.table.get_mut(key) else { return };
        let log = task.log.get_or_insert_with(|| self.store.open_task(&task.id.task, 0));
        let stored = self.store.end(log).checked_sub(left.cursor);
        let stored = stored.and_then(|stored| usize::try_from(stored).ok());
        if let Some(rest) = stored.and_then(|stored| left.bytes.get(stored..)) {
            self.store.append(log, left.stream, rest);
        }
    }

    /// A main process that is no child ended.
    pub(super) fn adopted_ended(&mut self, key: TaskKey) {
        let Some(main) = self.adopted.mains.get_mut(&key) else { return };
        let _ = self.epoll.delete(&main.pidfd);
        main.ended = Some(Instant::now());
        self.adopted.look_at = Some(Instant::now());
    }

    /// Whether it is known how processes ended, and whether something is left of them.
    pub(super) fn look_after_adopted(&mut self, now: Instant) {
        if self.adopted.look_at.is_none_or(|at| now < at) {
            return;
        }
        let mut known = Vec::new();
        for (key, main) in &self.adopted.mains {
            let Some(ended) = main.ended else { continue };
            let late = now >= ended + Duration::from_millis(REAPED_MS_MAX);
            let pid = self.table.get(*key).map_or(0, |task| task.pid);
            match procfs::status_of_ended(main.pidfd.as_fd(), pid) {
                Ok(Some(status)) => known.push((*key, procfs::exit_of(status))),
                Ok(None) | Err(rustix::io::Errno::SRCH) if !late => {}
                _ => known.push((*key, Exit::Lost(LostReason::KeeperKilled))),
            }
        }
        for (key, exit) in known {
            self.adopted.mains.remove(&key);
            self.adopted_exited(key, exit);
        }
        let waits = self.adopted.mains.values().any(|main| main.ended.is_some());
        let rest = self.table.iter().any(|(_, task)| task.end.is_some() && !task.tree_gone);
        self.survey_wanted |= rest;
        let pause = if waits { STATUS_LOOK_MS } else { REST_LOOK_MS };
        self.adopted.look_at = (waits || rest).then(|| now + Duration::from_millis(pause));
    }

    fn adopted_exited(&mut self, key: TaskKey, exit: Exit) {
        let Some(pid) = self.table.get(key).map(|task| task.pid) else { return };
        self.table.reaped(pid);
        self.survey_wanted = true;
        self.drain_pipes(key);
        let end = self.end_of(key, exit, Rusage::default());
        if let Some(task) = self.table.get_mut(key) {
            task.end = Some(end.clone());
            let id = task.id.clone();
            self.tell_about(key, &FromKeeper::Exited { id, end });
        }
        self.custody_changed(key);
    }

    /// The daemon is to hold something else for a task.
    pub(super) fn custody_changed(&mut self, key: TaskKey) {
        if let Some(custody) = &mut self.custody {
            custody.changed(key);
        }
    }

    /// The end of a pair for the next daemon, which is told of everything that lives.
    pub(super) fn give_custody(&mut self) -> std::io::Result<OwnedFd> {
        let file = self.daemon.release.file.as_ref().map(|file| file.as_fd());
        let living = self.table.iter().filter(|(_, task)| !task.tree_gone);
        let known = living.map(|(key, _)| key).take(HELD_MAX).collect();
        let round = self.capture.under_way().fds();
        // A place has neither a lock nor a daemon of its own.
        let lock = self.lock.as_ref().ok_or(std::io::ErrorKind::Unsupported)?;
        let (custody, end) = Custody::pair(lock.as_fd(), round, file, known)?;
        self.custody = Some(custody);
        Ok(end)
    }

    /// Tells the daemon what it is to hold.
    pub(super) fn keep_custody(&mut self, now: Instant) {
        self.adopted.custody_at = None;
        let Some(custody) = &mut self.custody else { return };
        if !custody.introduce() {
            self.adopted.custody_at = Some(now + Duration::from_millis(CUSTODY_RETRY_MS));
            return;
        }
        while let Some(key) = custody.next() {
            let living = self.table.get(key).filter(|task| !task.tree_gone);
            // Not reaped, so the pid is surely its own; of an adopted one there is a pidfd already.
            let main = living.filter(|task| task.end.is_none()).map(|task| {
                let own = self.adopted.mains.get(&key);
                own.map_or_else(|| procfs::pidfd(task.pid), |own| own.pidfd.try_clone().ok())
            });
            let held = living.and_then(|task| {
                let mark = task.marks.last()?;
                let pipes = self.capture.of_task(key);
                let streams = pipes.each_ref().map(Option::is_some);
                let mut fds = Vec::with_capacity(3);
                if let Some(main) = &main {
                    fds.push(main.as_ref()?.as_fd());
                }
                fds.extend(pipes.into_iter().flatten());
                Some((task.held(key, mark, streams), fds))
            });
            if !custody.tell(key, held) {
                self.adopted.custody_at = Some(now + Duration::from_millis(CUSTODY_RETRY_MS));
                return;
            }
        }
    }
}
