//! The display thread follows the server: killed, restarted, stopped, continued.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::display_helper::Role;
use crate::support::xvnc::{Helper, PATIENCE, Place, Xvnc, available};

fn follow(server: &Xvnc, hang_ms: u64) -> Helper {
    let (display, key) = (server.display(), server.key.clone());
    let role = Role::Follow { display, key, hang_ms };
    Helper::start(&Place::pod(), &serde_json::to_value(role).expect("JSON"))
}

fn unix_state(said: &Value) -> &str {
    said["status"]["unix"]["state"].as_str().unwrap_or_default()
}

#[test]
fn a_killed_server_is_noticed_within_100_ms_and_proved_again_when_it_is_back() {
    if !available() {
        return;
    }
    let mut server = Xvnc::start();
    let mut helper = follow(&server, 5000);
    let status = helper.next();
    assert_eq!(unix_state(&status), "answering", "{status}");
    assert_eq!(status["status"]["server_epoch"], 1);
    assert_eq!(status["status"]["shm"]["sysv"], "works");
    for epoch in 2..=6 {
        let killed_at = Instant::now();
        server.running().signal(Signal::SIGKILL);
        let status = helper.until(|said| unix_state(said) != "answering");
        let noticed = killed_at.elapsed();
        println!("loss noticed after {noticed:?}");
        assert!(noticed < Duration::from_millis(100), "{noticed:?}");
        assert_eq!(status["status"]["shm"]["sysv"], "unreachable");
        assert_eq!(status["status"]["server_epoch"], epoch - 1);
        let restarted_at = Instant::now();
        server.restart();
        let status = helper.until(|said| unix_state(said) == "answering");
        println!("return noticed {:?} after the restart", restarted_at.elapsed());
        assert_eq!(status["status"]["server_epoch"], epoch);
        assert_eq!(status["status"]["shm"]["sysv"], "works");
        assert_eq!(status["status"]["shm"]["fd"], "works");
    }
}

#[test]
fn a_server_that_comes_later_is_found() {
    if !available() {
        return;
    }
    let mut server = Xvnc::start();
    server.kill();
    let mut helper = follow(&server, 5000);
    assert_eq!(unix_state(&helper.next()), "not_listening");
    server.restart();
    let status = helper.until(|said| unix_state(said) == "answering");
    assert_eq!(status["status"]["server_epoch"], 1);
}

#[test]
fn a_stopped_server_hangs_and_the_same_server_goes_on() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let mut helper = follow(&server, 300);
    helper.until(|said| unix_state(said) == "answering");
    for _ in 0..3 {
        server.running().signal(Signal::SIGSTOP);
        helper.tell("look");
        let looked = helper.until(|said| said.get("looked").is_some());
        assert_eq!(looked["looked"]["unix"]["state"], "hanging", "{looked}");
        // A window cannot be asked meanwhile, and nobody waits for it.
        helper.tell("close 4194305");
        let closed = helper.until(|said| said.get("closed").is_some());
        assert_eq!(closed["closed"][0][1], "unsupported");
        server.running().signal(Signal::SIGCONT);
        let status = helper.until(|said| unix_state(said) == "answering");
        assert_eq!(status["status"]["server_epoch"], 1);
        assert_eq!(status["status"]["shm"]["sysv"], "works");
    }
}

#[test]
fn a_hanging_server_that_is_killed_is_lost() {
    if !available() {
        return;
    }
    let mut server = Xvnc::start();
    let mut helper = follow(&server, 300);
    helper.until(|said| unix_state(said) == "answering");
    server.running().signal(Signal::SIGSTOP);
    helper.tell("look");
    helper.until(|said| unix_state(said) == "hanging");
    server.kill();
    helper.until(|said| unix_state(said) == "not_listening");
    server.restart();
    let status = helper.until(|said| unix_state(said) == "answering");
    assert_eq!(status["status"]["server_epoch"], 2);
}

#[test]
fn an_idle_thread_sleeps_until_its_hang_check_finds_a_silent_server() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let mut helper = follow(&server, 300);
    helper.until(|said| unix_state(said) == "answering");
    // Its answer comes after everything of the start is over.
    helper.tell("look");
    helper.until(|said| said.get("looked").is_some());
    server.running().signal(Signal::SIGSTOP);
    let before = wakeups(&helper);
    let stopped_at = Instant::now();
    helper.until(|said| unix_state(said) == "hanging");
    let woken = wakeups(&helper) - before;
    println!("{woken} wake-ups in {:?}", stopped_at.elapsed());
    assert!(stopped_at.elapsed() < PATIENCE);
    assert!(woken <= 3, "{woken} wake-ups for one check");
    server.running().signal(Signal::SIGCONT);
    helper.until(|said| unix_state(said) == "answering");
}

/// How often the display thread slept and woke.
fn wakeups(helper: &Helper) -> u64 {
    let tasks = format!("/proc/{}/task", helper.process.pid());
    let task = std::fs::read_dir(tasks).expect("threads").flatten().find(|task| {
        let name = std::fs::read_to_string(task.path().join("comm"));
        name.is_ok_and(|name| name.trim() == "display")
    });
    let status = std::fs::read_to_string(task.expect("a display thread").path().join("status"));
    let status = status.expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.expect("a count").trim().parse().expect("a number")
}
