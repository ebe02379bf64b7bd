//! Launches and restarts: from a request to a message for the keeper.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::driver::{Driver, LaunchReply, now_ms};
use super::handle::{LaunchAdmission, LaunchError, LaunchRequest};
use super::notes::RunNotes;
use super::table::Entry;
use crate::engine::kubernetes::{Command, RemoteWork};
use crate::engine::local::spawn_request;
use deskd_core::id::{AppId, TaskId};
use deskd_core::plan::{EngineKind, LaunchSpec, LocalPlan, Plan, Work};
use deskd_core::redact::redacted;
use deskd_core::task::{Task, TaskEvent, TaskState};
use deskd_core::why::reason::{RefusalReason, Refused};
use deskd_core::wire::{RunId, SpawnError, ToKeeper};

/// How long a restart waits again when no plan can be made (the display is away).
const REPLAN_DELAY: Duration = Duration::from_secs(1);

impl Driver {
    pub(super) fn launch(&mut self, request: LaunchRequest, reply: LaunchReply) {
        if let Some(key) = &request.idempotency_key
            && let Some(known) = self.table.by_key(key)
        {
            let same = known.task.app == request.app && known.spec == request.spec;
            let task = known.task.clone();
            return self.launched_before(&task, same, reply);
        }
        match self.admit(&request) {
            Err(error) => {
                if let Some((_, reply)) = self.remote.hold(request, reply, &error) {
                    self.answer(reply, Err(error));
                }
            }
            Ok(plan) => {
                let id = self.insert(request, &plan);
                let run = RunId { task: id, run: 1 };
                self.launching.entry(run.clone()).or_default().push(reply);
                self.start(run, plan);
            }
        }
    }

    fn launched_before(&mut self, task: &Arc<Task>, same: bool, reply: LaunchReply) {
        if !same {
            return self.answer(reply, Err(LaunchError::KeyReused(task.id.clone())));
        }
        let run = RunId { task: task.id.clone(), run: task.runs };
        let undecided = task.engine == EngineKind::Local || self.launching.contains_key(&run);
        if task.state == TaskState::Starting && undecided {
            // Answered together with the first request, or when a re-adopted launch is decided.
            self.launching.entry(run).or_default().push(reply);
        } else {
            self.answer(reply, Ok(LaunchAdmission::AlreadyLaunched(task.clone())));
        }
    }

    fn admit(&self, request: &LaunchRequest) -> Result<Plan, LaunchError> {
        if self.health.draining {
            return Err(LaunchError::Draining);
        }
        let limit = self.settings.tasks_max;
        if self.table.own_len() >= limit {
            return Err(LaunchError::TooManyTasks { limit });
        }
        let plan = self.plan(&request.app, &request.spec, None)?;
        if !self.health.keeper_connected {
            return Err(LaunchError::KeeperAway);
        }
        Ok(plan)
    }

    fn insert(&mut self, request: LaunchRequest, plan: &Plan) -> TaskId {
        let id = self.fresh_id(&request.app);
        if let Some(app) = self.apps.get(&request.app) {
            self.table.insert(Entry {
                task: Arc::new(Task::new(id.clone(), app, plan, now_ms())),
                spec: request.spec,
                key: request.idempotency_key,
                env: Vec::new(),
                notes: RunNotes::default(),
                found: None,
            });
        }
        id
    }

    fn fresh_id(&self, app: &AppId) -> TaskId {
        loop {
            let id = TaskId::new(app, random());
            if self.table.get(&id).is_none() && !self.others.hidden().contains_key(&id) {
                return id;
            }
        }
    }

    /// Asks the engine for a run.
    pub(super) fn start(&mut self, run: RunId, plan: Plan) {
        self.forget_run_before(&run);
        let wrote = self.table.get(&run.task).map_or(0, |entry| entry.task.log_bytes);
        let notes = RunNotes::at_launch(&self.display, wrote);
        self.table.note(&run.task, |old| *old = notes);
        self.apply(&run.task, TaskEvent::Starting { run: run.run });
        self.table.set_env(&run.task, redacted(plan.work.env()));
        match plan.work {
            Work::Local(local) => self.start_local(run, *local),
            Work::EphemeralContainer(plan) => self.start_remote(run, RemoteWork::Ephemeral(plan)),
            Work::PodApplication(plan) => self.start_remote(run, RemoteWork::Pod(plan)),
        }
    }

    /// The object of the run before is of no use any more: its output is stored.
    fn forget_run_before(&mut self, run: &RunId) {
        let Some(entry) = self.table.get(&run.task) else { return };
        if entry.task.object.is_some() && entry.task.runs + 1 == run.run {
            let before = RunId { task: run.task.clone(), run: entry.task.runs };
            self.remote.tell(Command::Forget { run: before });
        }
    }

    fn start_local(&mut self, run: RunId, plan: LocalPlan) {
        let seed = self.table.get(&run.task).map(|entry| serde_json::to_string(&entry.task));
        let meta = seed.and_then(Result::ok).unwrap_or_default();
        let request = spawn_request(run.clone(), plan, meta);
        self.spawning.push(run.task.clone());
        if let Err(error) = self.try_tell_keeper(&ToKeeper::Spawn(Box::new(request))) {
            let why = format!("its command line and environment are too long: {error}");
            self.spawn_refused(&run, &SpawnError::Invalid(why));
        }
    }

    /// The keeper started a run.
    pub(super) fn spawned(&mut self, id: &RunId, pid: u32, at: i64) {
        self.apply(&id.task, TaskEvent::Started { run: id.run, pid: Some(pid), at });
        self.attribute_windows();
        self.answer_launch(id);
    }

    /// Answers those who wait for a launch: its process or object exists, or will as soon as it can.
    pub(super) fn answer_launch(&mut self, id: &RunId) {
        let Some(task) = self.table.get(&id.task).map(|entry| entry.task.clone()) else { return };
        for (number, reply) in self.launching.remove(id).into_iter().flatten().enumerate() {
            let admission = if number == 0 {
                LaunchAdmission::Started(task.clone())
            } else {
                LaunchAdmission::AlreadyLaunched(task.clone())
            };
            self.answer(reply, Ok(admission));
        }
    }

    /// The keeper could not start a run.
    pub(super) fn spawn_refused(&mut self, id: &RunId, error: &SpawnError) {
        let why = RefusalReason::Spawn(error.clone()).into();
        self.not_started(id, why, |app| LaunchError::Spawn { app, error: error.clone() });
    }

    /// A run was refused. A first run that somebody waits for is an error of the launch, not a task.
    pub(super) fn not_started(
        &mut self,
        run: &RunId,
        why: Refused,
        error: impl Fn(AppId) -> LaunchError,
    ) {
        if !self.is_current(run) {
            return;
        }
        let Some(app) = self.table.get(&run.task).map(|entry| entry.task.app.clone()) else {
            return;
        };
        let replies = self.launching.remove(run).unwrap_or_default();
        if run.run == 1 && !replies.is_empty() {
            self.forget(&run.task);
        } else {
            self.never_ran(run, why);
        }
        for reply in replies {
            self.answer(reply, Err(error(app.clone())));
        }
    }

    /// Plans the next run of an ended task, if a remedy is applied to it or its policy wants one.
    pub(super) fn schedule_restart(&mut self, id: &TaskId) {
        if self.health.draining || self.mend(id) {
            return;
        }
        let mut delay = None;
        self.table.change(id, |task| {
            delay = task.next_run_delay_ms(random());
            delay.is_some()
        });
        if let Some(ms) = delay {
            self.restart_in(id, Duration::from_millis(ms));
        }
    }

    fn restart_in(&mut self, id: &TaskId, delay: Duration) {
        let at = now_ms() + i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        if self.apply(id, TaskEvent::RestartAt(at)).is_some() {
            self.restarts.insert((Instant::now() + delay, id.clone()));
        }
    }

    /// A planned task of an earlier daemon: its restart is due when it was.
    pub(super) fn rearm_restart(&mut self, task: &Task) {
        let left = task.next_run_at.unwrap_or(0) - now_ms();
        let delay = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        self.restarts.insert((Instant::now() + delay, task.id.clone()));
    }

    /// Starts what is due.
    pub(super) fn run_due(&mut self) {
        while let Some((at, id)) = self.restarts.first().cloned() {
            if at > Instant::now() {
                return;
            }
            self.restarts.remove(&(at, id.clone()));
            let Some(entry) = self.table.get(&id) else { continue };
            if entry.task.state == TaskState::Planned {
                let run = RunId { task: id, run: entry.task.runs + 1 };
                self.restart(run);
            }
        }
    }

    fn restart(&mut self, run: RunId) {
        let Some(entry) = self.table.get(&run.task) else { return };
        let (app, spec) = (entry.task.app.clone(), entry.spec.clone());
        match self.plan(&app, &spec, Some(&run.task)) {
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
        if !self.health.looked || !self.health.keeper_connected {
            return;
        }
        for id in std::mem::take(&mut self.unsent) {
            let run = self.table.get(&id).map(|entry| entry.task.runs.max(1));
            run.into_iter().for_each(|run| self.start_again(RunId { task: id.clone(), run }));
        }
    }

    /// Asks again for a run that is on record as starting.
    pub(super) fn start_again(&mut self, run: RunId) {
        let Some(entry) = self.table.get(&run.task) else { return };
        let (app, spec) = (entry.task.app.clone(), entry.spec.clone());
        let engine = entry.task.engine;
        // It was decided already, and may be known under the names of that engine.
        let spec = LaunchSpec { engine: spec.engine.or(Some(engine)), ..spec };
        match self.plan(&app, &spec, Some(&run.task)) {
            Ok(plan) => self.start(run, plan),
            Err(error) => {
                let why = unplannable(&error);
                self.apply(&run.task, TaskEvent::Refused { run: run.run, why });
                self.launching.remove(&run);
            }
        }
    }
}

/// Why the plan for a run could not be made.
fn unplannable(error: &LaunchError) -> Refused {
    Refused { reason: RefusalReason::Unplannable, words: Some(error.to_string()) }
}

/// A uniformly distributed number.
pub(super) fn random() -> u32 {
    // Without the kernel's random numbers ids and jitter fall back to the clock: both only need
    // to differ, and a clash of ids is checked for.
    getrandom::u32().unwrap_or_else(|_| now_ms() as u32)
}
