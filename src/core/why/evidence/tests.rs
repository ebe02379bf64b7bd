//! What evidence can be read, and what each field means.

use serde_json::{Value, json};

use super::*;

/// Every field there is.
fn everything() -> Value {
    json!({
        "engine": "local",
        "command": ["gnome-2048"],
        "entry_point": true,
        "exit": { "signal": { "number": 11, "name": "SIGSEGV", "core_dumped": true } },
        "stopped_by": "a user",
        "reported": "evicted",
        "killed_by_deskd": true,
        "ran_ms": 331,
        "had_window": false,
        "rusage": { "user_us": 1, "system_us": 2, "max_rss_kib": 3, "major_faults": 4 },
        "env": [["DISPLAY", ":0"]],
        "display": {
            "given": ":0", "answered_at_launch": true, "shm_worked_at_launch": true,
            "answers": true, "answers_on_tcp": false, "shm_works": true, "lost": true
        },
        "oom_killed": false,
        "dev_shm": { "size": 67_108_864, "used": 1 },
        "cluster": {
            "container_reason": "OOMKilled", "container_message": "a", "pod_reason": "Evicted",
            "pod_message": "b", "unscheduled": "c", "resize": "e", "events": ["reason: message"], "refusal": "d",
            "api_away": true
        }
    })
}

/// JSON pointers to every field of `value` and of what is in it.
fn fields(value: &Value, at: &str) -> Vec<String> {
    let Some(object) = value.as_object() else {
        return Vec::new();
    };
    let below = |(name, value): (&String, &Value)| {
        let here = format!("{at}/{name}");
        [vec![here.clone()], fields(value, &here)].concat()
    };
    object.iter().flat_map(below).collect()
}

#[test]
fn each_field_can_be_left_out() {
    let all = everything();
    let written = serde_json::to_value(Evidence::deserialize(&all).unwrap()).unwrap();
    assert_eq!(written, all, "a field is missing here");
    for pointer in fields(&all, "") {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut less = all.clone();
        less.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        Evidence::deserialize(&less).unwrap_or_else(|error| panic!("without {pointer}: {error}"));
    }
    assert_eq!(Evidence::deserialize(json!({})).unwrap(), Evidence::default());
}

#[test]
fn what_is_no_field_is_named() {
    let all = everything();
    let objects = fields(&all, "").into_iter().filter(|at| all.pointer(at).unwrap().is_object());
    for pointer in objects.chain([String::new()]) {
        let mut more = all.clone();
        let object = more.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
        object.insert("colour".into(), json!(1));
        let error = Evidence::deserialize(&more).unwrap_err().to_string();
        assert!(error.contains("unknown field `colour`"), "{pointer}: {error}");
    }
}

#[test]
fn a_signal_is_known_by_its_number_or_its_name() {
    let exit = |exit: Value| Evidence::deserialize(json!({ "exit": exit })).map(|e| e.exit);
    let segv = Exit::Signal { number: 11, name: "SIGSEGV".into(), core_dumped: false };
    assert_eq!(exit(json!({ "signal": { "number": 11 } })).unwrap(), Some(segv.clone()));
    assert_eq!(exit(json!({ "signal": { "name": "SIGSEGV" } })).unwrap(), Some(segv));
    assert_eq!(exit(json!({ "code": 3 })).unwrap(), Some(Exit::Code(3)));
    assert_eq!(exit(json!(null)).unwrap(), None);
    let error = |value| exit(value).unwrap_err().to_string();
    assert!(error(json!({ "signal": {} })).contains("`number` or `name`"));
    assert!(error(json!({ "signal": { "name": "SIGWHAT" } })).contains("SIGWHAT"));
    assert!(error(json!({ "code": 1, "reason": "x" })).contains("one of"));
}

#[test]
fn a_part_that_is_not_known_is_not_taken_for_nothing() {
    use crate::why::fact::Fact;

    let scarce = |shm: Value| {
        let evidence = Evidence::deserialize(json!({ "dev_shm": shm })).unwrap();
        Fact::DevShmScarce.holds(&evidence)
    };
    assert_eq!(scarce(json!({ "size": 1024 })), Some(true));
    assert_eq!(scarce(json!({ "size": 1 << 30 })), None);
    assert_eq!(scarce(json!({ "used": 0 })), None);
    assert_eq!(scarce(json!({ "size": 1 << 30, "used": 0 })), Some(false));
    let idle = Evidence::deserialize(json!({ "rusage": { "user_us": 1 } })).unwrap();
    assert_eq!(Fact::UsedLittleMemory.holds(&idle), None);
}
