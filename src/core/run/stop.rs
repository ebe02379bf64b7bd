//! Stops and removals: politely by windows, then the engine's deadlines.

use std::time::Duration;

use super::ask::{RemoveError, StopAdmission, StopError, StopRequest};
use super::effect::{Answer, Effect, ReplyId};
use super::{Entry, Runs, Step};
use crate::id::TaskId;
use crate::origin::Origin;
use crate::port::Command;
use crate::task::{StopStep, StopStepKind, TaskEvent, TaskState};
use crate::text;
use crate::why::Actor;
use crate::wire::RunId;

/// When which signal comes, from now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) close: Duration,
    pub(super) kill: Duration,
    /// SIGKILL of what has no window that can be asked to close: SIGTERM comes at once.
    pub(super) kill_without_windows: Duration,
}

impl Times {
    /// SIGTERM now.
    pub(super) fn at_once(kill: Duration) -> Self {
        Self { close: Duration::ZERO, kill, kill_without_windows: kill }
    }
}

impl Runs {
    /// From SIGTERM to SIGKILL: as the plan of its run says. Of a pod whose record was lost, as that of
    /// every pod.
    fn grace(&self, entry: &Entry) -> Duration {
        let of_pods = (entry.task.engine.has_own_pod() && entry.task.origin == Origin::Deskd)
            .then_some(self.config.policy.grace_s);
        let seconds = entry.grace_s.or(of_pods).map(|s| Duration::from_secs(s.into()));
        seconds.unwrap_or(self.config.term_grace)
    }

    pub(super) fn grace_of(&self, id: &TaskId) -> Duration {
        self.table.get(id).map_or(self.config.term_grace, |entry| self.grace(entry))
    }

    pub(super) fn times(&self, id: &TaskId, request: StopRequest) -> Times {
        if request.force {
            return Times::at_once(Duration::ZERO);
        }
        let close = self.config.close_grace;
        match request.grace {
            Some(grace) => {
                Times { close: close.min(grace / 2), kill: grace, kill_without_windows: grace }
            }
            None => {
                let grace = self.grace_of(id);
                Times { close, kill: close + grace, kill_without_windows: grace }
            }
        }
    }
}

impl Step<'_> {
    pub(super) fn stop(&mut self, id: &TaskId, request: StopRequest, reply: ReplyId) {
        let result = self.admit_stop(id, request);
        self.answer(reply, Answer::Stop(result));
    }

    fn admit_stop(
        &mut self,
        id: &TaskId,
        request: StopRequest,
    ) -> Result<StopAdmission, StopError> {
        let unknown = || StopError::UnknownTask(id.clone());
        let task = self.runs.task(id).ok_or_else(unknown)?;
        if task.state == TaskState::Ended {
            let task = task.clone();
            // A launcher script that is done, and its application that runs on.
            if task.leftovers && !task.engine.is_in_cluster() {
                self.end_tree(id, self.runs.times(id, request));
                return Ok(StopAdmission::Stopping(task));
            }
            return Ok(StopAdmission::AlreadyEnded(task));
        }
        if let Some(no_stop) = &task.no_stop {
            let (task, why) = (id.clone(), no_stop.sentence.clone());
            return Err(StopError::NotPossible { task, why });
        }
        self.stop_task(id, Actor::a_user(), self.runs.times(id, request));
        let task = self.runs.task(id).ok_or_else(unknown)?.clone();
        Ok(match task.state {
            TaskState::Ended => StopAdmission::AlreadyEnded(task),
            _ => StopAdmission::Stopping(task),
        })
    }

    pub(super) fn stop_task(&mut self, id: &TaskId, who: Actor, times: Times) {
        if self.apply(id, TaskEvent::StopAsked(who.clone())).is_some() {
            self.runs.table.note(id, |notes| notes.stopped_by = Some(who));
        }
        if self.runs.task(id).is_none_or(|task| task.state == TaskState::Ended) {
            return;
        }
        self.end_tree(id, times);
    }

    /// Asks windows first when there are any that take it; the engine's deadlines run from now.
    fn end_tree(&mut self, id: &TaskId, times: Times) {
        let windows = self.runs.windows.closable(id);
        if windows.is_empty() || times.close.is_zero() {
            return self.signal(id, Duration::ZERO, times.kill_without_windows);
        }
        self.signal(id, times.close, times.kill);
        self.out.push(Effect::CloseWindows(id.clone(), windows));
    }

    pub(super) fn signal(&mut self, id: &TaskId, term_after: Duration, kill_after: Duration) {
        let Some(task) = self.runs.task(id) else { return };
        let (run, link) = (RunId { task: id.clone(), run: task.runs }, task.engine.link());
        self.tell(link, Command::Stop { run, term_after, kill_after });
    }

    pub(super) fn windows_asked(&mut self, id: &TaskId, asked: usize, of: usize) {
        let detail = text!("asked {asked} of {of} windows to close", asked, of);
        let step = StopStep { at: self.now.unix_ms, step: StopStepKind::CloseWindows, detail };
        self.apply(id, TaskEvent::StopStep(step));
        if asked == 0 {
            self.signal(id, Duration::ZERO, self.runs.grace_of(id));
        }
    }

    /// The main process of a task that is being stopped ended: what is left of its tree need not
    /// wait for the rest of the windows' time. (A container ends with its first process.)
    pub(super) fn stop_rest(&mut self, id: &TaskId) {
        self.signal(id, Duration::ZERO, self.runs.grace_of(id));
    }

    pub(super) fn remove(&mut self, id: &TaskId, reply: ReplyId) {
        let result = match self.runs.task(id) {
            None => Err(RemoveError::UnknownTask(id.clone())),
            Some(task) if task.state != TaskState::Ended => Err(RemoveError::NotEnded(id.clone())),
            Some(task) => {
                if task.leftovers && !task.engine.is_in_cluster() {
                    // The keeper forgets the task once they are gone.
                    self.signal(id, Duration::ZERO, self.runs.grace_of(id));
                }
                self.forget(id);
                Ok(())
            }
        };
        self.answer(reply, Answer::Remove(result));
    }

    /// Takes a task out of the table, the journal, and its engine.
    pub(super) fn forget(&mut self, id: &TaskId) {
        let Some(entry) = self.runs.table.remove(id) else { return };
        let run = RunId { task: id.clone(), run: entry.task.runs };
        self.hide(&entry.task);
        self.out.push(Effect::Removed(id.clone()));
        self.runs.windows.forget_task(id);
        self.tell(entry.task.engine.link(), Command::Forget { run, output: true });
    }
}
