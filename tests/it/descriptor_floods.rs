//! How many descriptors may be on their way in messages is counted for all processes of a user together: whoever sends
//! many to himself, in whatever container, keeps deskd from sending any.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::support::desk::Desk;
use super::support::xvnc::{Place, Running, available};

/// Of open files, and so of descriptors that a process may add to those on their way: less than every other test's.
const FEW: &[&str] = &["prlimit", "--nofile=512:512"];

const APPS: &str = r#"
[app.says]
needs_display = false
command = ["sh", "-c", "echo hello; echo there >&2; sleep 600"]

[app.long]
needs_display = false
command = ["sh", "-c", "echo ${#LONG}"]
env = { LONG = "LENGTH" }
"#;
/// More than a message between keeper and starter has.
const LONG_BYTES: usize = 50_000;

/// Sends itself descriptors that it never receives.
const FLOOD: &str = r"
import array, os, socket, time
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0] * 200))]
pairs = [socket.socketpair() for _ in range(10)]
for pair in pairs:
    pair[0].sendmsg([b'x'], rights)
print('sent', flush=True)
time.sleep(600)
";

fn flood() -> Running {
    let mut command = Place::pod().command(&["/usr/bin/python3", "-c", FLOOD]);
    let mut flood = Running::start(command.stdout(Stdio::piped()));
    let mut line = String::new();
    let output = flood.0.stdout.take().expect("a pipe");
    BufReader::new(output).read_line(&mut line).expect("what it says");
    assert_eq!(line, "sent\n");
    flood
}

fn log(desk: &Desk, task: &str, wanted: &str) {
    super::support::xvnc::eventually("its output", || {
        let text = desk.ask("GET", &format!("/v1/tasks/{task}/log")).send().text();
        let lines: Vec<_> = text.lines().collect();
        wanted.lines().all(|line| lines.contains(&line)).then_some(())
    });
}

#[test]
fn who_sends_himself_descriptors_without_end_keeps_no_program_and_no_daemon_from_starting() {
    if !available() {
        return;
    }
    let apps = APPS.replace("LENGTH", &"x".repeat(LONG_BYTES));
    let desk = Desk::start_called("deskd-it-", FEW, &apps);
    let before = desk.launch("says");
    let _flood = flood();
    let during = [desk.launch("says"), desk.launch("says")];
    during.iter().for_each(|task| log(&desk, task, "hello\nthere"));
    log(&desk, &desk.launch("long"), &LONG_BYTES.to_string());
    desk.until_back(desk.kill_daemon());
    log(&desk, &desk.launch("says"), "hello\nthere");
    for task in during.iter().chain([&before]) {
        let task = desk.get(&format!("/v1/tasks/{task}"));
        assert_eq!(task["state"], "running", "{task}");
    }
}
