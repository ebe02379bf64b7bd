//! Logs and events as they are read over the API: byte for byte, resumable, over restarts of the
//! daemon, and without one reader slowing another.

use std::time::Instant;

use serde_json::Value;

use super::support::desk::Desk;
use super::support::http::{Ask, Event, Events};
use super::support::proc;
use super::support::xvnc::{PATIENCE, available, eventually};

const APPS: &str = r#"
[app.bytes]
needs_display = false
command = ["sh", "-c", "printf 'one\\n\\377\\000two\\r\\n'; printf 'oops\\n' >&2; printf 'no end'"]

[app.burst]
needs_display = false
command = ["sh", "-c", "read go < $HOME/state/go; seq 1 100000"]

[app.ticks]
needs_display = false
command = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.002; done"]

[app.flood]
needs_display = false
command = ["sh", "-c", "seq 1 3000000"]

[app.euro]
needs_display = false
command = ["sh", "-c", "printf 'a\\342'; sleep 0.3; printf '\\202\\254b\\n'"]

[app.sleep]
needs_display = false
command = ["sleep", "600"]
"#;

/// The texts of the lines a stream sends until its end, pieces joined.
fn lines_until_end(events: &mut Events) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    while let Some(event) = events.next() {
        match event.name.as_str() {
            "lines" => collect(&event, &mut lines, &mut open),
            "end" => break,
            other => panic!("unexpected event {other}: {}", event.data),
        }
    }
    lines
}

fn collect(event: &Event, lines: &mut Vec<String>, open: &mut String) {
    for line in event.data.as_array().expect("lines") {
        open.push_str(line["text"].as_str().expect("text"));
        if line["p"] == Value::Bool(false) {
            lines.push(std::mem::take(open));
        }
    }
}

#[test]
fn the_text_of_a_log_is_what_was_written_byte_for_byte() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let task = desk.launch("bytes");
    desk.ended(&task);
    let log = |query: &str| desk.ask("GET", &format!("/v1/tasks/{task}/log?{query}")).send();
    let stdout = log("stream=stdout");
    assert_eq!(stdout.body, b"one\n\xff\0two\r\nno end");
    let all = log("");
    let end: u64 = all.header("deskd-log-end").unwrap().parse().unwrap();
    assert_eq!((all.body.len() as u64, all.header("deskd-log-from")), (end, Some("0")));
    assert_eq!(all.header("deskd-log-next"), all.header("deskd-log-end"));
    assert_eq!(log("stream=stderr").body, b"oops\n");
    let first = log("bytes_max=1");
    // Which of the two pipes was read first is not for us to say.
    assert!([&b"one\n"[..], b"oops\n"].contains(&&first.body[..]), "{:?}", first.body);
    let next = first.header("deskd-log-next").unwrap();
    let rest = log(&format!("from={next}"));
    assert_eq!([first.body.clone(), rest.body].concat(), all.body);
    assert!(log("timestamps=true&tail=1").text().contains("Z no end"));
    assert_eq!(log("from=2").refusal(416), "bad_cursor");
    assert_eq!(log("from=1000000").refusal(416), "bad_cursor");
    assert_eq!(log("form=1").refusal(400), "invalid_query");
}

#[test]
fn a_burst_of_100000_lines_arrives_whole_at_every_follower() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let fifo = desk.dir.path().join("state/go");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    std::os::unix::fs::chown(&fifo, Some(4096), Some(4096)).unwrap();
    let task = desk.launch("burst");
    let path = format!("/v1/tasks/{task}/log/stream");
    let followers: Vec<_> = (0..5)
        .map(|_| {
            let mut events = desk.ask("GET", &path).events();
            std::thread::spawn(move || lines_until_end(&mut events))
        })
        .collect();
    std::fs::write(&fifo, "go\n").unwrap();
    for follower in followers {
        let lines = follower.join().unwrap();
        assert_eq!(lines.len(), 100_000);
        assert!(lines.iter().enumerate().all(|(at, line)| *line == (at + 1).to_string()));
    }
}

#[test]
fn lines_on_their_way_to_a_follower_do_not_wake_the_driver() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let task = desk.launch("ticks");
    let mut events = desk.ask("GET", &format!("/v1/tasks/{task}/log/stream")).events();
    // The main thread's own.
    let daemon = eventually("a daemon", || desk.daemon_pid());
    let status = format!("task/{daemon}/status");
    let wakeups = || proc::number(daemon, &status, "voluntary_ctxt_switches");
    let mut arrived = || {
        let event = events.next().unwrap();
        assert_eq!(event.name, "lines");
    };
    (0..10).for_each(|_| arrived());
    let before = wakeups();
    (0..500).for_each(|_| arrived());
    let woken = wakeups() - before;
    assert!(woken < 100, "500 events woke the driver {woken} times");
}

#[test]
fn a_follower_resumes_over_kills_of_the_daemon_without_loss_or_repetition() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let task = desk.launch("ticks");
    let path = format!("/v1/tasks/{task}/log/stream");
    let (mut lines, mut open, mut cursor) = (Vec::new(), String::new(), None::<String>);
    for round in 0..3 {
        let resume = || {
            let ask = desk.ask("GET", &path);
            let ask = match &cursor {
                Some(cursor) => ask.header("last-event-id", cursor),
                None => ask,
            };
            ask.try_events().ok()
        };
        let mut events = eventually("the stream", resume);
        let enough = lines.len() + 100;
        let mut killed = None;
        while let Some(event) = events.next() {
            assert_eq!(event.name, "lines");
            collect(&event, &mut lines, &mut open);
            cursor.clone_from(&event.id);
            if lines.len() >= enough && killed.is_none() && round < 2 {
                killed = Some(desk.kill_daemon());
            } else if lines.len() >= enough && round == 2 {
                break;
            }
        }
        if let Some(old) = killed {
            desk.until_back(old);
        }
    }
    let expected: Vec<_> = (1..=lines.len()).map(|n| format!("tick {n}")).collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_reader_that_stops_reading_slows_nobody() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let flood = desk.launch("flood");
    let path = format!("/v1/tasks/{flood}/log/stream");
    let stuck: Vec<_> = (0..20).map(|_| desk.ask("GET", &path).events()).collect();
    assert_eq!(desk.ended(&flood)["exit"]["code"], 0, "the application waited for a reader");
    let task = desk.launch("ticks");
    let mut events = desk.ask("GET", &format!("/v1/tasks/{task}/log/stream")).events();
    let (mut lines, mut open) = (Vec::new(), String::new());
    while lines.len() < 300 {
        collect(&events.next().expect("lines"), &mut lines, &mut open);
    }
    assert_eq!(desk.ask("GET", "/livez").send().status, 200);
    drop(stuck);
}

#[test]
fn a_character_written_in_two_halves_is_followed_as_one() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let task = desk.launch("bytes");
    desk.ended(&task);
    let mut events = desk.ask("GET", &format!("/v1/tasks/{task}/log/stream?follow=false")).events();
    let lines = lines_until_end(&mut events);
    assert!(lines.contains(&"\u{fffd}\0two\r".to_owned()), "{lines:?}");
    let task = desk.launch("euro");
    desk.ended(&task);
    let mut events = desk.ask("GET", &format!("/v1/tasks/{task}/log/stream")).events();
    assert_eq!(lines_until_end(&mut events), ["a\u{20ac}b"]);
}

#[test]
fn events_are_levels_that_resume_by_generation() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let mut events = desk.ask("GET", "/v1/events").events();
    let snapshot = events.next().expect("a snapshot");
    assert_eq!(
        (snapshot.name.as_str(), &snapshot.data["tasks"]),
        ("snapshot", &Value::Array(vec![]))
    );
    let task = desk.launch("sleep");
    let is = |state: &'static str| {
        let task = task.clone();
        move |event: &Event| event.data["id"] == task.as_str() && event.data["state"] == state
    };
    let running = events.until(is("running"));
    drop(events);
    desk.stop(&task).expect(202);
    desk.ended(&task);
    let id = running.id.expect("the id of the last event of a batch");
    let mut events = desk.ask("GET", "/v1/events").header("last-event-id", &id).events();
    let next = events.next().expect("what changed since");
    assert_eq!((next.name.as_str(), &next.data["state"]), ("task", &Value::from("ended")));
    desk.ask("DELETE", &format!("/v1/tasks/{task}")).send().expect(204);
    assert_eq!(events.until(|event| event.name == "removed").data["id"], task.as_str());
    let mut events = desk.ask("GET", "/v1/events").header("last-event-id", "1-1").events();
    assert_eq!(events.next().expect("everything").name, "snapshot");
}

#[test]
fn cpu_and_memory_come_while_somebody_watches() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let task = desk.launch("ticks");
    let mut events = desk.ask("GET", "/v1/events?usage=true").events();
    let usage = events.until(|event| event.name == "usage" && !event.data[&task].is_null());
    assert!(usage.data[&task]["rss_bytes"].as_u64().unwrap() > 100_000, "{}", usage.data);
}

#[test]
fn open_streams_do_not_hold_up_the_end_and_are_limited() {
    if !available() {
        return;
    }
    let mut desk = Desk::start(APPS, None);
    let task = desk.launch("sleep");
    let path = format!("/v1/tasks/{task}/log/stream");
    let open = |desk: &Desk| desk.ask("GET", &path).events();
    let mut streams: Vec<_> = (0..200).map(|_| open(&desk)).collect();
    let refused = desk.ask("GET", &path).send();
    assert_eq!(refused.refusal(503), "too_many_streams");
    assert_eq!(Ask::new(&desk.unix(), "GET", "/livez").send().status, 200);
    streams.pop();
    let begun = Instant::now();
    streams.push(eventually("room for a stream", || desk.ask("GET", &path).try_events().ok()));
    assert!(begun.elapsed() < PATIENCE);
    let took = desk.end();
    assert!(took < PATIENCE, "{took:?}");
    assert!(!desk.socket().exists(), "the socket's file stayed");
    let mut last = streams.pop().unwrap();
    while last.next().is_some() {}
}
