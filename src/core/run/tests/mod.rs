//! Stories of single steps, by the file that they are about: what the simulator (`tests/sim`) found, and
//! what it does not look at.

mod adopt;
mod cluster;
mod drain;
mod launch;
mod others;
mod remedy;
mod restart;
mod stop;
mod warm;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::ask::{LaunchRequest, StopRequest};
use super::journal::Remembered;
use super::{Answer, Config, Effect, Input, LookedUp, Now, ReplyId, Runs};
use crate::app::App;
use crate::display::{DisplayStatus, EndpointState};
use crate::id::{AppId, TaskId};
use crate::origin::Origin;
use crate::plan::facts::ProgramPresence;
use crate::plan::{EngineKind, KubernetesFacts, LaunchSpec};
use crate::policy::Policy;
use crate::port::{Command, Event, Link, Object, Observation};
use crate::restart::RestartPolicy;
use crate::samples;
use crate::task::{Exit, Rusage, Task, TaskState};
use crate::why::rule::Confidence;
use crate::why::{Cause, Diagnosis, Remedy, RemedyMode};
use crate::wire::{RunEnd, RunId, TaskRecord};

/// Runs with all that they did.
struct Desk {
    runs: Runs,
    effects: Vec<Effect>,
    replies: u64,
    clock: Duration,
    /// What is found whenever a task is diagnosed.
    finds: Option<(Confidence, Remedy)>,
}

fn apps() -> Arc<BTreeMap<AppId, Arc<App>>> {
    let mut pod = samples::app("pod");
    let mut container = samples::container_app();
    (container.engine, container.grace_s) = (Some(EngineKind::PodApplication), Some(45));
    pod.container = Some(Box::new(container));
    let mut beside = pod.clone();
    beside.id = "beside".parse().unwrap();
    if let Some(container) = &mut beside.container {
        (container.engine, container.grace_s) = (None, Some(20));
    }
    let mut again = App { restart: RestartPolicy::Always, ..pod.clone() };
    again.id = "always-pod".parse().unwrap();
    let mut plain = beside.clone();
    plain.id = "plain".parse().unwrap();
    plain.container.iter_mut().for_each(|container| container.grace_s = None);
    let always = App { restart: RestartPolicy::Always, ..samples::app("always") };
    let mut anywhere = App { restart: RestartPolicy::Always, ..plain.clone() };
    anywhere.id = "anywhere".parse().unwrap();
    let apps = [samples::app("local"), always, pod, again, beside, plain, anywhere];
    Arc::new(apps.map(|app| (app.id.clone(), Arc::new(app))).into())
}

fn config() -> Config {
    let engines = vec![EngineKind::EphemeralContainer, EngineKind::PodApplication];
    Config {
        name: "desktop".into(),
        host: "desktop".into(),
        close_grace: Duration::from_secs(3),
        term_grace: Duration::from_secs(5),
        tasks_max: 9,
        remedy: RemedyMode::Suggest,
        policy: Arc::new(Policy { engines, ..Policy::default() }),
        machine: Arc::new(samples::machine()),
    }
}

fn display() -> DisplayStatus {
    let mut display = samples::facts().display;
    display.unix.abstract_socket = true;
    display.tcp.state = EndpointState::Answering;
    display
}

/// A run of a task.
fn run(task: &TaskId, run: u32) -> RunId {
    RunId { task: task.clone(), run }
}

impl Desk {
    /// A daemon of this configuration that remembers, before anything answers.
    fn configured(config: Config, remembered: Remembered) -> Self {
        let unknown = DisplayStatus::unknown(":7", 7);
        let runs = Runs::new(config, unknown, Remembered { keeper: Some(1), ..remembered }, 7);
        let (effects, clock) = (Vec::new(), Duration::from_secs(1));
        let mut desk = Self { runs, effects, replies: 0, clock, finds: None };
        desk.step(Input::Apps(apps()));
        desk
    }

    fn start(remembered: Remembered) -> Self {
        Self::configured(config(), remembered)
    }

    /// And one for which everything works.
    fn ready() -> Self {
        let mut desk = Self::start(Remembered::default());
        desk.everything_answers();
        desk
    }

    fn everything_answers(&mut self) {
        self.keeper_answers(1, Vec::new());
        self.step(Input::Display(Box::new(display())));
        self.cluster_answers();
    }

    fn cluster_answers(&mut self) {
        self.cluster_is(samples::cluster());
    }

    fn cluster_is(&mut self, facts: KubernetesFacts) {
        self.step(Input::Engine(Event::Facts(Box::new(facts))));
    }

    /// The keeper that started then, with what it keeps.
    fn keeper_answers(&mut self, started_at: i64, kept: Vec<TaskRecord>) {
        self.step(Input::Engine(Event::Keeper { started_at }));
        let present = kept.iter().map(|record| record.id.clone()).collect();
        for record in kept {
            let record = Box::new(record);
            self.step(Input::Engine(Event::Kept { record, log_bytes: None }));
        }
        let (engine, origin) = (EngineKind::Local, Origin::Deskd);
        self.step(Input::Engine(Event::Synced { engine, origin, present }));
    }

    /// Everything that an engine has was told.
    fn synced(&mut self, engine: EngineKind, present: &[RunId]) {
        let (origin, present) = (Origin::Deskd, present.iter().cloned().collect());
        self.step(Input::Engine(Event::Synced { engine, origin, present }));
    }

    fn step(&mut self, input: Input) {
        let program = ProgramPresence::Present;
        let look_up = |_: &App| LookedUp { program, ..LookedUp::default() };
        let unix_ms = i64::try_from(self.clock.as_millis()).unwrap();
        let now = Now { unix_ms, clock: self.clock, look_up: &look_up };
        let mut effects = Vec::new();
        self.runs.step(input, &now, &mut effects);
        for effect in effects {
            match effect {
                Effect::Diagnose(question) => {
                    let found = Box::new(self.diagnosis());
                    self.step(Input::Diagnosed(question, found));
                }
                effect => self.effects.push(effect),
            }
        }
    }

    fn diagnosis(&self) -> Diagnosis {
        let (confidence, remedy) = self.finds.clone().unzip();
        Diagnosis {
            cause: remedy.as_ref().map(|_| Cause::Crashed),
            rule: None,
            confidence: confidence.unwrap_or(Confidence::Possible),
            sentence: crate::text::Text::words("it crashed"),
            proof: Vec::new(),
            advice: crate::text::Text::default(),
            remedy: remedy.map(Remedy::proposal),
            others: Vec::new(),
        }
    }

    /// Time passes until something is due.
    fn wait_until_due(&mut self) {
        self.clock = self.clock.max(self.runs.due().expect("something is due"));
        self.step(Input::Due);
    }

    fn ask_for(&mut self, app: &str) {
        let app = app.parse().unwrap();
        let request = LaunchRequest { app, spec: LaunchSpec::default(), idempotency_key: None };
        self.replies += 1;
        self.step(Input::Launch(request, ReplyId(self.replies)));
    }

    fn launch(&mut self, app: &str) -> TaskId {
        self.ask_for(app);
        self.runs.table().iter().last().expect("a task").task.id.clone()
    }

    /// A launch whose process exists.
    fn running(&mut self, app: &str) -> TaskId {
        let task = self.launch(app);
        self.started(&run(&task, 1));
        task
    }

    fn started(&mut self, run: &RunId) {
        let what = Observation::Running { at: 1_000, pid: Some(77), node: None };
        self.step(Input::Engine(Event::Observed { run: run.clone(), object: None, what }));
    }

    /// Its main process ended, and so did the rest.
    fn ended(&mut self, run: &RunId, code: i32) {
        let end = end(code);
        self.step(Input::Engine(Event::Exited { run: run.clone(), end, log_bytes: None }));
        let (task, run) = (run.task.clone(), Some(run.run));
        self.step(Input::Engine(Event::Closed { task, run, log_bytes: None }));
    }

    /// The cluster tells of a run, as of any that it has an object of.
    fn observed(&mut self, run: &RunId, engine: EngineKind, what: Observation) {
        let app =
            self.runs.task(&run.task).map_or_else(|| "pod".parse().unwrap(), |t| t.app.clone());
        let place = crate::kubernetes::ObjectRef {
            namespace: "desktops".into(),
            pod: "p".into(),
            container: format!("c{}", run.run),
        };
        let object = Some(Box::new(Object { app, engine, place, stranger: None }));
        self.step(Input::Engine(Event::Observed { run: run.clone(), object, what }));
    }

    fn stop(&mut self, task: &TaskId) {
        self.replies += 1;
        self.step(Input::Stop(task.clone(), StopRequest::default(), ReplyId(self.replies)));
    }

    fn remove(&mut self, task: &TaskId) {
        self.replies += 1;
        self.step(Input::Remove(task.clone(), ReplyId(self.replies)));
    }

    /// What was asked of the engines since the last time.
    fn commands(&mut self) -> Vec<(Link, Command)> {
        let command = |effect| match effect {
            Effect::Command(link, command) => Some((link, command)),
            _ => None,
        };
        self.effects.drain(..).filter_map(command).collect()
    }

    /// The runs that were to be started since the last time.
    fn starts(&mut self) -> Vec<(Link, RunId)> {
        let start = |(link, command)| match command {
            Command::Start { run, .. } => Some((link, run)),
            _ => None,
        };
        self.commands().into_iter().filter_map(start).collect()
    }

    /// The runs that were to be stopped since the last time, with the time until SIGKILL.
    fn stops(&mut self) -> Vec<(Link, RunId, Duration)> {
        let stop = |(link, command)| match command {
            Command::Stop { run, kill_after, .. } => Some((link, run, kill_after)),
            _ => None,
        };
        self.commands().into_iter().filter_map(stop).collect()
    }

    fn answers(&mut self) -> Vec<Answer> {
        let answer = |effect| match effect {
            Effect::Answer(_, answer) => Some(answer),
            _ => None,
        };
        self.effects.drain(..).filter_map(answer).collect()
    }

    fn state(&self, task: &TaskId) -> Option<TaskState> {
        self.task(task).map(|task| task.state)
    }

    fn task(&self, task: &TaskId) -> Option<&Arc<Task>> {
        self.runs.table().get(task).map(|entry| &entry.task)
    }

    /// What is on record now, as the next daemon reads it.
    fn remembered(&self) -> Remembered {
        let mut text = Vec::new();
        self.runs.all_lines().for_each(|line| line.write(&mut text));
        super::journal::replay(&text)
    }
}

fn end(code: i32) -> RunEnd {
    RunEnd { exit: Exit::Code(code), rusage: Rusage::default(), at: 1_500, oom_killed: None }
}

/// As the keeper has it: started, with what the daemon said of its task then.
fn record(desk: &Desk, run: &RunId) -> TaskRecord {
    let meta = desk.task(&run.task).map(|task| serde_json::to_string(&**task).unwrap());
    TaskRecord {
        id: run.clone(),
        meta: meta.unwrap_or_default(),
        pid: 77,
        spawned_at: 1_000,
        end: None,
        tree_gone: false,
        stopping: false,
        stop_steps: Vec::new(),
    }
}

/// One that ended and left nothing behind.
fn over(desk: &Desk, run: &RunId) -> TaskRecord {
    TaskRecord { end: Some(end(0)), tree_gone: true, ..record(desk, run) }
}
