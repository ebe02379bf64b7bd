//! The keeper stores what the daemon brings of containers' output.

use deskd_core::id::TaskId;
use deskd_core::wire::{FromKeeper, LogLine, ToKeeper};

use deskd_keeper::logs::Stream;

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

/// What a place gives away: lines with the cursor of the first.
fn store(client: &mut Client, from: u64, lines: &[&str]) -> u64 {
    let record = |line: &&str| format!("{TIME} stderr F {line}\n");
    let records = lines.iter().map(record).collect::<String>().into_bytes();
    let next = from + lines.iter().map(|line| line.len() as u64 + 1).sum::<u64>();
    client.send(&ToKeeper::StoreRecords { task: task(), from, next, records });
    stored(client)
}

fn stored(client: &mut Client) -> u64 {
    client.wait("the records to be stored", |message| match message {
        FromKeeper::RecordsStored { end, .. } => Some(*end),
        _ => None,
    })
}

#[test]
fn records_of_a_place_are_stored_as_they_are_and_once() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.send(&ToKeeper::OpenLog { task: task() });
    assert_eq!(store(&mut client, 0, &[]), 0, "where it ends");
    assert_eq!(store(&mut client, 0, &["one", "two"]), 8);
    assert_eq!(store(&mut client, 4, &["two", "three"]), 14, "the last answer was lost");
    drop(client);
    let (mut client, _) = keeper.connect();
    client.send(&ToKeeper::OpenLog { task: task() });
    assert_eq!(store(&mut client, 4, &["two", "three", "four"]), 19, "by the next daemon too");
    assert_eq!(store(&mut client, 24, &["six"]), 28);
    assert_eq!(closed(&mut client), 28);
    let file = keeper.dir().join("logs").join(task().as_str()).join(format!("{:020}.log", 0));
    let text = std::fs::read_to_string(file).unwrap();
    let (stored, rest) = text.split_at(text.find("four\n").unwrap() + 5);
    let line = |line: &str| format!("{TIME} stderr F {line}\n");
    assert_eq!(stored, ["one", "two", "three", "four"].map(line).concat());
    assert!(rest.contains(" stderr F:gap 5 damaged ") && rest.ends_with(&line("six")), "{rest}");
}

#[test]
fn what_is_no_record_is_a_gap() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.send(&ToKeeper::OpenLog { task: task() });
    let records = format!("{TIME} stdout F one\nnonsense\n{TIME} stdout F two\n").into_bytes();
    client.send(&ToKeeper::StoreRecords { task: task(), from: 0, next: 8, records });
    assert_eq!(stored(&mut client), 8);
    assert_eq!(store(&mut client, 8, &["three"]), 14);
    assert_eq!(closed(&mut client), 14);
    assert_eq!(keeper.output("app-00001", Stream::Stderr), b"three\n");
    assert_eq!(keeper.stdout("app-00001"), "one\n");
}
