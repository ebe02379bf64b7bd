//! What is delivered meets Pod Security `restricted`, with a read-only root, for any user, in user
//! namespaces: as a real API server judges it. `cluster_hardened` shows that it works there.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use deskd_core::inject::{Binary, IMAGE_DEFAULT, Options, inject};
use serde_json::{Value, json};

use crate::support::charts::{objects, repository};
use crate::support::control_plane::{self, ControlPlane, Namespace};
use crate::support::hardened::{ANY_USER, VARIANTS, edited};

fn plane() -> Option<&'static ControlPlane> {
    control_plane::available().then(ControlPlane::shared)
}

/// A namespace that takes nothing else.
fn restricted(plane: &ControlPlane) -> Namespace<'_> {
    let namespace = plane.namespace("hardened");
    plane.kubectl(&[
        "label",
        "namespace",
        &namespace.name,
        "pod-security.kubernetes.io/enforce=restricted",
    ]);
    for name in ["deskd", "robot"] {
        let account =
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
        namespace.apply(&account);
    }
    namespace
}

/// What the API server would store, or why it refuses.
fn created(namespace: &Namespace<'_>, plane: &ControlPlane, pod: &str) -> Result<Value, String> {
    let create =
        ["create", "--namespace", &namespace.name, "--dry-run=server", "--output=json", "-f", "-"];
    let text = plane.kubectl_input(&plane.admin_kubeconfig(), &create, pod)?;
    Ok(serde_json::from_str(&text).unwrap())
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["initContainers", "containers"].into_iter();
    lists.filter_map(|list| pod["spec"][list].as_array()).flatten()
}

#[test]
fn the_desktop_pod_is_taken_in_each_variant_and_needs_no_writable_root() {
    let Some(plane) = plane() else { return };
    let namespace = restricted(plane);
    let manifest = std::fs::read_to_string(repository("container/pod.yaml")).unwrap();
    for variant in VARIANTS {
        let pod = created(&namespace, plane, &edited(&manifest, variant)).unwrap();
        assert_eq!(containers(&pod).count(), 2);
        for container in containers(&pod) {
            let security = &container["securityContext"];
            assert_eq!(security["readOnlyRootFilesystem"], true, "{}", container["name"]);
            assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
        }
        let hosts = &pod["spec"]["hostUsers"];
        assert_eq!(*hosts, if variant.user_namespace { json!(false) } else { Value::Null });
        let user = &pod["spec"]["securityContext"]["runAsUser"];
        assert_eq!(*user, variant.uid.map_or(Value::Null, |uid| json!(uid)), "{}", variant.name);
    }
    // The test can fail: the same namespace refuses what is not like that.
    let loose =
        manifest.replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true");
    let refusal = created(&namespace, plane, &loose).unwrap_err();
    assert!(refusal.contains("violates PodSecurity \"restricted:latest\""), "{refusal}");
}

#[test]
fn deskd_in_a_desktop_that_is_restricted_keeps_it_restricted() {
    let Some(plane) = plane() else { return };
    let namespace = restricted(plane);
    let fixture = repository("tests/fixtures/abcdesktop/desktop-pod.yaml");
    let fixture = objects(&std::fs::read_to_string(fixture).unwrap());
    let mut desktop = fixture.into_iter().find(|object| object["kind"] == "Pod").unwrap();
    let strict = json!({
        "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
        "readOnlyRootFilesystem": true, "runAsNonRoot": true,
        "runAsUser": ANY_USER, "runAsGroup": 0, "seccompProfile": { "type": "RuntimeDefault" },
    });
    for list in ["containers", "initContainers"] {
        for container in desktop["spec"][list].as_array_mut().into_iter().flatten() {
            container["securityContext"] = strict.clone();
        }
    }
    created(&namespace, plane, &desktop.to_string()).expect("without deskd");
    for binary in [Binary::OwnImage, Binary::ImageVolume] {
        let mut pod = desktop.clone();
        let options = Options { container: None, image: IMAGE_DEFAULT.into(), binary };
        assert_eq!(inject(&mut pod, &options).injected.len(), 1);
        let made = created(&namespace, plane, &pod.to_string()).expect("with deskd");
        let deskd = containers(&made).find(|container| container["name"] == "deskd").unwrap();
        let security = &deskd["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(
            (&security["runAsUser"], &security["runAsGroup"]),
            (&json!(ANY_USER), &json!(0))
        );
    }
}
