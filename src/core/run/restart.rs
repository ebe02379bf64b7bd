//! The runs after the first: planned when one ends, started when they are due, asked for again when
//! an earlier daemon was killed before its engine heard of them.

use std::time::Duration;

use super::Step;
use super::ask::LaunchError;
use crate::id::TaskId;
use crate::plan::LaunchSpec;
use crate::restart::DELAY_MS_MAX;
use crate::task::{Task, TaskEvent, TaskState};
use crate::why::reason::{RefusalReason, Refused};
use crate::wire::RunId;

/// How long a restart waits again when no plan can be made (the display is away).
const REPLAN_DELAY: Duration = Duration::from_secs(1);

impl Step<'_> {
    /// Plans the next run of an ended task, if a remedy is applied to it or its policy wants one.
    pub(super) fn schedule_restart(&mut self, id: &TaskId) {
        if self.runs.draining() || self.mend(id) {
            return;
        }
        let random = self.runs.random();
        let mut delay = None;
        self.runs.table.change(id, |task| {
            delay = task.next_run_delay_ms(random);
            delay.is_some()
        });
        if let Some(ms) = delay {
            self.restart_in(id, Duration::from_millis(ms));
        }
    }

    fn restart_in(&mut self, id: &TaskId, delay: Duration) {
        let at = self.now.unix_ms + i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        if self.apply(id, TaskEvent::RestartAt(at)).is_some() {
            self.run_in(id, delay);
        }
    }

    /// Its next run is due then, and at no other time.
    pub(super) fn run_in(&mut self, id: &TaskId, delay: Duration) {
        self.runs.restarts.retain(|(_, other)| other != id);
        self.runs.restarts.insert((self.now.clock + delay, id.clone()));
    }

    /// A planned task of an earlier daemon: its restart is due when it was, unless the clock was set back
    /// meanwhile.
    pub(super) fn rearm_restart(&mut self, task: &Task) {
        let left = task.next_run_at.unwrap_or(0).saturating_sub(self.now.unix_ms);
        let delay = Duration::from_millis(u64::try_from(left).unwrap_or(0).min(DELAY_MS_MAX));
        self.run_in(&task.id, delay);
    }

    /// Starts what is due. A keeper that has not told yet what it keeps would be asked for a run that
    /// is not among that, and then be taken for one that lost it.
    pub(super) fn run_due(&mut self) {
        if !self.runs.keeper_connected {
            return;
        }
        while let Some((at, id)) = self.runs.restarts.first().cloned() {
            if at > self.now.clock {
                return;
            }
            self.runs.restarts.remove(&(at, id.clone()));
            let Some(task) = self.runs.task(&id) else { continue };
            if task.state == TaskState::Planned {
                let run = RunId { task: id, run: task.runs + 1 };
                self.restart(run);
            }
        }
    }

    fn restart(&mut self, run: RunId) {
        let Some(entry) = self.runs.table.get(&run.task) else { return };
        let (app, spec) = (entry.task.app.clone(), entry.spec.clone());
        match self.runs.plan(&app, &spec, Some(&run.task), self.now) {
            Ok(plan) => self.start(run, plan),
            Err(LaunchError::Unplannable(_)) => self.restart_in(&run.task, REPLAN_DELAY),
            Err(error) => {
                let why = unplannable(&error);
                self.apply(&run.task, TaskEvent::Starting { run: run.run });
                self.apply(&run.task, TaskEvent::Refused { run: run.run, why });
            }
        }
    }

    /// Launches on record that the keeper never heard of: an earlier daemon was killed in between.
    /// They wait for the first look, since a plan needs to know the display.
    pub(super) fn send_unsent(&mut self) {
        if !self.runs.looked || !self.runs.keeper_connected {
            return;
        }
        for id in std::mem::take(&mut self.runs.unsent) {
            let run = self.runs.task(&id).map(|task| task.runs.max(1));
            run.into_iter().for_each(|run| self.start_again(RunId { task: id.clone(), run }));
        }
    }

    /// Asks again for a run that is on record as starting.
    pub(super) fn start_again(&mut self, run: RunId) {
        let Some(entry) = self.runs.table.get(&run.task) else { return };
        match entry.task.state {
            TaskState::Starting => {}
            // Somebody stopped it meanwhile, and no engine has heard of it.
            TaskState::Stopping => return self.never_ran(&run, RefusalReason::Stopped.into()),
            _ => return,
        }
        let (app, spec) = (entry.task.app.clone(), entry.spec.clone());
        // It was decided already, and may be known under the names of that engine.
        let engine = spec.engine.or(Some(entry.task.engine));
        let spec = LaunchSpec { engine, ..spec };
        match self.runs.plan(&app, &spec, Some(&run.task), self.now) {
            Ok(plan) => self.start(run, plan),
            Err(error) => {
                let why = unplannable(&error);
                self.apply(&run.task, TaskEvent::Refused { run: run.run, why });
                self.runs.launching.remove(&run);
            }
        }
    }
}

/// Why the plan for a run could not be made.
fn unplannable(error: &LaunchError) -> Refused {
    Refused { reason: RefusalReason::Unplannable, words: Some(error.to_string()) }
}
