//! Stops, removals and the shutdown: politely by windows, then the keeper's deadlines.

use std::time::Duration;

use super::driver::{Driver, now_ms};
use super::handle::{RemoveError, StopAdmission, StopError, StopRequest};
use super::input::{Input, Reply};
use crate::engine::kubernetes::Command;
use deskd_core::id::TaskId;
use deskd_core::origin::Origin;
use deskd_core::plan::EngineKind;
use deskd_core::task::{StopStep, StopStepKind, Task, TaskEvent, TaskState};
use deskd_core::why::Actor;
use deskd_core::window::{CloseOutcome, WindowId};
use deskd_core::wire::{Drain, RunId, ToKeeper};

/// What a hurried shutdown leaves between SIGTERM and SIGKILL.
const HURRY_KILL: Duration = Duration::from_millis(500);

/// When which signal comes, from now.
#[derive(Debug, Clone, Copy)]
struct Times {
    close: Duration,
    kill: Duration,
}

impl Driver {
    pub(super) fn stop(
        &mut self,
        id: &TaskId,
        request: StopRequest,
        reply: Reply<Result<StopAdmission, StopError>>,
    ) {
        let Some(entry) = self.table.get(id) else {
            return self.answer(reply, Err(StopError::UnknownTask(id.clone())));
        };
        if entry.task.state == TaskState::Ended {
            let ended = StopAdmission::AlreadyEnded(entry.task.clone());
            return self.answer(reply, Ok(ended));
        }
        if let Some(no_stop) = &entry.task.no_stop {
            let (task, why) = (id.clone(), no_stop.sentence.clone());
            return self.answer(reply, Err(StopError::NotPossible { task, why }));
        }
        self.stop_task(id, Actor::a_user(), self.times(request));
        if let Some(entry) = self.table.get(id) {
            let task = entry.task.clone();
            let admission = if task.state == TaskState::Ended {
                StopAdmission::AlreadyEnded(task)
            } else {
                StopAdmission::Stopping(task)
            };
            self.answer(reply, Ok(admission));
        }
    }

    fn times(&self, request: StopRequest) -> Times {
        if request.force {
            return Times { close: Duration::ZERO, kill: Duration::ZERO };
        }
        let close = self.settings.close_grace;
        match request.grace {
            Some(grace) => Times { close: close.min(grace / 2), kill: grace },
            None => Times { close, kill: close + self.settings.term_grace },
        }
    }

    /// Asks windows first when there are any that take it; the keeper's deadlines run from now.
    fn stop_task(&mut self, id: &TaskId, who: Actor, times: Times) {
        if self.apply(id, TaskEvent::StopAsked(who.clone())).is_some() {
            self.table.note(id, |notes| notes.stopped_by = Some(who));
        }
        let Some(entry) = self.table.get(id) else { return };
        if entry.task.state == TaskState::Ended {
            return;
        }
        let windows = self.windows.closable(id);
        if windows.is_empty() || times.close.is_zero() {
            return self.signal(id, Duration::ZERO, times.kill);
        }
        self.signal(id, times.close, times.kill);
        let (inputs, task) = (self.own_inputs.clone(), id.clone());
        self.display_thread.close_windows(windows, move |outcomes| {
            // The daemon is ending when nobody listens; the keeper's deadlines stand.
            let _ = inputs.blocking_send(Input::WindowsAsked(task, outcomes));
        });
    }

    fn signal(&mut self, id: &TaskId, term: Duration, kill: Duration) {
        let Some(entry) = self.table.get(id) else { return };
        let remote = entry.task.engine != EngineKind::Local;
        let id = RunId { task: id.clone(), run: entry.task.runs };
        if remote {
            let stop = Command::Stop { run: id, term_after: term, kill_after: kill };
            return self.remote.tell(stop);
        }
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.tell_keeper(&ToKeeper::Stop { id, term_after_ms: ms(term), kill_after_ms: ms(kill) });
    }

    pub(super) fn windows_asked(&mut self, id: &TaskId, outcomes: &[(WindowId, CloseOutcome)]) {
        let asked = outcomes.iter().filter(|(_, what)| *what == CloseOutcome::Asked).count();
        let detail = format!("asked {asked} of {} windows to close", outcomes.len());
        let step = StopStep { at: now_ms(), step: StopStepKind::CloseWindows, detail };
        self.apply(id, TaskEvent::StopStep(step));
        if asked == 0 {
            self.signal(id, Duration::ZERO, self.settings.term_grace);
        }
    }

    /// The main process of a task that is being stopped ended: what is left of its tree need not
    /// wait for the rest of the windows' time.
    pub(super) fn stop_rest(&mut self, id: &TaskId) {
        if self.table.get(id).is_some_and(|entry| entry.task.engine == EngineKind::Local) {
            self.signal(id, Duration::ZERO, self.settings.term_grace);
        }
    }

    pub(super) fn remove(&mut self, id: &TaskId, reply: Reply<Result<(), RemoveError>>) {
        let Some(entry) = self.table.get(id) else {
            return self.answer(reply, Err(RemoveError::UnknownTask(id.clone())));
        };
        if entry.task.state != TaskState::Ended {
            return self.answer(reply, Err(RemoveError::NotEnded(id.clone())));
        }
        if entry.task.leftovers && entry.task.engine == EngineKind::Local {
            // The keeper forgets the task once they are gone.
            self.signal(id, Duration::ZERO, self.settings.term_grace);
        }
        self.forget(id);
        self.answer(reply, Ok(()));
    }

    /// Takes a task out of the table, the journal, and the keeper.
    pub(super) fn forget(&mut self, id: &TaskId) {
        if let Some(entry) = self.table.remove(id)
            && entry.task.engine != EngineKind::Local
        {
            let run = RunId { task: id.clone(), run: entry.task.runs };
            self.remote.tell(Command::Forget { run });
            self.hide(&entry.task);
        }
        self.journal.removed(id);
        self.followers.remove(id);
        self.windows.forget_task(id);
        self.tell_keeper(&ToKeeper::Forget { task: id.clone() });
    }

    pub(super) fn drain(&mut self, drain: Drain) {
        self.health.draining = true;
        let left = u64::try_from(drain.deadline - now_ms()).unwrap_or(0);
        let usual = self.times(StopRequest::default());
        let kill = usual.kill.min(Duration::from_millis(left));
        let times = if drain.hurry {
            Times { close: Duration::ZERO, kill: HURRY_KILL.min(kill) }
        } else {
            Times { close: usual.close.min(kill / 2), kill }
        };
        let live: Vec<TaskId> = self
            .table
            .iter()
            .filter(|entry| !entry.task.is_over() && self.ends_with_us(&entry.task))
            .map(|entry| entry.task.id.clone())
            .collect();
        for id in live {
            if self.table.get(&id).is_some_and(|entry| entry.task.state == TaskState::Ended) {
                self.signal(&id, Duration::ZERO, times.kill);
            } else {
                self.stop_task(&id, Actor::Shutdown, times);
            }
        }
        self.report_drained();
    }

    /// Tells the keeper once nothing is left to stop.
    pub(super) fn report_drained(&mut self) {
        if self.health.draining && self.nothing_left() {
            self.tell_keeper(&ToKeeper::Drained);
        }
    }

    fn nothing_left(&self) -> bool {
        self.table.iter().all(|entry| entry.task.is_over() || !self.ends_with_us(&entry.task))
    }

    /// Whether a task is to be stopped when deskd is. What runs in containers outlives a restart of
    /// deskd's own; when the whole pod goes, its ephemeral containers go with it, and pods of their
    /// own would be left. What others started is theirs to end.
    fn ends_with_us(&self, task: &Task) -> bool {
        let pod_ends = self.remote.facts.own_pod.as_ref().is_some_and(|pod| pod.terminating);
        task.origin == Origin::Deskd && (task.engine == EngineKind::Local || pod_ends)
    }
}
