//! What is to be so on an older Kubernetes as well, and what is not.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use deskd::engine::kubernetes::RefusalCode;
use deskd_core::plan::EngineKind;
use serde_json::{Value, json};

use crate::kubernetes_engine::{adopt, follow_a_pod, launch_ten, stop};
use crate::kubernetes_rights::everything_is_allowed;
use crate::support::control_plane::{ControlPlane, Namespace, Version, available, available_in};
use crate::support::kube_engine::{KubeEngine, make_desktop, run};
use crate::support::rights::Desk;
use crate::support::{needs, wait};

fn older() -> Option<&'static ControlPlane> {
    available_in(Version::V1_34).then(|| ControlPlane::shared_version(Version::V1_34))
}

#[test]
fn on_an_older_kubernetes_a_pod_is_one_write_and_no_list() {
    let Some(plane) = older() else { return };
    let version: Value =
        serde_json::from_str(&plane.kubectl(&["get", "--raw", "/version"])).unwrap();
    assert_eq!(version["minor"], "34", "{version}");
    follow_a_pod(plane);
}

#[test]
fn on_an_older_kubernetes_ten_launches_are_few_patches() {
    let Some(plane) = older() else { return };
    launch_ten(plane);
}

#[test]
fn on_an_older_kubernetes_a_stop_has_its_grace() {
    let Some(plane) = older() else { return };
    stop(plane);
}

#[test]
fn on_an_older_kubernetes_a_new_daemon_finds_everything() {
    let Some(plane) = older() else { return };
    adopt(plane);
}

#[test]
fn on_an_older_kubernetes_the_rights_and_the_policies_of_the_files_count() {
    if !needs::met(&["curl"], &[]) {
        return;
    }
    let Some(plane) = older() else { return };
    everything_is_allowed(&Desk::together(plane));
}

/// A policy that changes each pod of a namespace, and its binding.
fn policy(namespace: &str, mutation: &Value) -> [Value; 2] {
    let group = "admissionregistration.k8s.io/v1";
    let name = format!("changes-{namespace}");
    let own = json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } });
    let pods = json!({
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
    });
    let policy = json!({
        "apiVersion": group, "kind": "MutatingAdmissionPolicy", "metadata": { "name": name },
        "spec": {
            "reinvocationPolicy": "Never",
            "failurePolicy": "Fail",
            "matchConstraints": { "namespaceSelector": own, "resourceRules": [pods] },
            "mutations": [mutation],
        },
    });
    let binding = json!({
        "apiVersion": group, "kind": "MutatingAdmissionPolicyBinding", "metadata": { "name": name },
        "spec": { "policyName": name },
    });
    [policy, binding]
}

/// A policy that is in force; gone with the value.
struct Policy<'a> {
    plane: &'a ControlPlane,
    name: String,
}

impl<'a> Policy<'a> {
    fn apply(plane: &'a ControlPlane, objects: &[Value; 2]) -> Self {
        for object in objects {
            plane.apply(&object.to_string());
        }
        Self { plane, name: objects[0]["metadata"]["name"].as_str().unwrap().to_owned() }
    }
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        for kind in ["mutatingadmissionpolicybinding", "mutatingadmissionpolicy"] {
            let arguments = ["delete", kind, &self.name, "--wait=false"];
            let _ = self.plane.kubectl_as(&self.plane.admin_kubeconfig(), &arguments);
        }
    }
}

/// What would become of a pod: as it would be, or why it would not.
fn dry_run(plane: &ControlPlane, namespace: &Namespace<'_>) -> Result<Value, String> {
    let namespace = format!("--namespace={}", namespace.name);
    let run = ["run", "probe", "--image=example.org/none", "--dry-run=server", "--output=json"];
    let arguments = [&run[..], &[&namespace]].concat();
    let made = plane.kubectl_as(&plane.admin_kubeconfig(), &arguments)?;
    Ok(serde_json::from_str(&made).unwrap())
}

#[test]
fn a_mutating_policy_counts_on_the_newest_and_is_unknown_to_an_older_one() {
    if !available() {
        return;
    }
    let Some(old) = older() else { return };
    let label = "Object{metadata: Object.metadata{labels: {\"by\": \"policy\"}}}";
    let labels = json!({
        "patchType": "ApplyConfiguration", "applyConfiguration": { "expression": label },
    });
    let [unknown, _] = policy("anywhere", &labels).map(|object| object.to_string());
    let arguments = ["apply", "--filename", "-"];
    let refused = old.kubectl_input(&old.admin_kubeconfig(), &arguments, &unknown).unwrap_err();
    let words = "no matches for kind \"MutatingAdmissionPolicy\" in version";
    assert!(refused.contains(words), "{refused}");

    let new = ControlPlane::shared();
    let namespace = new.namespace("mutated");
    let _policy = Policy::apply(new, &policy(&namespace.name, &labels));
    wait::until("the policy counts", || {
        let pod = dry_run(new, &namespace).unwrap();
        (pod["metadata"]["labels"]["by"] == "policy").then_some(())
    });
}

#[test]
fn a_mutating_policy_that_fails_is_a_refusal_that_names_it() {
    if !available() {
        return;
    }
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("fails");
    let desktop = make_desktop(&namespace);
    let removal = "[JSONPatch{op: \"remove\", path: \"/metadata/annotations/none\"}]";
    let removes = json!({ "patchType": "JSONPatch", "jsonPatch": { "expression": removal } });
    let policy = Policy::apply(plane, &policy(&namespace.name, &removes));
    wait::until("the policy counts", || dry_run(plane, &namespace).err());

    let engine = KubeEngine::start(&plane.admin_kubeconfig(), &namespace, &desktop);
    engine.until_synced(EngineKind::PodApplication);
    let game = run("game-00001");
    engine.launch_pod(&game, |_| {});
    let refusal = engine.until_refused(&game);

    println!("{}", refusal.sentence());
    assert_eq!(refusal.code(), RefusalCode::Admission, "{refusal:?}");
    let words = format!("the cluster's policy {}, which is to change it, fails", policy.name);
    assert!(refusal.sentence().contains(&words), "{refusal}");
}
