//! What goes wrong in a cluster, as a user reads it: on a real kubelet, scheduler and API server.

use serde_json::{Value, json};

use crate::support::cluster::{Cluster, PodDesk};
use crate::support::kube_desk::document_of;

const CLASSES: &str = r#"
[execute_class.tiny]
limits = { memory = "32Mi" }

[execute_class.huge]
requests = { cpu = "100" }

[execute_class.ssd]
node_selector = { disk = "ssd" }
"#;
const DESKTOP: &str = "localhost/deskd-desktop:latest";
const EPHEMERAL: &str = "ephemeral_container";
const POD: &str = "pod_application";

/// What a task says when it has failed, or cannot start: its cause, else what it waits for.
fn trouble(task: &Value) -> Option<String> {
    let words = |field: &str| task[field].as_str().map(str::to_owned);
    if task["state"] == "ended" { words("cause") } else { words("waiting") }
}

#[test]
fn each_failure_is_a_sentence_that_names_what_is_wrong() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("failures");
    let desk = PodDesk::of(namespace.desktop_with(|manifest| manifest, CLASSES));
    // application, image, engine, labels, words that are said
    let cases: [(&str, &str, &str, Value, &[&str]); 9] = [
        (
            "eater",
            DESKTOP,
            POD,
            json!({ "oc.path": "/usr/bin/tail", "oc.args": "/dev/zero", "oc.executeclassname": "tiny" }),
            &["memory", "OOMKilled"],
        ),
        ("huge", DESKTOP, POD, json!({ "oc.executeclassname": "huge" }), &["cpu"]),
        ("gpu", DESKTOP, POD, json!({ "oc.executeclassname": "gpu" }), &["nvidia.com/gpu"]),
        ("ssd", DESKTOP, POD, json!({ "oc.executeclassname": "ssd" }), &["node", "selector"]),
        ("imageless", "localhost/nowhere:1", POD, json!({}), &["localhost/nowhere:1"]),
        ("imageless-here", "localhost/nowhere:1", EPHEMERAL, json!({}), &["localhost/nowhere:1"]),
        ("bad-name", "localhost/Upper:1", POD, json!({}), &["localhost/Upper:1"]),
        ("missing", DESKTOP, POD, json!({ "oc.path": "/nope" }), &["/nope"]),
        ("missing-here", DESKTOP, EPHEMERAL, json!({ "oc.path": "/nope" }), &["/nope"]),
    ];
    let tasks: Vec<_> = cases
        .iter()
        .map(|(name, image, engine, labels, words)| {
            desk.add(&document_of(image, name, Some(engine), labels));
            (*name, desk.launch(name), *words)
        })
        .collect();
    for (name, task, words) in tasks {
        let said = desk.until(&format!("{name} says {words:?}"), &task, |task| {
            let said = trouble(task)?;
            words.iter().all(|word| said.contains(word)).then_some(said)
        });
        println!("{name}: {said}");
        desk.ask("POST", &format!("/v1/tasks/{task}/stop")).json(&json!({ "force": true })).send();
    }
}

#[test]
fn what_a_quota_or_a_policy_refuses_is_told_at_once() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("refusals");
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/container/admission.yaml");
    let policy = std::fs::read_to_string(policy).expect("container/admission.yaml");
    namespace.apply(&policy.replace("desktops", &namespace.name));
    let desk = PodDesk::of(namespace.desktop(|manifest| manifest));
    desk.add(&document_of("registry.invalid/app:1", "foreign", Some(POD), &json!({})));
    desk.add(&document_of(DESKTOP, "app", Some(POD), &json!({})));
    let refused = |app: &str| {
        let answer = desk.ask("POST", "/v1/tasks").json(&json!({ "app": app })).send();
        (answer.status == 409).then(|| answer.json())
    };
    let said = crate::support::wait::until("the policy counts", || refused("foreign"));
    println!("{said}");
    assert_eq!(said["code"], "admission_denied");
    let message = said["message"].as_str().expect("a message");
    assert!(message.contains("registry.invalid/app:1 is not allowed"), "{message}");
    namespace.apply(
        "{apiVersion: v1, kind: ResourceQuota, metadata: {name: cap}, spec: {hard: {pods: '1'}}}",
    );
    let said = crate::support::wait::until("the quota counts", || refused("app"));
    println!("{said}");
    assert!(said["message"].as_str().expect("a message").contains("cap"), "{said}");
}
