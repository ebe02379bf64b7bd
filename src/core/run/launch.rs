//! Launches: from a request to a command for an engine, and its answer.

use std::sync::Arc;
use std::time::Duration;

use super::ask::{LaunchAdmission, LaunchError, LaunchRequest};
use super::effect::{Answer, ReplyId};
use super::notes::RunNotes;
use super::{Entry, Step};
use crate::id::{AppId, TaskId};
use crate::kubernetes::{APP_CONTAINER, LABEL_USER, ObjectRef, container_name, pod_name};
use crate::plan::{EphemeralPlan, Plan, PodPlan, Work};
use crate::port::{Command, Link};
use crate::redact::redacted;
use crate::task::{Task, TaskEvent, TaskState};
use crate::why::reason::{RefusalReason, Refused};
use crate::wire::RunId;

impl Step<'_> {
    pub(super) fn launch(&mut self, request: LaunchRequest, reply: ReplyId) {
        if let Some(key) = &request.idempotency_key
            && let Some(known) = self.runs.table.by_key(key)
        {
            let same = known.task.app == request.app && known.spec == request.spec;
            let task = known.task.clone();
            return self.launched_before(&task, same, reply);
        }
        match self.admit(&request) {
            Err(error) => {
                if let Some((_, reply)) = self.runs.cluster.hold(request, reply, &error) {
                    self.answer(reply, Answer::Launch(Err(error)));
                }
            }
            Ok(plan) => {
                let id = self.insert(request, &plan);
                let run = RunId { task: id, run: 1 };
                self.runs.launching.entry(run.clone()).or_default().push(reply);
                self.start(run, plan);
            }
        }
    }

    fn launched_before(&mut self, task: &Arc<Task>, same: bool, reply: ReplyId) {
        if !same {
            let reused = LaunchError::KeyReused(task.id.clone());
            return self.answer(reply, Answer::Launch(Err(reused)));
        }
        let run = RunId { task: task.id.clone(), run: task.runs };
        let undecided = !task.engine.is_in_cluster() || self.runs.launching.contains_key(&run);
        if task.state == TaskState::Starting && undecided {
            // Answered together with the first request, or when a re-adopted launch is decided.
            self.runs.launching.entry(run).or_default().push(reply);
        } else {
            let known = LaunchAdmission::AlreadyLaunched(task.clone());
            self.answer(reply, Answer::Launch(Ok(known)));
        }
    }

    fn admit(&self, request: &LaunchRequest) -> Result<Plan, LaunchError> {
        if self.runs.draining() {
            return Err(LaunchError::Draining);
        }
        let limit = self.runs.config.tasks_max;
        if self.runs.table.own_len() >= limit {
            return Err(LaunchError::TooManyTasks { limit });
        }
        let plan = self.runs.plan(&request.app, &request.spec, None, self.now)?;
        if !self.runs.keeper_connected {
            return Err(LaunchError::KeeperAway);
        }
        Ok(plan)
    }

    fn insert(&mut self, request: LaunchRequest, plan: &Plan) -> TaskId {
        let id = self.fresh_id(&request.app);
        if let Some(app) = self.runs.app(&request.app) {
            let task = Task::new(id.clone(), app, plan, self.now.unix_ms);
            self.runs.table.insert(Entry {
                spec: request.spec,
                key: request.idempotency_key,
                ..Entry::new(task)
            });
        }
        id
    }

    fn fresh_id(&mut self, app: &AppId) -> TaskId {
        loop {
            let id = TaskId::new(app, self.runs.random());
            let taken = self.runs.table.get(&id).is_some()
                || self.runs.table.was_removed(&id)
                || self.runs.hidden().contains_key(&id);
            if !taken {
                return id;
            }
        }
    }

    /// Asks the engine for a run.
    pub(super) fn start(&mut self, run: RunId, plan: Plan) {
        self.forget_run_before(&run);
        let wrote = self.runs.task(&run.task).map_or(0, |task| task.log_bytes);
        let notes = RunNotes::at_launch(&self.runs.display, wrote);
        self.runs.table.note(&run.task, |old| *old = notes);
        self.apply(&run.task, TaskEvent::Starting { run: run.run });
        // As things are now it may run elsewhere than before.
        self.runs.table.change(&run.task, |task| task.follow(&plan));
        self.runs.table.planned(&run.task, redacted(plan.work.env()), plan.work.grace_s());
        let Some(task) = self.runs.task(&run.task).cloned() else { return };
        let object = self.object_of(&run, &task, &plan.work);
        if let Some(object) = object.clone() {
            self.apply(&run.task, TaskEvent::Placed { run: run.run, object });
        }
        // Only a process has no object that tells what it is. (A task can always be written.)
        let meta = match &object {
            Some(_) => String::new(),
            None => serde_json::to_string(&*task).unwrap_or_default(),
        };
        let (app, work) = (task.app.clone(), plan.work);
        self.tell(plan.engine.link(), Command::Start { run, app, object, work, meta });
    }

    /// The names of what a run is in the cluster: functions of task and run, so that a launch that is
    /// asked for again after a `kill -9` finds its own object.
    fn object_of(&self, run: &RunId, task: &Task, work: &Work) -> Option<ObjectRef> {
        let RunId { task: id, run } = run;
        match work {
            Work::Local(_) => None,
            Work::EphemeralContainer(plan) => {
                let EphemeralPlan { namespace, pod, .. } = &**plan;
                let owner = self.user().unwrap_or(&task.display_name);
                let container = container_name(owner, &task.app, id, *run);
                Some(ObjectRef { namespace: namespace.clone(), pod: pod.clone(), container })
            }
            Work::PodApplication(plan) => {
                let PodPlan { namespace, .. } = &**plan;
                let owner = self.user().unwrap_or(&self.runs.config.name);
                let pod = pod_name(owner, &task.app, id, *run);
                let container = APP_CONTAINER.to_owned();
                Some(ObjectRef { namespace: namespace.clone(), pod, container })
            }
        }
    }

    /// abcdesktop's user, by whom it names applications.
    fn user(&self) -> Option<&String> {
        self.runs.cluster.facts.own_pod.as_ref()?.labels.get(LABEL_USER)
    }

    /// The object of the run before is of no use any more: its output is stored.
    fn forget_run_before(&mut self, run: &RunId) {
        let Some(task) = self.runs.task(&run.task) else { return };
        if task.object.is_some() && task.runs + 1 == run.run {
            let before = RunId { task: run.task.clone(), run: task.runs };
            self.supersede(before, task.started_at.is_none());
        }
    }

    /// A later run takes the place of one in the cluster; it is ended if its node may still start it, or
    /// has. (When it was given up, the engine may not have known it yet.)
    pub(super) fn supersede(&mut self, run: RunId, may_live: bool) {
        if may_live {
            let (term_after, kill_after) = (Duration::ZERO, self.runs.grace_of(&run.task));
            self.tell(Link::Cluster, Command::Stop { run: run.clone(), term_after, kill_after });
        }
        self.tell(Link::Cluster, Command::Forget { run, output: false });
    }

    /// Answers those who wait for a launch: its process or object exists, or will as soon as it can.
    pub(super) fn answer_launch(&mut self, id: &RunId) {
        let Some(task) = self.runs.task(&id.task).cloned() else { return };
        for (number, reply) in self.runs.launching.remove(id).into_iter().flatten().enumerate() {
            let admission = if number == 0 {
                LaunchAdmission::Started(task.clone())
            } else {
                LaunchAdmission::AlreadyLaunched(task.clone())
            };
            self.answer(reply, Answer::Launch(Ok(admission)));
        }
    }

    /// Its engine cannot start a run. A first run that somebody waits for is an error of the launch, not
    /// a task; but what a container cannot execute is a task whether its place was there already or had
    /// to be made: it has a diagnosis, and a remedy where its image's own command is at fault.
    pub(super) fn launch_refused(&mut self, run: &RunId, refusal: &Refused) {
        if !self.runs.is_current(run) {
            return;
        }
        let Some(task) = self.runs.task(&run.task).cloned() else { return };
        let app = task.app.clone();
        if task.engine.is_in_cluster() && matches!(refusal.reason, RefusalReason::Spawn(_)) {
            self.answer_launch(run);
        }
        let replies = self.runs.launching.remove(run).unwrap_or_default();
        // Whoever stopped it was told that there is such a task.
        if run.run == 1 && !replies.is_empty() && task.state == TaskState::Starting {
            self.forget(&run.task);
        } else {
            if task.engine.is_in_cluster() {
                let words = refusal.words.clone();
                self.runs.table.note(&run.task, |notes| notes.cluster.refusal = words);
            }
            self.never_ran(run, refusal.clone());
        }
        for reply in replies {
            let app = app.clone();
            let error = match &refusal.reason {
                RefusalReason::Spawn(error) => LaunchError::Spawn { app, error: error.clone() },
                _ => LaunchError::Refused { app, refusal: refusal.clone().into() },
            };
            self.answer(reply, Answer::Launch(Err(error)));
        }
    }
}
