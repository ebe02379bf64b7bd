//! A whole desktop: a real Xvnc, a whole deskd, real applications, all as the pod's user.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::desk::Desk;
use crate::support::http::Ask;
use crate::support::proc;
use crate::support::xvnc::{Xvnc, available, eventually};

const APPS: &str = r#"
[stop]
close_windows = "3s"
term = "5s"

[app.clock]
command = ["xclock"]

[app.terminal]
command = ["xterm", "-e", "sh", "-c", "trap '' HUP; (setsid sleep 7654321 &); exec sleep 7654321"]

[app.launcher]
command = ["sh", "-c", "sh -c 'xclock & wait'; exit 0"]

[app.gnome-2048]
desktop_entry = "org.gnome.TwentyFortyEight"
command = ["/usr/games/gnome-2048"]

[app.qt-2048]
command = ["/usr/games/2048-qt"]

[app.leaver]
command = ["sh", "-c", "setsid sleep 7654322 & exit 0"]
needs_display = false

[app.failing]
command = ["sh", "-c", "echo broken config >&2; exit 3"]
needs_display = false
restart = "on-failure"

[app.counted]
command = ["sh", "-c", "echo $DESKD_TASK_ID >> $HOME/state/runs; exec sleep 7654321"]
needs_display = false
"#;

fn desktop() -> Option<(Xvnc, Desk)> {
    if !available() {
        return None;
    }
    let server = Xvnc::start();
    let desk = Desk::start(APPS, Some(&server));
    ready(&desk, 200);
    Some((server, desk))
}

fn ready(desk: &Desk, status: u16) {
    eventually(&format!("/readyz {status}"), || {
        let answer = Ask::new(&desk.unix(), "GET", "/readyz").try_send().ok()?;
        (answer.status == status).then_some(())
    });
}

fn task(desk: &Desk, id: &str) -> Value {
    desk.get(&format!("/v1/tasks/{id}"))
}

/// Waits for the task's window.
fn shown(desk: &Desk, id: &str) -> Value {
    eventually(&format!("a window of {id}"), || {
        let task = task(desk, id);
        assert_ne!(task["state"], "ended", "{task}");
        (task["windows"].as_u64() >= Some(1)).then_some(task)
    })
}

fn steps(task: &Value) -> Vec<&str> {
    let steps = task["stop_steps"].as_array().expect("steps");
    steps.iter().map(|step| step["step"].as_str().expect("a step")).collect()
}

fn pid(task: &Value) -> u32 {
    task["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a pid")
}

/// Processes whose command line holds `needle`.
fn processes_with(needle: &str) -> Vec<u32> {
    let pids = deskd_keeper::procfs::pids().expect("/proc");
    let holds = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(needle)
    };
    pids.into_iter().filter(holds).collect()
}

#[test]
fn real_applications_show_their_windows_and_close_when_they_are_asked_politely() {
    let Some((_server, desk)) = desktop() else { return };
    let ids = ["gnome-2048", "qt-2048", "clock"].map(|app| desk.launch(app));
    for id in &ids {
        let shown = shown(&desk, id);
        assert!(shown["first_window_ms"].as_u64().is_some_and(|ms| ms < 20_000), "{shown}");
        assert_eq!(shown["engine"], "local");
    }
    for id in &ids {
        desk.stop(id);
        let ended = desk.ended(id);
        assert_eq!(steps(&ended)[0], "close_windows", "{ended}");
        assert_eq!(ended["windows"], 0, "{ended}");
        assert!(ended["exit"].get("code").is_some(), "it ended itself: {ended}");
    }
}

#[test]
fn a_window_of_a_grandchild_belongs_to_the_task() {
    let Some((_server, desk)) = desktop() else { return };
    let id = desk.launch("launcher");
    shown(&desk, &id);
    desk.stop(&id);
    assert_eq!(desk.ended(&id)["state"], "ended");
}

#[test]
fn nothing_of_a_stopped_task_survives_not_even_what_left_its_session() {
    let Some((_server, desk)) = desktop() else { return };
    let id = desk.launch("terminal");
    shown(&desk, &id);
    eventually("the sleepers", || (processes_with("sleep\u{0}7654321").len() >= 2).then_some(()));
    let answer = desk.ask("POST", &format!("/v1/tasks/{id}/stop")).json(&json!({}));
    answer.send();
    let ended = desk.ended(&id);
    assert_eq!(ended["state"], "ended", "{ended}");
    let marker = format!("DESKD_TASK_ID={id}");
    let survivors: Vec<u32> = processes_with("sleep\u{0}7654321")
        .into_iter()
        .filter(|pid| {
            let env = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            String::from_utf8_lossy(&env).contains(&marker)
        })
        .collect();
    assert_eq!(survivors, [0; 0]);
}

#[test]
fn readiness_follows_the_server_and_launches_say_why_they_are_refused() {
    let Some((mut server, desk)) = desktop() else { return };
    let id = desk.launch("clock");
    shown(&desk, &id);
    server.kill();
    ready(&desk, 503);
    let why = Ask::new(&desk.unix(), "GET", "/readyz").send().text();
    assert!(why.contains("display") && why.contains("nothing listens"), "{why}");
    let launch = desk.ask("POST", "/v1/tasks").json(&json!({ "app": "clock" })).send();
    assert_eq!(launch.refusal(409), "display_unavailable");
    let ended = desk.ended(&id);
    assert_eq!(ended["windows"], 0);
    assert_eq!(ended["diagnosis"]["cause"], "display_lost", "{ended}");

    server.restart();
    ready(&desk, 200);
    let desktop = desk.get("/v1/desktop");
    assert_eq!(desktop["display"]["server_epoch"], 2, "{desktop}");
    assert_eq!(desktop["display"]["shm"]["sysv"], "works", "proved again: {desktop}");
    shown(&desk, &desk.launch("clock"));
}

#[test]
fn windows_of_a_server_that_let_nobody_in_for_a_while_are_still_those_of_their_tasks() {
    let Some((server, desk)) = desktop() else { return };
    let id = desk.launch("clock");
    shown(&desk, &id);
    server.running().signal(Signal::SIGSTOP);
    let looked = desk.ask("POST", "/v1/desktop/probe").send().expect(200);
    assert_eq!(looked["display"]["unix"]["state"], "hanging", "{looked}");
    server.running().signal(Signal::SIGCONT);
    ready(&desk, 200);
    assert_eq!(task(&desk, &id)["windows"], 1);
    desk.stop(&id);
    assert_eq!(steps(&desk.ended(&id)), ["close_windows"]);
}

#[test]
fn applications_do_not_notice_that_the_daemon_was_killed() {
    let Some((_server, desk)) = desktop() else { return };
    let (clock, failing) = (desk.launch("clock"), desk.launch("failing"));
    let before = shown(&desk, &clock);
    let old = desk.kill_daemon();
    desk.until_back(old);
    let after = shown(&desk, &clock);
    for same in ["id", "pid", "started_at", "first_window_ms", "created_at", "runs", "reasons"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_eq!(after["windows"], 1, "counted again, not twice");
    assert!(proc::is_alive(pid(&after)));
    eventually("a restart that an earlier daemon planned", || {
        (task(&desk, &failing)["runs"].as_u64() >= Some(2)).then_some(())
    });
    desk.stop(&clock);
    assert_eq!(desk.ended(&clock)["state"], "ended");
}

#[test]
fn a_failing_task_is_restarted_with_growing_pauses_until_it_is_stopped() {
    let Some((_server, desk)) = desktop() else { return };
    let id = desk.launch("failing");
    let third = eventually("three runs", || {
        Some(task(&desk, &id)).filter(|task| task["runs"].as_u64() >= Some(3))
    });
    let said = third["history"].to_string();
    assert!(said.contains("restart in"), "{said}");
    let planned =
        eventually("a pause", || Some(task(&desk, &id)).filter(|task| task["state"] == "planned"));
    assert_eq!(planned["exit"]["code"], 3);
    let cause = planned["cause"].as_str().expect("a cause");
    assert!(cause.contains("exit code 3") && cause.contains("broken config"), "{cause}");
    let runs = planned["runs"].as_u64().expect("runs");
    assert_eq!(planned["log_bytes"], runs * "broken config\n".len() as u64);
    desk.stop(&id);
    let ended = desk.ended(&id);
    assert_eq!((&ended["state"], &ended["next_run_at"]), (&"ended".into(), &Value::Null));
}

#[test]
fn launches_repeated_with_their_key_over_kills_of_the_daemon_happen_once() {
    let Some((_server, desk)) = desktop() else { return };
    let keys: Vec<String> = (0..12).map(|number| format!("launch-{number}")).collect();
    let tasks: BTreeSet<String> = std::thread::scope(|scope| {
        let launches: Vec<_> = keys
            .iter()
            .map(|key| {
                let desk = &desk;
                scope.spawn(move || {
                    eventually("a launch", || {
                        let ask = desk.ask("POST", "/v1/tasks").header("idempotency-key", key);
                        let answer = ask.json(&json!({ "app": "counted" })).try_send().ok()?;
                        let id = matches!(answer.status, 200 | 201).then(|| answer.json());
                        id.map(|task| task["id"].as_str().expect("an id").to_owned())
                    })
                })
            })
            .collect();
        for _ in 0..3 {
            let old = desk.kill_daemon();
            desk.until_back(old);
        }
        launches.into_iter().map(|launch| launch.join().expect("a launch")).collect()
    });
    assert_eq!(tasks.len(), keys.len(), "a task per key");
    let listed = desk.get("/v1/tasks");
    assert_eq!(listed.as_array().expect("a list").len(), keys.len(), "{listed}");
    let runs = desk.dir.path().join("state/runs");
    let started = eventually("every run", || {
        let text = std::fs::read_to_string(&runs).ok()?;
        let started: Vec<String> = text.lines().map(str::to_owned).collect();
        (started.len() >= keys.len()).then_some(started)
    });
    assert_eq!(started.len(), keys.len(), "started once each: {started:?}");
    assert_eq!(started.into_iter().collect::<BTreeSet<_>>(), tasks);
}

#[test]
fn the_end_of_deskd_is_polite_to_applications_and_complete() {
    let Some((server, mut desk)) = desktop() else { return };
    let id = desk.launch("clock");
    let clock = pid(&shown(&desk, &id));
    // It says that its window can be closed only after it has mapped it: before another one is shown, at the latest.
    shown(&desk, &desk.launch("clock"));
    desk.end();
    assert!(!proc::is_alive(clock));
    let state = desk.dir.path().join("state");
    assert!(!state.join("deskd.sock").exists());
    let journal = std::fs::read_to_string(state.join("tasks.jsonl")).expect("a journal");
    let last = journal.lines().rfind(|line| line.contains(&id)).expect("the task");
    assert!(last.contains("close_windows") && last.contains(r#""state":"ended""#), "{last}");
    drop(server);
}

#[test]
fn what_a_removed_task_left_running_ends_and_the_task_does_not_come_back() {
    let Some((_server, desk)) = desktop() else { return };
    let id = desk.launch("leaver");
    assert_eq!(desk.ended(&id)["exit"]["code"], 0);
    let marker = format!("DESKD_TASK_ID={id}");
    let left = || {
        processes_with("sleep\u{0}7654322").into_iter().find(|pid| {
            let env = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            String::from_utf8_lossy(&env).contains(&marker)
        })
    };
    eventually("what it left", left);
    assert_eq!(desk.ask("DELETE", &format!("/v1/tasks/{id}")).send().status, 204);
    let old = desk.kill_daemon();
    desk.until_back(old);
    assert_eq!(desk.get("/v1/tasks"), json!([]));
    eventually("its end", || left().is_none().then_some(()));
    let logs = desk.dir.path().join("state/logs");
    eventually("its log's end", || (!logs.join(&id).exists()).then_some(()));
    assert_eq!(desk.get("/v1/tasks"), json!([]));
}

#[test]
fn a_failure_is_explained_with_its_proof_and_a_stop_is_no_failure() {
    if !available() {
        return;
    }
    let config = "[app.blind]\ncommand = [\"xclock\"]\nenv = { DISPLAY = \":989\" }\n\
                  [app.odd]\ncommand = [\"sh\", \"-c\", \"echo all is lost >&2; exit 4\"]\n\
                  [app.sleep]\ncommand = [\"sleep\", \"60\"]\n\
                  [app.well]\ncommand = [\"true\"]\nneeds_display = false\n";
    let server = Xvnc::start();
    let desk = Desk::start(config, Some(&server));
    let ended = |app: &str| {
        let task = desk.launch(app);
        desk.ended(&task)
    };
    let blind = ended("blind");
    let found = desk.get(&format!("/v1/tasks/{}/diagnosis", blind["id"].as_str().expect("an id")));
    let cause = found["cause"].as_str().expect("a cause");
    assert!(cause.starts_with("display_"), "{found}");
    assert!(found["proof"].to_string().contains("Can't open display: :989"), "{found}");
    assert_eq!(blind["cause"], found["sentence"], "the sentence is in the row");
    let metrics = desk.ask("GET", "/metrics").send().text();
    assert!(
        metrics.contains(&format!("deskd_task_causes_total{{cause=\"{cause}\"}} 1")),
        "{metrics}"
    );

    let odd = ended("odd");
    assert_eq!(odd["diagnosis"]["cause"], serde_json::Value::Null, "nothing is made up");
    assert!(odd["cause"].as_str().expect("a cause").contains("all is lost"), "{odd}");

    let task = desk.launch("sleep");
    desk.stop(&task);
    desk.ended(&task);
    let stopped = eventually("why it ended", || {
        Some(desk.get(&format!("/v1/tasks/{task}"))).filter(|task| !task["diagnosis"].is_null())
    });
    assert_eq!(stopped["diagnosis"]["cause"], "stopped_by_user", "{stopped}");
    assert_eq!(stopped["cause"], serde_json::Value::Null, "that is no failure");

    let task = desk.launch("well");
    desk.ended(&task);
    let none = desk.ask("GET", &format!("/v1/tasks/{task}/diagnosis")).send();
    assert_eq!(none.refusal(404), "no_diagnosis");
}
