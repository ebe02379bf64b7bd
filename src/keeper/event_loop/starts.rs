//! Starts: asked for by the daemon, done by starters, and what follows.

use std::os::fd::OwnedFd;
use std::time::Instant;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::{Keeper, Source, unix_ms};
use crate::logs::Stream;
use crate::reap::Ended;
use crate::spawn::starter::{Kind, Starter};
use crate::starts::{Asking, Finished, Start, UnderWay};
use crate::table::{Task, TaskKey};
use crate::tree::Mark;
use deskd_core::id::TaskId;
use deskd_core::wire::{FromKeeper, META_BYTES_MAX, RunId, SpawnError, SpawnRequest, StartTimes};

/// A program that runs, and what was asked of it meanwhile.
struct Begun {
    key: TaskKey,
    task: TaskId,
    stop: Option<(Instant, Instant)>,
    watch: Option<u64>,
    asked: Option<u64>,
    ended: Option<Ended>,
    /// Its ends of the pipes, which are the program's alone.
    _pipes: [OwnedFd; 2],
}

impl Keeper {
    pub(super) fn spawn(&mut self, request: SpawnRequest) {
        let known = self.table.key(&request.id.task);
        if let Some(key) = known
            && self.table.get(key).is_some_and(|task| task.id == request.id)
        {
            return self.say_what_became_of(key);
        }
        let id = request.id.clone();
        match self.admit(&request, known) {
            Ok(true) => {
                self.starts.push(Start::new(self.at_this_place(request)));
                self.ask_starters();
            }
            // It is answered when it is over.
            Ok(false) => {}
            Err(error) => self.tell(&FromKeeper::SpawnRefused { id, error }),
        }
    }

    /// Whether a run that is not known may be started; false: it is being started.
    fn admit(
        &mut self,
        request: &SpawnRequest,
        known: Option<TaskKey>,
    ) -> Result<bool, SpawnError> {
        let id = &request.id;
        if self.shutdown.is_some() {
            return Err(SpawnError::Draining);
        }
        if request.meta.len() > META_BYTES_MAX {
            return Err(SpawnError::Invalid(format!(
                "the field meta has {} bytes, more than {META_BYTES_MAX}",
                request.meta.len()
            )));
        }
        let under_way = self.starts.of_task(&id.task).map(|start| start.request.id.run);
        if under_way == Some(id.run) {
            return Ok(false);
        }
        let task = known.and_then(|key| self.table.get(key));
        let last = under_way.or(task.map(|task| task.id.run));
        let runs = under_way.is_some() || task.is_some_and(|task| task.end.is_none());
        match last {
            Some(last) if last > id.run => Err(SpawnError::Invalid(format!(
                "run {} of {} is older than run {last}, which is known",
                id.run, id.task
            ))),
            Some(last) if runs => {
                Err(SpawnError::Invalid(format!("run {last} of {} has not ended", id.task)))
            }
            None if self.tasks() >= self.config.tasks_max => {
                Err(SpawnError::TooManyTasks { limit: self.config.tasks_max })
            }
            Some(_) | None => Ok(true),
        }
    }

    /// How many tasks there are, with those whose first run is being started.
    fn tasks(&self) -> usize {
        let is_new = |start: &&Start| self.table.key(start.task()).is_none();
        self.table.len() + self.starts.iter().filter(is_new).count()
    }

    /// Has starters do what waits, as far as there is room.
    fn ask_starters(&mut self) {
        while let Some(start) = self.starts.next() {
            let tag = self.next_tag();
            let now = Instant::now();
            let (id, log_from) = (start.task().clone(), start.request.log_from);
            let asked = match self.spawner.pipes() {
                Ok(pipes) => self.starts.prepare(start, tag, pipes, now),
                Err(error) => {
                    self.refused(&start.request.id, error);
                    continue;
                }
            };
            let mut asking = self.starts.ask(asked, now);
            if let Asking::NoStarter(asked) = asking {
                asking = match self.add_starter(&asked, false) {
                    Ok(()) => self.starts.ask(*asked, now),
                    Err(error) => {
                        self.refused(&asked.start.request.id, error);
                        continue;
                    }
                };
            }
            if let Asking::Crowded(asked) = asking {
                self.starter_is_gone(asked.kind());
                asking = match self.add_starter(&asked, true) {
                    Ok(()) => self.starts.asked(*asked, now),
                    Err(error) => {
                        self.refused(&asked.start.request.id, error);
                        continue;
                    }
                };
            }
            match asking {
                Asking::Asked | Asking::NoStarter(_) | Asking::Crowded(_) => {
                    self.prepare_log(&id, log_from)
                }
                Asking::Later => return,
                Asking::Refused(finished) => self.all_finished(vec![*finished]),
            }
        }
    }

    /// A starter for what is to be asked; if it inherits the descriptors, it is asked.
    fn add_starter(&mut self, asked: &UnderWay, inherits: bool) -> Result<(), SpawnError> {
        let kind = asked.kind();
        let failed = |error: std::io::Error| crate::spawn::starter::not_started(&error);
        let first = inherits.then(|| asked.parcel()).transpose().map_err(failed)?;
        let starter = Starter::begin(&mut self.spawner, kind, first.as_ref())?;
        first.map_or(Ok(()), |first| starter.hand_over(&first)).map_err(failed)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, Source::Starters as u64 + kind as u64);
        if let Err(errno) = self.epoll.add(&starter, event) {
            starter.signal(nix::sys::signal::Signal::SIGKILL);
            return Err(failed(errno.into()));
        }
        self.starts.add_starter(asked, starter);
        Ok(())
    }

    /// A starter's socket has something.
    pub(super) fn starter_answers(&mut self, kind: Kind) {
        let (finished, gone) = self.starts.answers(kind);
        self.all_finished(finished);
        if gone {
            self.starter_is_gone(kind);
        }
        self.ask_starters();
    }

    fn starter_is_gone(&mut self, kind: Kind) {
        if let Some(starter) = self.starts.starter(kind) {
            // A process that it began may have the socket, too.
            let _ = self.epoll.delete(starter);
        }
        let finished = self.starts.lost(kind, Instant::now());
        self.all_finished(finished);
    }

    /// What is due for starters.
    pub(super) fn go_on_starting(&mut self, now: Instant) {
        let given_up = self.starts.go_on(now);
        if given_up.is_empty() {
            return;
        }
        given_up.into_iter().for_each(|kind| self.starter_is_gone(kind));
        self.ask_starters();
    }

    /// What was not begun will not be: everything is to end.
    pub(super) fn refuse_waiting_starts(&mut self) {
        for start in self.starts.take_waiting() {
            self.refused(&start.request.id, SpawnError::Draining);
        }
    }

    /// Opens the log of a task that is new, and counts OOM kills, while its program starts, so that nobody waits
    /// for it afterwards.
    fn prepare_log(&mut self, task: &TaskId, from: u64) {
        self.oom_kills_at_start = self.oom_kills();
        if self.table.key(task).is_none() {
            let _ = self.store.open_task(task, from);
        }
    }

    fn refused(&mut self, id: &RunId, error: SpawnError) {
        let refused = FromKeeper::SpawnRefused { id: id.clone(), error };
        match self.table.key(&id.task) {
            Some(key) => self.tell_about(key, &refused),
            None => {
                self.tell(&refused);
                self.store.remove_if_empty(&id.task);
            }
        }
    }

    /// Starts that are over. That a program runs is told before anything else follows: somebody waits for it.
    fn all_finished(&mut self, finished: Vec<Finished>) {
        let begun: Vec<_> = finished.into_iter().filter_map(|it| self.finished(it)).collect();
        self.keep_custody(Instant::now());
        self.flush();
        begun.into_iter().for_each(|begun| self.follow_up(begun));
    }

    fn finished(&mut self, finished: Finished) -> Option<Begun> {
        let UnderWay { mut start, tag, pipes, ended, .. } = finished.under_way;
        let task = start.task().clone();
        let pid = match finished.outcome {
            Ok(pid) => pid,
            Err(error) => {
                self.refused(&start.request.id, error);
                return None;
            }
        };
        let (stop, watch, asked) = (start.stop, start.watch, start.asked);
        let (log_from, program) = (start.request.log_from, start.request.program.take());
        let key = self.began(start, tag, pid, finished.times);
        if let Some(program) = program {
            self.look_for_program((key, pid), program);
        }
        let [stdout, stderr] = pipes.read;
        self.capture_pipe(key, stdout, Stream::Stdout);
        self.capture_pipe(key, stderr, Stream::Stderr);
        self.open_log(key, log_from);
        Some(Begun { key, task, stop, watch, asked, ended, _pipes: pipes.write })
    }

    fn follow_up(&mut self, begun: Begun) {
        let Begun { key, task, stop, watch, asked, ended, .. } = begun;
        if let Some(from) = asked {
            self.read_log(task.clone(), from);
        }
        if let Some(seen) = watch {
            self.watch_log(&task, seen);
        }
        let of_shutdown = self.terminated.map(|kill_at| (Instant::now(), kill_at));
        for (term_at, kill_at) in [stop, of_shutdown].into_iter().flatten() {
            self.table.stop_by(key, term_at, kill_at);
        }
        if let Some(ended) = ended {
            self.ended(ended);
        }
    }

    fn began(&mut self, start: Start, tag: u64, pid: u32, times: Option<StartTimes>) -> TaskKey {
        let at = unix_ms();
        let Start { request, meta, .. } = start;
        let known = self.table.key(&request.id.task);
        let key = known.unwrap_or_else(|| self.table.new_key());
        // Processes of earlier runs that are left stay the task's: a stop takes them too.
        let earlier = self.table.get_mut(key);
        let (mut marks, log, log_end, pipes, watch) = match earlier {
            Some(task) => (
                std::mem::take(&mut task.marks),
                task.log.take(),
                task.log_end,
                task.pipes,
                task.watch,
            ),
            None => (Vec::new(), None, 0, 0, None),
        };
        let task = request.id.task.clone();
        let pinned = request.wall.is_some();
        marks.push(Mark { key, task, pid, main_lives: true, tag, pinned });
        let id = request.id;
        let begun = Task::begun(id.clone(), meta, pid, at);
        let oom_kills = self.oom_kills_at_start;
        self.table.put(key, Task { marks, log, log_end, pipes, watch, oom_kills, ..begun });
        self.custody_changed(key);
        self.tell_about(key, &FromKeeper::Spawned { id, pid, at, times });
        key
    }

    /// The answer to a request that was carried out before.
    fn say_what_became_of(&mut self, key: TaskKey) {
        let Some(task) = self.table.get_mut(key) else { return };
        task.forgotten = false;
        let id = task.id.clone();
        let (end, gone) = (task.end.clone(), task.tree_gone);
        let (pid, at) = (task.pid, task.spawned_at);
        let spawned = FromKeeper::Spawned { id: id.clone(), pid, at, times: None };
        self.tell(&spawned);
        if let Some(end) = end {
            self.tell(&FromKeeper::Exited { id: id.clone(), end });
        }
        if gone {
            self.tell(&FromKeeper::TreeGone { id });
        }
    }

    /// A stop of a run that is being started; false: there is none.
    pub(super) fn stop_start(&mut self, id: &RunId, term_at: Instant, kill_at: Instant) -> bool {
        let start = self.starts.of_task(&id.task).filter(|start| start.request.id == *id);
        let Some(start) = start else { return false };
        start.stop = Some(match start.stop {
            Some((term, kill)) => (term.min(term_at), kill.min(kill_at)),
            None => (term_at, kill_at),
        });
        true
    }
}
