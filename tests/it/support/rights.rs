//! A desktop's namespace with `container/base/rbac.yaml` and `container/base/admission.yaml`, and requests
//! with the token that deskd would have there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::control_plane::{ControlPlane, Namespace};
use super::wait;

const RBAC: &str = include_str!("../../../container/base/rbac.yaml");
const ADMISSION: &str = include_str!("../../../container/base/admission.yaml");
/// The cluster-wide objects of [`ADMISSION`].
const POLICIES: [&str; 4] =
    ["deskd-containers", "deskd-pods", "deskd-ephemeral-containers", "deskd-deletion"];
/// The desktop's pod.
pub(crate) const DESKTOP: &str = "desktop";

/// Both files, for a namespace. The cluster-wide objects are gone with the value.
pub(crate) struct Rights<'a> {
    plane: &'a ControlPlane,
    desktops: String,
}

impl<'a> Rights<'a> {
    /// For application pods in the namespace `apps`; `edits` are texts of `admission.yaml` and what
    /// replaces them. The policies are in force a little later.
    pub(crate) fn install(
        plane: &'a ControlPlane,
        desktops: &str,
        apps: &str,
        edits: &[(&str, &str)],
    ) -> Self {
        plane.apply(&rendered(RBAC, desktops, apps));
        let admission = edits.iter().fold(ADMISSION.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        plane.apply(&rendered(&admission, desktops, apps));
        Self { plane, desktops: desktops.to_owned() }
    }

    /// The names of the policies.
    pub(crate) fn policies(&self) -> [String; POLICIES.len()] {
        POLICIES.map(|policy| format!("{policy}-{}", self.desktops))
    }
}

impl Drop for Rights<'_> {
    fn drop(&mut self) {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            let names = self.policies();
            let mut arguments = vec!["delete", kind, "--wait=false"];
            arguments.extend(names.iter().map(String::as_str));
            let _ = self.plane.kubectl_as(&self.plane.admin_kubeconfig(), &arguments);
        }
    }
}

/// A desktop pod and what its deskd may do. Gone with the value.
pub(crate) struct Desk<'a> {
    /// The files that are in force.
    pub(crate) rights: Rights<'a>,
    /// Where desktops are.
    pub(crate) desktops: Namespace<'a>,
    /// Where application pods are, if not there.
    own_apps: Option<Namespace<'a>>,
    /// The uid of the desktop's pod.
    pub(crate) uid: String,
    /// deskd, with a token bound to the pod.
    pub(crate) deskd: Caller,
}

impl<'a> Desk<'a> {
    /// Desktops and application pods in one namespace.
    pub(crate) fn together(plane: &'a ControlPlane) -> Self {
        Self::install(plane, None, &[])
    }

    /// The same with `admission.yaml` edited: texts and what replaces them.
    pub(crate) fn edited(plane: &'a ControlPlane, edits: &[(&str, &str)]) -> Self {
        Self::install(plane, None, edits)
    }

    /// Application pods in a namespace of their own.
    pub(crate) fn apart(plane: &'a ControlPlane) -> Self {
        Self::install(plane, Some(plane.namespace("apps")), &[])
    }

    fn install(
        plane: &'a ControlPlane,
        own_apps: Option<Namespace<'a>>,
        edits: &[(&str, &str)],
    ) -> Self {
        let desktops = plane.namespace("desktops");
        let apps = own_apps.as_ref().unwrap_or(&desktops).name.clone();
        let rights = Rights::install(plane, &desktops.name, &apps, edits);
        desktops.apply(&desktop_pod(DESKTOP));
        let uid = desktops.kubectl_json(&["get", "pod", DESKTOP])["metadata"]["uid"].clone();
        let uid = uid.as_str().unwrap().to_owned();
        let deskd = Caller::new(plane, &desktops.name, "deskd", Some(DESKTOP));
        let desk = Self { rights, desktops, own_apps, uid, deskd };
        desk.wait_for_policies();
        desk
    }

    /// The namespace of application pods.
    pub(crate) fn apps(&self) -> &Namespace<'a> {
        self.own_apps.as_ref().unwrap_or(&self.desktops)
    }

    /// An application pod as deskd makes it.
    pub(crate) fn app_pod(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "labels": {
                "app.kubernetes.io/managed-by": "deskd",
                "deskd.io/desktop-uid": self.uid,
                "deskd.io/desktop": DESKTOP,
                "deskd.io/desktop-namespace": self.desktops.name,
                "deskd.io/task": "2048-ubuntu-0a1b2",
                "deskd.io/run": "1",
                "deskd.io/app": "2048-ubuntu",
                "type": "pod_application",
                "netpol/ocapplication": "true",
            } },
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "securityContext": { "runAsUser": 4096, "runAsGroup": 4096 },
                "containers": [{
                    "name": "app",
                    "image": "localhost/2048-ubuntu:latest",
                    "securityContext": unprivileged(),
                    "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
                }],
                "volumes": [{ "name": "tmp", "emptyDir": {} }],
            },
        })
    }

    /// The path of the pods of a namespace.
    pub(crate) fn pods_path(namespace: &Namespace<'_>) -> String {
        format!("/api/v1/namespaces/{}/pods", namespace.name)
    }

    /// Asks for a pod in the namespace of application pods; `query` is `?dryRun=All` or nothing.
    pub(crate) fn create_pod(&self, pod: &Value, query: &str) -> Answer {
        self.deskd.post(&format!("{}{query}", Self::pods_path(self.apps())), pod)
    }

    /// A patch that adds an ephemeral container as deskd makes it.
    pub(crate) fn ephemeral_container(name: &str) -> Value {
        json!({ "spec": { "ephemeralContainers": [{
            "name": name,
            "image": "localhost/2048-alpine:latest",
            "targetContainerName": "deskd",
            "securityContext": unprivileged(),
            "volumeMounts": [{ "name": "x11", "mountPath": "/tmp/.X11-unix" }],
            "env": [{ "name": "DESKD_TASK_ID", "value": "2048-alpine-0a1b2" }],
        }] } })
    }

    /// Asks for ephemeral containers in a pod of the desktops' namespace.
    pub(crate) fn patch_ephemeral(&self, pod: &str, patch: &Value, query: &str) -> Answer {
        let pods = Self::pods_path(&self.desktops);
        let path = format!("{pods}/{pod}/ephemeralcontainers{query}");
        self.deskd.send("PATCH", &path, "application/strategic-merge-patch+json", Some(patch))
    }

    /// The API server reads policies a little after it has stored them.
    fn wait_for_policies(&self) {
        let dry = "?dryRun=All";
        let own = |query: &str| format!("{}/{DESKTOP}{query}", Self::pods_path(&self.desktops));
        let mut image = self.app_pod("refused");
        image["spec"]["containers"][0]["image"] = json!("elsewhere/x");
        let mut restarts = self.app_pod("refused");
        restarts["spec"]["restartPolicy"] = json!("Always");
        let mut token = Self::ephemeral_container("refused");
        token["spec"]["ephemeralContainers"][0]["volumeMounts"][0]["name"] = json!("api-token");
        wait::until("all policies are in force", || {
            let refused = [
                self.create_pod(&image, dry),
                self.create_pod(&restarts, dry),
                self.patch_ephemeral(DESKTOP, &token, dry),
                // With application pods elsewhere, its rights do not allow it in the first place.
                self.deskd.delete(&own(dry)),
            ];
            refused.iter().all(|answer| answer.code == 403).then_some(())
        });
    }
}

/// A desktop's pod, with the parts that matter to deskd's rights.
pub(crate) fn desktop_pod(name: &str) -> Value {
    let mount = json!([{ "name": "x11", "mountPath": "/tmp/.X11-unix" }]);
    let token = json!({ "serviceAccountToken": { "path": "token", "expirationSeconds": 3600 } });
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "serviceAccountName": "deskd",
            "automountServiceAccountToken": false,
            "securityContext": { "runAsUser": 4096, "runAsGroup": 4096 },
            "initContainers": [{
                "name": "deskd", "image": "localhost/deskd", "restartPolicy": "Always",
                "volumeMounts": mount,
            }],
            "containers": [{
                "name": "graphical", "image": "localhost/desktop", "volumeMounts": mount,
            }],
            "volumes": [
                { "name": "x11", "emptyDir": {} },
                { "name": "state", "emptyDir": {} },
                { "name": "deskd-bin", "emptyDir": {} },
                { "name": "api-token", "projected": { "sources": [token] } },
            ],
        },
    })
}

fn unprivileged() -> Value {
    json!({
        "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    })
}

/// A manifest as it would be edited for these namespaces. Cluster-wide names get a suffix, so that
/// tests do not meet.
/// Both files for a namespace that has desktops and their application pods.
pub(crate) fn files(namespace: &str) -> String {
    [RBAC, ADMISSION].map(|file| rendered(file, namespace, namespace)).join("\n---\n")
}

fn rendered(manifest: &str, desktops: &str, apps: &str) -> String {
    let text = manifest
        .replace("name: deskd-apps, namespace: desktops", "name: deskd-apps, namespace: APPS")
        .replace("\"'desktops'\"", "\"'APPS'\"")
        .replace("namespace: desktops", &format!("namespace: {desktops}"))
        .replace("serviceaccount:desktops:", &format!("serviceaccount:{desktops}:"))
        .replace("APPS", apps);
    POLICIES.iter().fold(text, |text, policy| {
        let own = format!("{policy}-{desktops}");
        text.replace(&format!("{{name: {policy}}}"), &format!("{{name: {own}}}"))
            .replace(&format!("policyName: {policy},"), &format!("policyName: {own},"))
    })
}

/// Somebody with a token, who sends requests as they are.
pub(crate) struct Caller {
    url: String,
    ca: PathBuf,
    token: String,
}

/// What the API server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) code: u16,
    /// The object, or a `Status`; null where it is not one JSON value (a watch).
    pub(crate) body: Value,
}

impl Answer {
    /// Of a `Status`: what people read.
    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl Caller {
    /// A service account.
    pub(crate) fn new(
        plane: &ControlPlane,
        namespace: &str,
        account: &str,
        bound_pod: Option<&str>,
    ) -> Self {
        let token = plane.token_for_service_account(namespace, account, bound_pod);
        Self { url: plane.url(), ca: plane.certificate(), token }
    }

    /// `resource: verbs` that it has in a namespace, without what everybody may.
    pub(crate) fn rights(&self, namespace: &str) -> Vec<String> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
            "spec": { "namespace": namespace },
        });
        let answer = self.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &review);
        let strings = |value: &Value| -> Vec<String> {
            let words = value.as_array().unwrap().iter();
            words.map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        let mut rights = Vec::new();
        for rule in answer.body["status"]["resourceRules"].as_array().unwrap() {
            let resources = strings(&rule["resources"]);
            if resources.iter().any(|resource| resource.starts_with("selfsubject")) {
                continue;
            }
            let mut verbs = strings(&rule["verbs"]);
            verbs.sort();
            rights.extend(resources.iter().map(|name| format!("{name}: {}", verbs.join(" "))));
        }
        rights.sort();
        rights
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "application/json", None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, "application/json", Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, "application/json", None)
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Answer {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", "--request", method]);
        command.args(["--write-out", "\n%{http_code}", "--cacert"]).arg(&self.ca);
        command.arg("--header").arg(format!("Authorization: Bearer {}", self.token));
        command.arg("--header").arg(format!("Content-Type: {content_type}"));
        if let Some(body) = body {
            command.arg("--data-binary").arg(body.to_string());
        }
        command.arg(format!("{}{path}", self.url)).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, code) = text.rsplit_once('\n').unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        let code = code.parse().ok().filter(|code| *code > 0);
        let code = code.unwrap_or_else(|| panic!("{method} {path}: {error}"));
        Answer { code, body: serde_json::from_str(body).unwrap_or_default() }
    }
}
