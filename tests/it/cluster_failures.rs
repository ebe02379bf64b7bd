//! What goes wrong in a cluster, as a user reads it: on a real kubelet, scheduler and API server.

use serde_json::{Value, json};

use crate::support::cluster::{Cluster, Namespace, PodDesk, eventually};
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

/// Takes more memory than the class tiny has, less than small, and then stays.
const EATER: &str = r#"-e '$| = 1; my $eaten = "x" x 100_000_000; print length $eaten; sleep 600'"#;
/// Where the registry of `fake_registry.py` listens in the cluster.
const REGISTRY: &str = "127.0.0.1:5010";

/// One that goes wrong, or waits.
struct Case {
    app: &'static str,
    image: String,
    engine: &'static str,
    labels: Value,
    /// Words that are said.
    words: &'static [&'static str],
    /// As `task.diagnosis` names it.
    cause: &'static str,
    /// The resource of which another class is proposed to have more or less.
    resource: Option<(&'static str, bool)>,
}

impl Case {
    fn of(
        app: &'static str,
        image: &str,
        cause: &'static str,
        words: &'static [&'static str],
    ) -> Self {
        let image = image.to_owned();
        Self { app, image, engine: POD, labels: json!({}), words, cause, resource: None }
    }

    fn here(self) -> Self {
        Self { engine: EPHEMERAL, ..self }
    }

    fn with(self, labels: Value) -> Self {
        Self { labels, ..self }
    }

    fn another_class(self, resource: &'static str, more: bool) -> Self {
        Self { resource: Some((resource, more)), ..self }
    }

    fn check(&self, task: &Value) {
        let diagnosis = &task["diagnosis"];
        assert_eq!(diagnosis["cause"], self.cause, "{}: {task:#}", self.app);
        assert_ne!(diagnosis["proof"], json!([]), "{}: {task:#}", self.app);
        assert_ne!(diagnosis["advice"], "", "{}: {task:#}", self.app);
        let remedy = &diagnosis["remedy"];
        let Some((resource, more)) = self.resource else {
            return assert_eq!(remedy, &Value::Null, "{}: {task:#}", self.app);
        };
        let told = (&remedy["kind"], &remedy["resource"], &remedy["more"]);
        assert_eq!(told, (&json!("other_class"), &json!(resource), &json!(more)), "{task:#}");
    }
}

fn sleeping() -> Value {
    json!({ "oc.path": "/usr/bin/sleep", "oc.args": "600" })
}

fn cases() -> Vec<Case> {
    let class = |name: &str| {
        let mut labels = sleeping();
        labels["oc.executeclassname"] = json!(name);
        labels
    };
    let mut eater = class("tiny");
    eater["oc.path"] = json!("/usr/bin/perl");
    eater["oc.args"] = json!(EATER);
    let registry = |repository: &str| format!("{REGISTRY}/{repository}:1");
    vec![
        Case::of("eater", DESKTOP, "out_of_memory", &["memory"])
            .with(eater)
            .another_class("memory", true),
        Case::of("huge", DESKTOP, "unschedulable_resource", &["cpu"])
            .with(class("huge"))
            .another_class("cpu", false),
        Case::of("gpu", DESKTOP, "unschedulable_resource", &["nvidia.com/gpu"])
            .with(class("gpu"))
            .another_class("nvidia.com/gpu", false),
        Case::of("ssd", DESKTOP, "unschedulable_selector", &["node", "selector"])
            .with(class("ssd")),
        Case::of("nowhere", "127.0.0.1:5011/app:1", "registry_away", &["127.0.0.1:5011/app:1"]),
        Case::of(
            "nowhere-here",
            "127.0.0.1:5011/app:1",
            "registry_away",
            &["127.0.0.1:5011/app:1"],
        )
        .here(),
        Case::of("no-image", &registry("404"), "image_not_found", &["127.0.0.1:5010/404:1"]),
        Case::of("no-image-here", &registry("404"), "image_not_found", &["127.0.0.1:5010/404:1"])
            .here(),
        Case::of("unknown-here", &registry("401"), "image_auth", &["127.0.0.1:5010/401:1"]).here(),
        Case::of("bad-name", "localhost/Upper:1", "image_name_invalid", &["localhost/Upper:1"]),
        Case::of("missing", DESKTOP, "program_not_found", &["/nope"])
            .with(json!({ "oc.path": "/nope" })),
        Case::of("missing-here", DESKTOP, "program_not_found", &["/nope"])
            .with(json!({ "oc.path": "/nope" }))
            .here(),
    ]
}

#[test]
fn each_failure_is_a_sentence_that_names_what_is_wrong_and_is_mended_where_it_can_be() {
    let Some(cluster) = Cluster::shared() else { return };
    let _registry = cluster.fake_registry(REGISTRY);
    let namespace = cluster.namespace("failures");
    let desk = PodDesk::of(namespace.desktop_with(|manifest| manifest, CLASSES));
    let cases = cases();
    let launch = |case: &Case| {
        desk.add(&document_of(&case.image, case.app, Some(case.engine), &case.labels));
        desk.launch(case.app)
    };
    let tasks: Vec<String> = cases.iter().map(launch).collect();
    for (case, task) in cases.iter().zip(&tasks) {
        let seen = desk.until(&format!("{} is diagnosed", case.app), task, |task| {
            let said = trouble(task)?;
            let all = case.words.iter().all(|word| said.contains(word));
            (all && task["diagnosis"]["cause"].is_string()).then(|| task.clone())
        });
        println!(
            "{}: {}\n    {}",
            case.app,
            trouble(&seen).unwrap_or_default(),
            seen["diagnosis"]["sentence"]
        );
        case.check(&seen);
    }
    let task = |app: &str| {
        let at = cases.iter().position(|case| case.app == app).expect("a case");
        tasks[at].as_str()
    };
    mended_with_another_class(&desk, &namespace, task("eater"), ["tiny", "small"], "256Mi");
    mended_with_another_class(&desk, &namespace, task("gpu"), ["gpu", "default"], "1Gi");
    runs_once_a_node_has_a_gpu(cluster, &desk);
    an_eviction_is_told(&desk, &namespace);
    for task in &tasks {
        desk.ask("POST", &format!("/v1/tasks/{task}/stop")).json(&json!({ "force": true })).send();
    }
}

/// Applies the remedy of a task that failed or waits: it runs as a pod of the other class.
fn mended_with_another_class(
    desk: &PodDesk<'_>,
    namespace: &Namespace,
    task: &str,
    [before, after]: [&str; 2],
    limit: &str,
) {
    let first = desk.get(&format!("/v1/tasks/{task}"));
    let pod_of = |task: &Value| task["object"]["pod"].as_str().map(|pod| format!("pod/{pod}"));
    let first_pod = pod_of(&first).expect("a pod");
    desk.ask("POST", &format!("/v1/tasks/{task}/remedy")).send().expect(202);
    let mended = desk.until("it runs with another class", task, |task| {
        (task["state"] == "running" && task["runs"] == 2).then(|| task.clone())
    });
    let applied = &mended["remedied"];
    let told = (&applied["by"], &applied["kind"], &applied["before"], &applied["after"]);
    let [before, after] =
        [before, after].map(|class| json!(format!("with the execute class `{class}`")));
    assert_eq!(told, (&json!("a user"), &json!("other_class"), &before, &after), "{mended:#}");
    assert_eq!(applied["diagnosis"]["cause"], first["diagnosis"]["cause"], "{mended:#}");
    let pod = pod_of(&mended).expect("a pod");
    assert_ne!(pod, first_pod);
    let limits = &namespace.get(&pod)["spec"]["containers"][0]["resources"]["limits"];
    assert_eq!(limits["memory"], limit, "{limits}");
    eventually("the first pod is gone", || namespace.get(&first_pod).is_null().then_some(()));
    let again = desk.ask("POST", &format!("/v1/tasks/{task}/remedy")).send();
    assert_eq!(again.refusal(409), "no_remedy", "once per task");
}

/// What kubelet would say of a node with this many GPUs.
fn advertise_gpus(cluster: &Cluster, gpus: Option<u32>) {
    let change =
        json!({ "status": { "capacity": { "nvidia.com/gpu": gpus.map(|n| n.to_string()) } } });
    let patch = ["patch", "node", "node", "--subresource=status", "--type=merge", "--patch"];
    cluster.must(&[&patch[..], &[&change.to_string()]].concat(), "");
}

/// With one GPU, the first of two that wait for it gets it.
fn runs_once_a_node_has_a_gpu(cluster: &Cluster, desk: &PodDesk<'_>) {
    let tasks = [desk.launch("gpu"), desk.launch("gpu")];
    let waits =
        |task: &Value| (task["diagnosis"]["cause"] == "unschedulable_resource").then_some(());
    for task in &tasks {
        desk.until("it waits for a GPU", task, waits);
    }
    advertise_gpus(cluster, Some(1));
    let running = || {
        let is_running =
            |task: &&String| desk.get(&format!("/v1/tasks/{task}"))["state"] == "running";
        tasks.iter().find(is_running)
    };
    let first = eventually("one of them runs", running);
    let seen = desk.get(&format!("/v1/tasks/{first}"));
    assert_eq!((&seen["runs"], &seen["diagnosis"]), (&json!(1), &Value::Null), "{seen:#}");
    let second = tasks.iter().find(|task| *task != first).expect("another");
    desk.until("it still waits", second, waits);
    desk.ask("POST", &format!("/v1/tasks/{first}/stop")).json(&json!({ "force": true })).send();
    desk.until("it gets what the other gave back", second, |task| {
        (task["state"] == "running").then_some(())
    });
    advertise_gpus(cluster, None);
}

/// By the API, as `kubectl drain` does it.
fn an_eviction_is_told(desk: &PodDesk<'_>, namespace: &Namespace) {
    // It takes the signal: a first process without a handler is killed after the grace.
    let script = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
    let labels = json!({ "oc.path": "/bin/sh", "oc.args": shell_words::join(["-c", script]) });
    desk.add(&document_of(DESKTOP, "victim", Some(POD), &labels));
    let task = desk.launch("victim");
    let pod = desk.until("it runs", &task, |task| {
        let pod = task["object"]["pod"].as_str()?;
        (task["state"] == "running").then(|| pod.to_owned())
    });
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", namespace.name);
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": pod, "namespace": namespace.name },
    });
    namespace.must(&["create", "--raw", &path, "--filename=-"], &eviction.to_string());
    let ended = desk.until("its end is told", &task, |task| {
        (task["state"] == "ended" && task["diagnosis"].is_object()).then(|| task.clone())
    });
    println!("victim: {}\n{:#}", ended["cause"], ended["diagnosis"]);
    assert_eq!(ended["diagnosis"]["cause"], "evicted", "{ended:#}");
    let sentence = ended["diagnosis"]["sentence"].as_str().expect("a sentence");
    assert!(sentence.starts_with("Somebody cleared the machine"), "{sentence}");
}

#[test]
fn what_a_quota_or_a_policy_refuses_is_told_at_once() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("refusals");
    let policy = concat!(env!("DESKD_ROOT"), "/container/base/admission.yaml");
    let policy = std::fs::read_to_string(policy).expect("container/base/admission.yaml");
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
