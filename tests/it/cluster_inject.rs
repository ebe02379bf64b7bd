//! A desktop pod of the shape that abcdesktop makes, with deskd put into it, on a real kubelet.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::support::cluster::{Cluster, Namespace, Pod, PodDesk, container, eventually};
use crate::support::http::Ask;
use crate::support::task::has_window;

const FIXTURE: &str = "tests/fixtures/abcdesktop/desktop-pod.yaml";
const POD: &str = "robin-3f9c1";
pub(crate) const STATE_DIR: &str = "/var/lib/deskd/state";
const PORT: u16 = 29791;
/// Starts of each way in which no probe may fail.
const STARTS: usize = 3;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("DESKD_ROOT")).join(path)
}

/// What deskd is allowed, and the applications that the tests start.
pub(crate) fn let_in(namespace: &Namespace) {
    let rbac = std::fs::read_to_string(repository("container/base/rbac.yaml")).unwrap();
    namespace
        .apply(&rbac.replace("namespace: desktops", &format!("namespace: {}", namespace.name)));
    let toml = format!("--from-file=deskd.toml={}", repository("container/sample.toml").display());
    namespace.must(&["create", "configmap", "deskd", &toml], "");
}

/// The policy, for one namespace alone: other tests make pods of this kind too.
fn policy_for(namespace: &Namespace) {
    let name = &namespace.name;
    let policy = std::fs::read_to_string(repository("container/inject/policy.yaml")).unwrap();
    let binding = "  # CHANGE: further conditions on namespaces.\n";
    assert!(policy.contains(binding));
    let only = format!(
        "  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}}}\n"
    );
    let policy = policy.replace(binding, &only).replace("deskd-inject", &format!("deskd-{name}"));
    namespace.apply(&policy);
    let fixture = std::fs::read_to_string(repository(FIXTURE)).unwrap();
    eventually("the policy is in force", || {
        let dry = ["create", "--dry-run=server", "--output=json", "--filename=-"];
        let made = namespace.must(&dry, &fixture);
        made.contains("deskd.io/injected").then_some(())
    });
}

/// The manifest that `deskd inject` prints; `edit` changes the pod.
pub(crate) fn injected(edit: impl Fn(&mut Value)) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_deskd"))
        .args(["inject", "--output", "json", "--filename"])
        .arg(repository(FIXTURE))
        .unwrap();
    let mut list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = list["items"].as_array_mut().unwrap();
    edit(items.iter_mut().find(|item| item["kind"] == "Pod").unwrap());
    list.to_string()
}

pub(crate) fn create<'a>(namespace: &'a Namespace, manifest: &str) -> Pod<'a> {
    namespace.apply(manifest);
    Pod { namespace, name: POD.into() }
}

/// Until it is gone, so that the next one may have its name.
fn delete(pod: &Pod<'_>) {
    pod.namespace.must(&["delete", "pod", POD, "--grace-period=1"], "");
}

/// Warnings about this pod; one that was deleted may have had some on its way down.
fn warnings(pod: &Pod<'_>) -> Vec<String> {
    let uid = pod.wait_for("it exists", |pod| Some(pod["metadata"]["uid"].clone()));
    let events = pod.namespace.get("events");
    let all = events["items"].as_array().unwrap().iter();
    all.filter(|event| event["type"] == "Warning" && event["involvedObject"]["uid"] == uid)
        .map(|event| event["message"].to_string())
        .collect()
}

fn volume<'a>(pod: &'a mut Value, name: &str) -> &'a mut Value {
    let volumes = pod["spec"]["volumes"].as_array_mut().unwrap();
    volumes.iter_mut().find(|volume| volume["name"] == name).unwrap()
}

fn works(namespace: &Namespace, manifest: &str) {
    for start in 1..=STARTS {
        let pod = create(namespace, manifest);
        pod.wait_until_ready(true);
        assert_eq!(warnings(&pod), [""; 0], "start {start}");
        if start < STARTS {
            delete(&pod);
        }
    }
    let pod = Pod { namespace, name: POD.into() };
    let desk = PodDesk::with_state(pod, STATE_DIR);
    let desktop = desk.get("/v1/desktop");
    assert_eq!(desktop["display"]["shm"]["sysv"], "works", "{desktop:#}");
    let task = desk.launch("xclock");
    // Although the window manager may have begun to start a moment ago.
    let shown = desk.until("it has a window", &task, has_window);
    assert_eq!(shown["engine"], "local", "{shown:#}");
    desk.add(&json!([{ "Id": "eyes", "RepoTags": ["localhost/deskd-desktop:latest"],
        "Config": { "Labels": { "oc.name": "eyes-image", "oc.path": "/usr/bin/xeyes",
            "oc.containerengine": "ephemeral_container" } } }]));
    let plan = desk.get("/v1/apps/eyes-image/plan");
    assert_eq!(plan["engine"], "ephemeral_container", "{plan:#}");
    assert_eq!(warnings(&desk.pod), [""; 0]);
}

#[test]
fn a_desktop_that_the_policy_changed_comes_up_without_a_warning_and_starts_applications() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("policy");
    let_in(&namespace);
    policy_for(&namespace);
    works(&namespace, &std::fs::read_to_string(repository(FIXTURE)).unwrap());
    for kind in ["mutatingadmissionpolicy", "mutatingadmissionpolicybinding"] {
        namespace.must(&["delete", kind, &format!("deskd-{}", namespace.name)], "");
    }
}

#[test]
fn a_desktop_that_the_command_changed_comes_up_without_a_warning_and_starts_applications() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("command");
    let_in(&namespace);
    works(&namespace, &injected(|_| {}));
}

#[test]
fn an_x_server_that_never_listens_makes_the_desktop_unready_with_the_reason_and_stops_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("silent");
    let_in(&namespace);
    let pod = create(
        &namespace,
        &injected(|pod| {
            pod["spec"]["containers"][0]["command"] = json!(["sleep", "infinity"]);
            let deskd = pod["spec"]["initContainers"].as_array_mut().unwrap().last_mut().unwrap();
            // As it is, only sooner over.
            deskd["readinessProbe"]["httpGet"]["path"] = json!("/readyz?wait=1s");
        }),
    );
    eventually("the probe failed", || {
        let all = warnings(&pod);
        all.iter().any(|text| text.contains("Readiness probe failed")).then_some(())
    });
    let text = Ask::new(&pod.door(PORT), "GET", "/readyz?wait=1s").send().text();
    assert!(text.contains("[-]display failed: nothing listens on display :0"), "{text}");
    let token = pod.exec("deskd", &["cat", &format!("{STATE_DIR}/token")]);
    let launch = Ask::new(&pod.door(PORT), "POST", "/v1/tasks")
        .header("authorization", &format!("Bearer {}", token.trim()))
        .json(&json!({ "app": "xclock" }));
    assert_eq!(launch.send().refusal(409), "display_unavailable");
    pod.wait_for("the other containers run", |pod| {
        let ready = |name| container(pod, name).is_some_and(|it| it["ready"] == true);
        (ready("x-anonymous-robin") && ready("o-anonymous-robin")).then_some(())
    });
}

#[test]
fn a_configuration_that_is_wrong_is_left_out_and_told_and_the_desktop_works() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("wrong");
    let_in(&namespace);
    let patch = json!({ "data": { "deskd.toml": "listen = 7" } }).to_string();
    namespace.must(&["patch", "configmap", "deskd", "--patch", &patch], "");
    let pod = create(&namespace, &injected(|_| {}));
    pod.wait_until_ready(true);
    let text = Ask::new(&pod.door(PORT), "GET", "/readyz?verbose").send().text();
    let why = "[-]configuration failed (not required): the configuration file is not used: \
               /etc/deskd/deskd.toml:1:10: `listen`";
    assert!(text.contains(why), "{text}");
    assert!(text.contains("set `kubernetes.engines`"), "no remote engine: {text}");
}

#[test]
fn a_token_without_namespace_is_enough_and_one_of_somebody_else_is_told() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("token");
    let_in(&namespace);
    let pod = create(
        &namespace,
        &injected(|pod| {
            let sources = &mut volume(pod, "deskd-token")["projected"]["sources"];
            sources.as_array_mut().unwrap().retain(|source| source["downwardAPI"].is_null());
        }),
    );
    let desk = PodDesk::with_state(pod, STATE_DIR);
    assert_eq!(desk.get("/v1/desktop")["kubernetes"]["api"], "answers");
    delete(&desk.pod);

    let pod = create(
        &namespace,
        &injected(|pod| {
            volume(pod, "deskd-token")["projected"]["defaultMode"] = json!(0o400);
        }),
    );
    pod.wait_until_ready(true);
    let text = eventually("deskd says why", || {
        let text = Ask::new(&pod.door(PORT), "GET", "/readyz?verbose").send().text();
        text.contains("may not read").then_some(text)
    });
    let why =
        "serviceaccount/token has mode 0400 and belongs to 0:0, and deskd runs as 4096:4096. Leave";
    assert!(text.contains(why), "{text}");
}
