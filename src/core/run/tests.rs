//! Stories of single steps: what the simulator (`tests/sim`) found, and what it does not look at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::ask::{LaunchRequest, StopRequest};
use super::journal::Remembered;
use super::{Config, Effect, Entry, Input, LookedUp, Now, ReplyId, Runs, Surroundings};
use crate::app::App;
use crate::display::{DisplayStatus, EndpointState};
use crate::id::{AppId, TaskId};
use crate::origin::Origin;
use crate::plan::{EngineKind, LaunchSpec};
use crate::policy::Policy;
use crate::port::{Command, Event, Link};
use crate::samples;
use crate::task::TaskState;
use crate::why::RemedyMode;
use crate::wire::RunId;

/// Runs with all that they did.
struct Desk {
    runs: Runs,
    effects: Vec<Effect>,
    replies: u64,
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
    let mut plain = beside.clone();
    plain.id = "plain".parse().unwrap();
    plain.container.iter_mut().for_each(|container| container.grace_s = None);
    let apps = [samples::app("local"), pod, beside, plain];
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
        surroundings: Surroundings {
            inherited_env: Arc::new([]),
            wall: Arc::default(),
            xauthority: None,
            cookie: None,
            uid: 4096,
            architecture: "amd64",
            home: None,
            home_is_writable: false,
            time_zone: None,
        },
    }
}

fn display() -> DisplayStatus {
    let mut display = samples::facts().display;
    display.unix.abstract_socket = true;
    display.tcp.state = EndpointState::Answering;
    display
}

impl Desk {
    /// A daemon that remembers `tasks`, before anything answers.
    fn start(tasks: Vec<Entry>) -> Self {
        let unknown = DisplayStatus::unknown(":7", 7);
        let remembered = Remembered { tasks, keeper: Some(1), ..Remembered::default() };
        let runs = Runs::new(config(), unknown, remembered, 7);
        let mut desk = Self { runs, effects: Vec::new(), replies: 0 };
        desk.step(Input::Apps(apps()));
        desk
    }

    /// And one for which everything works.
    fn ready() -> Self {
        let mut desk = Self::start(Vec::new());
        desk.keeper_answers();
        desk.step(Input::Display(Box::new(display())));
        desk.step(Input::Engine(Event::Facts(Box::new(samples::cluster()))));
        desk
    }

    fn keeper_answers(&mut self) {
        self.step(Input::Engine(Event::Keeper { started_at: 1 }));
        self.synced(EngineKind::Local);
    }

    fn synced(&mut self, engine: EngineKind) {
        let (origin, present) = (Origin::Deskd, std::collections::BTreeSet::new());
        self.step(Input::Engine(Event::Synced { engine, origin, present }));
    }

    fn step(&mut self, input: Input) {
        let look_up = |_: &App| LookedUp::default();
        let now = Now { unix_ms: 1_000, clock: Duration::from_secs(1), look_up: &look_up };
        self.runs.step(input, &now, &mut self.effects);
    }

    fn launch(&mut self, app: &str) -> TaskId {
        let app = app.parse().unwrap();
        let request = LaunchRequest { app, spec: LaunchSpec::default(), idempotency_key: None };
        self.replies += 1;
        self.step(Input::Launch(request, ReplyId(self.replies)));
        self.runs.table().iter().last().expect("a task").task.id.clone()
    }

    fn stop(&mut self, task: &TaskId) {
        self.replies += 1;
        self.step(Input::Stop(task.clone(), StopRequest::default(), ReplyId(self.replies)));
    }

    /// What was asked of the engines since the last time.
    fn commands(&mut self) -> Vec<(Link, Command)> {
        let command = |effect| match effect {
            Effect::Command(link, command) => Some((link, command)),
            _ => None,
        };
        self.effects.drain(..).filter_map(command).collect()
    }

    fn state(&self, task: &TaskId) -> Option<TaskState> {
        self.runs.table().get(task).map(|entry| entry.task.state)
    }

    fn remembered(&self) -> Vec<Entry> {
        self.runs.table().iter().cloned().collect()
    }
}

#[test]
fn the_grace_of_a_stop_is_the_one_of_its_plan_also_for_the_next_daemon() {
    for (app, grace_s) in [("local", 5), ("pod", 45), ("beside", 20), ("plain", 5)] {
        let mut desk = Desk::ready();
        let task = desk.launch(app);
        let mut next = Desk::start(desk.remembered());
        for desk in [&mut desk, &mut next] {
            desk.commands();
            desk.stop(&task);
            let stops = desk.commands();
            let [(_, Command::Stop { term_after, kill_after, .. })] = &stops[..] else {
                panic!("{app}: {stops:?}")
            };
            // Without windows there is nothing to wait for before SIGTERM.
            let expected = (Duration::ZERO, Duration::from_secs(grace_s));
            assert_eq!((*term_after, *kill_after), expected, "{app}");
        }
    }
}

#[test]
fn who_says_how_long_a_stop_may_take_gets_that() {
    let mut desk = Desk::ready();
    let task = desk.launch("pod");
    desk.commands();
    let request = StopRequest { grace: Some(Duration::from_secs(1)), force: false };
    desk.step(Input::Stop(task, request, ReplyId(90)));
    let stops = desk.commands();
    let [(Link::Cluster, Command::Stop { kill_after, .. })] = &stops[..] else {
        panic!("{stops:?}")
    };
    assert_eq!(*kill_after, Duration::from_secs(1));
}

#[test]
fn a_task_that_was_stopped_before_its_engine_heard_of_it_is_not_started() {
    for app in ["local", "pod"] {
        let mut desk = Desk::ready();
        let task = desk.launch(app);
        let mut next = Desk::start(desk.remembered());
        next.step(Input::Engine(Event::Facts(Box::new(samples::cluster()))));
        next.keeper_answers();
        next.stop(&task);
        next.step(Input::Display(Box::new(display())));
        next.synced(EngineKind::PodApplication);
        let starts = |(_, command): &(Link, Command)| matches!(command, Command::Start { .. });
        assert!(!next.commands().iter().any(starts), "{app} is started");
        assert_eq!(next.state(&task), Some(TaskState::Ended), "{app}");
    }
}

#[test]
fn a_launch_that_its_engine_never_heard_of_is_asked_for_again_by_the_next_daemon() {
    for (app, link) in [("local", Link::Keeper), ("pod", Link::Cluster)] {
        let mut desk = Desk::ready();
        let task = desk.launch(app);
        let mut next = Desk::start(desk.remembered());
        next.keeper_answers();
        next.step(Input::Engine(Event::Facts(Box::new(samples::cluster()))));
        next.synced(EngineKind::PodApplication);
        assert!(next.commands().is_empty(), "the display is not known yet");
        next.step(Input::Display(Box::new(display())));
        let run = RunId { task: task.clone(), run: 1 };
        let commands = next.commands();
        let [(to, Command::Start { run: started, .. })] = &commands[..] else {
            panic!("{app}: {commands:?}")
        };
        assert_eq!((*to, started), (link, &run));
    }
}

#[test]
fn a_pod_that_somebody_deleted_while_deskd_was_away_is_not_made_again() {
    let mut desk = Desk::ready();
    let task = desk.launch("pod");
    let object = desk.runs.table().get(&task).unwrap().task.object.clone().unwrap();
    let run = RunId { task: task.clone(), run: 1 };
    desk.step(Input::Engine(Event::Accepted { run, object }));
    let mut next = Desk::start(desk.remembered());
    next.keeper_answers();
    next.step(Input::Display(Box::new(display())));
    next.step(Input::Engine(Event::Facts(Box::new(samples::cluster()))));
    next.synced(EngineKind::PodApplication);
    let starts = |(_, command): &(Link, Command)| matches!(command, Command::Start { .. });
    assert!(!next.commands().iter().any(starts));
    assert_eq!(next.state(&task), Some(TaskState::Ended));
}
