//! Words from the sources of many programs, most of which nobody could make fail in a laboratory:
//! what they mean, and that those of well programs mean nothing.

use serde_json::{Value, json};

use super::*;

const FAILURES: [&str; 5] = [
    include_str!("quoted/alone.tsv"),
    include_str!("quoted/display.tsv"),
    include_str!("quoted/process.tsv"),
    include_str!("quoted/cluster.tsv"),
    include_str!("quoted/graphics.tsv"),
];
const HEALTHY: &str = include_str!("quoted/healthy.tsv");

fn signal(number: i32, name: &str) -> Value {
    json!({ "signal": { "number": number, "name": name, "core_dumped": false } })
}

/// The log and the evidence for words of which `what` is known.
fn known(what: &str, words: &str) -> (String, Evidence) {
    let log = words.replace("\\n", "\n");
    let cluster = |said: Value| json!({ "engine": "pod_application", "cluster": said });
    let (word, rest) = words.split_once('|').unwrap_or_default();
    let e = match what {
        "failed" => json!({ "exit": { "code": 1 }, "had_window": false, "ran_ms": 200 }),
        "ended" => json!({ "exit": { "code": 1 } }),
        "code 0" => json!({ "exit": { "code": 0 } }),
        "code 126" => json!({ "exit": { "code": 126 } }),
        "code 127" => json!({ "exit": { "code": 127 } }),
        "aborted" => json!({ "exit": signal(6, "SIGABRT"), "had_window": false, "ran_ms": 200 }),
        "trapped" => json!({ "exit": signal(5, "SIGTRAP"), "had_window": false, "ran_ms": 200 }),
        "closed" => json!({ "exit": { "code": 0 }, "had_window": true, "ran_ms": 9000 }),
        "answered" => json!({ "exit": { "code": 1 }, "had_window": true, "ran_ms": 4000 }),
        "runs" => json!({ "had_window": true, "ran_ms": 9000 }),
        "job" => json!({ "exit": { "code": 0 }, "had_window": false, "ran_ms": 9000 }),
        "stopped" => json!({ "exit": signal(15, "SIGTERM"), "had_window": true, "ran_ms": 4000,
                             "stopped_by": "a user" }),
        "served" => {
            json!({ "exit": signal(15, "SIGTERM"), "ran_ms": 4000, "stopped_by": "a user" })
        }
        "unknown" => json!({}),
        "exit" => json!({ "exit": { "reason": log } }),
        "event" => cluster(json!({ "events": [log] })),
        "refusal" => cluster(json!({ "refusal": log })),
        "unscheduled" => cluster(json!({ "unscheduled": log })),
        "resize" => json!({ "exit": { "code": 1 }, "had_window": false, "ran_ms": 9000,
                            "cluster": { "resize": log } }),
        "container" => cluster(json!({ "container_reason": word, "container_message": rest })),
        "pod" => cluster(json!({ "pod_reason": word, "pod_message": rest })),
        other => panic!("{other} is not explained"),
    };
    let of_the_log = e.get("cluster").is_none() && what != "exit";
    (if of_the_log { log } else { String::new() }, serde_json::from_value(e).unwrap())
}

/// Cause, what is known, words.
fn rows(table: &'static str) -> impl Iterator<Item = [&'static str; 3]> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut cells = line.splitn(3, '\t');
        let mut cell = || cells.next().unwrap_or_else(|| panic!("three cells: {line:?}"));
        [cell(), cell(), cell()]
    })
}

#[test]
fn words_of_many_programs_are_told_as_what_they_mean() {
    let mut wrong = Vec::new();
    for [cause, what, words] in FAILURES.into_iter().flat_map(rows) {
        let (log, e) = known(what, words);
        let told = cause_of(&log, &e);
        if told.cause.map(Cause::as_str) != Some(cause) {
            wrong.push(format!("{words}: is {cause}, told {:?} {:?}", told.cause, told.rule));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_of_well_programs_are_told_as_nothing() {
    let mut wrong = Vec::new();
    for [_, what, words] in rows(HEALTHY) {
        let (log, e) = known(what, words);
        let told = cause_of(&log, &e);
        let stopped =
            matches!(what, "stopped" | "served") && told.cause == Some(Cause::StoppedByUser);
        if !(told.cause.is_none() || stopped) || !told.others.is_empty() {
            wrong.push(format!("{words} ({what}): told {:?} {:?}", told.rule, told.others));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
