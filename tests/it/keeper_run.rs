//! A process's way through the keeper: how it ended, what it used, what it wrote.

use deskd_core::task::Exit;
use deskd_core::wire::{FromKeeper, SpawnError, ToKeeper, VERSION};
use deskd_keeper::logs::Stream;

use crate::support::keeper::{Keeper, Setup, request, run, unix_ms};
use crate::support::{proc, wait};

#[test]
fn an_exit_code_is_reported_with_its_time_and_the_tree_is_gone() {
    let keeper = Keeper::start();
    let (mut client, welcome) = keeper.connect();
    assert_eq!(welcome.keeper_pid, keeper.pid());
    let pid = client.sh("app-00001", "exit 42");
    let end = client.exited("app-00001");
    assert_eq!(end.exit, Exit::Code(42));
    assert!((unix_ms() - end.at).abs() < 20_000);
    client.tree_gone("app-00001");
    assert!(proc::is_reaped(pid));
}

#[test]
fn a_signal_is_named_and_a_core_dump_is_told() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.sh("app-00001", "kill -TERM $$");
    let killed = client.exited("app-00001").exit;
    assert_eq!(killed, Exit::Signal { number: 15, name: "SIGTERM".into(), core_dumped: false });
    let mut request = request("app-00002", &["/bin/sh", "-c", "kill -SEGV $$"]);
    request.rlimits.core_bytes = Some(1 << 30);
    request.cwd = Some(keeper.dir().to_str().unwrap().into());
    client.spawn(request).unwrap();
    match client.exited("app-00002").exit {
        Exit::Signal { number: 11, name, .. } => assert_eq!(name, "SIGSEGV"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_run_used_is_reported() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.sh("app-00001", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
    let usage = client.exited("app-00001").rusage;
    assert!(usage.user_us > 10_000, "{usage:?}");
    assert!(usage.max_rss_kib > 100, "{usage:?}");
}

#[test]
fn everything_written_is_in_the_log_when_the_exit_is_told() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    for n in 1..=20 {
        let task = format!("app-{n:05x}");
        client.sh(&task, "seq 1 5000; printf 'no newline'; echo problem >&2");
        client.exited(&task);
        let mut expected: String = (1..=5000).map(|n| format!("{n}\n")).collect();
        expected.push_str("no newline");
        assert_eq!(keeper.stdout(&task), expected);
        assert_eq!(keeper.output(&task, Stream::Stderr), b"problem\n");
    }
}

#[test]
fn a_watch_is_answered_once_when_the_log_grows() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let fifos = ["one", "two"].map(|name| keeper.dir().join(name));
    for fifo in &fifos {
        nix::unistd::mkfifo(fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    client.sh("app-00001", &format!("cat {}; cat {}", fifos[0].display(), fifos[1].display()));
    let task: deskd_core::id::TaskId = "app-00001".parse().unwrap();
    client.send(&ToKeeper::WatchLog { task: task.clone(), seen: 0 });
    std::fs::write(&fifos[0], "one\n").unwrap();
    let advanced = |message: &FromKeeper| match message {
        FromKeeper::LogAdvanced { end, .. } => Some(*end),
        _ => None,
    };
    let end = client.wait("the log grows", advanced);
    client.send(&ToKeeper::WatchLog { task: task.clone(), seen: 0 });
    assert_eq!(client.wait("what is there already", advanced), end);
    client.send(&ToKeeper::WatchLog { task, seen: end });
    std::fs::write(&fifos[1], "two\n").unwrap();
    assert!(client.wait("it grows again", advanced) > end);
    client.exited("app-00001");
    assert_eq!(keeper.stdout("app-00001"), "one\ntwo\n");
}

#[test]
fn a_daemon_that_says_hello_on_its_second_connection_hears_there_of_logs() {
    let wrapper = vec!["sh", "-c", r#"exec "$0" "$@" 9</dev/null"#];
    let keeper = Setup { wrapper, daemon_file: Some(9), ..Setup::default() }.start();
    let (mut client, _) = keeper.connect();
    let mut feed = keeper.feed();
    let fifos = ["one", "two"].map(|name| keeper.dir().join(name));
    for fifo in &fifos {
        nix::unistd::mkfifo(fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    client.sh("app-00001", &format!("cat {}; cat {}", fifos[0].display(), fifos[1].display()));
    let task: deskd_core::id::TaskId = "app-00001".parse().unwrap();
    feed.send(&ToKeeper::Hello { version: VERSION, oldest: None });
    client.send(&ToKeeper::WatchLog { task: task.clone(), seen: 0 });
    std::fs::write(&fifos[0], "one\n").unwrap();
    let advanced = |message: &FromKeeper| match message {
        FromKeeper::LogAdvanced { end, .. } => Some(*end),
        _ => None,
    };
    let end = feed.wait("the log grows", advanced);
    feed.send(&ToKeeper::WatchLog { task, seen: end });
    std::fs::write(&fifos[1], "two\n").unwrap();
    assert!(feed.wait("it grows again", advanced) > end);
    client.exited("app-00001");
    assert!(!client.unclaimed().iter().any(|told| advanced(told).is_some()));
    // Its end is the daemon's own business; a request of another kind is not.
    feed.send(&ToKeeper::Drained);
    client.wait_for_end();
}

#[test]
fn a_flood_of_output_delays_neither_commands_nor_other_output() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    for n in 1..=4 {
        client.sh(&format!("flood-{n:05x}"), "exec yes a line that is repeated for ever");
    }
    for n in 1..=20 {
        let task = format!("app-{n:05x}");
        client.sh(&task, "echo here");
        client.exited(&task);
        assert_eq!(keeper.stdout(&task), "here\n");
    }
    for n in 1..=4 {
        let task = format!("flood-{n:05x}");
        client.stop(&task, 0, 5_000);
        client.tree_gone(&task);
    }
}

#[test]
fn two_hundred_starts_in_a_burst_all_run_and_all_end() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let tasks: Vec<String> = (1..=200).map(|n| format!("app-{n:05x}")).collect();
    for task in &tasks {
        client.send(&ToKeeper::Spawn(Box::new(request(task, &["echo", task]))));
    }
    for task in &tasks {
        client.spawned(&run(task, 1)).unwrap();
    }
    for task in &tasks {
        assert_eq!(client.exited(task).exit, Exit::Code(0));
        client.tree_gone(task);
        assert_eq!(keeper.stdout(task), format!("{task}\n"));
    }
    assert_eq!(keeper.children().len(), 1, "only the daemon is left, and no zombie");
}

#[test]
fn the_limit_on_tasks_counts_ended_ones_until_they_are_forgotten() {
    let keeper = Setup { tasks_max: 2, ..Setup::default() }.start();
    let (mut client, _) = keeper.connect();
    client.sh("app-00001", "true");
    client.sh("app-00002", "true");
    let third = || request("app-00003", &["true"]);
    assert_eq!(client.spawn(third()), Err(SpawnError::TooManyTasks { limit: 2 }));
    client.tree_gone("app-00001");
    client.send(&ToKeeper::Forget { task: "app-00001".parse().unwrap() });
    client.spawn(third()).unwrap();
    assert!(!keeper.dir().join("logs/app-00001").exists(), "its log is gone with it");
}

#[test]
fn a_second_run_follows_the_first_in_the_same_log() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.sh("app-00001", "echo first");
    let mut second = request("app-00001", &["echo", "second"]);
    second.id.run = 2;
    client.exited("app-00001");
    client.spawn(second).unwrap();
    client.exited("app-00001");
    assert_eq!(keeper.stdout("app-00001"), "first\nsecond\n");
    let stale = client.spawn(request("app-00001", &["true"]));
    assert!(matches!(stale, Err(SpawnError::Invalid(_))), "{stale:?}");
}

#[test]
fn orphans_that_belong_to_nobody_are_reaped_too() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.sh("app-00001", "(sleep 0.05 & sleep 0.1 &) ; sleep 0.2 & sleep 0.3");
    client.exited("app-00001");
    client.tree_gone("app-00001");
    wait::until("only the daemon is left", || (keeper.children().len() == 1).then_some(()));
}

#[test]
fn when_descriptors_run_out_starts_are_refused_and_everything_else_goes_on() {
    let wrapper = vec!["prlimit", "--nofile=96:96", "--"];
    let keeper = Setup { wrapper, ..Setup::default() }.start();
    let (mut client, _) = keeper.connect();
    let mut started = Vec::new();
    let refused = loop {
        let task = format!("app-{:05x}", started.len());
        match client.spawn(request(&task, &["sleep", "1000"])) {
            Ok(_) => started.push(task),
            Err(error) => break error,
        }
    };
    assert!(started.len() >= 10, "{}", started.len());
    assert!(matches!(refused, SpawnError::Setup { errno: nix::libc::EMFILE, .. }), "{refused:?}");
    let (mut client, welcome) = keeper.connect();
    assert_eq!(welcome.tasks.len(), started.len());
    for task in &started {
        client.stop(task, 0, 10_000);
    }
    for task in &started {
        client.tree_gone(task);
    }
    client.sh("app-fffff", "echo room again");
    client.exited("app-fffff");
    assert_eq!(keeper.stdout("app-fffff"), "room again\n");
}
