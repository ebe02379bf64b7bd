//! `container/base/rbac.yaml` on a real API server: it gives deskd what it needs and nothing else.

use serde_json::json;

use crate::support::control_plane::ControlPlane;
use crate::support::rights::{Caller, DESKTOP, Desk, desktop_pod};
use crate::support::{control_plane, needs, wait};

fn plane() -> Option<&'static ControlPlane> {
    (control_plane::available() && needs::met(&["curl"], &[])).then(ControlPlane::shared)
}

/// `watch` requests end after this many seconds.
const WATCH: &str = "watch=true&timeoutSeconds=1";

fn allowed(what: &str, answer: &crate::support::rights::Answer) {
    assert!((200..300).contains(&answer.code), "{what}: {answer:?}");
}

#[test]
fn everything_deskd_does_is_allowed_beside_the_desktop() {
    let Some(plane) = plane() else { return };
    everything_is_allowed(&Desk::together(plane));
}

#[test]
fn everything_deskd_does_is_allowed_with_apps_in_a_namespace_of_their_own() {
    let Some(plane) = plane() else { return };
    everything_is_allowed(&Desk::apart(plane));
}

pub(crate) fn everything_is_allowed(desk: &Desk<'_>) {
    let deskd = &desk.deskd;
    let own = Desk::pods_path(&desk.desktops);
    let selector = format!("fieldSelector=metadata.name%3D{DESKTOP}");
    allowed("its own pod", &deskd.get(&format!("{own}?{selector}")));
    allowed("a watch of it", &deskd.get(&format!("{own}?{selector}&{WATCH}")));
    for name in ["first-0a1b2", "second-0a1b2"] {
        let patch = Desk::ephemeral_container(name);
        allowed("an ephemeral container", &desk.patch_ephemeral(DESKTOP, &patch, ""));
    }
    let pod = desk.desktops.kubectl_json(&["get", "pod", DESKTOP]);
    assert_eq!(pod["spec"]["ephemeralContainers"].as_array().map(Vec::len), Some(2), "{pod}");
    // No node runs the pod, so there is none.
    allowed("its output", &deskd.get(&format!("{own}/{DESKTOP}/log?container=first-0a1b2")));
    let base = format!("/api/v1/namespaces/{}", desk.desktops.name);
    allowed("events of it", &deskd.get(&format!("{base}/events")));

    let apps = Desk::pods_path(desk.apps());
    allowed("an application pod", &desk.create_pod(&desk.app_pod("app-0a1b2"), ""));
    let again = desk.create_pod(&desk.app_pod("app-0a1b2"), "");
    assert_eq!(again.code, 409, "a repeated request makes no second pod: {again:?}");
    allowed("that pod", &deskd.get(&format!("{apps}/app-0a1b2")));
    let selector = format!("labelSelector=deskd.io/desktop-uid%3D{}", desk.uid);
    let list = deskd.get(&format!("{apps}?{selector}"));
    assert_eq!(list.body["items"].as_array().map(Vec::len), Some(1), "{list:?}");
    allowed("a watch of them", &deskd.get(&format!("{apps}?{selector}&{WATCH}")));
    allowed(
        "their output",
        &deskd.get(&format!("{apps}/app-0a1b2/log?follow=true&timestamps=true")),
    );
    let base = format!("/api/v1/namespaces/{}", desk.apps().name);
    allowed("events of them", &deskd.get(&format!("{base}/events")));
    allowed("quotas", &deskd.get(&format!("{base}/resourcequotas")));
    allowed("deletion", &deskd.delete(&format!("{apps}/app-0a1b2?gracePeriodSeconds=5")));
    assert_eq!(deskd.get(&format!("{apps}/app-0a1b2")).code, 404);
}

#[test]
fn deskd_can_ask_what_it_may_do() {
    let Some(plane) = plane() else { return };
    let desk = Desk::together(plane);
    let may = |verb: &str, resource: &str, subresource: &str| {
        let attributes = json!({
            "namespace": desk.desktops.name, "verb": verb,
            "resource": resource, "subresource": subresource,
        });
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": attributes },
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer = desk.deskd.post(path, &review);
        assert_eq!(answer.code, 201, "{answer:?}");
        answer.body["status"]["allowed"] == true
    };
    assert!(may("patch", "pods", "ephemeralcontainers"));
    assert!(may("create", "pods", ""));
    assert!(!may("create", "pods", "exec"));
    assert!(!may("get", "secrets", ""));
}

#[test]
fn deskd_has_exactly_the_rights_of_the_file() {
    let Some(plane) = plane() else { return };
    let desk = Desk::apart(plane);

    assert_eq!(
        desk.deskd.rights(&desk.desktops.name),
        ["events: list", "pods/ephemeralcontainers: patch", "pods/log: get", "pods: list watch"]
    );
    assert_eq!(
        desk.deskd.rights(&desk.apps().name),
        [
            "events: list",
            "pods/log: get",
            "pods: create delete get list watch",
            "resourcequotas: list",
        ]
    );
    let elsewhere = plane.namespace("elsewhere");
    assert_eq!(desk.deskd.rights(&elsewhere.name), [""; 0]);
}

#[test]
fn everything_else_is_denied() {
    let Some(plane) = plane() else { return };
    let desk = Desk::together(plane);
    desk.desktops.kubectl(&["create", "secret", "generic", "key", "--from-literal=a=b"]);
    let elsewhere = plane.namespace("elsewhere");
    let here = format!("/api/v1/namespaces/{}", desk.desktops.name);
    let there = format!("/api/v1/namespaces/{}", elsewhere.name);
    let pod = desk.app_pod("app-0a1b2");
    let token =
        json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    let none = json!({});
    let rows = [
        ("GET", format!("{here}/secrets/key"), None),
        ("GET", format!("{here}/secrets"), None),
        ("GET", format!("{here}/configmaps/deskd-admission"), None),
        ("PATCH", format!("{here}/configmaps/deskd-admission"), Some(&none)),
        ("POST", format!("{here}/serviceaccounts/deskd/token"), Some(&token)),
        ("POST", format!("{here}/pods/{DESKTOP}/exec?command=id&stdout=true"), Some(&none)),
        ("GET", format!("{here}/pods/{DESKTOP}/exec?command=id&stdout=true"), None),
        ("POST", format!("{here}/pods/{DESKTOP}/attach?stdout=true"), Some(&none)),
        ("POST", format!("{here}/pods/{DESKTOP}/portforward"), Some(&none)),
        ("PATCH", format!("{here}/pods/{DESKTOP}"), Some(&none)),
        ("PATCH", format!("{here}/pods/{DESKTOP}/status"), Some(&none)),
        ("PATCH", format!("{here}/pods/{DESKTOP}/resize"), Some(&none)),
        ("POST", format!("{here}/pods/{DESKTOP}/eviction"), Some(&none)),
        ("DELETE", format!("{here}/pods"), None),
        ("DELETE", format!("{here}/resourcequotas/cap"), None),
        ("POST", format!("{here}/events"), Some(&none)),
        ("GET", format!("{there}/pods"), None),
        ("POST", format!("{there}/pods"), Some(&pod)),
        ("GET", format!("{there}/pods/x/log"), None),
        ("GET", "/api/v1/pods".to_owned(), None),
        ("GET", "/api/v1/namespaces".to_owned(), None),
        ("GET", "/api/v1/nodes".to_owned(), None),
        (
            "GET",
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies".to_owned(),
            None,
        ),
    ];
    for (method, path, body) in rows {
        let content_type = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let answer = desk.deskd.send(method, &path, content_type, body);
        assert_eq!(answer.code, 403, "{method} {path}: {answer:?}");
        assert!(answer.message().contains("cannot"), "by its rights: {method} {path}: {answer:?}");
    }
}

#[test]
fn nodes_can_be_listed_with_the_optional_file_alone() {
    let Some(plane) = plane() else { return };
    let desk = Desk::together(plane);
    let name = format!("deskd-nodes-{}", desk.desktops.name);
    let manifest = include_str!("../../container/nodes/rbac.yaml")
        .replace("name: deskd-nodes", &format!("name: {name}"))
        .replace("namespace: desktops", &format!("namespace: {}", desk.desktops.name));
    assert_eq!(desk.deskd.get("/api/v1/nodes").code, 403);

    plane.apply(&manifest);

    wait::until("nodes can be listed", || {
        (desk.deskd.get("/api/v1/nodes").code == 200).then_some(())
    });
    assert_eq!(desk.deskd.get("/api/v1/nodes/any").code, 403);
    plane.kubectl(&["delete", "clusterrolebinding,clusterrole", &name]);
}

#[test]
fn a_role_of_one_desktop_can_be_narrowed_to_its_pod() {
    let Some(plane) = plane() else { return };
    let namespace = plane.namespace("narrow");
    let account = json!({ "kind": "ServiceAccount", "name": "deskd", "namespace": namespace.name });
    let rule = json!({
        "apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"],
        "resourceNames": [DESKTOP],
    });
    let group = "rbac.authorization.k8s.io";
    for object in [
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "deskd" } }),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "Role",
            "metadata": { "name": "narrow" }, "rules": [rule],
        }),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding",
            "metadata": { "name": "narrow" }, "subjects": [account],
            "roleRef": { "apiGroup": group, "kind": "Role", "name": "narrow" },
        }),
        desktop_pod(DESKTOP),
        desktop_pod("other"),
    ] {
        namespace.apply(&object);
    }
    let caller = Caller::new(plane, &namespace.name, "deskd", Some(DESKTOP));
    let pods = Desk::pods_path(&namespace);
    let named = |name: &str| format!("{pods}?fieldSelector=metadata.name%3D{name}&{WATCH}");

    allowed("a watch of the own pod", &caller.get(&named(DESKTOP)));
    assert_eq!(caller.get(&named("other")).code, 403);
    assert_eq!(caller.get(&format!("{pods}?{WATCH}")).code, 403);
    assert_eq!(caller.get(&format!("{pods}?labelSelector=type%3Dpod_application")).code, 403);
}

#[test]
fn an_exceeded_quota_is_named_with_what_was_asked_and_what_is_used() {
    let Some(plane) = plane() else { return };
    let desk = Desk::together(plane);
    desk.apps().apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "cap" },
        "spec": { "hard": { "pods": "2", "limits.memory": "3Gi" } },
    }));
    desk.apps().until("the quota counts", "resourcequota", "cap", |quota| {
        quota["status"]["used"]["pods"] == "1"
    });
    let mut pod = desk.app_pod("q1");
    pod["spec"]["containers"][0]["resources"] = json!({ "limits": { "memory": "4Gi" } });

    let answer = desk.create_pod(&pod, "");

    assert_eq!((answer.code, &answer.body["reason"]), (403, &json!("Forbidden")), "{answer:?}");
    assert_eq!(
        answer.message(),
        "pods \"q1\" is forbidden: exceeded quota: cap, requested: limits.memory=4Gi, \
         used: limits.memory=0, limited: limits.memory=3Gi"
    );
}
