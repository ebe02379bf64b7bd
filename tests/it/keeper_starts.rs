//! Starts side by side: many at once, and one that hangs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use deskd_core::task::Exit;
use deskd_core::wall::Wall;
use deskd_core::wire::{FromKeeper, SpawnRequest, ToKeeper};
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};

use crate::support::keeper::{Client, Keeper, request};
use crate::support::{proc, wait};

/// Threads of a starter (`spawn/serve.rs`), and its first one.
const THREADS_MAX: u64 = 17;

/// A program whose execution hangs, as on a file system that does not answer, while this exists.
struct Hanging {
    path: PathBuf,
    lease: File,
}

impl Hanging {
    fn new(dir: &Path) -> Self {
        let path = dir.join("hanging");
        fs::copy("/bin/sleep", &path).unwrap();
        let lease = File::options().read(true).write(true).open(&path).unwrap();
        // Whoever opens a file with a lease waits until its holder gives it up (fcntl(2)); the holder is sent SIGIO.
        #[expect(unsafe_code, reason = "fcntl(F_SETLEASE), and a signal that is ignored")]
        // SAFETY: an open descriptor and no pointers; ignoring a signal runs nothing.
        unsafe {
            signal(Signal::SIGIO, SigHandler::SigIgn).unwrap();
            assert_eq!(libc::fcntl(lease.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK), 0);
        }
        Self { path, lease }
    }

    fn request(&self, task: &str) -> SpawnRequest {
        request(task, &[self.path.to_str().unwrap(), "1000"])
    }

    /// It hangs no more.
    fn release(self) {
        drop(self.lease);
    }
}

fn ask(client: &mut Client, request: SpawnRequest) {
    client.send(&ToKeeper::Spawn(Box::new(request)));
}

fn is_answered(client: &mut Client, task: &str) -> bool {
    client.unclaimed().iter().any(|message| match message {
        FromKeeper::Spawned { id, .. } | FromKeeper::SpawnRefused { id, .. } => {
            id.task.as_str() == task
        }
        _ => false,
    })
}

fn starters(keeper: &Keeper) -> Vec<u32> {
    let children = proc::children(keeper.pid()).into_iter();
    children.filter(|it| it.comm == "deskd-starter" && it.is_alive()).map(|it| it.pid).collect()
}

#[test]
fn a_program_that_hangs_while_it_is_executed_holds_up_nobody() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let hanging = Hanging::new(keeper.dir());
    ask(&mut client, hanging.request("app-00001"));
    for n in 2..10 {
        let task = format!("app-{n:05x}");
        client.sh(&task, "exit 3");
        assert_eq!(client.exited(&task).exit, Exit::Code(3));
    }
    assert!(!is_answered(&mut client, "app-00001"), "it still hangs");
    hanging.release();
    client.spawned(&request("app-00001", &[]).id).unwrap();
}

#[test]
fn a_stop_and_a_repeated_request_while_a_start_hangs_count_once_it_runs() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let hanging = Hanging::new(keeper.dir());
    ask(&mut client, hanging.request("app-00001"));
    ask(&mut client, hanging.request("app-00001"));
    let second_run = SpawnRequest {
        id: crate::support::keeper::run("app-00001", 2),
        ..request("app-00001", &["true"])
    };
    let refused = client.spawn(second_run).unwrap_err().to_string();
    assert_eq!(refused, "run 1 of app-00001 has not ended");
    client.stop("app-00001", 0, 0);
    client.sh("app-00002", "true");
    hanging.release();
    client.spawned(&request("app-00001", &[]).id).unwrap();
    client.exited("app-00001");
    client.tree_gone("app-00001");
    assert!(!is_answered(&mut client, "app-00001"), "one start, one answer");
}

#[test]
fn a_starter_that_dies_while_a_start_hangs_starts_it_exactly_once_all_the_same() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let hanging = Hanging::new(keeper.dir());
    ask(&mut client, hanging.request("app-00001"));
    // Two: the starter, and what has not become the program yet.
    let starter = wait::until("it hangs", || {
        let found = starters(&keeper);
        (found.len() == 2).then(|| found.into_iter().min()).flatten()
    });
    proc::kill(starter);
    client.sh("app-00002", "true");
    hanging.release();
    let pid = client.spawned(&request("app-00001", &[]).id).unwrap();
    let name = || proc::children(keeper.pid()).into_iter().filter(|it| it.comm == "hanging");
    assert_eq!(name().map(|it| it.pid).collect::<Vec<_>>(), [pid]);
}

#[test]
fn two_hundred_starts_at_once_are_each_told_in_order_and_their_output_is_whole() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let task = |n: u32| format!("app-{n:05x}");
    for n in 1..=200 {
        let script = format!("echo {n}; exit {}", n % 7);
        let wall = (n % 2 == 0).then(Wall::default);
        let asked = SpawnRequest { wall, ..request(&task(n), &["/bin/sh", "-c", &script]) };
        ask(&mut client, asked);
    }
    for n in 1..=200 {
        let (mut told, task) = (Vec::new(), task(n));
        while told.last() != Some(&"gone") {
            told.push(client.wait("what becomes of it", |message| match message {
                FromKeeper::Spawned { id, .. } if id.task.as_str() == task => Some("spawned"),
                FromKeeper::Exited { id, end } if id.task.as_str() == task => {
                    assert_eq!(end.exit, Exit::Code((n % 7).cast_signed()));
                    Some("exited")
                }
                FromKeeper::TreeGone { id } if id.task.as_str() == task => Some("gone"),
                _ => None,
            }));
        }
        assert_eq!(told, ["spawned", "exited", "gone"], "{task}");
        assert_eq!(keeper.stdout(&task), format!("{n}\n"));
    }
    for starter in starters(&keeper) {
        assert!(proc::number(starter, "status", "Threads") <= THREADS_MAX);
    }
    assert_eq!(keeper.children().len(), 1, "only the daemon is left, and no zombie");
}

#[test]
fn a_request_that_is_too_long_for_a_message_between_keeper_and_starter_arrives_whole() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let mut long = request("app-00001", &["/bin/sh", "-c", "echo ${#LONG} ${#ALSO}"]);
    for name in ["LONG", "ALSO"] {
        long.env.push((name.into(), "x".repeat(100_000)));
    }
    client.spawn(long).unwrap();
    client.exited("app-00001");
    assert_eq!(keeper.stdout("app-00001"), "100000 100000\n");
}

#[test]
fn what_is_being_started_when_everything_is_to_end_ends_too() {
    let mut keeper =
        crate::support::keeper::Setup { grace_ms: 1_000, ..Default::default() }.start();
    let (mut client, _) = keeper.connect();
    let hanging = Hanging::new(keeper.dir());
    ask(&mut client, hanging.request("app-00001"));
    client.sh("app-00002", "exec sleep 1000");
    keeper.signal(Signal::SIGTERM);
    client.exited("app-00002");
    hanging.release();
    keeper.exit();
}
