//! `deskd doctor` beside a real X server, and where there is none.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;

use crate::support::desk::Desk;
use crate::support::xvnc::{Xvnc, available};

/// The findings, and the exit code.
fn examine(env: &[(&str, &str)]) -> (Vec<Value>, Option<i32>) {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let output = Command::new(cargo_bin("deskd"))
        .args(["doctor", "-o", "json"])
        .env_clear()
        .env("HOME", home.path())
        .env("DESKD_STATE_DIR", state)
        .env("DESKD_LISTEN", "none")
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let findings = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{stderr}"));
    (findings, output.status.code())
}

fn finding<'a>(findings: &'a [Value], topic: &str) -> &'a Value {
    findings.iter().find(|finding| finding["topic"] == topic).unwrap()
}

fn state<'a>(findings: &'a [Value], topic: &str) -> &'a str {
    finding(findings, topic)["state"].as_str().unwrap()
}

#[test]
fn a_display_that_works_is_told_with_its_cookie_and_a_server_of_another_user_too() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let authority = server.authority();
    let display = server.display();
    let (findings, _) =
        examine(&[("DISPLAY", &display), ("XAUTHORITY", authority.to_str().unwrap())]);
    for topic in ["display", "display over TCP", "cookie", "shared memory by descriptor", "home"] {
        assert_eq!(state(&findings, topic), "works", "{findings:#?}");
    }
    // The server runs as the pod's user and this test as root, so a private segment is refused.
    assert_eq!(state(&findings, "shared memory"), "wrong", "{findings:#?}");
    let told = finding(&findings, "shared memory")["change"].as_str().unwrap();
    assert!(told.contains("the X server runs as uid 4096 and this as 0"), "{told}");
    let number = display.trim_start_matches(':');
    let by_address = format!("127.0.0.1:{number}");
    let (findings, _) =
        examine(&[("DISPLAY", &by_address), ("XAUTHORITY", authority.to_str().unwrap())]);
    assert_eq!(state(&findings, "display"), "works", "{findings:#?}");
    let told = finding(&findings, "shared memory")["change"].as_str().unwrap();
    assert!(told.contains(&format!("DISPLAY=:{number}")), "{told}");
    let another = "0123456789abcdef0123456789abcdef";
    let (findings, exit) = examine(&[("DISPLAY", &display), ("XAUTH_KEY", another)]);
    assert_eq!((state(&findings, "cookie"), exit), ("wrong", Some(1)), "{findings:#?}");
}

#[test]
fn the_running_daemon_tells_which_display_and_address_are_examined() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let desk = Desk::start("", Some(&server));
    let socket = desk.socket();
    // What this environment says is another desktop.
    let env = [("DISPLAY", ":4242"), ("DESKD_SOCKET", socket.to_str().unwrap())];
    let (findings, _) = examine(&env);
    assert_eq!(state(&findings, "configuration"), "works", "{findings:#?}");
    let sentence = |topic: &str| finding(&findings, topic)["sentence"].as_str().unwrap().to_owned();
    assert!(sentence("configuration").contains("deskd.toml"), "{findings:#?}");
    assert_eq!(state(&findings, "display"), "works", "{findings:#?}");
    assert!(sentence("display").contains(&server.display()), "{findings:#?}");
    assert_eq!(state(&findings, "cookie"), "works", "{findings:#?}");
    assert_eq!(state(&findings, "deskd's port"), "works", "{findings:#?}");
    assert!(sentence("deskd's port").contains(&desk.tcp.to_string()), "{findings:#?}");

    let away = [("DISPLAY", ":4242"), ("DESKD_SOCKET", "/nowhere/deskd.sock")];
    let (findings, _) = examine(&away);
    assert_eq!(state(&findings, "configuration"), "remark", "{findings:#?}");
    let told = finding(&findings, "configuration")["sentence"].as_str().unwrap();
    assert!(told.contains("/nowhere/deskd.sock"), "{told}");
}

#[test]
fn without_a_display_it_says_what_to_change_and_exits_1() {
    let (findings, exit) = examine(&[("DISPLAY", ":4242")]);
    assert_eq!(exit, Some(1));
    assert_eq!(state(&findings, "display"), "wrong");
    for finding in findings.iter().filter(|finding| finding["state"] != "works") {
        assert_ne!(finding["change"], "", "{finding}");
        assert_ne!(finding["command"], "", "{finding}");
    }
}
