//! The daemon dies at any moment and comes back: nothing is lost, nothing happens twice.

use deskd_core::task::{Exit, StopStepKind};
use deskd_core::wire::{FromKeeper, ToKeeper, VERSION};

use crate::support::keeper::{Keeper, Setup, request, run};
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
    assert_eq!(keeper.children().len(), 2, "it and the daemon");

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
    let mut steps: Vec<_> = record.stop_steps.iter().map(|round| round.step).collect();
    // One more SIGKILL for each process that it forked meanwhile.
    steps.dedup();
    assert_eq!(steps, [StopStepKind::Term, StopStepKind::Kill]);
    if !record.tree_gone {
        client.tree_gone("app-00001");
    }
}

#[test]
fn what_a_daemon_asked_for_before_it_died_is_done_and_its_successor_is_told() {
    let keeper = Keeper::start();
    let (mut first, _) = keeper.connect();
    // More than the keeper answers in one turn.
    for n in 1..=50 {
        let task = format!("app-{n:05x}");
        first.send(&ToKeeper::Spawn(Box::new(request(&task, &["sleep", "1000"]))));
    }
    let (mut second, welcome) = keeper.connect();
    assert_eq!(welcome.tasks.len(), 50);
    first.wait_for_end();
    second.sh("app-fffff", "true");
    second.exited("app-fffff");
}

#[test]
fn a_daemon_that_speaks_another_version_is_told_and_left() {
    let keeper = Keeper::start();
    let mut client = keeper.link();
    client.send(&ToKeeper::Hello { version: VERSION + 1, oldest: None });
    let refused = client.wait("a refusal", |message| match message {
        FromKeeper::VersionRefused { version } => Some(*version),
        _ => None,
    });
    assert_eq!(refused, VERSION);
    client.wait_for_end();
}

#[test]
fn a_daemon_of_the_release_before_and_of_the_one_after_are_spoken_to() {
    let keeper = Keeper::start();
    for (version, oldest, both) in
        [(VERSION - 1, None, VERSION - 1), (VERSION + 1, Some(VERSION), VERSION)]
    {
        let mut client = keeper.link();
        client.send(&ToKeeper::Hello { version, oldest });
        let (agreed, predecessor) = client.wait("a welcome", |message| match message {
            FromKeeper::Welcome { version, predecessor, .. } => {
                Some((*version, predecessor.clone()))
            }
            _ => None,
        });
        assert_eq!((agreed, predecessor.is_some()), (both, version > VERSION));
        client.sh(&format!("app-{version:05}"), "true");
    }
}

#[test]
fn nonsense_and_requests_before_hello_end_the_connection_and_nothing_else() {
    let keeper = Keeper::start();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x02\0\0\0{}", b"\xff\xff\xff\xff"] {
        let mut client = keeper.link();
        client.send_bytes(bytes);
        client.wait_for_end();
        assert_eq!(client.unclaimed(), []);
    }
    let mut early = keeper.link();
    early.send(&ToKeeper::Drained);
    early.wait_for_end();
    let (mut client, _) = keeper.connect();
    client.sh("app-00001", "true");
}

/// What a stranger of the same user can do: there is no name in the file system, nor an abstract one, to connect to.
#[test]
fn nobody_can_take_the_daemons_place() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let sockets = keeper_sockets(keeper.pid());
    assert!(!sockets.is_empty(), "its end of the connection at least");
    for line in proc::file(keeper.pid(), "net/unix").lines().skip(1) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (inode, name) = (words[6], words.get(7));
        assert!(!sockets.iter().any(|own| own == inode) || name.is_none(), "{line}");
    }
    client.sh("app-00001", "true");
    client.exited("app-00001");
}

fn keeper_sockets(pid: u32) -> Vec<String> {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    let links = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    let sockets = links.filter_map(|link| {
        Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
    });
    sockets.collect()
}

#[test]
fn a_daemon_that_asks_faster_than_it_is_answered_costs_the_keeper_no_memory() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let memory = || proc::number(keeper.pid(), "status", "VmRSS");
    let before = memory();
    // Answering these takes much longer than asking.
    for n in 1..=300 {
        let task = format!("app-{n:05x}");
        client.send(&ToKeeper::Spawn(Box::new(request(&task, &["true"]))));
    }
    let status = ToKeeper::Status { ready: true, status: "x".repeat(300) };
    for _ in 0..500 {
        // On a busy machine this takes longer than a daemon may be silent.
        client.keep_up();
        (0..100).for_each(|_| client.send(&status));
    }
    client.sh("app-fffff", "true");
    let grown = memory().saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} kB");
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
        let child = keeper.children().into_iter().next()?;
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
        let children = keeper.children();
        children.iter().map(|child| child.pid).find(|pid| *pid != first && *pid != app)
    });
    assert_ne!(first, second);
    assert!(proc::is_alive(app));
}
