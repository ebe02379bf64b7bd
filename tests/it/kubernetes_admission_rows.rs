//! What `container/base/admission.yaml` refuses, rule by rule.

use serde_json::{Value, json};

/// What differs, as a JSON pointer and the value that is put there (null: taken away), and what the
/// refusal says.
pub(crate) type Row = (String, Value, &'static str);

const IMAGE: &str = "is not allowed: localhost/ is";
const SECRET: &str = "reads a secret that is not for applications";
/// A secret of abcdesktop's that has its user's entry, and password, in the databases of users.
pub(crate) const ACCOUNT: &str = "auth-localaccount-robin";
const USER: &str = "does not run as the desktop's user";
const GROUP: &str = "is not one for applications; set runAsGroup";
const CONFIG_MAP: &str = "reads a config map that is not for applications";
const SECCOMP: &str = "could call more of the kernel";
/// A field that deskd's pods, or containers, do not have.
const POD_FIELD: &str = "is not for application pods; remove it";
const CONTAINER_FIELD: &str = "is not for applications; remove it, or, if the cluster";
const POD_VALUE: &str = "is not one for application pods";

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
        row(projected(json!({ "clusterTrustBundle": { "path": "ca", "name": "b" } })), refused),
        row(json!({ "image": { "reference": "elsewhere/x:1" } }), "is not allowed: localhost/ is"),
        row(
            json!({ "ephemeral": { "volumeClaimTemplate": { "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } } } }),
            refused,
        ),
        row(json!({ "configMap": { "name": "m" } }), CONFIG_MAP),
        row(projected(json!({ "configMap": { "name": "m" } })), CONFIG_MAP),
        row(json!({ "emptyDir": { "medium": "Memory" } }), "could take all memory of the node"),
        row(json!({ "emptyDir": { "medium": "HugePages" } }), "could take all memory of the node"),
    ]
}

/// Fields that deskd's pods do not have.
fn field_rows() -> Vec<Row> {
    let anti = json!({ "requiredDuringSchedulingIgnoredDuringExecution": [{
        "topologyKey": "kubernetes.io/hostname", "namespaceSelector": {}, "labelSelector": {},
    }] });
    let owner =
        |uid: &str| json!([{ "apiVersion": "v1", "kind": "Pod", "name": "theirs", "uid": uid }]);
    vec![
        row("/spec/hostNetwork", json!(true), POD_FIELD),
        row("/spec/hostPID", json!(true), POD_FIELD),
        row("/spec/hostIPC", json!(true), POD_FIELD),
        row("/spec/hostAliases", json!([{ "ip": "10.0.0.1", "hostnames": ["bank"] }]), POD_FIELD),
        row("/spec/shareProcessNamespace", json!(true), POD_FIELD),
        row("/spec/subdomain", json!("bank"), POD_FIELD),
        row("/spec/setHostnameAsFQDN", json!(true), POD_FIELD),
        row("/spec/dnsConfig", json!({ "nameservers": ["10.0.0.1"] }), POD_FIELD),
        row("/spec/readinessGates", json!([{ "conditionType": "x/y" }]), POD_FIELD),
        row("/spec/schedulingGates", json!([{ "name": "x/y" }]), POD_FIELD),
        row(
            "/spec/resourceClaims",
            json!([{ "name": "c", "resourceClaimName": "theirs" }]),
            POD_FIELD,
        ),
        row(
            "/spec/topologySpreadConstraints",
            json!([{ "maxSkew": 1, "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule" }]),
            POD_FIELD,
        ),
        row("/spec/nodeName", json!("node-1"), POD_FIELD),
        row("/spec/affinity/podAntiAffinity", anti, POD_FIELD),
        row(
            "/spec/securityContext/sysctls",
            json!([{ "name": "kernel.shm_rmid_forced", "value": "0" }]),
            POD_FIELD,
        ),
        row("/spec/securityContext/fsGroup", json!(0), POD_FIELD),
        row("/spec/securityContext/seLinuxOptions", json!({ "type": "spc_t" }), POD_FIELD),
        row("/spec/securityContext/appArmorProfile", json!({ "type": "Unconfined" }), POD_FIELD),
        row("/metadata/finalizers", json!(["example.org/never"]), POD_FIELD),
        row(
            "/metadata/ownerReferences",
            owner("0a1b"),
            "is not the desktop whose token this is; set ownerReferences",
        ),
        row(
            "/metadata/annotations/k8s.v1.cni.cncf.io~1networks",
            json!("lab"),
            "network or protection",
        ),
    ]
}

/// Of fields that deskd's pods have, the values that they do not.
fn value_rows() -> Vec<Row> {
    let second = json!({
        "name": "second", "image": "elsewhere/x:1",
        "securityContext": { "allowPrivilegeEscalation": false },
    });
    let token = "automountServiceAccountToken";
    let restart = "set restartPolicy to Never";
    let class = "is not for applications; remove it, or add it to allowedRuntimeClasses";
    let taint = "could run on nodes that are kept for others";
    vec![
        row("/spec/hostname", json!("bank"), POD_VALUE),
        row("/spec/dnsPolicy", json!("Default"), POD_VALUE),
        row("/spec/schedulerName", json!("mine"), POD_VALUE),
        row("/spec/terminationGracePeriodSeconds", json!(1_000_000), POD_VALUE),
        row("/spec/priorityClassName", json!("system-node-critical"), class),
        row("/spec/runtimeClassName", json!("unconfined"), class),
        row("/spec/tolerations", json!([{ "operator": "Exists" }]), taint),
        row(
            "/spec/tolerations",
            json!([{ "key": "node-role.kubernetes.io/control-plane", "operator": "Exists" }]),
            taint,
        ),
        row(
            "/spec/imagePullSecrets",
            json!([{ "name": "theirs" }]),
            "the image pull secret theirs",
        ),
        row("/spec/securityContext/supplementalGroups", json!([0]), GROUP),
        row("/spec/securityContext/runAsGroup", json!(0), GROUP),
        row("/spec/securityContext/runAsGroup", Value::Null, GROUP),
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
    let map =
        json!({ "name": "A", "valueFrom": { "configMapKeyRef": { "name": "k", "key": "a" } } });
    // Whoever is privileged has to be allowed to escalate: the API demands it.
    let privileged = json!({ "privileged": true, "allowPrivilegeEscalation": true });
    let escalation = "allowPrivilegeEscalation";
    vec![
        row("/image", json!("elsewhere/x:1"), IMAGE),
        row("/image", json!("localhost.evil/x:1"), IMAGE),
        row("/env", json!([variable]), SECRET),
        row("/envFrom", json!([{ "secretRef": { "name": "k" } }]), SECRET),
        row("/securityContext/runAsUser", json!(4097), USER),
        row("/env", json!([map]), CONFIG_MAP),
        row("/envFrom", json!([{ "configMapRef": { "name": "k" } }]), CONFIG_MAP),
        row("/securityContext/runAsGroup", json!(0), GROUP),
        row("/securityContext/seccompProfile", json!({ "type": "Unconfined" }), SECCOMP),
        row("/securityContext", privileged, CONTAINER_FIELD),
        row("/securityContext/procMount", json!("Default"), CONTAINER_FIELD),
        row("/securityContext/appArmorProfile", json!({ "type": "Unconfined" }), CONTAINER_FIELD),
        row("/securityContext/seLinuxOptions", json!({ "type": "spc_t" }), CONTAINER_FIELD),
        row("/stdin", json!(true), CONTAINER_FIELD),
        row("/securityContext", Value::Null, SECCOMP),
        row("/securityContext/allowPrivilegeEscalation", json!(true), escalation),
        row("/securityContext/capabilities", json!({ "add": ["NET_RAW"] }), "no capabilities"),
    ]
}

/// Of a container that is not ephemeral: these have no such fields.
fn pod_container_rows() -> Vec<Row> {
    vec![
        row("/ports", json!([{ "containerPort": 80, "hostPort": 80 }]), CONTAINER_FIELD),
        row("/ports", json!([{ "containerPort": 80, "hostIP": "127.0.0.1" }]), CONTAINER_FIELD),
        row(
            "/lifecycle",
            json!({ "postStart": { "httpGet": { "port": 80, "host": "10.0.0.1" } } }),
            CONTAINER_FIELD,
        ),
        row("/livenessProbe", json!({ "tcpSocket": { "port": 22 } }), CONTAINER_FIELD),
        row(
            "/readinessProbe",
            json!({ "httpGet": { "port": 80, "host": "10.0.0.1" } }),
            CONTAINER_FIELD,
        ),
        row(
            "/readinessProbe",
            json!({ "tcpSocket": { "port": 80, "host": "10.0.0.1" } }),
            CONTAINER_FIELD,
        ),
        row("/readinessProbe", json!({ "exec": { "command": ["true"] } }), CONTAINER_FIELD),
        row("/volumeMounts/0/mountPropagation", json!("HostToContainer"), CONTAINER_FIELD),
        row("/volumeMounts/0/subPath", json!("x"), CONTAINER_FIELD),
    ]
}

/// Of a pod.
pub(crate) fn pod_rows() -> Vec<Row> {
    let containers = container_rows()
        .into_iter()
        .chain(pod_container_rows())
        .map(|(pointer, value, says)| (format!("/spec/containers/0{pointer}"), value, says));
    let others = [label_rows(), volume_rows(), field_rows(), value_rows()].into_iter().flatten();
    others.chain(containers).collect()
}

/// Of an ephemeral container.
pub(crate) fn ephemeral_rows() -> Vec<Row> {
    let target = "joins the processes of the container deskd";
    let token = json!({ "name": "api-token", "mountPath": "/token" });
    let mut rows = container_rows();
    rows.extend([
        row("/targetContainerName", json!("graphical"), target),
        row("/volumeMounts/-", token, "the volume api-token has a token"),
        row(
            "/volumeMounts/-",
            json!({ "name": "state", "mountPath": "/s" }),
            "of the desktop is not for applications",
        ),
    ]);
    rows
}
