//! `container/inject/policy.yaml` on a real API server: it makes the pod that `deskd inject` makes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use assert_cmd::Command;
use deskd_core::inject::{Binary, IMAGE_DEFAULT, Options, inject};
use serde_json::{Value, json};

use crate::support::control_plane::{self, ControlPlane, Namespace, Version};
use crate::support::wait;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("DESKD_ROOT")).join(path)
}

fn policy() -> String {
    std::fs::read_to_string(repository("container/inject/policy.yaml")).unwrap()
}

/// The canonical desktop pod.
fn desktop() -> Value {
    let fixture = repository("tests/fixtures/abcdesktop/desktop-pod.yaml");
    let output = Command::new(env!("CARGO_BIN_EXE_deskd"))
        .args(["inject", "--output", "json", "--filename"])
        .arg(fixture)
        .unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = list["items"].as_array().unwrap();
    let mut pod = items.iter().find(|item| item["kind"] == "Pod").unwrap().clone();
    // As it was before: what deskd inject adds is compared, not taken for granted.
    let spec = pod["spec"].as_object_mut().unwrap();
    spec.remove("serviceAccount");
    spec.remove("serviceAccountName");
    for key in ["initContainers", "volumes"] {
        let list = spec[key].as_array_mut().unwrap();
        list.retain(|item| !item["name"].as_str().unwrap().starts_with("deskd"));
    }
    pod["metadata"]["labels"].as_object_mut().unwrap().remove("netpol/api");
    pod["metadata"]["annotations"].as_object_mut().unwrap().remove("deskd.io/injected");
    pod
}

/// One of these tests' own: the policy sees the pods of all namespaces.
fn plane() -> Option<&'static ControlPlane> {
    static PLANE: OnceLock<ControlPlane> = OnceLock::new();
    control_plane::available().then(|| {
        PLANE.get_or_init(|| {
            let plane = ControlPlane::start();
            plane.start_controllers();
            plane.apply(&policy());
            let namespace = let_in(&plane);
            wait::until("the policy is in force", || {
                has_deskd(&created(&plane, &namespace, &desktop())).then_some(())
            });
            drop(namespace);
            plane
        })
    })
}

/// A namespace with deskd's service account.
fn let_in(plane: &ControlPlane) -> Namespace<'_> {
    let namespace = plane.namespace("inject");
    for name in ["deskd", "robot"] {
        let account =
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
        namespace.apply(&account);
    }
    namespace
}

/// What the API server would store, without what differs from request to request.
fn created(plane: &ControlPlane, namespace: &Namespace<'_>, pod: &Value) -> Value {
    let arguments =
        ["create", "--namespace", &namespace.name, "--dry-run=server", "--output=json", "-f", "-"];
    let text = plane.kubectl_input(&plane.admin_kubeconfig(), &arguments, &pod.to_string());
    let text = text.unwrap_or_else(|error| panic!("{error}\n{pod:#}"));
    let mut pod: Value = serde_json::from_str(&text).unwrap();
    for key in ["uid", "creationTimestamp", "managedFields"] {
        pod["metadata"].as_object_mut().unwrap().remove(key);
    }
    pod
}

fn has_deskd(pod: &Value) -> bool {
    let containers = pod["spec"]["initContainers"].as_array();
    containers.into_iter().flatten().any(|container| container["name"] == "deskd")
}

fn options() -> Options {
    Options { container: None, image: IMAGE_DEFAULT.into(), binary: Binary::ImageVolume }
}

/// The desktop with something else in the place of a pointer; null takes it away.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut pod = desktop();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = pod.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            assert!(parent.remove(key).is_some(), "{pointer}");
        } else {
            parent.insert(key.to_owned(), value.clone());
        }
    }
    pod
}

/// Pods that differ in what is copied.
fn shapes() -> Vec<(&'static str, Value)> {
    const GRAPHICAL: &str = "/spec/containers/0";
    let graphical = |key: &str| format!("{GRAPHICAL}/{key}");
    let one = |key: &str, value: Value| with(&[(&graphical(key), value)]);
    let account = |name: &str| with(&[("/spec/serviceAccountName", json!(name))]);
    let variable = |name: &str, value: &str| json!([{ "name": name, "value": value }]);
    vec![
        ("as it is", desktop()),
        ("no init container", with(&[("/spec/initContainers", Value::Null)])),
        ("no annotations", with(&[("/metadata/annotations", Value::Null)])),
        ("no pod security context", with(&[("/spec/securityContext", Value::Null)])),
        ("root", one("securityContext", json!({ "runAsUser": 0, "privileged": true }))),
        ("a user of its own", one("securityContext", json!({ "runAsUser": 7, "runAsGroup": 8 }))),
        ("a read-only root", one("securityContext", json!({ "readOnlyRootFilesystem": true }))),
        ("no security context", one("securityContext", Value::Null)),
        ("no limits", one("resources", Value::Null)),
        (
            "devices",
            one("resources", json!({ "limits": { "memory": "1Gi", "example.org/gpu": 1 } })),
        ),
        ("no environment", one("env", Value::Null)),
        ("a display on TCP", one("env", variable("DISPLAY", "10.0.0.1:0"))),
        ("another display", one("env", variable("DISPLAY", ":1"))),
        ("no TCP", one("env", variable("X11LISTEN", "udp"))),
        ("deskd's variables", one("env", variable("DESKD_LISTEN", "[::]:1"))),
        ("a name from elsewhere", one("envFrom", json!([{ "configMapRef": { "name": "m" } }]))),
        ("no mounts", one("volumeMounts", Value::Null)),
        (
            "mounts in deskd's places",
            one(
                "volumeMounts",
                json!([
                    { "name": "tmp", "mountPath": "/etc/deskd" }, { "name": "run", "mountPath": "/run" },
                ]),
            ),
        ),
        ("no directory", one("workingDir", Value::Null)),
        ("no pull policy", one("imagePullPolicy", Value::Null)),
        ("an image without a tag", one("image", json!("localhost/other"))),
        ("a longer grace", with(&[("/spec/terminationGracePeriodSeconds", json!(120))])),
        ("the default account", account("default")),
        ("an account of its own", account("robot")),
        ("second place", {
            let mut pod = desktop();
            pod["spec"]["containers"].as_array_mut().unwrap().reverse();
            pod
        }),
    ]
}

#[test]
fn the_policy_makes_the_pod_that_the_command_makes() {
    let Some(plane) = plane() else { return };
    let namespace = let_in(plane);
    for (what, pod) in shapes() {
        let by_policy = created(plane, &namespace, &pod);
        assert!(has_deskd(&by_policy), "{what}");
        let mut by_command = pod;
        let outcome = inject(&mut by_command, &options());
        assert_eq!(outcome.injected.len(), 1, "{what}");
        let by_command = created(plane, &namespace, &by_command);
        assert_eq!(by_policy, by_command, "{what}");
    }
}

#[test]
fn the_policy_leaves_other_pods_alone() {
    let Some(plane) = plane() else { return };
    let namespace = let_in(plane);
    let same = |what: &str, namespace: &Namespace<'_>, pod: &Value| {
        let made = created(plane, namespace, pod);
        assert_eq!(has_deskd(&made), has_deskd(pod), "{what}");
        made
    };
    same("not let in", &plane.namespace("outside"), &desktop());
    same(
        "an application",
        &namespace,
        &with(&[("/metadata/labels/type", json!("pod_application"))]),
    );
    same("with tokens", &namespace, &with(&[("/spec/automountServiceAccountToken", json!(true))]));
    let mut there = desktop();
    inject(&mut there, &Options { image: "localhost/deskd:old".into(), ..options() });
    let made = same("deskd is there already", &namespace, &there);
    assert!(made.to_string().contains("localhost/deskd:old"));

    let two = with(&[("/spec/containers/1/name", json!("x-second"))]);
    let made = same("two X servers", &namespace, &two);
    let why = made["metadata"]["annotations"]["deskd.io/not-injected"].as_str().unwrap();
    assert!(why.contains("x-anonymous-robin, x-second; change `names`"), "{why}");
    let none = with(&[
        ("/spec/containers/0/name", json!("graphical")),
        ("/metadata/annotations", Value::Null),
    ]);
    let made = same("no X server", &namespace, &none);
    let why = made["metadata"]["annotations"]["deskd.io/not-injected"].as_str().unwrap();
    assert!(why.starts_with("no container has a name that begins with x; change"), "{why}");
}

#[test]
fn an_older_api_server_names_the_kind_that_it_lacks_and_takes_what_the_command_makes() {
    if !control_plane::available_in(Version::V1_34) {
        return;
    }
    let plane = ControlPlane::shared_version(Version::V1_34);
    let arguments = ["apply", "--filename", "-"];
    let error = plane.kubectl_input(&plane.admin_kubeconfig(), &arguments, &policy()).unwrap_err();
    let kind = "no matches for kind \"MutatingAdmissionPolicy\" in version \
                \"admissionregistration.k8s.io/v1\"";
    assert!(error.contains(kind), "{error}");

    let mut pod = desktop();
    inject(&mut pod, &Options { binary: Binary::OwnImage, ..options() });
    let made = created(plane, &let_in(plane), &pod);
    assert!(has_deskd(&made));
    assert_eq!(made["spec"]["initContainers"][1]["image"], IMAGE_DEFAULT);
}
