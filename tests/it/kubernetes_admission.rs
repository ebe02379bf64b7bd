//! `container/base/admission.yaml` on a real API server: each rule refuses, and says what to change.
//!
//! Each row differs from what deskd makes, and is admitted, in one thing.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;

use serde_json::{Value, json};

use deskd_core::kubernetes::ACCESS_LABELS;
use deskd_core::policy::VOLUMES_DEFAULT;

use crate::kubernetes_admission_rows::{ACCOUNT, ephemeral_rows, pod_rows};
use crate::support::control_plane::ControlPlane;
use crate::support::rights::{Answer, Caller, DESKTOP, Desk, desktop_pod};
use crate::support::{control_plane, needs, wait};

/// Admission is asked, nothing is stored.
const DRY: &str = "?dryRun=All";

fn plane() -> Option<&'static ControlPlane> {
    (control_plane::available() && needs::met(&["curl"], &[])).then(ControlPlane::shared)
}

/// Puts a value where the pointer says; its parent is there or is an object in one.
fn put(target: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    if target.pointer(parent).is_none() {
        put(target, parent, json!({}));
    }
    let key = key.replace("~1", "/");
    match target.pointer_mut(parent).unwrap() {
        Value::Array(items) => items.push(value),
        fields if value.is_null() => drop(fields.as_object_mut().unwrap().remove(&key)),
        fields => fields[key] = value,
    }
}

fn assert_refused(answer: &Answer, what: &str, says: &str) {
    assert_eq!(answer.code, 403, "{what}: {answer:?}");
    let message = answer.message();
    assert!(message.contains("ValidatingAdmissionPolicy"), "{what}: {message}");
    let (_, rule) = message.split_once("denied request: ").unwrap();
    assert!(rule.contains(says), "{what}: {rule}");
    // What is wrong; what to do about it.
    assert!(rule.contains("; "), "{what}: {rule}");
}

#[test]
fn a_pod_that_differs_in_one_thing_is_refused_with_what_to_change() {
    let Some(plane) = plane() else { return };
    let desk = Desk::together(plane);
    // Classes are looked up before policies are asked.
    let class = json!({ "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass",
        "metadata": { "name": "unconfined" }, "handler": "unconfined" });
    plane.apply(&class.to_string());
    for (pointer, value, says) in pod_rows() {
        let mut pod = desk.app_pod("app-0a1b2");
        let what = format!("{pointer} = {value}");
        put(&mut pod, &pointer, value);
        assert_refused(&desk.create_pod(&pod, DRY), &what, says);
    }
}

#[test]
fn an_ephemeral_container_that_differs_in_one_thing_is_refused_with_what_to_change() {
    let Some(plane) = plane() else { return };
    let desk = Desk::together(plane);
    let plain = Desk::ephemeral_container("app-0a1b2");
    assert_eq!(desk.patch_ephemeral(DESKTOP, &plain, DRY).code, 200);
    for (pointer, value, says) in ephemeral_rows() {
        let mut patch = plain.clone();
        let what = format!("{pointer} = {value}");
        put(&mut patch["spec"]["ephemeralContainers"][0], &pointer, value);
        assert_refused(&desk.patch_ephemeral(DESKTOP, &patch, DRY), &what, says);
    }
}

#[test]
fn every_rule_has_a_row_and_no_expression_has_a_wrong_type() {
    let Some(plane) = plane() else { return };
    let desk = Desk::together(plane);
    let mut rules = 0;
    for policy in desk.rights.policies() {
        let kind = "validatingadmissionpolicy";
        wait::until("its types were checked", || {
            let policy = plane.kubectl_json(&["get", kind, &policy]);
            rules += policy["status"].get("typeChecking").map(|checked| {
                assert_eq!(checked.get("expressionWarnings"), None, "{checked}");
                policy["spec"]["validations"].as_array().unwrap().len()
            })?;
            Some(())
        });
    }
    let rows: BTreeSet<_> = pod_rows().iter().chain(&ephemeral_rows()).map(|row| row.2).collect();
    // Those that are not about what is in the object: whose token it is (in each policy), the
    // namespace of the pod, whose pod gets a container, whose pod is deleted. They have tests of
    // their own.
    let others = desk.rights.policies().len() + 3;
    assert_eq!(rows.len() + others, rules, "{rows:#?}");
}

#[test]
fn what_a_desktop_may_do_it_may_do_to_its_own_pods_only() {
    let Some(plane) = plane() else { return };
    let desk = Desk::together(plane);
    let pods = Desk::pods_path(&desk.desktops);
    desk.desktops.apply(&desktop_pod("other"));
    let mut others = desk.app_pod("others-app");
    others["metadata"]["labels"]["deskd.io/desktop-uid"] = json!("other");
    desk.desktops.apply(&others);
    assert_eq!(desk.create_pod(&desk.app_pod("own-app"), "").code, 201);

    let patch = Desk::ephemeral_container("app-0a1b2");
    let answer = desk.patch_ephemeral("other", &patch, "");
    assert_refused(&answer, "another desktop's pod", "to its own pod only");
    for pod in ["others-app", "other", DESKTOP] {
        let answer = desk.deskd.delete(&format!("{pods}/{pod}"));
        assert_refused(&answer, pod, &format!("the pod {pod} is not an application of"));
    }
    assert_eq!(desk.deskd.delete(&format!("{pods}/own-app")).code, 200);

    // The other desktop's deskd: the same service account, another pod.
    let other = Caller::new(plane, &desk.desktops.name, "deskd", Some("other"));
    let pod = desk.app_pod("app-0a1b2");
    let answer = other.post(&format!("{pods}{DRY}"), &pod);
    assert_refused(&answer, "another desktop's label", "deskd.io/desktop-uid is not the uid");
}

#[test]
fn an_application_pod_of_abcdesktop_is_ended_only_where_the_operator_says_so() {
    let Some(plane) = plane() else { return };
    let labels =
        json!({ "type": "pod_application", "access_userid": "fry", "access_provider": "p" });
    for (desk, allowed) in [
        (Desk::together(plane), false),
        (
            Desk::edited(
                plane,
                &[(
                    "name: stopsOthers\n      expression: \"false\"",
                    "name: stopsOthers\n      expression: \"true\"",
                )],
            ),
            true,
        ),
    ] {
        let pods = Desk::pods_path(&desk.desktops);
        let make = |name: &str, labels: &Value| {
            let mut pod = desk.app_pod(name);
            pod["metadata"]["labels"] = labels.clone();
            desk.desktops.apply(&pod);
        };
        make("pyos", &labels);
        let answer = desk.deskd.delete(&format!("{pods}/pyos"));
        if allowed {
            assert_eq!(answer.code, 200, "{answer:?}");
        } else {
            assert_refused(&answer, "pyos", "stopsOthers \"true\" in the policy deskd-deletion");
        }
        // Nothing else becomes anybody's: no desktop, and no pod of another desktop's deskd.
        let (mut desktop, mut another) = (labels.clone(), labels.clone());
        desktop["type"] = json!("x11server");
        another["app.kubernetes.io/managed-by"] = json!("deskd");
        for (name, labels) in [("desktop-of-fry", desktop), ("of-another-deskd", another)] {
            make(name, &labels);
            let answer = desk.deskd.delete(&format!("{pods}/{name}"));
            assert_refused(&answer, name, "is not an application of");
        }
    }
}

#[test]
fn a_token_that_no_pod_has_creates_and_deletes_nothing() {
    let Some(plane) = plane() else { return };
    let mut desk = Desk::together(plane);
    let pods = Desk::pods_path(&desk.desktops);
    assert_eq!(desk.create_pod(&desk.app_pod("own-app"), "").code, 201);
    let mut unlabelled = desk.app_pod("unlabelled");
    unlabelled["metadata"]["labels"] = json!({ "app.kubernetes.io/managed-by": "deskd" });
    desk.desktops.apply(&unlabelled);

    desk.deskd = Caller::new(plane, &desk.desktops.name, "deskd", None);

    let unbound = "the token is not bound to a pod";
    let pod = desk.app_pod("app-0a1b2");
    assert_refused(&desk.create_pod(&pod, DRY), "a pod", unbound);
    let patch = Desk::ephemeral_container("app-0a1b2");
    assert_refused(&desk.patch_ephemeral(DESKTOP, &patch, DRY), "a container", unbound);
    for name in ["own-app", "unlabelled"] {
        let answer = desk.deskd.delete(&format!("{pods}/{name}"));
        assert_refused(&answer, name, unbound);
    }
}

#[test]
fn application_pods_are_created_where_they_belong() {
    let Some(plane) = plane() else { return };
    let desk = Desk::apart(plane);
    // More rights than the file gives: the policy holds nevertheless.
    desk.desktops.kubectl(&["create", "role", "more", "--verb=create", "--resource=pods"]);
    let account = format!("--serviceaccount={}:deskd", desk.desktops.name);
    desk.desktops.kubectl(&["create", "rolebinding", "more", "--role=more", &account]);
    let pod = desk.app_pod("app-0a1b2");
    let path = format!("{}{DRY}", Desk::pods_path(&desk.desktops));

    let answer = wait::until("the right is there", || {
        let answer = desk.deskd.post(&path, &pod);
        (!answer.message().contains("cannot create")).then_some(answer)
    });

    assert_refused(&answer, "the desktops' namespace", "set apps_namespace in the configuration");
    assert_eq!(desk.create_pod(&pod, DRY).code, 201);
}

#[test]
fn what_deskd_makes_is_admitted_in_all_its_forms() {
    let Some(plane) = plane() else { return };
    let desk = Desk::together(plane);
    let volume = |name: &str, source: Value| {
        let mut volume = source;
        volume["name"] = json!(name);
        volume
    };
    let mut full = desk.app_pod("full");
    put(&mut full, "/metadata/labels/netpol~1voip", json!("true"));
    for label in ACCESS_LABELS {
        put(&mut full, &format!("/metadata/labels/{label}"), json!("fry"));
    }
    put(&mut full, "/spec/containers/0/ports", json!([{ "containerPort": 8080 }]));
    put(&mut full, "/spec/nodeSelector", json!({ "gpu": "true" }));
    put(&mut full, "/spec/hostname", json!("full"));
    put(&mut full, "/spec/terminationGracePeriodSeconds", json!(30));
    put(&mut full, "/spec/activeDeadlineSeconds", json!(3600));
    put(&mut full, "/spec/enableServiceLinks", json!(false));
    let probe = json!({ "httpGet": { "path": "/", "port": 8080 } });
    put(&mut full, "/spec/containers/0/readinessProbe", probe);
    let amounts = json!({ "requests": { "cpu": "1m" }, "limits": { "memory": "1Gi" } });
    put(&mut full, "/spec/containers/0/resources", amounts);
    let owner = json!({ "apiVersion": "v1", "kind": "Pod", "name": DESKTOP, "uid": desk.uid });
    put(&mut full, "/metadata/ownerReferences", json!([owner]));
    let node = json!([{ "weight": 1, "preference": { "matchFields": [
        { "key": "metadata.name", "operator": "In", "values": ["node-1"] } ] } }]);
    let preferred = "/spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution";
    put(&mut full, preferred, node);
    let field = json!({ "path": "name", "fieldRef": { "fieldPath": "metadata.name" } });
    for source in [
        volume("a", json!({ "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } })),
        volume("b", json!({ "downwardAPI": { "items": [field] } })),
        // What brings the keeper of a place.
        volume("deskd-bin", json!({ "image": { "reference": "localhost/deskd:1" } })),
    ] {
        put(&mut full, "/spec/volumes/-", source);
    }
    let mut pull = desk.app_pod("pull-2048-ubuntu-latest-01234567");
    put(&mut pull, "/metadata/labels/type", json!("pod_application_pull"));
    for label in ["task", "run", "app"] {
        put(&mut pull, &format!("/metadata/labels/deskd.io~1{label}"), Value::Null);
    }
    let mut user = desk.app_pod("user-of-the-container");
    put(&mut user, "/spec/securityContext", Value::Null);
    put(&mut user, "/spec/containers/0/securityContext/runAsUser", json!(4096));
    put(&mut user, "/spec/containers/0/securityContext/runAsGroup", json!(4096));
    for pod in [full, pull, user] {
        let answer = desk.create_pod(&pod, DRY);
        assert_eq!(answer.code, 201, "{answer:?}");
    }
}

/// Texts that the file marks to be changed, and what an operator writes there.
const EDITS: [(&str, &str); 11] = [
    ("'localhost/'", "'registry.example.org:5000/apps/ example.org/one'"),
    ("'desktop-xauthority'", "'cookie key'"),
    (
        "name: allowedClaims\n      expression: \"''",
        "name: allowedClaims\n      expression: \"'home'",
    ),
    ("\"4096\"", "\"1000\""),
    ("\"'4096'", "\"'1000 44'"),
    ("'kube-root-ca.crt'", "'menu'"),
    (
        "allowedPullSecrets\n      expression: \"''",
        "allowedPullSecrets\n      expression: \"'registry'",
    ),
    ("allowedTaints\n      expression: \"''", "allowedTaints\n      expression: \"'gpu'"),
    ("'kubernetes.io/limit-ranger'", "'k8s.v1.cni.cncf.io/networks'"),
    ("'home* ", "'x11 home* "),
    ("\"'deskd'\"", "\"'graphical'\""),
];

#[test]
fn what_the_file_marks_to_be_changed_is_what_counts() {
    let Some(plane) = plane() else { return };
    let desk = Desk::edited(plane, &EDITS);
    let mut pod = desk.app_pod("app-0a1b2");
    put(&mut pod, "/spec/securityContext/runAsUser", json!(1000));
    put(&mut pod, "/spec/securityContext/runAsGroup", json!(1000));
    put(&mut pod, "/spec/securityContext/supplementalGroups", json!([44]));
    put(&mut pod, "/metadata/annotations/k8s.v1.cni.cncf.io~1networks", json!("lab"));
    put(&mut pod, "/spec/tolerations", json!([{ "key": "gpu", "operator": "Exists" }]));
    put(&mut pod, "/spec/imagePullSecrets", json!([{ "name": "registry" }]));
    let sources =
        json!([{ "secretRef": { "name": "key" } }, { "configMapRef": { "name": "menu" } }]);
    put(&mut pod, "/spec/containers/0/envFrom", sources);
    for source in [
        json!({ "name": "home", "persistentVolumeClaim": { "claimName": "home" } }),
        json!({ "name": "cookie", "projected": { "sources": [{ "secret": { "name": "cookie" } }] } }),
        json!({ "name": "account", "secret": { "secretName": ACCOUNT, "items": [
            { "key": "passwd", "path": "passwd" }, { "key": "group", "path": "group" }] } }),
    ] {
        put(&mut pod, "/spec/volumes/-", source);
    }
    let image = "/spec/containers/0/image";
    for allowed in [
        "registry.example.org:5000/apps/2048",
        "registry.example.org:5000/apps/games/2048:1",
        "example.org/one",
        "example.org/one:latest",
        "example.org/one@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        put(&mut pod, image, json!(allowed));
        assert_eq!(desk.create_pod(&pod, DRY).code, 201, "{allowed}");
    }
    for refused in ["localhost/2048", "registry.example.org:5000/other", "example.org/one-more"] {
        put(&mut pod, image, json!(refused));
        assert_refused(
            &desk.create_pod(&pod, DRY),
            refused,
            &format!("the image {refused} is not"),
        );
    }

    let mut patch = Desk::ephemeral_container("app-0a1b2");
    let container = &mut patch["spec"]["ephemeralContainers"][0];
    put(container, "/image", json!("example.org/one"));
    put(container, "/targetContainerName", json!("graphical"));
    put(container, "/securityContext/runAsUser", json!(1000));
    put(container, "/securityContext/runAsGroup", json!(1000));
    let answer = desk.patch_ephemeral(DESKTOP, &patch, DRY);
    assert_eq!(answer.code, 200, "{answer:?}");
}

#[test]
fn a_place_joins_nobodys_processes_and_has_the_volume_with_the_keeper() {
    let Some(plane) = plane() else { return };
    let desk = Desk::together(plane);
    let mut patch = Desk::ephemeral_container("deskd-place-0a1b2");
    let container = &mut patch["spec"]["ephemeralContainers"][0];
    container.as_object_mut().unwrap().remove("targetContainerName");
    put(container, "/volumeMounts/-", json!({ "name": "deskd-bin", "mountPath": "/.deskd" }));
    let answer = desk.patch_ephemeral(DESKTOP, &patch, DRY);
    assert_eq!(answer.code, 200, "{answer:?}");
    put(&mut patch["spec"]["ephemeralContainers"][0], "/targetContainerName", json!("deskd"));
    let refused = "the volume deskd-bin of the desktop is not for applications";
    assert_refused(&desk.patch_ephemeral(DESKTOP, &patch, DRY), "deskd-bin", refused);
}

#[test]
fn an_ephemeral_container_cannot_be_changed_or_removed() {
    let Some(plane) = plane() else { return };
    let desk = Desk::together(plane);
    let mut patch = Desk::ephemeral_container("app-0a1b2");
    assert_eq!(desk.patch_ephemeral(DESKTOP, &patch, "").code, 200);

    patch["spec"]["ephemeralContainers"][0]["image"] = json!("localhost/other:1");
    let changed = desk.patch_ephemeral(DESKTOP, &patch, "");
    let delete = json!({ "spec": { "ephemeralContainers": [
        { "name": "app-0a1b2", "$patch": "delete" },
    ] } });
    let removed = desk.patch_ephemeral(DESKTOP, &delete, "");

    // By the API server itself, whatever policies there are.
    for answer in [changed, removed] {
        assert_eq!(answer.code, 422, "{answer:?}");
        assert!(answer.message().contains("may not be"), "{answer:?}");
    }
}

#[test]
fn the_volumes_of_applications_are_those_that_deskd_gives_them() {
    let policies = include_str!("../../container/base/admission.yaml");
    let (_, list) = policies.split_once("- name: allowedVolumes\n      expression: >-\n").unwrap();
    let words = list.trim_start().strip_prefix('\'').unwrap().split_once('\'').unwrap().0;
    let names: Vec<_> = words.split_whitespace().collect();
    assert_eq!(names, VOLUMES_DEFAULT);
}

#[test]
fn other_users_are_not_touched() {
    let Some(plane) = plane() else { return };
    let desk = Desk::together(plane);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "of-the-operator" },
        "spec": { "hostNetwork": true, "containers": [{
            "name": "main", "image": "elsewhere/x", "securityContext": { "privileged": true },
        }] },
    });
    desk.desktops.apply(&pod);
    desk.desktops.kubectl(&["delete", "pod", "of-the-operator"]);
}
