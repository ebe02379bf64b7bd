//! Images as volumes of pods, on a real kubelet: what is in them, and what is said when one is not
//! there.

use serde_json::{Value, json};

use crate::support::cluster::{Cluster, Namespace, Pod, PodDesk, eventually};
use crate::support::kube_desk::document_of;

const DESKTOP: &str = "localhost/deskd-desktop:latest";
const POD: &str = "pod_application";
/// Nobody made it.
const MISSING: &str = "localhost/tools:1";

/// A pod that mounts an image at `/tools`.
fn with_tools(image: &str, command: &str) -> Value {
    let container = json!({
        "name": "main", "image": DESKTOP, "imagePullPolicy": "Never",
        "command": ["sh", "-c", command],
        "volumeMounts": [{ "name": "tools", "mountPath": "/tools" }],
    });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "tools" },
        "spec": {
            "restartPolicy": "Never",
            "containers": [container],
            "volumes": [{ "name": "tools", "image": { "reference": image, "pullPolicy": "Never" } }],
        },
    })
}

#[test]
fn a_program_runs_from_an_image_that_is_a_volume_and_nothing_can_be_written_there() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("volumes");
    let command = "/tools/usr/local/bin/deskd --version; touch /tools/new";
    namespace.apply(&with_tools("localhost/deskd:latest", command).to_string());
    let pod = Pod { namespace: &namespace, name: "tools".into() };

    pod.wait_for("it ended", |pod| (pod["status"]["phase"] == "Failed").then_some(()));

    let said = namespace.must(&["logs", "tools"], "");
    assert!(said.contains(concat!("deskd ", env!("CARGO_PKG_VERSION"))), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
}

/// A policy of the cluster that gives the pods of an application an image as a volume.
fn give_tools(namespace: &Namespace, app: &str, image: &str) {
    let group = "admissionregistration.k8s.io/v1";
    let name = format!("tools-{}", namespace.name);
    let mount = "Object.spec.containers.volumeMounts{name: \"tools\", mountPath: \"/tools\"}";
    let container = format!("Object.spec.containers{{name: \"app\", volumeMounts: [{mount}]}}");
    let source = "Object.spec.volumes.image";
    let volume = format!(
        "Object.spec.volumes{{name: \"tools\", \
         image: {source}{{reference: \"{image}\", pullPolicy: \"Never\"}}}}"
    );
    let expression =
        format!("Object{{spec: Object.spec{{containers: [{container}], volumes: [{volume}]}}}}");
    let pods = json!({
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
    });
    let policy = json!({
        "apiVersion": group, "kind": "MutatingAdmissionPolicy", "metadata": { "name": name },
        "spec": {
            "reinvocationPolicy": "Never",
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": {
                    "matchLabels": { "kubernetes.io/metadata.name": namespace.name },
                },
                "objectSelector": { "matchLabels": { "deskd.io/app": app } },
                "resourceRules": [pods],
            },
            "mutations": [{
                "patchType": "ApplyConfiguration",
                "applyConfiguration": { "expression": expression },
            }],
        },
    });
    let binding = json!({
        "apiVersion": group, "kind": "MutatingAdmissionPolicyBinding", "metadata": { "name": name },
        "spec": { "policyName": name },
    });
    namespace.apply(&policy.to_string());
    namespace.apply(&binding.to_string());
    let labels = format!("--labels=deskd.io/app={app}");
    let dry =
        ["run", "app", "--image=example.org/none", "--dry-run=server", "--output=json", &labels];
    eventually("the policy counts", || {
        let pod: Value = serde_json::from_str(&namespace.must(&dry, "")).expect("a pod");
        let volumes = pod["spec"]["volumes"].as_array()?;
        volumes.iter().any(|volume| volume["name"] == "tools").then_some(())
    });
}

#[test]
fn an_image_that_is_missing_is_named_and_what_waits_for_it_can_be_stopped() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("missing");
    give_tools(&namespace, "tools", MISSING);
    let desk = PodDesk::of(namespace.desktop(|manifest| manifest));
    let labels = json!({ "oc.path": "/usr/bin/sleep", "oc.args": "600" });
    desk.add(&document_of(DESKTOP, "tools", Some(POD), &labels));
    desk.add(&document_of("127.0.0.1:5011/app:1", "nowhere", Some(POD), &labels));

    let tools = desk.launch("tools");
    let nowhere = desk.launch("nowhere");
    let waits = |task: &str, words: &str, cause: &str| {
        let seen = desk.until(words, task, |task| {
            let said = task["waiting"].as_str().is_some_and(|said| said.contains(words));
            (said && task["diagnosis"]["cause"] == cause).then(|| task.clone())
        });
        println!("{}\n    {}", seen["waiting"], seen["diagnosis"]["sentence"]);
    };
    let of_volume = "lacks the image localhost/tools:1 of its volume tools, and with pull policy Never it is not pulled";
    waits(&tools, of_volume, "image_never_pulled");
    waits(&nowhere, "the image 127.0.0.1:5011/app:1", "registry_away");

    for task in [&tools, &nowhere] {
        desk.ask("POST", &format!("/v1/tasks/{task}/stop")).json(&json!({})).send();
        let ended =
            desk.until("it ended", task, |task| (task["state"] == "ended").then(|| task.clone()));
        println!("{}: {} {}", ended["app"], ended["exit"], ended["cause"]);
        assert_eq!(ended["exit"]["reason"], "it was stopped before it ran", "{ended:#}");
        assert_ne!(ended["diagnosis"]["cause"], "node_lost", "{ended:#}");
    }
    let name = format!("tools-{}", namespace.name);
    for kind in ["mutatingadmissionpolicybinding", "mutatingadmissionpolicy"] {
        cluster.must(&["delete", kind, &name], "");
    }
}
