//! `deskd task remedy` and what `deskd task show` says of failures, against a fake daemon.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use deskd_core::exit::Exit;
use serde_json::{Value, json};

use crate::cli::{ask, check, error, task};
use crate::cli_fake::Fake;

const SENTENCE: &str = "The program draws through shared memory.";
const DOES: &str = "start it again as an ephemeral container";

fn diagnosis(remedy: &Value) -> Value {
    json!({
        "cause": "shm_refused", "rule": "shm-gdk", "confidence": "certain", "sentence": SENTENCE,
        "proof": [{ "place": { "line": 3 }, "text": "The error was 'BadShmSeg\u{1b}[31m'" }],
        "advice": "Set the label.", "remedy": remedy, "others": []
    })
}

fn proposal() -> Value {
    json!({ "kind": "other_engine", "engine": "ephemeral_container", "sentence": DOES })
}

fn remedied() -> Value {
    let mut applied = proposal();
    let more = json!({
        "at": 0, "by": "a user", "run": 2, "before": "a pod of its own",
        "after": "an ephemeral container", "diagnosis": diagnosis(&Value::Null)
    });
    for (key, value) in more.as_object().unwrap() {
        applied[key] = value.clone();
    }
    applied
}

/// What `task show` prints of a task, without the lines that are the same for every task.
fn shown(more: &Value) -> String {
    let answer = task("x-00001", more.clone()).to_string();
    let fake = Fake::new(move |_, _, to| to.json("200 OK", &answer));
    let (stdout, _) = check(&ask(&fake, &["task", "show", "x-00001"]), Exit::Ok);
    let told = stdout.lines().skip_while(|line| !line.starts_with("state "));
    let told = told.skip(1).filter(|line| !line.starts_with("ended by "));
    told.take_while(|line| !line.starts_with("engine ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_failed_task_is_shown_with_its_proof_and_with_what_deskd_can_do() {
    let failed = json!({
        "state": "ended", "exit": { "code": 1 }, "cause": SENTENCE, "diagnosis": diagnosis(&proposal())
    });
    assert_eq!(
        shown(&failed),
        "cause        The program draws through shared memory.\n\
         proof        The error was 'BadShmSeg\u{fffd}[31m'\n\
         advice       Set the label.\n\
         deskd can    start it again as an ephemeral container: run `deskd task remedy x-00001`\n"
    );
}

#[test]
fn a_task_that_waits_is_shown_with_the_reason() {
    let waiting = json!({
        "state": "starting", "waiting": "0/1 nodes", "diagnosis": diagnosis(&Value::Null)
    });
    assert!(shown(&waiting).starts_with("diagnosis    The program draws through shared memory.\n"));
}

#[test]
fn a_remedied_task_is_shown_with_before_and_after_and_its_first_failure() {
    assert_eq!(
        shown(&json!({ "remedied": remedied(), "runs": 2 })),
        "remedy       1970-01-01T00:00:00Z, a user: start it again as an ephemeral container; \
         before: a pod of its own, after: an ephemeral container\n\
         because      The program draws through shared memory.\n             \
         The error was 'BadShmSeg\u{fffd}[31m'\n             Set the label.\n"
    );
}

#[test]
fn a_remedy_is_asked_for_once_and_says_what_it_did() {
    let answer = task("x-00001", json!({ "state": "planned", "remedied": remedied() }));
    let text = answer.to_string();
    let fake = Fake::new(move |_, _, to| to.json("202 Accepted", &text));
    let (stdout, _) = check(&ask(&fake, &["task", "remedy", "x-00001"]), Exit::Ok);
    assert_eq!(
        stdout,
        "x-00001: start it again as an ephemeral container; before: a pod of its own, after: an \
         ephemeral container\n"
    );
    let (stdout, _) = check(&ask(&fake, &["task", "remedy", "x-00001", "-o", "json"]), Exit::Ok);
    assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap(), answer);
    assert_eq!(fake.seen()[0].line, "POST /v1/tasks/x-00001/remedy");
    assert_eq!(fake.seen()[0].body, "");
}

#[test]
fn a_task_without_a_remedy_says_so() {
    let fake = Fake::new(|_, _, to| to.json("409 Conflict", &error("no_remedy", "none is known")));
    let (_, stderr) = check(&ask(&fake, &["task", "remedy", "x-00001"]), Exit::Refused);
    assert_eq!(
        stderr,
        "deskd: cannot apply a remedy to task x-00001: none is known\n    remedy: run `deskd task \
         show TASK` to see why it failed and what deskd did about it\n"
    );
}
