//! A whole deskd on this machine with a real API server: its pod is an object there that nobody
//! runs, and its token is bound to it, as kubelet would have made it. What kubelet does to objects
//! (statuses) is done by the tests.

use std::path::Path;

use serde_json::{Value, json};

use super::control_plane::{self, ControlPlane, Namespace};
use super::desk::Desk;
use super::rights::Rights;
use super::xvnc::{self, Xvnc};

/// The name of the desktop pod, and of deskd's container in it.
pub(crate) const POD: &str = "desktop";
pub(crate) const CONTAINER: &str = "deskd";

/// What a test may have otherwise.
pub(crate) struct Particulars<'a> {
    /// Namespace of application pods.
    pub(crate) apps: Option<&'a str>,
    /// Labels of the desktop's pod.
    pub(crate) labels: &'a Value,
    /// Edits of the admission policies.
    pub(crate) edits: &'a [(&'a str, &'a str)],
    /// What is done to the pod before deskd starts.
    pub(crate) before: &'a dyn Fn(&Namespace<'_>),
    /// What is put into the state directory before.
    pub(crate) prepare: &'a dyn Fn(&Path),
}

impl Default for Particulars<'_> {
    fn default() -> Self {
        const NONE: Value = Value::Null;
        Self { apps: None, labels: &NONE, edits: &[], before: &|_| {}, prepare: &|_| {} }
    }
}

/// Whether there is what a desktop with an API server needs.
pub(crate) fn available() -> bool {
    control_plane::available() && xvnc::available()
}

/// A display, and a deskd in the shared cluster that has looked around; nothing where they cannot be.
pub(crate) fn started(config: &str) -> Option<(Xvnc, KubeDesk<'static>)> {
    if !available() {
        return None;
    }
    let display = Xvnc::start();
    let desk = KubeDesk::start(ControlPlane::shared(), config, Some(&display));
    desk.until_known();
    Some((display, desk))
}

/// deskd, and the namespace its pod is in.
pub(crate) struct KubeDesk<'a> {
    pub(crate) desk: Desk,
    pub(crate) namespace: Namespace<'a>,
    _rights: Rights<'a>,
}

impl<'a> KubeDesk<'a> {
    /// With these sections of the configuration, besides `[kubernetes]` with both engines; deskd
    /// has the rights of container/base/rbac.yaml, as far as container/base/admission.yaml lets it.
    pub(crate) fn start(plane: &'a ControlPlane, config: &str, display: Option<&Xvnc>) -> Self {
        Self::start_with(plane, config, display, &Particulars::default())
    }

    /// The same, with these particulars.
    pub(crate) fn start_with(
        plane: &'a ControlPlane,
        config: &str,
        display: Option<&Xvnc>,
        particulars: &Particulars<'_>,
    ) -> Self {
        let namespace = plane.namespace("desk");
        let apps = particulars.apps.unwrap_or(&namespace.name);
        let rights = Rights::install(plane, &namespace.name, apps, particulars.edits);
        let uid = make_pod(&namespace, particulars.labels);
        (particulars.before)(&namespace);
        let kubeconfig = plane.kubeconfig_for_service_account(&namespace.name, "deskd", Some(POD));
        readable(&kubeconfig);
        // deskd asks once whether it may end what others started. (With application pods elsewhere,
        // its rights do not allow it here in the first place.)
        super::wait::until("the admission policies are in force", || {
            let delete = ["delete", "pod", POD, "--namespace", &namespace.name, "--dry-run=server"];
            plane.kubectl_as(&kubeconfig, &delete).is_err().then_some(())
        });
        let env = [
            ("KUBECONFIG", kubeconfig.to_str().expect("a path").to_owned()),
            ("POD_NAME", POD.to_owned()),
            ("POD_NAMESPACE", namespace.name.clone()),
            ("POD_UID", uid),
            ("POD_IP", "127.0.0.1".to_owned()),
            ("POD_CONTAINER", CONTAINER.to_owned()),
            ("NODE_NAME", "node-1".to_owned()),
        ];
        let config = format!(
            "[kubernetes]\nengines = [\"ephemeral_container\", \"pod_application\"]\n{config}"
        );
        let desk = Desk::start_in(&config, display, &env, particulars.prepare);
        Self { desk, namespace, _rights: rights }
    }

    /// Waits until the cluster is as wanted, as `/v1/desktop` shows it.
    pub(crate) fn until_cluster(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        super::wait::until(what, || {
            let cluster = self.desk.get("/v1/desktop")["kubernetes"].clone();
            wanted(&cluster).then_some(cluster)
        })
    }

    /// Waits until the API answers, the own pod is known and the rights were asked for.
    pub(crate) fn until_known(&self) -> Value {
        self.until_cluster("the own pod and rights", |cluster| {
            cluster["api"] == "answers"
                && cluster["own_pod"]["name"] == POD
                && cluster["rights"].as_array().is_some_and(|rights| !rights.is_empty())
        })
    }

    /// Adds an application by its image's document.
    pub(crate) fn add(&self, document: &Value) {
        let answer = self.desk.ask("PUT", "/v1/apps").json(document).send();
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
    }

    /// Entries of ephemeral containers that the own pod has.
    pub(crate) fn ephemeral(&self) -> Vec<Value> {
        let pod = self.namespace.kubectl_json(&["get", "pod", POD]);
        pod["spec"]["ephemeralContainers"].as_array().cloned().unwrap_or_default()
    }

    /// The application pods.
    pub(crate) fn pods(&self) -> Vec<Value> {
        let arguments = ["get", "pods", "--selector", "type=pod_application"];
        self.namespace.kubectl_json(&arguments)["items"].as_array().cloned().unwrap_or_default()
    }

    /// What kubelet would say of a pod.
    pub(crate) fn set_status(&self, pod: &str, status: &Value) {
        set_status(&self.namespace, pod, status);
    }

    pub(crate) fn task(&self, id: &str) -> Value {
        self.desk.get(&format!("/v1/tasks/{id}"))
    }
}

/// What kubelet would say of a pod.
pub(crate) fn set_status(namespace: &Namespace<'_>, pod: &str, status: &Value) {
    let status = json!({ "status": status }).to_string();
    namespace.kubectl(&["patch", "pod", pod, "--subresource=status", "--patch", &status]);
}

/// Adds ephemeral containers to the desktop's pod as another client of the API server.
pub(crate) fn add_ephemeral(namespace: &Namespace<'_>, containers: &[Value]) {
    add_ephemeral_to(namespace, POD, containers);
}

/// The same, to a pod of another name.
pub(crate) fn add_ephemeral_to(namespace: &Namespace<'_>, desktop: &str, containers: &[Value]) {
    let plane = ControlPlane::shared();
    let mut pod = namespace.kubectl_json(&["get", "pod", desktop]);
    let mut all = pod["spec"]["ephemeralContainers"].as_array().cloned().unwrap_or_default();
    all.extend_from_slice(containers);
    pod["spec"]["ephemeralContainers"] = json!(all);
    let path = format!("/api/v1/namespaces/{}/pods/{desktop}/ephemeralcontainers", namespace.name);
    let arguments = ["replace", "--raw", &path, "--filename", "-"];
    let admin = plane.admin_kubeconfig();
    plane.kubectl_input(&admin, &arguments, &pod.to_string()).expect("they are added");
}

/// One of `tests/fixtures/apps`, without the list around it.
pub(crate) fn fixture(name: &str) -> Value {
    let file = format!("{}/tests/fixtures/apps/{name}.json", env!("DESKD_ROOT"));
    let text = std::fs::read_to_string(file).expect("a fixture");
    serde_json::from_str::<Value>(&text).expect("JSON")[0].take()
}

/// A document as `docker inspect` prints it.
pub(crate) fn document(name: &str, engine: Option<&str>, more: &Value) -> Value {
    document_of(&format!("localhost/{name}:latest"), name, engine, more)
}

/// The same for another image.
pub(crate) fn document_of(image: &str, name: &str, engine: Option<&str>, more: &Value) -> Value {
    let mut labels = json!({
        "oc.name": name,
        "oc.displayname": name,
        "oc.path": "/usr/bin/of-no-container-of-this-test",
    });
    if let Some(engine) = engine {
        labels["oc.containerengine"] = json!(engine);
    }
    for (key, value) in more.as_object().into_iter().flatten() {
        labels[key] = value.clone();
    }
    json!([{
        "Id": format!("sha256:{name}"),
        "RepoTags": [image],
        "Config": { "Cmd": [], "Env": ["PATH=/usr/bin:/bin"], "Labels": labels },
    }])
}

fn make_pod(namespace: &Namespace<'_>, labels: &Value) -> String {
    namespace.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": POD, "labels": labels },
        "spec": {
            "serviceAccountName": "deskd",
            "automountServiceAccountToken": false,
            "nodeName": "node-1",
            "containers": [{ "name": CONTAINER, "image": "localhost/deskd" }],
        },
    }));
    let running = json!({
        "phase": "Running", "podIP": "127.0.0.1", "podIPs": [{ "ip": "127.0.0.1" }],
        "containerStatuses": [{
            "name": CONTAINER, "ready": true, "restartCount": 0, "started": true,
            "image": "localhost/deskd", "imageID": "", "containerID": "containerd://1",
            "state": { "running": { "startedAt": "2026-11-24T05:00:00Z" } },
        }],
    });
    set_status(namespace, POD, &running);
    let pod = namespace.kubectl_json(&["get", "pod", POD]);
    pod["metadata"]["uid"].as_str().expect("a uid").to_owned()
}

/// deskd runs as another user than the test.
fn readable(kubeconfig: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for path in kubeconfig.ancestors().take(3) {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        if path.starts_with(std::env::temp_dir()) && path != std::env::temp_dir() {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
        }
    }
}
