//! The daemon does not answer any more: the keeper notices, and applications do not.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::desk::Desk;
use crate::support::xvnc::{available, eventually};
use crate::support::{proc, wait};
use std::time::Duration;

const APPS: &str = r#"
[app.ticks]
needs_display = false
command = ["sh", "-c", "n=0; while sleep 0.05; do n=$((n+1)); echo $n; done"]
"#;

/// The keeper gives a daemon up after 21 s; more is a hang.
const GIVEN_UP: Duration = Duration::from_secs(60);

fn keeper_check(desk: &Desk) -> String {
    let desktop = desk.get("/v1/desktop");
    let checks = desktop["checks"].as_array().expect("checks").iter();
    let keeper = checks.clone().find(|check| check["name"] == "keeper").expect("a check");
    assert_eq!(keeper["ok"], true);
    keeper["detail"].as_str().expect("a sentence").to_owned()
}

#[test]
fn a_stopped_daemon_is_replaced_and_nothing_of_an_application_is_lost() {
    if !available() {
        return;
    }
    let mut desk = Desk::start(APPS, None);
    assert_eq!(keeper_check(&desk), "the keeper answers");
    let task = desk.launch("ticks");
    let old = eventually("a daemon", || desk.daemon_pid());
    let app: Value = desk.get(&format!("/v1/tasks/{task}"));
    proc::signal(old, Signal::SIGSTOP);
    wait::within(GIVEN_UP, "another daemon runs", || desk.daemon_pid().filter(|pid| *pid != old));
    desk.until_started();
    assert!(proc::is_reaped(old));
    let sentence =
        "it started this daemon because the one before was stopped by a signal (SIGSTOP)";
    assert!(keeper_check(&desk).ends_with(sentence), "{}", keeper_check(&desk));
    assert!(
        desk.log().contains("the daemon was stopped by a signal (SIGSTOP); the keeper kills it")
    );
    let same: Value = desk.get(&format!("/v1/tasks/{task}"));
    assert_eq!((&same["pid"], &same["state"]), (&app["pid"], &app["state"]));
    assert_eq!(desk.stop(&task).status, 202);
    desk.ended(&task);
    let log = desk.ask("GET", &format!("/v1/tasks/{task}/log")).send();
    let text = String::from_utf8(log.body).expect("text");
    let numbers: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let all: Vec<u32> = (1..=numbers.last().copied().expect("output")).collect();
    assert_eq!(numbers, all, "each line once");
    desk.end();
}
