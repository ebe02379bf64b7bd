//! Images as volumes of pods, on a real kubelet.

use serde_json::{Value, json};

use crate::support::cluster::{Cluster, Pod};

const DESKTOP: &str = "localhost/deskd-desktop:latest";

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
