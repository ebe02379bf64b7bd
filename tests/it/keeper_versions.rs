//! Daemon and keeper of different releases. The peer of the release before is played by the test, with the messages
//! that it had: no field and no message that is newer.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use deskd_core::wire::frame::Decoder;
use deskd_core::wire::{FromKeeper, ToKeeper, VERSION, VERSION_OLDEST};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::binaries;
use crate::support::http::{Ask, Door};
use crate::support::keeper::Keeper;
use crate::support::xvnc::{Running, eventually};

/// As a keeper of another release encodes a message.
fn send(link: &mut UnixStream, message: &Value) {
    let text = message.to_string();
    let length = u32::try_from(text.len()).expect("short").to_le_bytes();
    link.write_all(&[&length[..], text.as_bytes()].concat()).expect("the daemon reads");
}

/// The next request.
fn next(link: &mut UnixStream, decoder: &mut Decoder) -> ToKeeper {
    loop {
        if let Some(message) = decoder.take().expect("a message") {
            return message;
        }
        let mut bytes = [0; 4096];
        let count = link.read(&mut bytes).expect("the daemon lives");
        assert_ne!(count, 0, "the daemon ended");
        decoder.push(&bytes[..count]);
    }
}

/// A daemon whose keeper is the other end of the connection.
fn daemon(directory: &std::path::Path) -> (Running, UnixStream) {
    let config = directory.join("config.json");
    let env = deskd::config::Env::from_pairs([
        ("DESKD_STATE_DIR", directory.to_str().expect("a path")),
        ("DISPLAY", ":999"),
    ]);
    let file = directory.join("deskd.toml");
    std::fs::write(
        &file,
        "listen = \"none\"\n[app.hello]\ncommand = [\"hello\"]\nneeds_display = false\n",
    )
    .expect("a file");
    let loaded = deskd::config::Config::load(Some(&file), &env).expect("a configuration");
    std::fs::write(&config, serde_json::to_vec(&loaded).expect("JSON")).expect("a file");
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    // The connection is descriptor 3, and the configuration 4.
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" daemon --config-fd 4 3<&0 4<\"$1\" </dev/null"]);
    command.arg(binaries::deskd()).arg(&config).stdin(Stdio::from(OwnedFd::from(theirs)));
    let running = Running::start(&mut command);
    ours.set_read_timeout(Some(crate::support::wait::PATIENCE)).expect("a timeout");
    (running, ours)
}

#[test]
fn a_daemon_works_with_a_keeper_of_the_release_before_and_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_running, mut link) = daemon(directory.path());
    let mut decoder = Decoder::default();
    let hello = next(&mut link, &mut decoder);
    let ToKeeper::Hello { version, oldest } = hello else { panic!("{hello:?}") };
    assert_eq!((version, oldest), (VERSION, Some(VERSION_OLDEST)));
    send(
        &mut link,
        &json!({ "welcome": {
            "version": VERSION_OLDEST, "keeper_pid": 7, "started_at": 1, "tasks": [], "more": false,
            "draining": null, "log_trouble": null, "predecessor": null,
        } }),
    );
    let door = Door::Unix(directory.path().join("deskd.sock"));
    let desktop = eventually("a daemon that has its keeper", || {
        let desktop = Ask::new(&door, "GET", "/v1/desktop").try_send().ok()?.expect(200);
        let checks = desktop["checks"].as_array()?;
        checks
            .iter()
            .any(|check| check["name"] == "keeper" && check["ok"] == true)
            .then_some(desktop)
    });
    assert_eq!(desktop["keeper"]["version"], Value::Null);
    let checks = desktop["checks"].as_array().expect("checks");
    let keeper = checks.iter().find(|check| check["name"] == "keeper").expect("a check");
    let detail = keeper["detail"].as_str().expect("a sentence");
    assert!(detail.contains("its version is an earlier one than the daemon's"), "{detail}");
    // It is asked to start what is launched, in words that it knows.
    let answer = std::thread::scope(|scope| {
        let launching = scope
            .spawn(|| Ask::new(&door, "POST", "/v1/tasks").json(&json!({ "app": "hello" })).send());
        let request = loop {
            match next(&mut link, &mut decoder) {
                ToKeeper::Spawn(request) => break request,
                _ => continue,
            }
        };
        let id = json!({ "task": request.id.task.as_str(), "run": request.id.run });
        send(&mut link, &json!({ "spawned": { "id": id, "pid": 4242, "at": 5 } }));
        launching.join().expect("an answer")
    });
    assert_eq!(answer.expect(201)["app"], "hello");
    eventually("the task runs", || {
        let tasks = Ask::new(&door, "GET", "/v1/tasks").send().expect(200);
        (tasks.pointer("/0/pid")? == 4242).then_some(())
    });
}

#[test]
fn a_daemon_of_the_release_before_is_told_nothing_that_it_does_not_know() {
    let keeper = Keeper::start();
    let mut client = keeper.link();
    client.send(&ToKeeper::Hello { version: VERSION_OLDEST, oldest: None });
    client.welcome();
    // The daemon that is played is no deskd: the check of a new one fails.
    keeper.signal(Signal::SIGHUP);
    eventually("a refusal", || keeper.stderr().contains("SIGHUP changes nothing").then_some(()));
    client.sh("app-00001", "true");
    client.exited("app-00001");
    let refusals = |messages: Vec<FromKeeper>| {
        messages.iter().filter(|it| matches!(it, FromKeeper::ReloadRefused { .. })).count()
    };
    assert_eq!(refusals(client.unclaimed()), 0);
    let (mut client, _) = keeper.connect();
    keeper.signal(Signal::SIGHUP);
    let why = client.wait("the reason", |message| match message {
        FromKeeper::ReloadRefused { why, .. } => Some(why.clone()),
        _ => None,
    });
    assert!(why.contains("the check ended"), "{why}");
}
