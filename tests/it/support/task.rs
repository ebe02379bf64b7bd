//! What a task has come to, as `PodDesk::until` looks at it.

use serde_json::Value;

use super::cluster::PodDesk;

pub(crate) fn is_running(task: &Value) -> Option<Value> {
    (task["state"] == "running").then(|| task.clone())
}

pub(crate) fn has_window(task: &Value) -> Option<Value> {
    (task["windows"].as_u64() > Some(0)).then(|| task.clone())
}

/// With nothing of it left.
pub(crate) fn has_ended(task: &Value) -> Option<Value> {
    (task["state"] == "ended" && task["leftovers"] == false).then(|| task.clone())
}

/// Stops it and waits for its end.
pub(crate) fn stop(desk: &PodDesk<'_>, task: &str, how: &Value) -> Value {
    desk.ask("POST", &format!("/v1/tasks/{task}/stop")).json(how).send();
    desk.until("it has ended", task, has_ended)
}
