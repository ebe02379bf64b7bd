//! Programs for places of a cluster: what they write shows whether anything was lost or came twice.

use serde_json::{Value, json};

use super::cluster::PodDesk;

/// Writes a number every now and then.
pub const COUNT: &str = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.05; done";

/// The document of an application in the desktop's image, which this engine is to run.
pub fn document(name: &str, engine: &str, config: &Value) -> Value {
    let mut labels = config["Labels"].clone();
    labels["oc.name"] = json!(name);
    labels["oc.containerengine"] = json!(engine);
    json!([{ "Id": name, "RepoTags": ["localhost/deskd-desktop:latest"],
        "Config": { "Cmd": config["Cmd"], "Labels": labels } }])
}

/// How far a task has counted, with every number there once.
pub fn ticks(desk: &PodDesk<'_>, task: &str) -> usize {
    let log = desk.log(task);
    for (number, line) in log.lines().enumerate() {
        assert!(line.ends_with(&format!("tick {}", number + 1)), "line {number}: {line}");
    }
    log.lines().count()
}
