//! The daemon dies at any moment and comes back: nothing is lost, nothing happens twice.

use deskd_core::task::{Exit, StopStepKind};
use deskd_core::wire::{FromKeeper, ToKeeper, VERSION};

use crate::support::keeper::{Client, Keeper, Setup, request, run};
use crate::support::{proc, wait};

#[test]
fn a_new_daemon_is_told_of_running_tasks_and_of_those_that_ended_meanwhile() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let running = client.spawn(request("app-00001", &["sleep", "1000"])).unwrap();
    let fifo = keeper.dir().join("go");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let ending = client.sh("app-00002", &format!("cat {}; echo bye; exit 5", fifo.display()));
    client.sh("app-00003", "exit 1");
    client.exited("app-00003");
    drop(client);
    std::fs::write(&fifo, "while nobody listens\n").unwrap();
    wait::until("it ended", || proc::is_reaped(ending).then_some(()));

    let (_, welcome) = keeper.connect();
    let ids: Vec<&str> = welcome.tasks.iter().map(|task| task.id.task.as_str()).collect();
    assert_eq!(ids, ["app-00001", "app-00002", "app-00003"], "in order of their start");
    let first = welcome.task("app-00001");
    assert_eq!((first.pid, &first.end, first.tree_gone), (running, &None, false));
    assert_eq!(first.meta, "meta of app-00001");
    let second = welcome.task("app-00002");
    assert_eq!(second.end.as_ref().unwrap().exit, Exit::Code(5));
    assert!(second.tree_gone);
    assert_eq!(keeper.stdout("app-00002"), "while nobody listens\nbye\n");
    assert!(proc::is_alive(running));
}

#[test]
fn the_same_run_asked_for_twice_is_started_once() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let sleep = || request("app-00001", &["sleep", "1000"]);
    let pid = client.spawn(sleep()).unwrap();
    assert_eq!(client.spawn(sleep()), Ok(pid));
    let (mut client, _) = keeper.connect();
    assert_eq!(client.spawn(sleep()), Ok(pid));
    assert_eq!(proc::children(keeper.pid()).len(), 2, "it and the daemon");

    client.sh("app-00002", "exit 6");
    client.exited("app-00002");
    client.tree_gone("app-00002");
    client.sh("app-00002", "exit 7");
    assert_eq!(client.exited("app-00002").exit, Exit::Code(6), "what became of it is told again");
    client.tree_gone("app-00002");
}

#[test]
fn the_deadlines_of_a_stop_survive_the_daemon() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let pid = client.sh("app-00001", "trap '' TERM; while :; do sleep 0.05; done");
    client.stop("app-00001", 50, 400);
    drop(client);
    wait::until("it is killed", || proc::is_reaped(pid).then_some(()));
    let (mut client, welcome) = keeper.connect();
    let record = welcome.task("app-00001");
    assert!(record.stopping);
    let steps: Vec<_> = record.stop_steps.iter().map(|round| round.step).collect();
    assert_eq!(steps, [StopStepKind::Term, StopStepKind::Kill]);
    if !record.tree_gone {
        client.tree_gone("app-00001");
    }
}

#[test]
fn a_new_connection_replaces_the_old_one() {
    let keeper = Keeper::start();
    let (mut first, _) = keeper.connect();
    let (mut second, _) = keeper.connect();
    first.wait_for_end();
    second.sh("app-00001", "true");
    second.exited("app-00001");
}

#[test]
fn a_daemon_that_speaks_another_version_is_told_and_left() {
    let keeper = Keeper::start();
    let mut client = Client::connect(&keeper.dir().join("keeper.sock"));
    client.send(&ToKeeper::Hello { version: VERSION + 1 });
    let refused = client.wait("a refusal", |message| match message {
        FromKeeper::VersionRefused { version } => Some(*version),
        _ => None,
    });
    assert_eq!(refused, VERSION);
    client.wait_for_end();
}

#[test]
fn nonsense_and_requests_before_hello_end_the_connection_and_nothing_else() {
    use std::io::Write;
    let keeper = Keeper::start();
    let socket = keeper.dir().join("keeper.sock");
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x02\0\0\0{}", b"\xff\xff\xff\xff"] {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
        assert_eq!(rest, b"");
    }
    let mut early = Client::connect(&socket);
    early.send(&ToKeeper::Drained);
    early.wait_for_end();
    let (mut client, _) = keeper.connect();
    client.sh("app-00001", "true");
}

#[test]
fn a_welcome_that_does_not_fit_into_one_message_arrives_whole() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    for n in 1..=60 {
        let mut asked = request(&format!("app-{n:05x}"), &["true"]);
        // Each byte of it becomes six in JSON.
        asked.meta = "\u{1}".repeat(200 << 10);
        client.spawn(asked).unwrap();
    }
    let (mut client, welcome) = keeper.connect();
    assert_eq!(welcome.tasks.len(), 60);
    assert!(welcome.messages > 10, "{}", welcome.messages);
    let order: Vec<_> = welcome.tasks.iter().map(|task| task.id.clone()).collect();
    let expected: Vec<_> = (1..=60).map(|n| run(&format!("app-{n:05x}"), 1)).collect();
    assert_eq!(order, expected);
    client.sh("app-fffff", "true");
    client.exited("app-fffff");
}

#[test]
fn a_daemon_that_does_not_read_is_dropped_and_holds_up_nothing() {
    let keeper = Keeper::start();
    let (mut deaf, _) = keeper.connect();
    deaf.sh("app-00001", "true");
    deaf.exited("app-00001");
    // Each repeated request is answered; the answers are never read.
    let again = request("app-00001", &["true"]);
    for _ in 0..200_000 {
        if !deaf.try_send(&ToKeeper::Spawn(Box::new(again.clone()))) {
            break;
        }
    }
    let (_, welcome) = keeper.connect();
    assert_eq!(welcome.tasks.len(), 1);
}

#[test]
fn the_daemon_is_started_again_when_it_dies_and_its_environment_is_its_own() {
    let env = [
        ("NOTIFY_SOCKET", "/nowhere"),
        ("WATCHDOG_USEC", "60000000"),
        ("DESKD_TEST_INHERITED", "yes"),
    ];
    let env = env.map(|(name, value)| (name, value.to_owned())).into();
    let keeper = Setup { env, ..Setup::default() }.start();
    let first = wait::until("the daemon runs", || {
        let child = proc::children(keeper.pid()).into_iter().next()?;
        // Before it has executed its program it looks like the keeper.
        (child.comm == "sleep").then_some(child.pid)
    });
    let environ = proc::file(first, "environ");
    assert!(environ.contains("DESKD_TEST_INHERITED=yes"));
    for private in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "DESKD_TASK_ID"] {
        assert!(!environ.contains(private), "{private}");
    }
    let (mut client, _) = keeper.connect();
    let app = client.spawn(request("app-00001", &["sleep", "1000"])).unwrap();
    proc::kill(first);
    let second = wait::until("another daemon runs", || {
        let children = proc::children(keeper.pid());
        children.iter().map(|child| child.pid).find(|pid| *pid != first && *pid != app)
    });
    assert_ne!(first, second);
    assert!(proc::is_alive(app));
}
