//! Places on a real API server, with a real keeper in namespaces of its own in the place of kubelet.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::time::Duration;

use deskd::engine::kubernetes::places::file;
use deskd::engine::kubernetes::{Command, Event, LogMark, Observation, Verb};
use deskd_core::id::AppId;
use deskd_core::kubernetes::ObjectRef;
use deskd_core::origin::Origin;
use deskd_core::plan::EngineKind;
use deskd_core::plan::facts::VolumeMount;
use deskd_core::plan::remote::{EphemeralPlan, KeeperFile};
use deskd_core::task::Exit;
use deskd_core::why::reason::{EndReason, LostReason};
use deskd_core::wire::proof::{ANSWER_BYTES, Key};
use deskd_core::wire::{FromKeeper, RunId, VERSION_OLDEST, frame};
use deskd_keeper::place::KEY_VARIABLE;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::control_plane::{ControlPlane, Namespace, available};
use crate::support::kube_engine::{DESKTOP, KubeEngine, make_desktop, run, running};
use crate::support::place::Container;
use crate::support::{binaries, wait};

/// A desktop, and what kubelet would do in it.
struct World {
    plane: &'static ControlPlane,
    namespace: Namespace<'static>,
    desktop: Value,
    dir: tempfile::TempDir,
    /// Names of entries as they were seen: the API server has them in an order of its own.
    seen: RefCell<Vec<Value>>,
    /// What is said of each.
    states: RefCell<BTreeMap<String, Value>>,
}

impl World {
    fn start(name: &str) -> Option<Self> {
        if !available() {
            return None;
        }
        let plane = ControlPlane::shared();
        let namespace = plane.namespace(name);
        let desktop = make_desktop(&namespace);
        let dir = tempfile::tempdir().unwrap();
        let (seen, states) = (RefCell::default(), RefCell::default());
        Some(Self { plane, namespace, desktop, dir, seen, states })
    }

    fn engine(&self) -> KubeEngine {
        let config = self.plane.admin_kubeconfig();
        KubeEngine::with_places(&config, &self.namespace, &self.desktop, self.file())
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join(file::NAME)
    }

    /// The entries of the pod, oldest first.
    fn entries(&self) -> Vec<Value> {
        let pod = self.namespace.kubectl_json(&["get", "pod", DESKTOP]);
        let mut all = pod["spec"]["ephemeralContainers"].as_array().cloned().unwrap_or_default();
        let mut seen = self.seen.borrow_mut();
        for entry in &all {
            if !seen.contains(&entry["name"]) {
                seen.push(entry["name"].clone());
            }
        }
        all.sort_by_key(|entry| seen.iter().position(|name| *name == entry["name"]));
        all
    }

    fn entry(&self, at: usize) -> Value {
        wait::until("there is an entry", || self.entries().get(at).cloned())
    }

    /// Starts an entry as kubelet would, and says so.
    fn start_entry(&self, at: usize) -> Container {
        let entry = self.entry(at);
        let container = Container::of_entry(&entry);
        self.set_state(&entry, &json!({ "running": {} }));
        container
    }

    fn set_state(&self, entry: &Value, state: &Value) {
        let status = json!({ "name": entry["name"], "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "state": state });
        let name = entry["name"].as_str().unwrap().to_owned();
        self.states.borrow_mut().insert(name, status);
        let all: Vec<_> = self.states.borrow().values().cloned().collect();
        let patch = json!({ "status": { "ephemeralContainerStatuses": all } }).to_string();
        self.namespace.kubectl(&[
            "patch",
            "pod",
            DESKTOP,
            "--subresource=status",
            "--patch",
            &patch,
        ]);
    }
}

/// Runs a shell script at a place.
fn sh(script: &str) -> impl FnOnce(&mut EphemeralPlan) {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    move |plan| {
        plan.container.argv = argv;
        let mount = VolumeMount { name: "bin".into(), path: "/.deskd".into(), read_only: true };
        let path = binaries::keeper().to_str().unwrap().to_owned();
        plan.place = Some(KeeperFile { mount, path });
    }
}

#[test]
fn the_first_launch_of_an_image_is_one_write_and_later_ones_are_none() {
    let Some(world) = World::start("places") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::EphemeralContainer);
    let (one, two, three) = (run("game-0a1b1"), run("game-0a1b2"), run("game-0a1b3"));
    engine.launch_ephemeral_with(&one, sh("echo one $DISPLAY $DESKD_TASK_ID $DESKD_RUN; exit 3"));
    engine.launch_ephemeral_with(&two, sh("echo two; exec sleep 1000"));
    let waits = |what: &Observation| matches!(what, Observation::Waiting(_));
    engine.until_observed(&one, "it waits", waits);
    engine.until_observed(&two, "it waits for the same", waits);
    let entry = world.entry(0);
    assert_eq!(entry["targetContainerName"], Value::Null);
    assert_eq!(entry["command"][1], "place");
    let _place = world.start_entry(0);
    engine.until_accepted(&one);
    assert_eq!(engine.end_of(&one), (Exit::Code(3), None));
    assert_eq!(engine.output_of(&one), "one :0 game-0a1b1 1\n");
    let usage = engine.until("what it used is told", |event| match event {
        Event::Used { run, usage, .. } if *run == one => Some(*usage),
        _ => None,
    });
    assert!(usage.max_rss_kib > 0);
    engine.until_observed(&two, "it runs", running);
    engine.launch_ephemeral_with(&three, sh("echo three"));
    assert_eq!(engine.end_of(&three), (Exit::Code(0), None));
    assert_eq!(engine.output_of(&three), "three\n");
    engine.tell(Command::Stop {
        run: two.clone(),
        term_after: Duration::ZERO,
        kill_after: Duration::from_secs(9),
    });
    assert!(matches!(engine.end_of(&two).0, Exit::Signal { number: 15, .. }));
    assert_eq!(engine.output_of(&two), "two\n");
    assert_eq!(engine.calls().total(Verb::Patch, "pods/ephemeralcontainers"), 1);
    assert_eq!(world.entries().len(), 1);
    let object = engine.until("where it is", |event| match event {
        Event::Accepted { run, object } if *run == three => Some(object.clone()),
        _ => None,
    });
    assert_eq!(json!(object.container), entry["name"]);
    // The place itself is nobody's task.
    assert_eq!(engine.count(|event| event.run().is_some_and(|run| run.run == 0)), 0);
}

#[test]
fn another_user_or_volume_is_another_place() {
    let Some(world) = World::start("places-other") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::EphemeralContainer);
    engine.launch_ephemeral_with(&run("game-0a1b1"), sh("true"));
    world.entry(0);
    engine.launch_ephemeral_with(&run("game-0a1b2"), |plan| {
        sh("true")(plan);
        plan.container.run_as.uid = 4097;
    });
    world.entry(1);
}

#[test]
fn whose_a_process_is_each_place_says_for_itself() {
    let Some(world) = World::start("places-whose") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::EphemeralContainer);
    let (one, two) = (run("game-0a1b1"), run("other-0a1b2"));
    engine.launch_ephemeral_with(&one, sh("echo $$; exec sleep 1000"));
    let _one = world.start_entry(0);
    engine.launch_ephemeral_with(&two, |plan| {
        sh("exec sleep 1000")(plan);
        plan.container.image = "another".into();
    });
    let _two = world.start_entry(1);
    for run in [&one, &two] {
        engine.until_observed(run, "it runs", running);
    }
    // Each is the first program of its place, so both have the same number.
    let pid: u32 = wait::until("it says its number", || engine.written(&one).trim().parse().ok());
    let whose = |pid: u32| {
        engine.tell(Command::FindProcess { pid });
        engine.until("the places have answered", |event| match event {
            Event::ProcessFound { pid: of, tasks } if *of == pid => Some(tasks.clone()),
            _ => None,
        })
    };
    assert_eq!(whose(pid), [one.task.clone(), two.task.clone()].into());
    assert_eq!(whose(4_000_000), [].into());
}

/// A keeper of another release, which knows the key and refuses the messages of this one.
fn keeper_of_another_version(entry: &Value) {
    let key = entry["env"].as_array().unwrap().iter().find(|var| var["name"] == KEY_VARIABLE);
    let key: Key = key.unwrap()["value"].as_str().unwrap().parse().unwrap();
    let name = SocketAddr::from_abstract_name(key.socket_name()).unwrap();
    let listener = UnixListener::bind_addr(&name).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (challenge, mut answer) = ([7; 32], [0; ANSWER_BYTES]);
        stream.write_all(&challenge).unwrap();
        stream.read_exact(&mut answer).unwrap();
        stream.write_all(&key.admit(&challenge, &answer).unwrap()).unwrap();
        let mut refused = Vec::new();
        let version = VERSION_OLDEST - 1;
        frame::encode(&FromKeeper::VersionRefused { version }, &mut refused).unwrap();
        stream.write_all(&refused).unwrap();
        // Until the daemon hangs up.
        let _ = stream.read_to_end(&mut Vec::new());
    });
}

#[test]
fn a_keeper_of_another_version_is_given_up_with_a_reason_and_the_next_launch_makes_another() {
    let Some(world) = World::start("places-version") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::EphemeralContainer);
    let (one, two) = (run("game-0a1b1"), run("game-0a1b2"));
    engine.launch_ephemeral_with(&one, sh("true"));
    let entry = world.entry(0);
    keeper_of_another_version(&entry);
    world.set_state(&entry, &json!({ "running": {} }));
    let (exit, _) = engine.end_of(&one);
    assert_eq!(exit, Exit::Lost(LostReason::PlaceOfAnotherVersion));
    engine.launch_ephemeral_with(&two, sh("exit 4"));
    let _another = world.start_entry(1);
    assert_eq!(engine.end_of(&two).0, Exit::Code(4));
}

/// A daemon that adopts a run that another one started.
fn adopt(engine: &KubeEngine, world: &World, of: &RunId) {
    let object = ObjectRef {
        namespace: world.namespace.name.clone(),
        pod: DESKTOP.into(),
        container: world.entry(0)["name"].as_str().unwrap().into(),
    };
    engine.tell(Command::Adopt {
        run: of.clone(),
        app: AppId::like("game"),
        origin: Origin::Deskd,
        object,
        engine: EngineKind::EphemeralContainer,
        log: LogMark::default(),
        stopping: None,
    });
}

#[test]
fn what_is_at_a_place_survives_the_daemon_and_what_happened_meanwhile_is_told() {
    let Some(world) = World::start("places-adopt") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::EphemeralContainer);
    let (ends, goes_on) = (run("game-0a1b1"), run("game-0a1b2"));
    let go = world.dir.path().join("go");
    let script = format!(
        "echo before; until test -e {}; do sleep 0.01; done; echo after; exit 5",
        go.display()
    );
    engine.launch_ephemeral_with(&ends, sh(&script));
    engine.launch_ephemeral_with(&goes_on, sh("exec sleep 1000"));
    let _place = world.start_entry(0);
    engine.until_observed(&ends, "it runs", running);
    engine.until_observed(&goes_on, "it runs", running);
    drop(engine);
    std::fs::write(go, "").unwrap();

    let engine = world.engine();
    adopt(&engine, &world, &ends);
    adopt(&engine, &world, &goes_on);
    let present = engine.until_synced(EngineKind::EphemeralContainer);
    assert!(present.contains(&ends) && present.contains(&goes_on), "{present:?}");
    assert_eq!(engine.end_of(&ends), (Exit::Code(5), None));
    assert_eq!(engine.output_of(&ends), "before\nafter\n");
    engine.until_observed(&goes_on, "it runs on", running);
    // A later launch still needs no write.
    let later = run("game-0a1b3");
    engine.launch_ephemeral_with(&later, sh("exit 4"));
    assert_eq!(engine.end_of(&later).0, Exit::Code(4));
    assert_eq!(engine.calls().total(Verb::Patch, "pods/ephemeralcontainers"), 0);
}

#[test]
fn a_stop_finds_a_run_that_was_recorded_before_anybody_knew_that_it_is_at_a_place() {
    let Some(world) = World::start("places-stop-adopted") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::EphemeralContainer);
    let one = run("game-0a1b1");
    engine.launch_ephemeral_with(&one, sh("exec sleep 1000"));
    let place = world.start_entry(0);
    engine.until_observed(&one, "it runs", running);
    drop(engine);
    // The next daemon's record has it in a container of its own, and its keeper answers late.
    place.signal(Signal::SIGSTOP);
    let engine = world.engine();
    engine.tell(Command::Adopt {
        run: one.clone(),
        app: AppId::like("game"),
        origin: Origin::Deskd,
        object: ObjectRef {
            namespace: world.namespace.name.clone(),
            pod: DESKTOP.into(),
            container: "game-0a1b1".into(),
        },
        engine: EngineKind::EphemeralContainer,
        log: LogMark::default(),
        stopping: Some(Duration::from_secs(9)),
    });
    engine.tell(Command::FindProcess { pid: 77 });
    let answered = |event: &Event| matches!(event, Event::ProcessFound { .. }).then_some(());
    engine.until("commands are taken, and who is away is not waited for", answered);
    place.signal(Signal::SIGCONT);
    assert!(matches!(engine.end_of(&one).0, Exit::Signal { number: 15, .. }));
}

#[test]
fn what_a_place_takes_with_it_is_told_why_and_the_next_launch_makes_another() {
    let Some(world) = World::start("places-die") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::EphemeralContainer);
    let (one, two, next) = (run("game-0a1b1"), run("game-0a1b2"), run("game-0a1b3"));
    let early = run("game-0a1b4");
    engine.launch_ephemeral_with(&one, sh("exec sleep 1000"));
    engine.launch_ephemeral_with(&early, sh("exit 3"));
    let place = world.start_entry(0);
    assert_eq!(engine.end_of(&early).0, Exit::Code(3));
    engine.until_observed(&one, "it runs", running);
    engine.launch_ephemeral_with(&two, sh("exec sleep 1000"));
    engine.until_observed(&two, "it runs", running);
    drop(place);
    let oom = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
    world.set_state(&world.entry(0), &oom);
    for of in [&one, &two] {
        let (exit, reason) = engine.end_of(of);
        assert!(matches!(exit, Exit::Lost(LostReason::Ended(_))), "{exit:?}");
        assert_eq!(reason, Some(EndReason::OomKilled));
        engine.output_of(of);
    }
    let ends = |event: &Event| {
        let ended = matches!(event, Event::Observed { what: Observation::Ended { .. }, .. });
        ended && event.run() == Some(&early)
    };
    assert_eq!(engine.count(ends), 1, "what had ended before ended as it did");
    engine.launch_ephemeral_with(&next, sh("exit 7"));
    let _another = world.start_entry(1);
    assert_eq!(engine.end_of(&next).0, Exit::Code(7));
}

#[test]
fn where_a_keeper_cannot_run_the_next_launch_gets_a_container_of_its_own() {
    // A volume that is mounted noexec, an image of another architecture, a volume without the program.
    let words = ["permission denied", "exec format error", "no such file or directory"];
    for (number, words) in words.iter().enumerate() {
        let Some(world) = World::start(&format!("places-unfit-{number}")) else { return };
        let engine = world.engine();
        engine.until_synced(EngineKind::EphemeralContainer);
        let (one, two) = (run("game-0a1b1"), run("game-0a1b2"));
        engine.launch_ephemeral_with(&one, sh("true"));
        let message = format!("exec: \"/.deskd/deskd-keeper\": {words}: unknown");
        let error = json!({ "exitCode": 128, "reason": "StartError", "message": message });
        world.set_state(&world.entry(0), &json!({ "terminated": error }));
        assert_eq!(engine.end_of(&one).1, Some(EndReason::StartError));
        engine.launch_ephemeral_with(&two, sh("true"));
        let own = world.entry(1);
        assert_eq!(own["command"], json!(["/bin/sh", "-c", "true"]));
        assert_eq!(own["targetContainerName"], "deskd");
    }
}

#[test]
fn a_launch_that_waits_for_its_place_can_be_stopped_and_a_program_that_is_not_there_is_refused() {
    let Some(world) = World::start("places-stop") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::EphemeralContainer);
    let (stopped, missing, ran) = (run("game-0a1b1"), run("game-0a1b2"), run("game-0a1b3"));
    engine.launch_ephemeral_with(&stopped, sh("true"));
    engine.tell(Command::Stop {
        run: stopped.clone(),
        term_after: Duration::ZERO,
        kill_after: Duration::ZERO,
    });
    engine.until_refused(&stopped);
    engine.launch_ephemeral_with(&missing, |plan| {
        sh("true")(plan);
        plan.container.argv = vec!["/nope".into()];
    });
    engine.launch_ephemeral_with(&ran, sh("exit 6"));
    let _place = world.start_entry(0);
    let refusal = engine.until_refused(&missing).sentence();
    assert!(refusal.contains("`/nope`"), "{refusal}");
    assert_eq!(engine.end_of(&ran).0, Exit::Code(6));
    assert_eq!(world.entries().len(), 1);
}
