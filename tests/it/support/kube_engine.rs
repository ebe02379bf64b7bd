//! The Kubernetes engine, driven through its Rust API beside a real API server: a desktop pod, the
//! engine on a thread of its own, its events, and what it hands to the keeper.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deskd::engine::keeper::{self, LocalEngine};
use deskd::engine::kubernetes::{
    Calls, Command, CommandSender, EngineConfig, Event, Observation, Refused, start,
};
use deskd::engine::stream::Stream;
use deskd_core::env_var::{EnvSource, EnvVar};
use deskd_core::id::AppId;
use deskd_core::kubernetes::{APP_CONTAINER, ObjectRef, PodIdentity};
use deskd_core::origin::Origin;
use deskd_core::plan::facts::KubernetesFacts;
use deskd_core::plan::remote::{ContainerPlan, EphemeralPlan, PodPlan};
use deskd_core::plan::{EngineKind, Work};
use deskd_core::policy::{Policy, PullPolicy, RunAs};
use deskd_core::task::Exit;
use deskd_core::why::reason::{EndReason, Ended};
use deskd_core::wire::frame::Decoder;
use deskd_core::wire::{FromKeeper, RunId, ToKeeper};
use deskd_keeper::logs::Records;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::control_plane::Namespace;
use super::wait;

/// Name of the desktop's pod in its namespace.
pub const DESKTOP: &str = "anna";

/// A desktop pod as far as the engine is concerned.
pub fn make_desktop(namespace: &Namespace<'_>) -> Value {
    namespace.apply(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": DESKTOP },
        "spec": {
            "containers": [
                { "name": "xvnc", "image": "example.org/xvnc" },
                { "name": "deskd", "image": "example.org/deskd",
                  "ports": [{ "containerPort": 29791 }] },
            ],
            "volumes": [{ "name": "bin", "emptyDir": {} }],
        },
    }));
    namespace.kubectl_json(&["get", "pod", DESKTOP])
}

/// One engine.
pub struct KubeEngine {
    pub commands: CommandSender,
    seen: Arc<Mutex<Vec<Event>>>,
    stored: Arc<Mutex<Vec<ToKeeper>>>,
    ends: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    namespace: String,
    uid: String,
}

/// Whether a run was seen to run.
pub fn running(what: &Observation) -> bool {
    matches!(what, Observation::Running { .. })
}

impl KubeEngine {
    /// How a run ended, and why, as far as that is known.
    pub fn end_of(&self, of: &RunId) -> (Exit, Option<EndReason>) {
        let ended = |what: &Observation| matches!(what, Observation::Ended { .. });
        match self.until_observed(of, "it ended", ended) {
            Observation::Ended { exit, reason, .. } => (exit, reason.map(|it| it.reason)),
            _ => unreachable!("it ended"),
        }
    }

    /// What of the output of a run at a place was stored, once all was.
    pub fn output_of(&self, of: &RunId) -> String {
        wait::until("its output is complete", || {
            let closed = |message: &ToKeeper| matches!(message, ToKeeper::CloseLog { task } if *task == of.task);
            self.stored().iter().any(closed).then_some(())
        });
        self.written(of)
    }

    /// What of it was stored so far.
    pub fn written(&self, of: &RunId) -> String {
        let (mut output, mut end) = (Vec::new(), 0);
        for message in self.stored() {
            let ToKeeper::StoreRecords { task, from, records, .. } = message else { continue };
            if task != of.task {
                continue;
            }
            for record in Records::new(&records, from).map(Result::unwrap) {
                if record.cursor >= end {
                    record.push_output(&mut output);
                    end = record.next;
                }
            }
        }
        String::from_utf8(output).unwrap()
    }

    /// With both engines, for the desktop pod of that namespace.
    pub fn start(kubeconfig: &Path, namespace: &Namespace<'_>, desktop: &Value) -> Self {
        let uid = desktop["metadata"]["uid"].as_str().unwrap().to_owned();
        Self::start_in(kubeconfig, namespace.name.clone(), uid)
    }

    /// The same, which remembers its places in that file.
    pub fn with_places(
        kubeconfig: &Path,
        namespace: &Namespace<'_>,
        desktop: &Value,
        places: PathBuf,
    ) -> Self {
        let uid = desktop["metadata"]["uid"].as_str().unwrap().to_owned();
        Self::start_with(kubeconfig, namespace.name.clone(), uid, Some(places), None)
    }

    /// The same, with a port for the keepers of pods.
    pub fn with_pod_places(
        kubeconfig: &Path,
        namespace: &Namespace<'_>,
        desktop: &Value,
        (places, port, warm): (PathBuf, std::net::SocketAddr, bool),
    ) -> Self {
        let uid = desktop["metadata"]["uid"].as_str().unwrap().to_owned();
        let port = Some((port, warm));
        Self::start_with(kubeconfig, namespace.name.clone(), uid, Some(places), port)
    }

    fn start_in(kubeconfig: &Path, namespace: String, uid: String) -> Self {
        Self::start_with(kubeconfig, namespace, uid, None, None)
    }

    fn start_with(
        kubeconfig: &Path,
        namespace: String,
        uid: String,
        places: Option<PathBuf>,
        port: Option<(std::net::SocketAddr, bool)>,
    ) -> Self {
        let (port, warm) = port.unzip();
        let engines = vec![EngineKind::EphemeralContainer, EngineKind::PodApplication];
        let places_port = port.map(|port| port.port());
        // Which, and how many, tests tell.
        let warm = warm.filter(|warm| *warm).map(|_| (AppId::like("game"), 1));
        let warm = warm.into_iter().collect();
        let policy = Policy { engines, places_port, warm, ..Policy::default() };
        let pod = PodIdentity {
            name: Some(DESKTOP.into()),
            namespace: Some(namespace.clone()),
            uid: Some(uid.clone()),
            ip: port.map(|port| port.ip().to_string()),
            ..PodIdentity::default()
        };
        let kubeconfig: Option<PathBuf> = Some(kubeconfig.to_owned());
        let config = EngineConfig {
            pod,
            port: 29791,
            policy: Arc::new(policy),
            kubeconfig,
            program: None,
            private: vec![],
            places,
        };
        Self::with(config, namespace, uid)
    }

    fn with(config: EngineConfig, namespace: String, uid: String) -> Self {
        let (seen, stored) = (Arc::<Mutex<Vec<Event>>>::default(), Arc::default());
        let (tell, told) = std::sync::mpsc::channel();
        let (ends, ended) = tokio::sync::oneshot::channel();
        let (seen_there, stored_there) = (seen.clone(), Arc::clone(&stored));
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let (near, far) = tokio::net::UnixStream::pair().unwrap();
                let near = Stream::new(near.into_std().unwrap()).unwrap();
                let (_engine, logs, queue) = LocalEngine::new(near);
                let (heard, _silent) = tokio::sync::mpsc::channel::<FromKeeper>(1);
                tokio::spawn(keeper::run(queue, heard));
                let (events, mut queue) = tokio::sync::mpsc::channel(64);
                let (commands, _join) = start(config, logs, events);
                tokio::spawn(keep(far, stored_there, commands.clone()));
                tell.send(commands).unwrap();
                tokio::spawn(async move {
                    while let Some(event) = queue.recv().await {
                        seen_there.lock().unwrap().push(event);
                    }
                });
                // Dropped at the end of the test.
                let _ = ended.await;
            });
        });
        let (ends, thread) = (Some(ends), Some(thread));
        let commands = told.recv().unwrap();
        Self { commands, seen, stored, ends, thread, namespace, uid }
    }

    pub fn calls(&self) -> &Calls {
        self.commands.calls()
    }

    pub fn tell(&self, command: Command) {
        assert!(self.commands.send(command), "the engine takes commands");
    }

    fn ask_for(&self, run: &RunId, app: AppId, object: &ObjectRef, work: Work) {
        let (run, object, meta) = (run.clone(), Some(object.clone()), String::new());
        self.tell(Command::Start { run, app, object, work, meta });
    }

    /// The plan of a pod.
    pub fn pod_plan_with(&self, change: impl FnOnce(&mut PodPlan)) -> PodPlan {
        let mut plan = self.pod_plan();
        change(&mut plan);
        plan
    }

    /// Launches a pod and returns where it will be.
    pub fn launch_pod(&self, run: &RunId, change: impl FnOnce(&mut PodPlan)) -> ObjectRef {
        let plan = self.pod_plan_with(change);
        let app = "game".parse().unwrap();
        let pod = deskd_core::kubernetes::pod_name(DESKTOP, &app, &run.task, run.run);
        let namespace = self.namespace.clone();
        let object = ObjectRef { namespace, pod, container: APP_CONTAINER.into() };
        let work = Work::PodApplication(Box::new(plan));
        self.ask_for(run, app, &object, work);
        object
    }

    pub fn launch_ephemeral(&self, run: &RunId) -> ObjectRef {
        self.launch_ephemeral_with(run, |_| {})
    }

    pub fn launch_ephemeral_with(
        &self,
        run: &RunId,
        change: impl FnOnce(&mut EphemeralPlan),
    ) -> ObjectRef {
        let app = "game".parse().unwrap();
        let container = deskd_core::kubernetes::container_name("Game", &app, &run.task, run.run);
        let (namespace, pod) = (self.namespace.clone(), DESKTOP.to_owned());
        let object = ObjectRef { namespace: namespace.clone(), pod: pod.clone(), container };
        let target_container = Some("deskd".to_owned());
        let container = container_plan();
        let mut plan = EphemeralPlan {
            pod,
            namespace,
            target_container,
            prepare: vec![],
            cookie: None,
            container,
            place: None,
            grace_s: None,
        };
        change(&mut plan);
        let work = Work::EphemeralContainer(Box::new(plan));
        self.ask_for(run, app, &object, work);
        object
    }

    fn obey(&self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let [word, task, ref program @ ..] = words[..] else { panic!("{line}") };
        match word {
            "launch" => drop(self.launch_ephemeral_with(&run(task), |plan| {
                plan.container.program = program.first().map(|program| (*program).to_owned());
                plan.container.entry_point = plan.container.program.is_some();
            })),
            _ => self.tell(Command::Stop {
                run: run(task),
                term_after: SOON,
                kill_after: Duration::from_millis(500),
            }),
        }
    }

    fn pod_plan(&self) -> PodPlan {
        let labels = [
            ("deskd.io/desktop-uid", self.uid.as_str()),
            ("deskd.io/desktop", DESKTOP),
            ("deskd.io/desktop-namespace", &self.namespace),
        ];
        PodPlan {
            namespace: self.namespace.clone(),
            owner: None,
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            annotations: [].into(),
            container: container_plan(),
            cookie: None,
            volumes: vec![],
            requests: [].into(),
            limits: [].into(),
            node_selector: [].into(),
            preferred_node: None,
            tolerations: vec![],
            runtime_class: None,
            ports: vec![],
            probe: None,
            pull_secrets: vec![],
            grace_s: 30,
            deadline_s: None,
            place: None,
        }
    }

    /// Waits for an event.
    #[track_caller]
    pub fn until<R>(&self, what: &str, mut look: impl FnMut(&Event) -> Option<R>) -> R {
        wait::until(what, || self.seen.lock().unwrap().iter().find_map(&mut look))
    }

    #[track_caller]
    pub fn until_accepted(&self, wanted: &RunId) {
        self.until("it is accepted", |event| match event {
            Event::Accepted { run, .. } => (run == wanted).then_some(()),
            Event::Refused { run, refusal } if run == wanted => panic!("{refusal:?}"),
            _ => None,
        });
    }

    /// Where it is.
    pub fn until_accepted_at(&self, wanted: &RunId) -> ObjectRef {
        self.until("where it is", |event| match event {
            Event::Accepted { run, object } if run == wanted => Some(object.clone()),
            _ => None,
        })
    }

    #[track_caller]
    pub fn until_refused(&self, wanted: &RunId) -> Refused {
        self.until("it is refused", |event| match event {
            Event::Refused { run, refusal } => (run == wanted).then(|| refusal.clone()),
            _ => None,
        })
    }

    /// Waits for an observation of a run.
    #[track_caller]
    pub fn until_observed(
        &self,
        wanted: &RunId,
        what: &str,
        is: impl Fn(&Observation) -> bool,
    ) -> Observation {
        self.until(what, |event| match event {
            Event::Observed { run, what, .. } if run == wanted => is(what).then(|| what.clone()),
            _ => None,
        })
    }

    /// Waits until everything of an engine was told once.
    #[track_caller]
    pub fn until_synced(&self, wanted: EngineKind) -> std::collections::BTreeSet<RunId> {
        self.until("everything was told", |event| match event {
            Event::Synced { engine, origin: Origin::Deskd, present } => {
                (*engine == wanted).then(|| present.clone())
            }
            _ => None,
        })
    }

    /// Waits for facts, of which the newest counts.
    #[track_caller]
    pub fn until_facts(
        &self,
        what: &str,
        is: impl Fn(&KubernetesFacts) -> bool,
    ) -> KubernetesFacts {
        wait::until(what, || {
            let seen = self.seen.lock().unwrap();
            let newest = seen.iter().rev().find_map(|event| match event {
                Event::Facts(facts) => Some((**facts).clone()),
                _ => None,
            });
            newest.filter(&is)
        })
    }

    /// How many events there are of a kind.
    pub fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.seen.lock().unwrap().iter().filter(|event| is(event)).count()
    }

    /// What went to the keeper.
    pub fn stored(&self) -> Vec<ToKeeper> {
        self.stored.lock().unwrap().clone()
    }
}

impl Drop for KubeEngine {
    fn drop(&mut self) {
        drop(self.ends.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The keeper's end of the socket.
async fn keep(
    mut stream: tokio::net::UnixStream,
    stored: Arc<Mutex<Vec<ToKeeper>>>,
    commands: CommandSender,
) {
    let mut ends = std::collections::HashMap::<_, u64>::new();
    let mut decoder = Decoder::default();
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        decoder.push(&bytes[..count]);
        while let Ok(Some(message)) = decoder.take::<ToKeeper>() {
            stored.lock().unwrap().push(message.clone());
            if let ToKeeper::StoreRecords { task, next, .. } = message {
                let end = ends.entry(task.clone()).or_default();
                *end = (*end).max(next);
                // The engine may have ended.
                let _ = commands.send(Command::OutputStored { task, end: *end });
            }
        }
    }
}

fn container_plan() -> ContainerPlan {
    ContainerPlan {
        image: "example.org/game:1".into(),
        pull_policy: PullPolicy::IfNotPresent,
        argv: vec!["/usr/games/game".into()],
        entry_point: false,
        program: None,
        arguments: vec![],
        env: vec![EnvVar::new("DISPLAY", ":0", EnvSource::Display)],
        cwd: None,
        run_as: RunAs { uid: 4096, gid: 4096, groups: vec![] },
        mounts: vec![],
    }
}

/// The engine in a process of its own: its events as JSON, commands from stdin.
pub fn play(kubeconfig: &Path, namespace: String, uid: String, say: impl Fn(Value)) {
    let engine = KubeEngine::start_in(kubeconfig, namespace, uid);
    engine.until_synced(EngineKind::EphemeralContainer);
    say(json!({ "ready": std::process::id() }));
    let (lines, read) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            lines.send(line).unwrap();
        }
    });
    let mut told = 0;
    loop {
        match read.recv_timeout(Duration::from_millis(1)) {
            Ok(line) => engine.obey(&line),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
        }
        let news: Vec<_> = engine.seen.lock().unwrap()[told..].iter().filter_map(in_json).collect();
        told = engine.seen.lock().unwrap().len();
        news.into_iter().for_each(&say);
    }
}

fn in_json(event: &Event) -> Option<Value> {
    match event {
        Event::Accepted { run, .. } => Some(json!({ "accepted": run.task })),
        Event::Observed { what: Observation::Running { at, pid, .. }, .. } => {
            Some(json!({ "running": pid, "at": at }))
        }
        Event::Observed { what: Observation::Ended { exit, reason, at }, .. } => {
            Some(json!({ "ended": exit, "cause": reason.as_ref().map(Ended::sentence), "at": at }))
        }
        Event::StopStep { step, .. } => Some(json!({ "step": step.step, "detail": step.detail })),
        _ => None,
    }
}

/// The first run of a task.
pub fn run(task: &str) -> RunId {
    RunId { task: task.parse().unwrap(), run: 1 }
}

/// How long a step of a stop is ahead.
pub const SOON: Duration = Duration::from_millis(1);
