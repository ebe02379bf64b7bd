//! The control plane of the tests is one: what tests of deskd build on.

use serde_json::json;

use crate::support::control_plane::{ControlPlane, available};
use crate::support::wait;

fn pod(name: &str, limits: &serde_json::Value) -> serde_json::Value {
    let container =
        json!({ "name": "main", "image": "example.org/none", "resources": { "limits": limits } });
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name },
        "spec": { "containers": [container] },
    })
}

#[test]
fn a_token_bound_to_a_pod_says_which_pod() {
    if !available() {
        return;
    }
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("bound");
    namespace.apply(&pod("desktop", &json!({})));
    let uid = namespace.kubectl_json(&["get", "pod", "desktop"])["metadata"]["uid"].clone();

    let config = plane.kubeconfig_for_service_account(&namespace.name, "default", Some("desktop"));

    let who = plane.kubectl_as(&config, &["auth", "whoami", "--output", "json"]).unwrap();
    let who: serde_json::Value = serde_json::from_str(&who).unwrap();
    let user = &who["status"]["userInfo"];
    assert_eq!(user["username"], format!("system:serviceaccount:{}:default", namespace.name));
    assert_eq!(user["extra"]["authentication.kubernetes.io/pod-name"], json!(["desktop"]));
    assert_eq!(user["extra"]["authentication.kubernetes.io/pod-uid"], json!([uid]));
}

#[test]
fn what_a_pod_owns_goes_with_it_and_quotas_are_counted() {
    if !available() {
        return;
    }
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("controllers");
    namespace.apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": { "name": "cap" }, "spec": { "hard": { "pods": "2" } },
    }));
    namespace.until("the quota counts", "resourcequota", "cap", |quota| {
        quota["status"]["hard"]["pods"] == "2"
    });
    namespace.apply(&pod("owner", &json!({})));
    let owner = namespace.kubectl_json(&["get", "pod", "owner"]);
    let mut owned = pod("owned", &json!({}));
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "Pod", "name": "owner", "uid": owner["metadata"]["uid"],
    }]);
    namespace.apply(&owned);
    namespace.until("both pods count", "resourcequota", "cap", |quota| {
        quota["status"]["used"]["pods"] == "2"
    });

    namespace.kubectl(&["delete", "pod", "owner"]);

    wait::until("the owned pod is gone", || {
        let left = namespace.kubectl_json(&["get", "pods"]);
        left["items"].as_array()?.is_empty().then_some(())
    });
}

#[test]
fn a_pod_that_fits_nowhere_says_which_resource_is_missing() {
    if !available() {
        return;
    }
    let plane = ControlPlane::start();
    plane.start_scheduler();
    plane.make_node("node", &json!({ "cpu": "2", "memory": "4Gi", "pods": "10" }));
    let namespace = plane.namespace("scheduler");

    namespace.apply(&pod("fits", &json!({ "cpu": "1" })));
    namespace.apply(&pod("gpu", &json!({ "nvidia.com/gpu": "1" })));

    namespace.until("one is bound", "pod", "fits", |pod| pod["spec"]["nodeName"] == "node");
    namespace.until("the other is not", "pod", "gpu", |pod| {
        let condition = &pod["status"]["conditions"][0];
        condition["reason"] == "Unschedulable"
            && condition["message"].as_str().unwrap().contains("Insufficient nvidia.com/gpu")
    });
}

#[test]
fn a_restarted_api_server_has_what_it_had() {
    if !available() {
        return;
    }
    let plane = ControlPlane::start();
    let namespace = plane.namespace("restart");
    namespace.apply(&pod("kept", &json!({})));
    let config = plane.kubeconfig_for_service_account(&namespace.name, "default", None);

    plane.restart();
    plane.kubectl_as(&config, &["auth", "whoami"]).unwrap();
    plane.stop_api_server();
    let error = plane.kubectl_as(&config, &["auth", "whoami"]).unwrap_err();
    assert!(error.contains("refused"), "{error}");
    plane.start_api_server();

    plane.kubectl_as(&config, &["auth", "whoami"]).unwrap();
    namespace.kubectl(&["get", "pod", "kept"]);
}

#[test]
fn nothing_is_left_of_a_dropped_control_plane() {
    if !available() {
        return;
    }
    let plane = ControlPlane::start();
    let directory = plane.directory().to_owned();
    let of_plane = || {
        let mut all = deskd_keeper::procfs::pids().unwrap().into_iter();
        all.any(|pid| {
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            command.is_ok_and(|command| command.contains(directory.to_str().unwrap()))
        })
    };
    assert!(of_plane());

    drop(plane);

    assert!(!of_plane(), "processes of {} are left", directory.display());
    assert!(!directory.exists());
}
