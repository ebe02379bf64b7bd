//! The keeper stores what the daemon brings of containers' output.

use deskd_core::id::TaskId;
use deskd_core::wire::{FromKeeper, LogLine, ToKeeper};

use crate::support::keeper::{Client, Keeper};

const TIME: &str = "2026-11-24T05:30:26.123456789Z";

fn task() -> TaskId {
    "app-00001".parse().expect("an id")
}

fn append(client: &mut Client, lines: &[(&[u8], bool)]) {
    let line = |&(bytes, ends_line): &(&[u8], bool)| LogLine {
        time: TIME.to_owned(),
        ends_line,
        bytes: bytes.to_vec(),
    };
    client.send(&ToKeeper::AppendLog { task: task(), lines: lines.iter().map(line).collect() });
}

fn closed(client: &mut Client) -> u64 {
    client.send(&ToKeeper::CloseLog { task: task() });
    client.wait("the log to be closed", |message| match message {
        FromKeeper::LogClosed { end, .. } => Some(*end),
        _ => None,
    })
}

#[test]
fn lines_of_a_container_are_stored_with_their_times_and_followed() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.send(&ToKeeper::OpenLog { task: task() });
    client.send(&ToKeeper::WatchLog { task: task(), seen: 0 });
    append(&mut client, &[(b"one", true), (b"tw\xff", false), (b"o", true)]);
    let advanced = client.wait("the log to advance", |message| match message {
        FromKeeper::LogAdvanced { task, end } => Some((task.clone(), *end)),
        _ => None,
    });
    assert_eq!(advanced, (task(), 9));
    assert_eq!(closed(&mut client), 9);
    let file = keeper.dir().join("logs").join(task().as_str()).join(format!("{:020}.log", 0));
    let head = |tag: &str| format!("{TIME} stdout {tag} ").into_bytes();
    let expected =
        [&head("F"), &b"one\n"[..], &head("P"), b"tw\xff\n", &head("F"), b"o\n"].concat();
    assert_eq!(std::fs::read(file).unwrap(), expected, "bytes that are no text too");
}

#[test]
fn what_comes_for_a_forgotten_task_makes_no_new_log() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.send(&ToKeeper::OpenLog { task: task() });
    append(&mut client, &[(b"one", true)]);
    client.send(&ToKeeper::Forget { task: task() });
    append(&mut client, &[(b"two", true)]);
    assert_eq!(closed(&mut client), 0);
    assert!(!keeper.dir().join("logs").join(task().as_str()).exists());
}

#[test]
fn a_log_goes_on_after_the_daemon_was_replaced() {
    let keeper = Keeper::start();
    let (mut first, _) = keeper.connect();
    first.send(&ToKeeper::OpenLog { task: task() });
    append(&mut first, &[(b"one", true)]);
    drop(first);
    let (mut second, _) = keeper.connect();
    second.send(&ToKeeper::OpenLog { task: task() });
    append(&mut second, &[(b"two", true)]);
    assert_eq!(closed(&mut second), 8);
    assert_eq!(keeper.stdout("app-00001"), "one\ntwo\n");
}
