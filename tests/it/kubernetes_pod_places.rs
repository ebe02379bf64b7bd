//! Pods as places on a real API server, with a real keeper in namespaces of its own in the place of
//! kubelet.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use deskd::engine::kubernetes::{Command, Event, LogMark, Observation, Verb};
use deskd_core::id::AppId;
use deskd_core::origin::Origin;
use deskd_core::plan::EngineKind;
use deskd_core::plan::facts::Way;
use deskd_core::task::Exit;
use deskd_core::why::reason::EndReason;
use deskd_core::wire::RunId;
use serde_json::json;

use crate::support::kube_engine::{run, running};
use crate::support::place::Container;
use crate::support::pod_places::{World, stop};
use crate::support::wiretap::Wiretap;
use crate::support::{needs, wait};

#[test]
fn a_pod_waits_for_the_next_launch_of_its_kind_which_is_a_message() {
    let Some(world) = World::start("pod-places") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    let (one, two, other) = (run("game-0a1b1"), run("game-0a1b2"), run("game-0a1b3"));
    let script = "echo one $DISPLAY '$(HOME)' $DESKD_TASK_ID $DESKD_RUN; exit 3";
    let object = engine.launch_pod(&one, world.sh(script, 600));
    let pod = world.pod(&object);
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["command"][1], "place");
    assert_eq!(pod["metadata"]["labels"]["deskd.io/task"], "game-0a1b1");
    assert!(pod["metadata"]["labels"]["deskd.io/place"].is_string());
    assert!(pod["spec"]["volumes"].to_string().contains("\"bin\""));
    let names: Vec<_> =
        container["env"].as_array().unwrap().iter().map(|var| var["name"].clone()).collect();
    assert!(!names.contains(&json!("DISPLAY")), "a variable of one program is not the pod's");
    let _pod = world.start_pod(&object);
    assert_eq!(engine.end_of(&one), (Exit::Code(3), None));
    assert_eq!(engine.output_of(&one), "one :0 $(HOME) game-0a1b1 1\n");
    engine.until_facts("a keeper came", |facts| facts.way == Way::Works);
    // The next one, and one that is to have its own while that runs.
    engine.launch_pod(&two, world.sh("echo two $DESKD_TASK_ID; exec sleep 1000", 600));
    engine.until_observed(&two, "it runs", running);
    let second = engine.launch_pod(&other, world.sh("true", 600));
    world.pod(&second);
    stop(&engine, &two);
    assert!(matches!(engine.end_of(&two).0, Exit::Signal { number: 15, .. }));
    assert_eq!(engine.output_of(&two), "two game-0a1b2\n");
    assert_eq!(engine.calls().total(Verb::Create, "pods"), 2);
    assert_eq!(engine.until_accepted_at(&two), object);
    assert_eq!(engine.count(|event| event.run().is_some_and(|run| run.run == 0)), 0);
}

#[test]
fn a_pod_in_which_nothing_is_launched_for_as_long_as_it_lingers_is_deleted() {
    let Some(world) = World::start("pod-idle") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    let one = run("game-0a1b1");
    let object = engine.launch_pod(&one, world.sh("seq 10000", 0));
    let _pod = world.start_pod(&object);
    assert_eq!(engine.end_of(&one), (Exit::Code(0), None));
    let all: String = (1..=10_000).map(|line| format!("{line}\n")).collect();
    assert!(engine.output_of(&one) == all, "its output is stored before its pod is deleted");
    wait::until("its pod is deleted", || (world.pods() == 0).then_some(()));
    assert_eq!(engine.count(|event| matches!(event, Event::Gone { run } if *run == one)), 0);
}

#[test]
fn a_pod_whose_keeper_does_not_come_is_its_programs_and_the_next_ones_have_no_keeper() {
    let Some(world) = World::start("pod-barred") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    let (one, two) = (run("game-0a1b1"), run("game-0a1b2"));
    let object = engine.launch_pod(&one, world.sh("exit 5", 600));
    world.pod(&object);
    world.set_state(&object, "Running", &json!({ "running": {} }));
    engine.until_observed(&one, "it runs", running);
    engine.until_facts("it is told", |facts| facts.way == Way::Barred { port: world.port.port() });
    let exit = json!({ "terminated": { "exitCode": 5, "reason": "Error" } });
    world.set_state(&object, "Failed", &exit);
    assert_eq!(engine.end_of(&one).0, Exit::Code(5));
    let next = engine.launch_pod(&two, world.sh("true", 600));
    assert_eq!(
        world.pod(&next)["spec"]["containers"][0]["command"],
        json!(["/bin/sh", "-c", "true"])
    );
}

#[test]
fn what_is_in_a_pod_survives_the_daemon_and_what_happened_meanwhile_is_told() {
    let Some(world) = World::start("pod-adopt") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    let (one, later) = (run("game-0a1b1"), run("game-0a1b2"));
    let go = world.dir.path().join("go");
    let script = format!(
        "echo before; until test -e {}; do sleep 0.01; done; echo after; exit 5",
        go.display()
    );
    let object = engine.launch_pod(&one, world.sh(&script, 600));
    let _pod = world.start_pod(&object);
    engine.until_observed(&one, "it runs", running);
    drop(engine);
    std::fs::write(go, "").unwrap();

    let engine = world.engine();
    let present = engine.until_synced(EngineKind::PodApplication);
    assert!(present.contains(&one), "{present:?}");
    engine.tell(Command::Adopt {
        run: one.clone(),
        app: AppId::like("game"),
        origin: Origin::Deskd,
        object: object.clone(),
        engine: EngineKind::PodApplication,
        log: LogMark::default(),
        stopping: None,
    });
    assert_eq!(engine.end_of(&one), (Exit::Code(5), None));
    assert_eq!(engine.output_of(&one), "before\nafter\n");
    engine.launch_pod(&later, world.sh("exit 4", 600));
    assert_eq!(engine.end_of(&later).0, Exit::Code(4));
    assert_eq!(engine.calls().total(Verb::Create, "pods"), 0);
}

#[test]
fn a_launch_that_an_earlier_daemon_asked_for_is_carried_out_once() {
    let Some(world) = World::start("pod-again") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    let (one, two) = (run("game-0a1b1"), run("game-0a1b2"));
    let ran = world.dir.path().join("ran");
    let script = format!("echo $DESKD_TASK_ID >> {}; exec sleep 1000", ran.display());
    let object = engine.launch_pod(&one, world.sh(&script, 600));
    world.pod(&object);
    // Before anything ran there, and while the second may have been asked for.
    drop(engine);
    let engine = world.engine();
    assert!(!engine.until_synced(EngineKind::PodApplication).contains(&one));
    engine.launch_pod(&one, world.sh(&script, 600));
    let _pod = world.start_pod(&object);
    engine.until_observed(&one, "it runs", running);
    stop(&engine, &one);
    engine.end_of(&one);
    engine.output_of(&one);
    engine.launch_pod(&two, world.sh(&script, 600));
    let both = "game-0a1b1\ngame-0a1b2\n";
    wait::until("it was asked for", || {
        (std::fs::read_to_string(&ran).unwrap() == both).then_some(())
    });
    drop(engine);
    let engine = world.engine();
    engine.launch_pod(&two, world.sh(&script, 600));
    engine.until_observed(&two, "it runs", running);
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), both);
    assert_eq!(engine.calls().total(Verb::Create, "pods"), 0);
    assert_eq!(world.pods(), 1);
}

#[test]
fn what_a_pod_takes_with_it_is_told_why() {
    let Some(world) = World::start("pod-die") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    let one = run("game-0a1b1");
    let object = engine.launch_pod(&one, world.sh("exec sleep 1000", 600));
    let pod = world.start_pod(&object);
    engine.until_observed(&one, "it runs", running);
    drop(pod);
    let oom = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
    world.set_state(&object, "Failed", &oom);
    assert_eq!(engine.end_of(&one).1, Some(EndReason::OomKilled));
    engine.output_of(&one);
}

#[test]
fn a_pod_that_is_gone_before_its_keeper_came_does_not_speak_against_its_kind() {
    let Some(world) = World::start("pod-gone") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    // Deleted by somebody, then evicted.
    for (number, evicted) in [(1, false), (2, true)] {
        let one = run(&format!("game-0a1b{number}"));
        let object = engine.launch_pod(&one, world.sh("true", 600));
        assert_eq!(world.pod(&object)["spec"]["containers"][0]["command"][1], "place");
        if evicted {
            world.set_phase(&object, &json!({ "phase": "Failed", "reason": "Evicted" }));
            assert!(matches!(engine.end_of(&one).1, Some(EndReason::Evicted { .. })));
        } else {
            world.delete(&object);
            let gone = |event: &Event| matches!(event, Event::Gone { run } if *run == one);
            let told = || engine.count(gone) + engine.count(|event| ended(event, &one));
            wait::until("its end is told", || (told() > 0).then_some(()));
        }
    }
    let next = engine.launch_pod(&run("game-0a1b3"), world.sh("true", 600));
    assert_eq!(world.pod(&next)["spec"]["containers"][0]["command"][1], "place");
    // One whose keeper cannot be started does.
    let error = json!({ "terminated": { "exitCode": 128, "reason": "StartError" } });
    world.set_state(&next, "Failed", &error);
    engine.end_of(&run("game-0a1b3"));
    let next = engine.launch_pod(&run("game-0a1b4"), world.sh("true", 600));
    assert_eq!(world.pod(&next)["spec"]["containers"][0]["command"][0], "/bin/sh");
}

fn ended(event: &Event, of: &RunId) -> bool {
    matches!(event, Event::Observed { run, what: Observation::Ended { .. }, .. } if run == of)
}

#[test]
fn what_is_to_stop_while_its_keeper_cannot_be_told_ends_with_its_pod() {
    let Some(world) = World::start("pod-away") else { return };
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    let (waits, one) = (run("game-0a1b1"), run("game-0a1b2"));
    let object = engine.launch_pod(&waits, world.sh("true", 600));
    world.pod(&object);
    stop(&engine, &waits);
    engine.until_refused(&waits);
    wait::until("its pod is deleted", || (world.pods() == 0).then_some(()));
    let object = engine.launch_pod(&one, world.sh("exec sleep 1000", 600));
    let pod = world.start_pod(&object);
    engine.until_observed(&one, "it runs", running);
    // Its end is not told.
    drop(pod);
    stop(&engine, &one);
    wait::until("its pod is deleted", || (world.pods() == 0).then_some(()));
    assert!(matches!(engine.end_of(&one).0, Exit::Lost(_)));
}

#[test]
fn who_is_on_the_way_reads_nothing_and_what_it_recorded_is_of_no_use() {
    let Some(world) = World::start("pod-tapped") else { return };
    let tap = Wiretap::before(world.port);
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    let (one, two) = (run("game-0a1b1"), run("game-0a1b2"));
    let script = "echo sword; echo fish; seq 60000; exit 3";
    let object = engine.launch_pod(&one, World::sh_with(tap.address, script, 600));
    let _pod = world.start_pod(&object);
    // Again and again, at moments that nobody chose.
    for cut in 1..6 {
        wait::until("it comes again", || {
            (tap.connections() > cut).then_some(()).or_else(|| {
                tap.cut();
                None
            })
        });
    }
    assert_eq!(engine.end_of(&one), (Exit::Code(3), None));
    let numbers: String = (1..=60_000).map(|line| format!("{line}\n")).collect();
    assert!(engine.output_of(&one) == format!("sword\nfish\n{numbers}"));
    for connection in 0..tap.connections() {
        for heard in tap.heard(connection) {
            let text = String::from_utf8_lossy(&heard);
            for word in ["fish", "game", "/bin/sh", "hello", "spawn", "DISPLAY", "19999"] {
                assert!(!text.contains(word), "{word}");
            }
        }
    }
    // What a keeper said, to the daemon.
    for connection in 0..tap.connections() {
        let mut stream = TcpStream::connect(world.port).unwrap();
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        // It may be cut before everything was said.
        let _ = stream.write_all(&tap.heard(connection)[0]);
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told);
        assert!(told.len() <= 32, "random bytes alone");
    }
    // A bit that is wrong ends a connection, and nothing else.
    let before = tap.connections();
    tap.flip_one();
    engine.launch_pod(&two, World::sh_with(tap.address, "echo two; exit 4", 600));
    assert_eq!(engine.end_of(&two).0, Exit::Code(4));
    assert_eq!(engine.output_of(&two), "two\n");
    assert!(tap.has_flipped() && tap.connections() > before);
    assert_eq!(engine.calls().total(Verb::Create, "pods"), 1);
}

/// A network namespace, joined to this one; other runs of the tests have others.
struct Network {
    name: String,
    /// The address out here.
    host: String,
}

impl Network {
    fn start() -> Self {
        let id = std::process::id();
        let (name, net) = (format!("dpc{id}"), format!("10.{}.{}", id / 200 % 200, id % 200));
        let network = Self { host: format!("{net}.5"), name };
        let Self { name, host } = &network;
        for line in [
            format!("netns add {name}"),
            format!("link add {name} type veth peer name inside netns {name}"),
            format!("address add {host}/30 dev {name}"),
            format!("link set {name} up"),
            format!("-n {name} address add {net}.6/30 dev inside"),
            format!("-n {name} link set inside up"),
        ] {
            ip(&line);
        }
        network
    }

    fn set(&self, state: &str) {
        ip(&format!("link set {} {state}", self.name));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        ip(&format!("netns delete {}", self.name));
    }
}

fn ip(line: &str) {
    let done = std::process::Command::new("ip").args(line.split(' ')).status().unwrap();
    assert!(done.success() || std::thread::panicking(), "ip {line}");
}

/// Whether a connection to `port` is there on this side.
fn is_connected(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        words[1].ends_with(&local) && words[3] == "01"
    })
}

#[test]
fn while_the_network_is_gone_nothing_is_lost_and_nothing_comes_twice() {
    let Some(mut world) = World::start("pod-cut") else { return };
    if !needs::met(&["ip"], &[]) {
        return;
    }
    let network = Network::start();
    world.port.set_ip(network.host.parse().unwrap());
    let engine = world.engine();
    engine.until_synced(EngineKind::PodApplication);
    let (one, two) = (run("game-0a1b1"), run("game-0a1b2"));
    let (go, done) = (world.dir.path().join("go"), world.dir.path().join("done"));
    let script = format!(
        "echo before; until test -e {}; do sleep 0.01; done; seq 30000; touch {}; exit 5",
        go.display(),
        done.display()
    );
    let object = engine.launch_pod(&one, world.sh(&script, 600));
    let pod = world.pod(&object);
    let _pod = Container::in_network(&pod["spec"]["containers"][0], Some(&network.name));
    world.set_state(&object, "Running", &json!({ "running": {} }));
    engine.until_observed(&one, "it runs", running);
    network.set("down");
    std::fs::write(go, "").unwrap();
    wait::until("it ends alone", || done.exists().then_some(()));
    // Longer than both kernels wait for a sign of the other side.
    wait::until("its end is noticed", || (!is_connected(world.port.port())).then_some(()));
    assert_eq!(engine.count(|event| matches!(event, Event::Observed { run, what: Observation::Ended { .. }, .. } if *run == one)), 0);
    network.set("up");
    assert_eq!(engine.end_of(&one), (Exit::Code(5), None));
    let numbers: String = (1..=30_000).map(|line| format!("{line}\n")).collect();
    assert!(engine.output_of(&one) == format!("before\n{numbers}"));
    engine.launch_pod(&two, world.sh("exit 4", 600));
    assert_eq!(engine.end_of(&two).0, Exit::Code(4));
    assert_eq!(engine.calls().total(Verb::Create, "pods"), 1);
}
