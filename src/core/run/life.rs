//! The transitions of a task: [`Task::apply`] and the decision about a restart.
//!
//! An event that does not fit the state changes nothing, so events may arrive twice (after a
//! re-adoption the keeper tells everything again).

use crate::app::App;
use crate::id::{AppId, TaskId};
use crate::kubernetes::ObjectRef;
use crate::origin::Origin;
use crate::plan::{ContainerPlan, EngineKind, Plan};
use crate::restart::{Backoff, RestartPolicy};
use crate::stage::{self, Stage};
use crate::task::{
    Exit, HISTORY_ENTRIES_MAX, HistoryEntry, Rusage, StopStep, Task, TaskEvent, TaskState, UnixMs,
};
use crate::text;
use crate::text::Text;
use crate::why::reason::{Ended, Explanation, LostReason, Refused, Waiting};
use crate::why::{Actor, Applied};

/// What kubelet says about a start is whole seconds: one that was seen from the beginning may seem to
/// be so much older. Of one that is older deskd did not see the first window.
const STARTED_MS_COARSE: UnixMs = 1_000;
/// Steps of a stop that a task keeps: the first, and of those beyond this number the last.
const STOP_STEPS_MAX: usize = 64;

impl Task {
    /// A planned task that has not run yet.
    #[must_use]
    pub fn new(id: TaskId, app: &App, plan: &Plan, now: UnixMs) -> Self {
        let mut task =
            Self::planned(id, app.id.clone(), app.display_name.clone(), plan.engine, now);
        task.restart = app.restart;
        task.follow(plan);
        task
    }

    /// Its next run is this plan's; whether that is another one.
    pub(crate) fn follow(&mut self, plan: &Plan) -> bool {
        if self.engine == plan.engine
            && self.reasons == plan.reasons
            && self.rejected == plan.rejected
            && self.command == plan.work.argv()
        {
            return false;
        }
        self.engine = plan.engine;
        self.reasons.clone_from(&plan.reasons);
        self.rejected.clone_from(&plan.rejected);
        self.command = plan.work.argv().to_vec();
        let container = plan.work.container().filter(|container| container.entry_point);
        self.entry_point = container.is_some();
        self.program = container.map(ContainerPlan::program_words).unwrap_or_default();
        true
    }

    pub(crate) fn planned(
        id: TaskId,
        app: AppId,
        display_name: String,
        engine: EngineKind,
        now: UnixMs,
    ) -> Self {
        Self {
            id,
            app,
            display_name,
            origin: Origin::Deskd,
            maker: None,
            no_stop: None,
            engine,
            reasons: Vec::new(),
            rejected: Vec::new(),
            command: Vec::new(),
            entry_point: false,
            program: Vec::new(),
            state: TaskState::Planned,
            pid: None,
            object: None,
            node: None,
            waiting: None,
            stale: false,
            exit: None,
            rusage: None,
            created_at: now,
            asked_at: None,
            started_at: None,
            ended_at: None,
            first_window_ms: None,
            stages: Vec::new(),
            windows: 0,
            log_bytes: 0,
            cause: None,
            diagnosis: None,
            remedied: None,
            runs: 0,
            next_run_at: None,
            stop_steps: Vec::new(),
            history: Vec::new(),
            generation: 0,
            restart: RestartPolicy::Never,
            backoff: Backoff::default(),
            stop_asked: false,
            leftovers: false,
        }
    }

    /// Applies one event; whether anything changed.
    pub fn apply(&mut self, event: TaskEvent, now: UnixMs) -> bool {
        match event {
            TaskEvent::Starting { run } => self.starting(run, now),
            TaskEvent::Started { run, pid, at } => self.started(run, pid, at),
            TaskEvent::Refused { run, why } => self.refused(run, why, now),
            TaskEvent::Placed { run, object } => self.placed(run, object),
            TaskEvent::Waiting { run, why } => self.waits(run, why, now),
            TaskEvent::OnNode { run, node } => {
                let new = run == self.runs && self.node.as_ref() != Some(&node);
                if new {
                    self.node = Some(node);
                }
                new
            }
            TaskEvent::Stale(stale) => std::mem::replace(&mut self.stale, stale) != stale,
            TaskEvent::WindowMapped => self.window_mapped(now),
            TaskEvent::WindowGone => {
                let had = self.windows;
                self.windows = had.saturating_sub(1);
                had > 0
            }
            TaskEvent::StopAsked(who) => self.stop_asked_by(who, now),
            TaskEvent::StopStep(step) => self.stop_step(step),
            TaskEvent::Exited { run, exit, reason, rusage, at } => {
                self.exited(run, exit, reason, rusage, at)
            }
            TaskEvent::TreeGone { run } => self.tree_gone(run, now),
            TaskEvent::RestartAt(at) => self.restart_at(at, now),
            TaskEvent::Remedied { applied, plan } => self.remedied(applied, &plan),
        }
    }

    /// The delay before the next run, in milliseconds, if the policy wants one after the run that
    /// just ended. `random` is any uniformly distributed number.
    pub fn next_run_delay_ms(&mut self, random: u32) -> Option<u64> {
        let failure = self.exit.as_ref().is_some_and(Exit::is_failure);
        let wanted = self.state == TaskState::Ended
            && !self.stop_asked
            && self.restart.wants_restart(failure);
        let run_ms = match (self.started_at, self.ended_at) {
            (Some(start), Some(end)) => u64::try_from(end - start).unwrap_or(0),
            _ => 0,
        };
        wanted.then(|| self.backoff.next_delay_ms(run_ms, random))
    }

    /// Whether it is over for good as far as its output is concerned.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == TaskState::Ended && !self.leftovers
    }

    fn starting(&mut self, run: u32, now: UnixMs) -> bool {
        if self.state != TaskState::Planned || run != self.runs + 1 {
            return false;
        }
        // Of a restart: since it was due.
        let queued = self.next_run_at.unwrap_or(self.created_at).min(now);
        self.begin(run);
        stage::enter(&mut self.stages, Stage::Queue, queued);
        let first = if self.engine.is_in_cluster() { Stage::Api } else { Stage::Start };
        stage::enter(&mut self.stages, first, now);
        self.asked_at = Some(now);
        let with_remedy = self.remedied.as_ref().is_some_and(|applied| applied.run == run);
        let what = match run {
            1 => text!("launch"),
            _ if with_remedy => text!("launch with the remedy"),
            _ => text!("restart"),
        };
        self.enter(TaskState::Starting, now, what);
        true
    }

    /// Nothing of the run before is left in it.
    fn begin(&mut self, run: u32) {
        self.runs = run;
        self.next_run_at = None;
        self.stages.clear();
        self.started_at = None;
        self.pid = None;
        self.object = None;
        self.node = None;
        self.waiting = None;
        self.first_window_ms = None;
        self.leftovers = false;
    }

    /// Its engine has a later run than the one on record; whether it does.
    pub(super) fn catch_up(&mut self, run: u32) -> bool {
        let behind = self.runs < run;
        if behind {
            self.begin(run);
            self.state = TaskState::Starting;
        }
        behind
    }

    fn placed(&mut self, run: u32, object: ObjectRef) -> bool {
        let waiting = matches!(self.state, TaskState::Starting | TaskState::Stopping);
        if run != self.runs || !waiting || self.object.as_ref() == Some(&object) {
            return false;
        }
        self.object = Some(object);
        true
    }

    fn waits(&mut self, run: u32, why: Waiting, now: UnixMs) -> bool {
        let waiting = matches!(self.state, TaskState::Starting | TaskState::Stopping);
        if run != self.runs
            || !waiting
            || self.started_at.is_some()
            || self.waiting.as_ref() == Some(&why)
        {
            return false;
        }
        self.note(now, why.sentence());
        if let Some(stage) = why.stage() {
            stage::enter(&mut self.stages, stage, now);
        }
        self.waiting = Some(why);
        true
    }

    fn started(&mut self, run: u32, pid: Option<u32>, at: UnixMs) -> bool {
        let waiting = matches!(self.state, TaskState::Starting | TaskState::Stopping);
        if run != self.runs || !waiting || self.started_at.is_some() {
            return self.pid_found(run, pid);
        }
        self.pid = pid;
        self.waiting = None;
        stage::enter(&mut self.stages, Stage::FirstWindow, at);
        self.started_at = Some(at);
        self.exit = None;
        self.ended_at = None;
        self.rusage = None;
        self.cause = None;
        self.diagnosis = None;
        self.leftovers = true;
        let state = if self.state == TaskState::Starting { TaskState::Running } else { self.state };
        let what = pid.map_or_else(|| text!("it runs"), |pid| text!("process {pid} started", pid));
        self.enter(state, at, what);
        true
    }

    /// A container was known to run before its process was found.
    fn pid_found(&mut self, run: u32, pid: Option<u32>) -> bool {
        let alive = matches!(self.state, TaskState::Running | TaskState::Stopping);
        let new = run == self.runs
            && alive
            && self.exit.is_none()
            && self.started_at.is_some()
            && self.pid.is_none()
            && pid.is_some();
        if new {
            self.pid = pid;
        }
        new
    }

    fn refused(&mut self, run: u32, why: Refused, now: UnixMs) -> bool {
        let waiting = matches!(self.state, TaskState::Starting | TaskState::Stopping);
        if run != self.runs || !waiting || self.started_at.is_some() {
            return false;
        }
        self.ended_at = Some(now);
        self.waiting = None;
        stage::finish(&mut self.stages, now);
        // Of one that somebody stopped, nobody knows whether it could have been started.
        let app = (!self.stop_asked).then(|| self.display_name.clone());
        let cause = Explanation::NotStarted { app, why: Box::new(why.clone()) };
        self.enter(TaskState::Ended, now, cause.sentence());
        self.cause = Some(cause);
        self.exit = Some(Exit::Lost(LostReason::NotStarted(Box::new(why))));
        true
    }

    fn window_mapped(&mut self, now: UnixMs) -> bool {
        self.windows += 1;
        if self.first_window_ms.is_none()
            && let Some(start) = self.asked_at.or(self.started_at)
            && start >= self.created_at - STARTED_MS_COARSE
        {
            let ms = u64::try_from(now - start).unwrap_or(0);
            self.first_window_ms = Some(ms);
            stage::finish(&mut self.stages, now);
            self.note(now, text!("first window after {ms} ms", ms));
        }
        true
    }

    fn stop_asked_by(&mut self, who: Actor, now: UnixMs) -> bool {
        match self.state {
            TaskState::Planned => {
                self.stop_asked = true;
                self.next_run_at = None;
                self.ended_at = self.ended_at.or(Some(now));
                let why = LostReason::CalledOff(who);
                let sentence = why.sentence();
                self.exit = self.exit.take().or(Some(Exit::Lost(why)));
                self.enter(TaskState::Ended, now, sentence);
                true
            }
            TaskState::Starting | TaskState::Running => {
                self.stop_asked = true;
                self.stop_steps.clear();
                // It told why the task waited, and nobody would renew it.
                self.diagnosis = None;
                self.enter(
                    TaskState::Stopping,
                    now,
                    text!("stop asked by {who}", who = who.text()),
                );
                true
            }
            TaskState::Stopping | TaskState::Ended => false,
        }
    }

    fn stop_step(&mut self, step: StopStep) -> bool {
        // What is tried again and again is one step for as long as the same is in the way.
        let told = |last: &StopStep| (last.step, &last.detail) == (step.step, &step.detail);
        let repeated = self.stop_steps.last().is_some_and(told) || self.stop_steps.contains(&step);
        if !self.stop_asked || repeated {
            return false;
        }
        self.stop_steps.truncate(STOP_STEPS_MAX - 1);
        self.stop_steps.push(step);
        true
    }

    fn exited(
        &mut self,
        run: u32,
        exit: Exit,
        reason: Option<Ended>,
        rusage: Rusage,
        at: UnixMs,
    ) -> bool {
        let alive = matches!(self.state, TaskState::Running | TaskState::Stopping);
        if run != self.runs || !alive || self.exit.is_some() {
            return false;
        }
        self.pid = None;
        stage::finish(&mut self.stages, at);
        self.ended_at = Some(at);
        self.rusage = Some(rusage);
        let sentence = exit.sentence();
        if !self.stop_asked {
            let by_itself = || exit.is_failure().then(|| Explanation::of_exit(&exit));
            self.cause = reason.map(Explanation::Cluster).or_else(by_itself);
        }
        self.exit = Some(exit);
        if self.state == TaskState::Stopping {
            self.note(at, text!("main process ended: {sentence}", sentence));
        } else {
            self.enter(TaskState::Ended, at, sentence);
        }
        true
    }

    fn tree_gone(&mut self, run: u32, now: UnixMs) -> bool {
        if run != self.runs || !self.leftovers || self.exit.is_none() {
            return false;
        }
        self.leftovers = false;
        if self.state == TaskState::Stopping {
            self.enter(TaskState::Ended, now, text!("stopped; no process of it is left"));
        }
        true
    }

    fn restart_at(&mut self, at: UnixMs, now: UnixMs) -> bool {
        let waits = matches!(self.state, TaskState::Ended | TaskState::Planned);
        if !waits || self.stop_asked || self.runs == 0 || self.next_run_at == Some(at) {
            return false;
        }
        self.next_run_at = Some(at);
        self.enter(TaskState::Planned, now, text!("restart in {ms} ms", ms = (at - now).max(0)));
        true
    }

    fn remedied(&mut self, applied: Box<Applied>, plan: &Plan) -> bool {
        let fits = self.state == TaskState::Ended
            && !self.stop_asked
            && self.runs > 0
            && applied.run == self.runs + 1
            && self.remedied.is_none();
        if !fits {
            return false;
        }
        self.follow(plan);
        self.next_run_at = Some(applied.at);
        let what =
            text!("remedy by {by}: {applied}", by = applied.by, applied = applied.sentence());
        self.enter(TaskState::Planned, applied.at, what);
        self.remedied = Some(applied);
        true
    }

    pub(crate) fn enter(&mut self, state: TaskState, at: UnixMs, what: Text) {
        self.state = state;
        self.note(at, what);
    }

    fn note(&mut self, at: UnixMs, what: Text) {
        if self.history.len() >= HISTORY_ENTRIES_MAX {
            self.history.remove(1);
        }
        self.history.push(HistoryEntry { at, state: self.state, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restart::RestartPolicy;
    use crate::task::StopStepKind;
    use crate::why::reason::RefusalReason;
    use crate::why::{Evidence, Remedy};
    use proptest::prelude::*;

    fn task(restart: RestartPolicy) -> Task {
        let mut app = crate::samples::app("xclock");
        app.restart = restart;
        let plan = crate::samples::plan_of(&app);
        Task::new("xclock-00001".parse().unwrap(), &app, &plan, 0)
    }

    fn event() -> impl Strategy<Value = TaskEvent> {
        let run = 1..4u32;
        let exit = prop_oneof![
            (0..3).prop_map(Exit::Code),
            Just(Exit::Signal { number: 9, name: "SIGKILL".into(), core_dumped: false }),
        ];
        prop_oneof![
            run.clone().prop_map(|run| TaskEvent::Starting { run }),
            (run.clone(), proptest::option::of(1..9u32), 0..50i64)
                .prop_map(|(run, pid, at)| TaskEvent::Started { run, pid, at }),
            (run.clone(), 0..3u32).prop_map(|(run, number)| TaskEvent::Placed {
                run,
                object: ObjectRef {
                    namespace: "d".into(),
                    pod: format!("p{number}"),
                    container: "app".into()
                }
            }),
            (run.clone(), "[ab]")
                .prop_map(|(run, why)| TaskEvent::Waiting { run, why: why.into() }),
            (run.clone(), "[ab]").prop_map(|(run, node)| TaskEvent::OnNode { run, node }),
            proptest::bool::ANY.prop_map(TaskEvent::Stale),
            run.clone()
                .prop_map(|run| TaskEvent::Refused { run, why: RefusalReason::Stopped.into() }),
            Just(TaskEvent::WindowMapped),
            Just(TaskEvent::WindowGone),
            Just(TaskEvent::StopAsked(Actor::a_user())),
            Just(TaskEvent::StopStep(StopStep {
                at: 5,
                step: StopStepKind::Term,
                detail: Text::default()
            })),
            (run.clone(), exit, 50..99i64).prop_map(|(run, exit, at)| TaskEvent::Exited {
                run,
                exit,
                reason: None,
                rusage: Rusage::default(),
                at
            }),
            run.prop_map(|run| TaskEvent::TreeGone { run }),
            (0..200i64).prop_map(TaskEvent::RestartAt),
            (1..5u32).prop_map(remedied),
        ]
    }

    fn remedied(run: u32) -> TaskEvent {
        let log = crate::why::Log { start: b"", end: b"" };
        let diagnosis = crate::why::diagnose(&log, &Evidence::default());
        let applied = Applied {
            at: 7,
            by: Actor::Deskd,
            run,
            proposal: Remedy::DisableDevShm.proposal(),
            before: Text::words("without"),
            after: Text::words("with"),
            diagnosis: Box::new(diagnosis),
        };
        let plan = crate::samples::plan_of(&crate::samples::app("x"));
        TaskEvent::Remedied { applied: Box::new(applied), plan: Box::new(plan) }
    }

    fn counts(event: &TaskEvent) -> bool {
        matches!(event, TaskEvent::WindowMapped | TaskEvent::WindowGone)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn whatever_arrives_in_whatever_order_the_lifecycle_holds(
            events in prop::collection::vec(event(), 0..60)
        ) {
            let mut task = task(RestartPolicy::Always);
            for (now, event) in (100i64..).zip(events) {
                let before = task.clone();
                let changed = task.apply(event.clone(), now);
                prop_assert_eq!(changed, before != task, "{:?}", event);
                prop_assert!(task.runs >= before.runs, "runs went back");
                if before.state == TaskState::Ended && task.state != TaskState::Ended {
                    let again = TaskEvent::RestartAt(0);
                    let ways = [&again, &remedied(1)].map(std::mem::discriminant);
                    prop_assert!(ways.contains(&std::mem::discriminant(&event)), "{:?}", event);
                    prop_assert!(!before.stop_asked, "a stopped task came back");
                }
                if before.remedied.is_some() {
                    prop_assert_eq!(&task.remedied, &before.remedied, "a second remedy");
                }
                if task.pid.is_some() {
                    prop_assert!(matches!(task.state, TaskState::Running | TaskState::Stopping));
                }
                if task.state == TaskState::Running {
                    prop_assert!(task.started_at.is_some());
                }
                if task.waiting.is_some() {
                    prop_assert!(matches!(task.state, TaskState::Starting | TaskState::Stopping));
                    prop_assert!(task.started_at.is_none(), "it runs and waits");
                }
                if task.state == TaskState::Ended {
                    prop_assert!(task.exit.is_some() && task.ended_at.is_some());
                }
                prop_assert!(task.history.len() <= HISTORY_ENTRIES_MAX);
                if !counts(&event) {
                    prop_assert!(!task.apply(event.clone(), now), "{:?} applied twice", event);
                }
            }
        }
    }

    #[test]
    fn a_stopped_task_ends_only_when_its_tree_is_gone() {
        let mut task = task(RestartPolicy::Always);
        task.apply(TaskEvent::Starting { run: 1 }, 1);
        task.apply(TaskEvent::Started { run: 1, pid: Some(7), at: 2 }, 2);
        task.apply(TaskEvent::WindowMapped, 30);
        assert_eq!(task.first_window_ms, Some(29), "from when it was asked for");
        task.apply(TaskEvent::StopAsked(Actor::a_user()), 40);
        let exit = Exit::Code(0);
        task.apply(
            TaskEvent::Exited { run: 1, exit, reason: None, rusage: Rusage::default(), at: 50 },
            50,
        );
        assert_eq!(task.state, TaskState::Stopping);
        task.apply(TaskEvent::TreeGone { run: 1 }, 60);
        assert_eq!(task.state, TaskState::Ended);
        assert_eq!(task.next_run_delay_ms(0), None);
    }
}
