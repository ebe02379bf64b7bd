//! What is wrong is told by itself.

use super::*;
use crate::cli::doctor::examined::{Port, User, Way};
use crate::cli::doctor::subject::ToldBy;
use deskd_core::display::DisplayStatus;
use deskd_core::display::EndpointState;
use deskd_core::plan::KubernetesFacts;
use deskd_core::plan::facts::{self, ApiState, Headroom, Right};
use deskd_core::shm::ShmVerdict;
use deskd_core::wall::{Exposed, WallFacts};
use deskd_core::why::evidence::Usage;

fn well() -> Examined {
    let mut display = DisplayStatus::unknown(":0", 0);
    display.unix.state = EndpointState::Answering;
    display.tcp.state = EndpointState::Answering;
    display.shm.sysv = ShmVerdict::Works;
    display.shm.fd = ShmVerdict::Works;
    Examined {
        pods_wanted: true,
        dev_shm: Some(Usage { size: 512 << 20, used: 0 }),
        memory: Headroom { memory_bytes: Some(1 << 30), memory_pressure_centipercent: Some(0) },
        api: Port::Ours("127.0.0.1:29791".into()),
        home: Some(("/home/balloon".into(), true)),
        fonts: 3,
        software_gl: true,
        wall: WallFacts { abi: 7, hidden: vec!["/run/deskd".into()], ..WallFacts::default() },
        cluster: Some(KubernetesFacts { api: ApiState::Answers, ..KubernetesFacts::default() }),
        ..Examined::of(display, User { uid: 4096, user_namespaces: Some(true), ..User::default() })
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut Examined), topic: &str, state: State) {
    let mut examined = well();
    change(&mut examined);
    let found = findings(&examined);
    let others = found.iter().filter(|f| f.state != State::Works && f.topic != topic);
    assert_eq!(others.count(), 0, "{found:#?}");
    let own = found.iter().rfind(|f| f.topic == topic).unwrap();
    assert_eq!(own.state, state, "{own:?}");
    assert!(state == State::Works || !own.change.is_empty() && !own.command.is_empty(), "{own:?}");
}

#[test]
fn a_pod_where_all_is_well_needs_no_change() {
    assert!(findings(&well()).iter().all(|f| f.state == State::Works && f.change.is_empty()));
}

#[test]
fn each_thing_that_is_wrong_is_told_by_itself_with_what_to_change() {
    check(|f| f.display.unix.state = EndpointState::Hanging, "display", State::Wrong);
    check(|f| f.display.tcp.state = EndpointState::NotListening, "display over TCP", State::Wrong);
    check(|f| f.display.shm.sysv = ShmVerdict::Refused, "shared memory", State::Wrong);
    check(|f| f.dev_shm = None, "/dev/shm", State::Wrong);
    check(|f| f.dev_shm = Some(Usage { size: 64 << 20, used: 0 }), "/dev/shm", State::Remark);
    check(|f| f.memory.memory_bytes = Some(1 << 20), "memory", State::Wrong);
    check(|f| f.api = Port::Taken("x".into()), "deskd's port", State::Wrong);
    check(|f| f.home = None, "home", State::Wrong);
    let own = || env!("CARGO_PKG_VERSION").to_owned();
    check(|f| f.versions = Some((own(), Some(own()))), "versions", State::Works);
    check(|f| f.versions = Some((own(), Some("0.0.9".into()))), "versions", State::Remark);
    check(|f| f.versions = Some(("0.0.9".into(), Some("0.0.9".into()))), "versions", State::Remark);
    check(|f| f.readable_programs = vec!["/x".into()], "deskd's programs", State::Remark);
    check(|f| f.oom_kills = 1, "memory", State::Remark);
    check(|f| f.limits.throttled_percent = Some(60), "processors", State::Remark);
    check(
        |f| (f.limits.tasks, f.limits.tasks_max) = (Some(95), Some(100)),
        "processes",
        State::Wrong,
    );
    check(|f| f.user.user_namespaces = Some(false), "browser sandbox", State::Remark);
    check(|f| f.wall.abi = 3, "wall", State::Remark);
    let writable = Some("/tmp".to_owned());
    let exposed = vec![Exposed { path: "/tmp/state".into(), writable }];
    check(|f| f.wall = WallFacts { exposed, ..WallFacts::default() }, "wall", State::Remark);
    for way in [facts::Way::Barred { port: 6001 }, facts::Way::Closed("it is taken".into())] {
        let barred = |f: &mut Examined| f.cluster.as_mut().unwrap().way = way;
        check(barred, "pods as places", State::Wrong);
    }
    check(|f| f.fonts = 0, "fonts", State::Remark);
    check(|f| f.gpus = vec![("/dev/dri/card0".into(), false)], "GPU", State::Wrong);
    check(|f| f.gpus = vec![("/dev/nvidia0".into(), true)], "GPU", State::Wrong);
    check(|f| f.cluster = None, "Kubernetes", State::Remark);
}

#[test]
fn a_cookie_that_is_missing_matters_when_the_server_refuses() {
    let note = "connecting without a cookie: there is no XAUTHORITY and no XAUTH_KEY";
    check(|f| f.cookie_note = Some(note.into()), "cookie", State::Remark);
    let mut examined = well();
    examined.cookie_note = Some(note.into());
    examined.display.unix.state = EndpointState::Refused("no".into());
    let found = findings(&examined);
    assert!(found.iter().any(|f| f.topic == "cookie" && f.state == State::Wrong));
}

#[test]
fn a_right_that_an_engine_needs_is_wrong_and_any_other_a_remark() {
    let right = |engine| Right {
        engine,
        verb: "create".into(),
        resource: "pods".into(),
        namespace: "d".into(),
        allowed: false,
        sentence: deskd_core::text::Text::words("no pods"),
    };
    use deskd_core::plan::EngineKind::PodApplication;
    let with = |engine| {
        move |f: &mut Examined| {
            f.cluster.as_mut().unwrap().rights.push(right(engine));
        }
    };
    check(with(Some(PodApplication)), "Kubernetes right", State::Wrong);
    check(with(None), "Kubernetes right", State::Remark);
}

#[test]
fn it_is_told_whose_configuration_was_examined() {
    check(|f| f.configuration.2 = ToldBy::NoDaemon("gone".into()), "configuration", State::Remark);
    check(
        |f| f.configuration = (Some("/etc/deskd/deskd.toml".into()), true, ToldBy::Daemon),
        "configuration",
        State::Wrong,
    );
    let mut examined = well();
    examined.configuration.2 = ToldBy::NoDaemon("nothing answers on /run/deskd/deskd.sock".into());
    let told = &findings(&examined)[0];
    assert!(told.sentence.contains("nothing answers on /run/deskd/deskd.sock"), "{told:?}");
}

#[test]
fn whose_fault_a_refused_segment_is_follows_from_the_uid_of_the_server() {
    let change = |server_uid| {
        let mut examined = well();
        examined.display.shm.sysv = ShmVerdict::Refused;
        examined.server_uid = server_uid;
        let found = findings(&examined);
        found.into_iter().find(|f| f.topic == "shared memory").unwrap().change
    };
    assert!(change(Some(1000)).contains("runs as uid 1000 and this as 4096"));
    assert!(change(Some(4096)).contains("another IPC namespace"));
    assert!(change(None).contains("one IPC namespace"));
}

#[test]
fn in_an_applications_pod_the_display_is_the_desktops_and_shared_memory_cannot_be() {
    let mut examined = well();
    examined.display = DisplayStatus::unknown("10.0.0.5:0", 0);
    examined.remote = Some(Way {
        name: "10.0.0.5 port 6000".into(),
        state: EndpointState::Answering,
        shm: deskd_core::shm::ShmVerdicts { sysv: ShmVerdict::Remote, fd: ShmVerdict::Remote },
    });
    examined.api = Port::Elsewhere("10.0.0.5:29791".into());
    let found = findings(&examined);
    let state = |topic: &str| found.iter().find(|f| f.topic == topic).map(|f| f.state);
    assert_eq!(state("display"), Some(State::Works));
    assert_eq!(state("shared memory"), Some(State::Remark));
    assert_eq!(state("display over TCP"), None);
    examined.own_address = true;
    let own = findings(&examined).into_iter().find(|f| f.topic == "shared memory").unwrap();
    assert!(own.state == State::Wrong && own.change.contains("DISPLAY=:0"), "{own:?}");
    examined.own_address = false;
    examined.remote.as_mut().unwrap().state = EndpointState::NotListening;
    let found = findings(&examined);
    let display = found.iter().find(|f| f.topic == "display").unwrap();
    assert_eq!(display.state, State::Wrong);
    assert!(display.change.contains("X11LISTEN=tcp"), "{display:?}");
}

#[test]
fn shared_memory_is_no_problem_of_its_own_without_a_display() {
    let mut examined = well();
    examined.display = DisplayStatus::unknown(":0", 0);
    examined.display.unix.state = EndpointState::NotListening;
    let wrong = findings(&examined).into_iter().filter(|f| f.state == State::Wrong);
    assert_eq!(wrong.map(|f| f.topic).collect::<Vec<_>>(), ["display", "display over TCP"]);
}
