//! What the Kubernetes engine makes before it may list what there is.

use deskd::engine::kubernetes::{Event, Observation};
use serde_json::json;

use crate::support::control_plane::{ControlPlane, available};
use crate::support::kube_engine::{KubeEngine, make_desktop, run};

#[test]
fn a_pod_that_was_made_and_is_gone_before_pods_can_be_listed_is_told_to_be_gone() {
    if !available() {
        return;
    }
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("vanished");
    let desktop = make_desktop(&namespace);
    let rights = |verbs: &str| {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "deskd" },
            "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": verbs.split(' ').collect::<Vec<_>>() }],
        });
        namespace.apply(&role);
    };
    rights("create get");
    let account = format!("--serviceaccount={}:default", namespace.name);
    namespace.kubectl(&["create", "rolebinding", "deskd", "--role=deskd", &account]);
    let kubeconfig = plane.kubeconfig_for_service_account(&namespace.name, "default", None);
    let engine = KubeEngine::start(&kubeconfig, &namespace, &desktop);
    let (gone, stays) = (run("game-0a1b3"), run("game-0a1b4"));
    let pods = [&gone, &stays].map(|run| {
        let object = engine.launch_pod(run, |_| {});
        engine.until_accepted(run);
        object.pod
    });
    namespace.kubectl(&["delete", "pod", &pods[0], "--force", "--grace-period=0"]);
    rights("create get list watch");
    engine.until("it is gone", |event| match event {
        Event::Gone { run } => (*run == gone).then_some(()),
        _ => None,
    });
    engine.until_observed(&stays, "it waits", |what| matches!(what, Observation::Waiting(_)));
}
