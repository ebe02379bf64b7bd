//! What the same words mean after different ends, and what an end means without words.

use serde_json::{Value, json};

use super::*;

const KILLED: &str = "X connection to :0 broken (explicit kill or server shutdown).\n";
const CANNOT_OPEN: &str = "main interface error: cannot connect to X server (:0)\n";

#[track_caller]
fn told(log: &str, e: Value) -> Option<Cause> {
    cause_of(log, &serde_json::from_value(e).unwrap()).cause
}

#[test]
fn a_program_without_windows_that_ends_with_0_speaks_of_errors_it_does_not_have() {
    let log = "ok 1 - No space left on device\nok 2 - xterm: Can't open display: :0\nBadShmSeg\nSegmentation fault\n";
    let display = json!({ "answers": true });
    let mut job = json!({ "exit": { "code": 0 }, "ran_ms": 58, "display": display });
    assert_eq!(told(log, job.clone()), None);
    job["exit"] = json!({ "code": 1 });
    assert_eq!(told(log, job), Some(Cause::NoSpace));
    // But some programs end with 0 when they have no display: VLC, Inkscape, wish.
    let no_server = json!({ "given": ":0" });
    let vlc = json!({ "exit": { "code": 0 }, "ran_ms": 128, "display": no_server });
    assert_eq!(told(CANNOT_OPEN, vlc), Some(Cause::DisplayNotListening));
}

#[test]
fn a_window_that_was_there_for_a_while_shows_that_nothing_was_missing_at_the_start() {
    let noise = "libGL error: failed to load driver: swrast\nbash: foo: command not found\n";
    let dialog =
        |ms: u64, code: i32| json!({ "exit": { "code": code }, "had_window": true, "ran_ms": ms });
    assert_eq!(told(noise, dialog(4000, 1)), None);
    assert_eq!(told(noise, dialog(4000, 127)), None);
    assert_eq!(told(noise, dialog(300, 127)), Some(Cause::ProgramNotFound));
    assert_eq!(told(CANNOT_OPEN, dialog(4000, 1)), None);
}

#[test]
fn a_crash_of_a_program_that_ended_with_0_is_its_very_last_line() {
    let well = json!({ "exit": { "code": 0 }, "had_window": true, "ran_ms": 9000 });
    let crash = "a\n/entry.sh: line 7:    12 Segmentation fault      app | tee log\n";
    assert_eq!(told(crash, well.clone()), Some(Cause::Crashed));
    assert_eq!(told(&format!("{crash}going on\n"), well), None);
}

#[test]
fn who_closed_a_connection_shows_in_whether_the_server_stayed() {
    let ended = |display: Value| {
        told(
            KILLED,
            json!({ "exit": { "code": 1 }, "had_window": true, "ran_ms": 4000, "display": display }),
        )
    };
    let stayed = json!({ "given": ":0", "answers": true });
    assert_eq!(ended(stayed), Some(Cause::StoppedByUser));
    let restarted = json!({ "given": ":0", "answers": true, "lost": true });
    assert_eq!(ended(restarted), Some(Cause::DisplayLost));
    let gone = json!({ "given": ":0", "answers": false });
    assert_eq!(ended(gone.clone()), Some(Cause::DisplayLost));
    // GTK ends without a word.
    let silent = json!({ "exit": { "code": 1 }, "had_window": true, "display": gone });
    assert_eq!(told("", silent), Some(Cause::DisplayLost));
}

#[test]
fn an_end_without_words_is_guessed_from_the_display_and_any_words_are_better() {
    let remote = |log: &str| {
        let display = json!({ "given": "10.0.0.5:0", "answers": true, "answers_on_tcp": false });
        told(
            log,
            json!({ "exit": { "code": 1 }, "had_window": false, "ran_ms": 200, "display": display }),
        )
    };
    assert_eq!(remote(""), Some(Cause::DisplayNotListening));
    assert_eq!(remote("ModuleNotFoundError: No module named 'gi'\n"), Some(Cause::LibraryMissing));
    let env = json!([["HOME", "/home/balloon"]]);
    let none = json!({ "exit": { "code": 1 }, "had_window": false, "ran_ms": 200, "env": env });
    assert_eq!(told("", none), Some(Cause::DisplayWrong));
    let code = |code: i32| json!({ "exit": { "code": code }, "had_window": true, "ran_ms": 4000 });
    assert_eq!(told("", code(124)), Some(Cause::DeadlineExceeded));
}

#[test]
fn the_size_of_what_was_killed_and_the_runtimes_reason_tell_who_killed_it() {
    let killed = |kib: u64| {
        let usage = json!({ "user_us": 1, "system_us": 1, "max_rss_kib": kib, "major_faults": 0 });
        told("", json!({ "exit": { "code": 137 }, "had_window": true, "rusage": usage }))
    };
    assert_eq!(killed(160 << 10), Some(Cause::StoppedByNode));
    assert_eq!(killed(1 << 20), Some(Cause::OutOfMemory));
    let pod = |reason: &str| {
        told("", json!({ "exit": { "code": 137 }, "cluster": { "container_reason": reason } }))
    };
    assert_eq!(pod("Error"), Some(Cause::StoppedByNode));
    assert_eq!(pod("OOMKilled"), Some(Cause::OutOfMemory));
}

#[test]
fn events_before_a_step_forward_are_overcome() {
    let waits = "FailedScheduling: 0/1 nodes are available: 1 Insufficient cpu.";
    let pod = |events: &[&str]| told("", json!({ "cluster": { "events": events } }));
    assert_eq!(pod(&[waits]), Some(Cause::UnschedulableResource));
    assert_eq!(pod(&[waits, "Scheduled: Successfully assigned d/p to n"]), None);
}

#[test]
fn the_clusters_words_in_the_log_of_a_program_are_the_programs_affair() {
    let log = "pull image: 429 Too Many Requests, unexpected EOF, 401 Unauthorized\n";
    assert_eq!(told(log, json!({ "exit": { "code": 1 }, "had_window": false })), None);
    assert_eq!(told(log, json!({})), Some(Cause::ImageAuth));
}

#[test]
fn a_limit_of_time_in_the_command_tells_who_killed_it() {
    let killed = |command: Value, exit: Value| {
        told("", json!({ "command": command, "exit": exit, "oom_killed": false, "ran_ms": 1003 }))
    };
    let timeout = json!(["timeout", "-s", "KILL", "1", "xclock"]);
    assert_eq!(killed(timeout, json!({ "code": 137 })), Some(Cause::DeadlineExceeded));
    let limit = json!(["bash", "-c", "ulimit -t 60; exec app"]);
    let by =
        |number: i32| json!({ "signal": { "number": number, "name": "S", "core_dumped": false } });
    assert_eq!(killed(limit, by(9)), Some(Cause::DeadlineExceeded));
    assert_eq!(killed(json!(["app"]), by(24)), Some(Cause::DeadlineExceeded));
    assert_eq!(killed(json!(["app"]), by(9)), Some(Cause::StoppedByNode));
}

#[test]
fn a_program_that_was_asked_to_end_did_not_end_for_what_it_complained_of() {
    let log = "Cannot connect to the D-Bus session bus.\n";
    let asked = json!({ "exit": { "code": 143 }, "had_window": true, "ran_ms": 3257 });
    assert_eq!(told(log, asked), Some(Cause::StoppedByNode));
}

#[test]
fn a_toolkit_whose_window_is_killed_ends_with_1_and_without_a_word() {
    let display = json!({ "given": ":0", "answers": true });
    let mut e =
        json!({ "exit": { "code": 1 }, "had_window": true, "ran_ms": 3310, "display": display });
    assert_eq!(told("", e.clone()), Some(Cause::StoppedByUser));
    e["ran_ms"] = json!(300);
    assert_eq!(told("", e), None);
}

#[test]
fn a_display_that_does_not_answer_is_told_though_nobody_could_look_for_a_window() {
    let display = json!({ "given": ":0", "answers": false });
    let mut e = json!({ "exit": { "code": 0 }, "ran_ms": 300, "display": display });
    assert_eq!(told("", e.clone()), Some(Cause::DisplayNotListening));
    // A program's words say that the server refused it at once, so it does not hang.
    e["exit"] = json!({ "code": 143 });
    e["stopped_by"] = json!("a user");
    e["ran_ms"] = json!(8000);
    assert_eq!(told("", e.clone()), Some(Cause::DisplayHangs));
    let said = "[vo/x11/x11] couldn't open the X11 display (:0)!\n";
    assert_eq!(told(said, e), Some(Cause::DisplayNotListening));
}
