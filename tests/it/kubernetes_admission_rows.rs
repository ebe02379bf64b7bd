//! What `container/admission.yaml` refuses, rule by rule.

use serde_json::{Value, json};

/// What differs, as a JSON pointer and the value that is put there (null: taken away), and what the
/// refusal says.
pub(crate) type Row = (String, Value, &'static str);

const IMAGE: &str = "is not allowed: localhost/ is";
const SECRET: &str = "reads a secret that is not for applications";
/// A secret of abcdesktop's that has its user's entry, and password, in the databases of users.
pub(crate) const ACCOUNT: &str = "auth-localaccount-robin";
const USER: &str = "does not run as the desktop's user";

fn row(pointer: &str, value: Value, says: &'static str) -> Row {
    (pointer.to_owned(), value, says)
}

fn label_rows() -> Vec<Row> {
    let row = |label: &str, value: Value, says| {
        row(&format!("/metadata/labels/{}", label.replace('/', "~1")), value, says)
    };
    let uid = "deskd.io/desktop-uid is not the uid";
    let task = "the task of the pod would be unknown";
    vec![
        row("app.kubernetes.io/managed-by", json!("helm"), "app.kubernetes.io/managed-by"),
        row("deskd.io/desktop-uid", json!("other"), uid),
        row("deskd.io/desktop-uid", Value::Null, uid),
        row("deskd.io/desktop", json!("other"), "deskd.io/desktop is not the name"),
        row("deskd.io/desktop-namespace", json!("other"), "desktop-namespace is not the"),
        row("type", json!("database"), "set the label type"),
        row("deskd.io/task", Value::Null, task),
        row("deskd.io/run", Value::Null, task),
        row("deskd.io/app", Value::Null, task),
        row("netpol/ocapplication", Value::Null, "set the label netpol/ocapplication"),
        row("app", json!("database"), "could get the traffic of another program"),
        row("access_group", json!("admins"), "could get the traffic of another program"),
    ]
}

fn volume_rows() -> Vec<Row> {
    let row = |source: Value, says| {
        let mut volume = source;
        volume["name"] = json!("data");
        row("/spec/volumes/-", volume, says)
    };
    let refused = "the volume data is of a kind that applications may not have";
    let projected = |source: Value| json!({ "projected": { "sources": [source] } });
    let key = |key: &str| json!({ "key": key, "path": key });
    vec![
        row(json!({ "hostPath": { "path": "/" } }), refused),
        row(json!({ "nfs": { "server": "s", "path": "/" } }), refused),
        row(json!({ "persistentVolumeClaim": { "claimName": "home" } }), refused),
        row(projected(json!({ "serviceAccountToken": { "path": "token" } })), refused),
        row(json!({ "secret": { "secretName": "k" } }), SECRET),
        row(json!({ "secret": { "secretName": ACCOUNT } }), SECRET),
        row(json!({ "secret": { "secretName": ACCOUNT, "items": [key("shadow")] } }), SECRET),
        row(json!({ "secret": { "secretName": "k", "items": [key("passwd")] } }), SECRET),
        row(projected(json!({ "secret": { "name": "k" } })), SECRET),
    ]
}

fn spec_rows() -> Vec<Row> {
    let namespaces = "in namespaces of the node";
    let port = json!([{ "containerPort": 80, "hostPort": 80 }]);
    let second = json!({
        "name": "second", "image": "elsewhere/x:1",
        "securityContext": { "allowPrivilegeEscalation": false },
    });
    let token = "automountServiceAccountToken";
    let restart = "set restartPolicy to Never";
    vec![
        row("/spec/hostNetwork", json!(true), namespaces),
        row("/spec/hostPID", json!(true), namespaces),
        row("/spec/hostIPC", json!(true), namespaces),
        row("/spec/containers/0/ports", port, "hostPort"),
        row("/spec/automountServiceAccountToken", Value::Null, token),
        row("/spec/automountServiceAccountToken", json!(true), token),
        row("/spec/serviceAccountName", json!("deskd"), "remove serviceAccountName deskd"),
        row("/spec/restartPolicy", Value::Null, restart),
        row("/spec/restartPolicy", json!("OnFailure"), restart),
        row("/spec/containers/-", second.clone(), IMAGE),
        row("/spec/initContainers", json!([second]), IMAGE),
        row("/spec/securityContext/runAsUser", Value::Null, USER),
        row("/spec/securityContext/runAsUser", json!(0), USER),
    ]
}

/// Of a container, in whichever pod.
fn container_rows() -> Vec<Row> {
    let variable =
        json!({ "name": "A", "valueFrom": { "secretKeyRef": { "name": "k", "key": "a" } } });
    // Whoever is privileged has to be allowed to escalate: the API demands it.
    let privileged = json!({ "privileged": true, "allowPrivilegeEscalation": true });
    let escalation = "allowPrivilegeEscalation";
    vec![
        row("/image", json!("elsewhere/x:1"), IMAGE),
        row("/image", json!("localhost.evil/x:1"), IMAGE),
        row("/env", json!([variable]), SECRET),
        row("/envFrom", json!([{ "secretRef": { "name": "k" } }]), SECRET),
        row("/securityContext/runAsUser", json!(4097), USER),
        row("/securityContext", privileged, "a privileged container"),
        row("/securityContext", Value::Null, escalation),
        row("/securityContext/allowPrivilegeEscalation", json!(true), escalation),
        row("/securityContext/capabilities", json!({ "add": ["NET_RAW"] }), "no capabilities"),
    ]
}

/// Of a pod.
pub(crate) fn pod_rows() -> Vec<Row> {
    let containers = container_rows()
        .into_iter()
        .map(|(pointer, value, says)| (format!("/spec/containers/0{pointer}"), value, says));
    let others = [label_rows(), volume_rows(), spec_rows()].into_iter().flatten();
    others.chain(containers).collect()
}

/// Of an ephemeral container.
pub(crate) fn ephemeral_rows() -> Vec<Row> {
    let target = "joins the processes of the container deskd";
    let token = json!({ "name": "api-token", "mountPath": "/token" });
    let mut rows = container_rows();
    rows.extend([
        row("/targetContainerName", json!("graphical"), target),
        row("/targetContainerName", Value::Null, target),
        row("/volumeMounts/-", token, "the volume api-token has a token"),
    ]);
    rows
}
