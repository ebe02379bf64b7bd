//! How the keeper ends, and what it costs while it runs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::time::{Duration, Instant};

use deskd_core::task::Exit;
use deskd_core::wire::{Drain, FromKeeper, SpawnError, ToKeeper};
use nix::sys::signal::Signal;

use crate::support::keeper::{Client, Keeper, Setup, request, unix_ms};
use crate::support::{proc, wait};

/// Longer than the keeper waits before it gives back memory.
const QUIET: Duration = Duration::from_millis(700);

fn draining(client: &mut Client) -> Drain {
    client.wait("Draining", |message| match message {
        FromKeeper::Draining(drain) => Some(*drain),
        _ => None,
    })
}

fn left_below(dir: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn sigterm_lets_the_daemon_stop_everything_and_then_the_keeper_exits_with_0() {
    let mut keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let app = client.spawn(request("app-00001", &["sleep", "1000"])).unwrap();
    let daemon = keeper.children().iter().map(|c| c.pid).find(|p| *p != app).unwrap();
    keeper.signal(Signal::SIGTERM);
    let drain = draining(&mut client);
    assert!(!drain.hurry);
    let ahead = drain.deadline - unix_ms();
    assert!((6_000..=8_000).contains(&ahead), "{ahead}");
    let refused = client.spawn(request("app-00002", &["true"]));
    assert_eq!(refused, Err(SpawnError::Draining));
    assert!(proc::is_alive(app), "stopping is the daemon's first");
    client.stop("app-00001", 0, 5_000);
    client.tree_gone("app-00001");
    client.send(&ToKeeper::Drained);
    assert_eq!(keeper.exit().code(), Some(0));
    assert!(proc::is_reaped(daemon));
    assert_eq!(left_below(keeper.dir()), ["keeper.lock", "logs", "stderr"], "no socket");
}

#[test]
fn without_a_daemons_help_the_keeper_terminates_everything_before_the_deadline() {
    let mut keeper = Setup { grace_ms: 2_000, ..Setup::default() }.start();
    let (mut client, _) = keeper.connect();
    let polite =
        client.sh("app-00001", "trap 'echo asked; exit 3' TERM; while :; do sleep 0.02; done");
    let deaf =
        client.sh("app-00002", "trap '' TERM; (setsid sleep 1000 &); while :; do sleep 0.02; done");
    wait::until("it has started its child", || (!proc::children(deaf).is_empty()).then_some(()));
    let start = Instant::now();
    keeper.signal(Signal::SIGTERM);
    draining(&mut client);
    assert_eq!(client.exited("app-00001").exit, Exit::Code(3));
    match client.exited("app-00002").exit {
        Exit::Signal { number: 9, .. } => {}
        other => panic!("{other:?}"),
    }
    client.tree_gone("app-00002");
    assert_eq!(keeper.exit().code(), Some(0));
    assert!(start.elapsed() < wait::PATIENCE, "{:?}", start.elapsed());
    assert!(proc::is_reaped(polite) && proc::is_reaped(deaf));
    assert_eq!(keeper.stdout("app-00001"), "asked\n");
}

#[test]
fn a_second_sigterm_hurries() {
    let mut keeper = Setup { grace_ms: 600_000, ..Setup::default() }.start();
    let (mut client, _) = keeper.connect();
    client.sh("app-00001", "trap '' TERM; while :; do sleep 0.02; done");
    keeper.signal(Signal::SIGTERM);
    assert!(!draining(&mut client).hurry);
    let start = Instant::now();
    keeper.signal(Signal::SIGINT);
    let drain = draining(&mut client);
    assert!(drain.hurry && drain.deadline - unix_ms() < 2_000);
    client.exited("app-00001");
    assert_eq!(keeper.exit().code(), Some(0));
    assert!(start.elapsed() < wait::PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn a_daemon_that_comes_back_during_a_shutdown_is_told_of_it() {
    let mut keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.spawn(request("app-00001", &["sleep", "1000"])).unwrap();
    keeper.signal(Signal::SIGTERM);
    draining(&mut client);
    let (mut client, welcome) = keeper.connect();
    assert!(welcome.draining.is_some());
    client.stop("app-00001", 0, 5_000);
    client.tree_gone("app-00001");
    client.send(&ToKeeper::Drained);
    assert_eq!(keeper.exit().code(), Some(0));
}

#[test]
fn sighup_changes_nothing_when_the_daemon_is_no_deskd() {
    let keeper = Keeper::start();
    keeper.signal(Signal::SIGHUP);
    let (mut client, welcome) = keeper.connect();
    assert_eq!(welcome.draining, None);
    client.sh("app-00001", "true");
}

#[test]
fn a_daemon_that_refuses_its_configuration_ends_the_keeper_with_the_same_code() {
    let setup =
        Setup { daemon_argv: ["sh", "-c", "exit 3"].map(str::to_owned).into(), ..Setup::default() };
    let mut keeper = setup.start_in(tempfile::tempdir().unwrap());
    assert_eq!(keeper.exit().code(), Some(3));
}

#[test]
fn a_daemon_that_does_not_exist_ends_the_keeper() {
    let setup = Setup { daemon_argv: vec!["no-such-daemon".into()], ..Setup::default() };
    let mut keeper = setup.start_in(tempfile::tempdir().unwrap());
    assert_eq!(keeper.exit().code(), Some(70));
    assert!(
        keeper.stderr().contains("`no-such-daemon` was not found in PATH"),
        "{}",
        keeper.stderr()
    );
}

#[test]
fn a_second_keeper_on_the_same_directory_is_refused_and_one_after_it_starts() {
    let mut keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let mut second = Setup::default().start_beside(&keeper);
    let refused = wait::until("the second one exits", || second.try_wait().unwrap());
    assert_eq!(refused.code(), Some(70));
    assert!(keeper.stderr().contains("another deskd already uses the state directory"));
    client.sh("app-00001", "true");
    client.exited("app-00001");

    let daemon = keeper.children()[0].pid;
    keeper.signal(Signal::SIGKILL);
    keeper.exit();
    proc::kill(daemon);
    // It holds the lock, too.
    wait::until("its daemon is gone", || (!proc::is_alive(daemon)).then_some(()));
    let keeper = Setup::default().start_again(keeper);
    let (mut client, welcome) = keeper.connect();
    assert_eq!(welcome.tasks, [], "it knows nothing of the log that is left");
    client.sh("app-00001", "echo again");
    client.exited("app-00001");
    assert_eq!(keeper.stdout("app-00001"), "again\n");
}

#[test]
fn an_idle_keeper_with_tasks_does_not_wake_up() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect_silent();
    for n in 1..=20 {
        client.spawn(request(&format!("app-{n:05x}"), &["sleep", "1000"])).unwrap();
    }
    // What it asks of its daemon is answered, so it does not ask again while this test looks.
    let ping = |message: &FromKeeper| match message {
        FromKeeper::Ping { number } => Some(*number),
        _ => None,
    };
    let number = client.wait("a ping", ping);
    client.send(&ToKeeper::Pong { number });
    // It wakes up once more to give back memory; then never again.
    wait::until("it sleeps", || (proc::wakeups(keeper.pid(), QUIET) == 0).then_some(()));
    assert_eq!(proc::wakeups(keeper.pid(), Duration::from_millis(1_200)), 0);
}

#[test]
fn memory_and_descriptors_grow_little_with_tasks_and_come_back() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let fds = || std::fs::read_dir(format!("/proc/{}/fd", keeper.pid())).unwrap().count();
    let pss = || proc::number(keeper.pid(), "smaps_rollup", "Pss_Anon");
    let tasks: Vec<String> = (1..=100).map(|n| format!("app-{n:05x}")).collect();
    client.sh("app-fffff", "echo warm up");
    client.tree_gone("app-fffff");
    let (pss_before, fds_before) = (pss(), fds());
    for task in &tasks {
        client.spawn(request(task, &["sleep", "1000"])).unwrap();
    }
    let (pss_with, fds_with) = (pss(), fds());
    println!(
        "keeper, private memory: {pss_before} kB, with 100 tasks {pss_with} kB; {fds_with} descriptors"
    );
    assert!(pss_with < pss_before + 1024, "{pss_before} -> {pss_with}");
    assert!(fds_with <= fds_before + 4 * tasks.len());
    for task in &tasks {
        client.stop(task, 0, 0);
    }
    for task in &tasks {
        client.tree_gone(task);
    }
    wait::until("the descriptors are closed", || (fds() <= fds_before + 1).then_some(()));
}

#[test]
fn as_process_1_of_a_pid_namespace_it_works_the_same() {
    let setup = Setup {
        wrapper: vec!["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"],
        ..Setup::default()
    };
    let mut keeper = setup.start();
    let (mut client, welcome) = keeper.connect();
    assert_eq!(welcome.keeper_pid, 1);
    client.sh("app-00001", "trap '' TERM; (setsid sleep 1000 >/dev/null 2>&1 &); exec sleep 1000");
    client.stop("app-00001", 0, 100);
    client.exited("app-00001");
    client.tree_gone("app-00001");
    let unshare = keeper.pid();
    let inner = proc::children(unshare)[0].pid;
    proc::signal(inner, Signal::SIGTERM);
    draining(&mut client);
    client.send(&ToKeeper::Drained);
    assert_eq!(keeper.exit().code(), Some(0));
}

#[test]
fn systemd_is_told_of_readiness_status_and_a_living_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let received = || {
        let mut bytes = [0; 4096];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    };
    let env = vec![
        ("NOTIFY_SOCKET", path.to_str().unwrap().to_owned()),
        ("WATCHDOG_USEC", "200000".to_owned()),
    ];
    let mut keeper = Setup { env, ..Setup::default() }.start();
    let (mut client, _) = keeper.connect_silent();
    client.send(&ToKeeper::Status { ready: true, status: "all is\nwell".into() });
    let expected = format!("READY=1\nMAINPID={}\nSTATUS=all is well\n", keeper.pid());
    assert_eq!(received(), expected);
    let ping = |message: &FromKeeper| match message {
        FromKeeper::Ping { number } => Some(*number),
        _ => None,
    };
    let number = client.wait("a ping", ping);
    client.send(&ToKeeper::Pong { number: number - 1 });
    client.send(&ToKeeper::Pong { number });
    client.send(&ToKeeper::Pong { number });
    assert_eq!(received(), "WATCHDOG=1\n");
    let number = client.wait("another ping", ping);
    client.send(&ToKeeper::Pong { number });
    assert_eq!(received(), "WATCHDOG=1\n", "one for each question");
    keeper.signal(Signal::SIGTERM);
    assert_eq!(received(), "STOPPING=1\n");
    draining(&mut client);
    client.send(&ToKeeper::Drained);
    assert_eq!(keeper.exit().code(), Some(0));
}
