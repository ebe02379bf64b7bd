//! The commands that need no daemon, and the client commands against a fake one (`cli_fake`): what
//! is printed, on which stream, and with which exit code.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "a test starts the program it is about")]

use std::io::Read as _;
use std::process::{Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin;
use deskd_core::exit::Exit;
use serde_json::{Value, json};

use crate::cli_fake::{Answer, Fake, Request};

pub(crate) fn deskd(args: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("deskd"));
    command.env_clear().env("PATH", "/usr/bin:/bin").args(args).stdin(Stdio::null());
    command
}

pub fn ask(fake: &Fake, args: &[&str]) -> Output {
    deskd(&[]).arg("--socket").arg(fake.socket()).args(args).output().unwrap()
}

#[track_caller]
pub fn check(output: &Output, exit: Exit) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(exit as i32), "stdout: {stdout}\nstderr: {stderr}");
    (stdout, stderr)
}

pub fn task(id: &str, more: Value) -> Value {
    let mut task = json!({
        "id": id, "app": "xclock", "display_name": "Clock", "engine": "local",
        "reasons": ["it runs as a process in this container"], "command": ["xclock", "-update", "1 s"],
        "state": "running", "pid": 42, "exit": null, "rusage": null, "created_at": 0,
        "started_at": 1, "ended_at": null, "first_window_ms": 161, "windows": 1, "cause": null,
        "runs": 1, "next_run_at": null, "stop_steps": [], "history": [], "generation": 3,
        "log_bytes": 7
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        task[key] = value.clone();
    }
    task
}

pub fn error(code: &str, message: &str) -> String {
    json!({ "code": code, "message": message, "request_id": "r1" }).to_string()
}

#[test]
fn a_daemon_that_is_not_there_is_told_with_its_socket_and_the_remedy() {
    let output = deskd(&["task", "list", "--socket", "/nowhere/deskd.sock"]).output().unwrap();
    let (stdout, stderr) = check(&output, Exit::Unreachable);
    assert_eq!(stdout, "");
    assert!(stderr.starts_with("deskd: cannot list tasks: nothing answers on /nowhere/deskd.sock"));
    assert!(stderr.contains("remedy: start deskd with `deskd run`"), "{stderr}");
}

#[test]
fn help_lists_every_exit_code_and_wrong_arguments_have_their_own() {
    let (help, _) = check(&deskd(&["--help"]).output().unwrap(), Exit::Ok);
    for exit in Exit::ALL {
        assert!(help.contains(&format!("{:<3} {}", exit as u8, exit.meaning())), "{help}");
    }
    check(&deskd(&["task", "stop"]).output().unwrap(), Exit::Usage);
    check(&deskd(&["launch", "No_Id"]).output().unwrap(), Exit::Usage);
}

#[test]
fn every_command_and_exit_code_is_documented() {
    let docs = concat!(env!("DESKD_ROOT"), "/docs/cli.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    for command in [
        "run",
        "health",
        "probe",
        "app list",
        "app add",
        "app remove",
        "app show",
        "explain",
        "launch",
        "task list",
        "task show",
        "task stop",
        "task remedy",
        "task remove",
        "logs",
        "events",
        "panel",
        "upgrade",
        "check-config",
        "diagnose",
        "doctor",
        "openapi",
        "config-schema",
        "completions",
    ] {
        let mut args: Vec<_> = command.split(' ').collect();
        args.push("--help");
        check(&deskd(&args).output().unwrap(), Exit::Ok);
        assert!(docs.contains(&format!("deskd {command}")), "`deskd {command}` is not documented");
    }
    for exit in Exit::ALL {
        let row = format!("| {} | {} |", exit as u8, exit.meaning());
        assert!(docs.contains(&row), "no row {row:?}");
    }
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (script, _) = check(&deskd(&["completions", shell]).output().unwrap(), Exit::Ok);
        assert!(script.contains("check-config"), "{shell}: {script}");
    }
}

#[test]
fn check_config_reports_problems_and_warnings_and_run_refuses_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("deskd.toml");
    let name = file.to_str().unwrap();
    std::fs::write(&file, "lisetn = 1\n[app.a]\ncommand = \"xterm\"\n").unwrap();
    let (stdout, _) = check(&deskd(&["check-config", name]).output().unwrap(), Exit::Unhealthy);
    assert!(stdout.contains(&format!("{name}:1:1: `lisetn` is not a known key")), "{stdout}");
    assert!(stdout.contains("2 problems in the configuration"), "{stdout}");
    let output = deskd(&["check-config", name, "--output", "json"]).output().unwrap();
    let json: Value = serde_json::from_str(&check(&output, Exit::Unhealthy).0).unwrap();
    assert_eq!(json["problems"][1]["line"], 3);
    let (_, stderr) = check(&deskd(&["run", "--config", name]).output().unwrap(), Exit::Config);
    assert!(stderr.contains("`app.a.command` must be a list"), "{stderr}");
    check(&deskd(&["probe", "--config", name]).output().unwrap(), Exit::Config);

    std::fs::write(&file, "[app.a]\ndesktop_entry = \"no-such.desktop\"\n").unwrap();
    let (stdout, _) = check(&deskd(&["check-config", name]).output().unwrap(), Exit::Ok);
    assert!(stdout.contains("warning: app.a: desktop entry `no-such.desktop`"), "{stdout}");
    assert!(stdout.ends_with("valid, 1 applications\n"), "{stdout}");
    let mut odd_key = deskd(&["check-config", name]);
    let (stdout, _) = check(&odd_key.env("XAUTH_KEY", "abc").output().unwrap(), Exit::Ok);
    assert!(stdout.contains("warning: cannot use the cookie in XAUTH_KEY: it has 3"), "{stdout}");
}

#[test]
fn a_launch_prints_the_id_alone_and_repeats_its_key_when_the_daemon_dies_in_the_middle() {
    let fake = Fake::new(|number, _, answer| {
        if number > 0 {
            answer.json("201 Created", &task("xclock-0a1b2", json!({})).to_string());
        }
    });
    let (stdout, _) = check(&ask(&fake, &["launch", "xclock", "--", "-fg", "red"]), Exit::Ok);
    assert_eq!(stdout, "xclock-0a1b2\n");
    let seen = fake.seen();
    assert_eq!(seen[1].line, "POST /v1/tasks");
    assert_eq!(seen[0].header("idempotency-key"), seen[1].header("idempotency-key"));
    assert!(seen[0].header("idempotency-key").is_some_and(|key| key.len() == 32));
    assert_eq!(seen[1].body, json!({ "app": "xclock", "args": ["-fg", "red"] }).to_string());
}

#[test]
fn a_refused_launch_says_why_for_every_engine() {
    let fake = Fake::new(|_, _, answer| {
        let body = json!({
            "code": "display_unavailable", "message": "Clock needs the display", "request_id": "r",
            "rejected": [{ "engine": "local", "why": "nothing listens on display :0" }]
        });
        answer.json("409 Conflict", &body.to_string());
    });
    let (stdout, stderr) = check(&ask(&fake, &["launch", "xclock"]), Exit::Refused);
    assert_eq!(stdout, "");
    assert_eq!(
        stderr,
        "deskd: cannot launch xclock: Clock needs the display\n    local: nothing listens on \
         display :0\n    remedy: run `deskd probe` to see what is wrong with the display\n"
    );
}

#[test]
fn an_unknown_task_has_its_own_exit_code() {
    let fake = Fake::new(|_, _, answer| {
        answer.json("404 Not Found", &error("unknown_task", "there is no task `x-00000`"));
    });
    for args in
        [["task", "show", "x-00000"], ["task", "remove", "x-00000"], ["logs", "x-00000", "-f"]]
    {
        let (_, stderr) = check(&ask(&fake, &args), Exit::NotFound);
        assert!(stderr.contains("there is no task `x-00000`\n    remedy: run `deskd task list`"));
    }
}

#[test]
fn tasks_are_listed_as_a_table_or_as_the_daemons_json() {
    let fake = Fake::new(|_, _, answer| {
        let now = jiff::Timestamp::now().as_millisecond();
        let signal = json!({ "signal": { "number": 11, "name": "SIGSEGV", "core_dumped": true } });
        let tasks = json!([
            task("xclock-0a1b2", json!({ "started_at": now - 305_000 })),
            task(
                "evil-00001",
                json!({
                    "state": "ended", "pid": null, "exit": signal, "started_at": now - 7_300_000,
                    "first_window_ms": null, "cause": "it wrote \u{1b}[31m"
                })
            ),
        ]);
        answer.json("200 OK", &tasks.to_string());
    });
    let (stdout, _) = check(&ask(&fake, &["task", "list"]), Exit::Ok);
    assert_eq!(
        stdout,
        "TASK          STATE    ENGINE  PID  STARTED  WINDOW  REMARK\n\
         xclock-0a1b2  running  local   42   5m ago   161 ms\n\
         evil-00001    ended    local   -    2h ago   -       it wrote \u{fffd}[31m\n"
    );
    let (stdout, _) = check(&ask(&fake, &["task", "list", "--output", "json"]), Exit::Ok);
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json[0]["log_bytes"], 7);
    assert_eq!(json[1]["exit"]["signal"]["name"], "SIGSEGV");
}

#[test]
fn a_task_of_others_says_who_started_it_and_why_it_cannot_be_stopped() {
    let fake = Fake::new(|number, _, answer| {
        let others = task(
            "fry-x-00002",
            json!({
                "origin": "other", "maker": "abcdesktop", "engine": "ephemeral_container",
                "no_stop": { "code": "processes_unseen", "sentence": "it runs elsewhere" },
            }),
        );
        match number {
            0 => answer.json("200 OK", &json!([others]).to_string()),
            1 => answer.json("200 OK", &others.to_string()),
            _ => answer.json("409 Conflict", &error("cannot_stop", "it runs elsewhere")),
        }
    });
    let (stdout, _) = check(&ask(&fake, &["task", "list"]), Exit::Ok);
    assert!(stdout.contains("  started by abcdesktop\n"), "{stdout}");
    let (stdout, _) = check(&ask(&fake, &["task", "show", "fry-x-00002"]), Exit::Ok);
    assert!(stdout.contains("started by abcdesktop"), "{stdout}");
    assert!(stdout.contains("it runs elsewhere"), "{stdout}");
    let (_, stderr) = check(&ask(&fake, &["task", "stop", "fry-x-00002"]), Exit::Refused);
    assert!(
        stderr.contains("it runs elsewhere\n    remedy: run `deskd task show TASK`"),
        "{stderr}"
    );
}

#[test]
fn a_stop_waits_for_the_end_and_tells_each_step() {
    let fake = Fake::new(|number, _, answer| match number {
        0 => answer.json("202 Accepted", &task("xclock-0a1b2", json!({})).to_string()),
        1 => answer.json("408 Request Timeout", &error("wait_timeout", "not ended")),
        _ => {
            let steps =
                json!([{ "at": 5, "step": "close_windows", "detail": "1 window was asked" }]);
            let ended = json!({ "state": "ended", "exit": { "code": 0 }, "stop_steps": steps });
            answer.json("200 OK", &task("xclock-0a1b2", ended).to_string());
        }
    });
    let (stdout, _) =
        check(&ask(&fake, &["task", "stop", "xclock-0a1b2", "--grace", "10s"]), Exit::Ok);
    assert_eq!(stdout, "xclock-0a1b2: 1 window was asked\nxclock-0a1b2: ended by exit code 0\n");
    let seen = fake.seen();
    assert_eq!(seen[0].line, "POST /v1/tasks/xclock-0a1b2/stop");
    assert_eq!(seen[0].body, json!({ "force": false, "grace_ms": 10_000 }).to_string());
    assert_eq!(seen[2].line, "GET /v1/tasks/xclock-0a1b2/wait?state=ended&timeout_ms=60000");
}

#[test]
fn logs_are_printed_byte_for_byte() {
    let bytes = b"one\r\n\xff\0two\nno end";
    let fake = Fake::new(move |_, _, answer| {
        answer.begin();
        answer.chunk(bytes).unwrap();
        answer.end();
    });
    let output = ask(&fake, &["logs", "a-00000", "--tail", "3", "--stream", "stdout"]);
    check(&output, Exit::Ok);
    assert_eq!(output.stdout, bytes);
    assert_eq!(
        fake.seen()[0].line,
        "GET /v1/tasks/a-00000/log?timestamps=false&stream=stdout&tail=3"
    );
}

#[test]
fn an_answer_that_breaks_off_is_not_taken_for_the_whole_log() {
    let fake = Fake::new(|_, _, answer| {
        answer.begin();
        answer.chunk(b"half\n").unwrap();
    });
    let (stdout, stderr) = check(&ask(&fake, &["logs", "a-00000"]), Exit::Unreachable);
    assert_eq!(stdout, "half\n");
    assert!(stderr.contains("the output above is incomplete"), "{stderr}");
}

fn lines_event(id: u64, records: &[(u64, &str, bool, &str)]) -> String {
    let records: Vec<_> = records
        .iter()
        .map(|(c, s, p, text)| json!({ "c": c, "t": "T", "s": s, "p": p, "text": text }))
        .collect();
    format!("event: lines\ndata: {}\nid: {id}\n\n", Value::from(records))
}

/// Dies after the first event, refuses while it starts, then resumes, with bytes that are not
/// UTF-8.
fn dying_follower(number: usize, request: &Request, answer: &mut Answer) {
    if request.line.contains("/log?") {
        answer.whole("200 OK", "deskd-log-next: 90\r\n", b"\xff\xfe\n");
        return;
    }
    if number == 1 {
        answer.json("503 Service Unavailable", &error("shutting_down", "deskd is shutting down"));
        return;
    }
    answer.begin();
    if number == 0 {
        let event = lines_event(30, &[(10, "stdout", true, "on"), (20, "stdout", false, "e")]);
        answer.chunk(event.as_bytes()).unwrap();
        answer.chunk(b"event: lines\ndata: [").unwrap();
        return;
    }
    let gap = "id: 60\nevent: gap\ndata: {\"dropped_bytes\":5,\"reason\":\"task_limit\"}\n\n";
    answer.chunk(lines_event(50, &[(30, "stderr", false, "two")]).as_bytes()).unwrap();
    answer.chunk(gap.as_bytes()).unwrap();
    answer.chunk(lines_event(90, &[(60, "stdout", false, "\u{fffd}\u{fffd}")]).as_bytes()).unwrap();
    answer.chunk(b"event: end\ndata: {}\n\n").unwrap();
}

#[test]
fn followed_logs_resume_where_the_daemon_died_and_stay_exact() {
    let fake = Fake::new(dying_follower);
    let output = ask(&fake, &["logs", "a-00000", "-f", "--tail", "9"]);
    let (_, stderr) = check(&output, Exit::Ok);
    assert_eq!(
        output.stdout,
        b"one\ntwo\n[deskd: 5 bytes are missing here: the limit of this task's log]\n\xff\xfe\n"
    );
    assert_eq!(
        stderr,
        "deskd: the connection to the daemon was lost; waiting up to 10 s for it\ndeskd: the daemon answers again\n"
    );
    let seen = fake.seen();
    assert_eq!(seen[0].line, "GET /v1/tasks/a-00000/log/stream?follow=true&tail=9");
    assert_eq!(seen[2].line, "GET /v1/tasks/a-00000/log/stream?follow=true");
    assert_eq!(seen[2].header("last-event-id"), Some("30"));
    assert_eq!(seen[3].line, "GET /v1/tasks/a-00000/log?timestamps=false&from=60&bytes_max=30");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let fake = Fake::new(|_, request, answer| {
        answer.begin();
        if request.line.contains("/stream") {
            answer.chunk(lines_event(30, &[(10, "stdout", false, "one")]).as_bytes()).unwrap();
            answer.wait_for_hangup();
        } else {
            while answer.chunk(&[b'x'; 65536]).is_ok() {}
        }
    });
    for args in [["logs", "a-00000"].as_slice(), ["logs", "a-00000", "-f"].as_slice()] {
        let mut child = deskd(args)
            .arg("--socket")
            .arg(fake.socket())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 4]).unwrap();
        drop(stdout);
        let (_, stderr) = check(&child.wait_with_output().unwrap(), Exit::Ok);
        assert_eq!(stderr, "", "{args:?}");
    }
}

fn desktop(ready: bool) -> Value {
    let check = json!({ "name": "shm", "ok": ready, "detail": "about it", "required": true });
    json!({
        "name": "d", "version": "0", "ready": ready, "started": true, "draining": false,
        "sentence": "Display :0", "generation": 1, "checks": [check],
        "display": deskd_core::display::DisplayStatus::unknown(":0", 0),
    })
}

#[test]
fn health_waits_for_an_event_and_says_what_fails() {
    let unwell = Fake::new(|_, _, answer| answer.json("200 OK", &desktop(false).to_string()));
    let (stdout, _) = check(&ask(&unwell, &["health"]), Exit::Unhealthy);
    assert_eq!(stdout, "Display :0\n  shm failed: about it\n");

    let ready = std::sync::atomic::AtomicBool::new(false);
    let fake = Fake::new(move |_, request, answer| {
        use std::sync::atomic::Ordering::SeqCst;
        if request.line == "GET /v1/events" {
            ready.store(true, SeqCst);
            answer.begin();
            let event = format!("id: 1-1\nevent: desktop\ndata: {}\n\n", desktop(true));
            answer.chunk(event.as_bytes()).unwrap();
            answer.wait_for_hangup();
        } else {
            answer.json("200 OK", &desktop(ready.load(SeqCst)).to_string());
        }
    });
    check(&ask(&fake, &["health", "--wait", "30s"]), Exit::Ok);
    let nothing = deskd(&["health", "--wait", "100ms", "--socket", "/nowhere/x"]).output().unwrap();
    check(&nothing, Exit::Unreachable);
}

#[test]
fn events_are_lines_of_text_or_of_json() {
    let fake = Fake::new(|_, _, answer| {
        answer.begin();
        let all =
            json!({ "desktop": desktop(true), "tasks": [task("a-00000", json!({}))], "apps": [] });
        answer.chunk(format!("id: 1-1\nevent: snapshot\ndata: {all}\n\n").as_bytes()).unwrap();
        answer.wait_for_hangup();
    });
    let (stdout, _) = check(&ask(&fake, &["events"]), Exit::Ok);
    assert!(stdout.contains("  desktop Display :0\n"), "{stdout}");
    assert!(
        stdout.contains("  task a-00000 running, first window after 161 ms, pid 42\n"),
        "{stdout}"
    );
    let (stdout, _) = check(&ask(&fake, &["events", "--output", "json"]), Exit::Ok);
    let json: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&json["event"], &json["id"]), (&json!("snapshot"), &json!("1-1")));
}

#[test]
fn applications_are_added_from_toml_sections_and_from_json() {
    let fake = Fake::new(|_, request, answer| answer.json("201 Created", &request.body));
    let dir = tempfile::tempdir().unwrap();
    let toml = dir.path().join("apps.toml");
    std::fs::write(&toml, "[app.a]\ncommand = [\"true\"]\n[app.b]\ncommand = [\"false\"]\n")
        .unwrap();
    let (stdout, _) = check(&ask(&fake, &["app", "add", toml.to_str().unwrap()]), Exit::Ok);
    assert_eq!(stdout, "added a\nadded b\n");
    let body: Value = serde_json::from_str(&fake.seen()[1].body).unwrap();
    assert_eq!((&body["source"], &body["local"]["command"]), (&json!("api"), &json!(["false"])));

    std::fs::write(&toml, "[app.a]\ncommand = \"true\"\n").unwrap();
    let (_, stderr) = check(&ask(&fake, &["app", "add", toml.to_str().unwrap()]), Exit::Config);
    assert!(stderr.contains("apps.toml:2:11: `app.a.command` must be a list"), "{stderr}");
    let json_file = dir.path().join("app.json");
    std::fs::write(&json_file, "{\"id\": \"c\"}").unwrap();
    let (stdout, _) = check(&ask(&fake, &["app", "add", json_file.to_str().unwrap()]), Exit::Ok);
    assert_eq!(stdout, "added c\n");
}

#[test]
fn the_panels_url_is_printed() {
    let fake = Fake::new(|_, _, answer| {
        let url = "http://127.0.0.1:29791/login?code=abc";
        answer.json("200 OK", &json!({ "url": url, "expires_in_s": 300 }).to_string());
    });
    let (stdout, _) = check(&ask(&fake, &["panel"]), Exit::Ok);
    assert_eq!(stdout, "http://127.0.0.1:29791/login?code=abc\n");
    assert_eq!(fake.seen()[0].line, "POST /v1/panel/login");
}
