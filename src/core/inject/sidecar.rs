//! deskd's container and volumes, as values.

use serde_json::{Map, Value, json};

use super::{Binary, Options};

/// Name of deskd's container. abcdesktop takes names that begin with `x` or `o` for others.
pub const CONTAINER: &str = "deskd";
/// How the names of deskd's own volumes begin; applications never get them.
pub const VOLUME_PREFIX: &str = "deskd-";
/// The image that has deskd, unless another is named.
pub const IMAGE_DEFAULT: &str = "localhost/deskd:latest";
/// The service account whose rights are in `container/base/rbac.yaml`.
pub(super) const ACCOUNT: &str = "deskd";
/// The annotation that says which container was taken for the graphical one.
pub(super) const ANNOTATION: &str = "deskd.io/injected";
/// abcdesktop's network policy `apiserver-permits` lets pods with this label reach the API server.
pub(super) const API_LABEL: &str = "netpol/api";

/// Where the image volume is mounted.
const BINARY_DIR: &str = "/opt/deskd";
/// Where deskd is in its image (`container/Containerfile`).
const BINARY: &str = "/usr/local/bin/deskd";
/// Where the volume for deskd's state is mounted.
const STATE_DIR: &str = "/var/lib/deskd";
/// Where kubelet's own token volumes are mounted, and clients look for them.
const TOKEN_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Lifetime of a token; kubelet renews it in time.
const TOKEN_S: u32 = 3600;
/// deskd's port, which abcdesktop's pods leave free.
const PORT: u16 = 29791;
/// What kubelet gives a pod that does not say.
const GRACE_S_DEFAULT: u64 = 30;
/// Who reads a volume of deskd's: everybody, as only deskd's container mounts it. kubelet gives a
/// token to the pod's user alone where all containers share one.
const VOLUME_MODE: u32 = 0o644;

/// What deskd's container has from the pod.
pub(super) struct Pod<'a> {
    pub(super) graphical: &'a Value,
    /// Known and not 0.
    pub(super) unprivileged: bool,
    pub(super) grace_s: Option<u64>,
    pub(super) tcp: bool,
}

/// deskd's volumes.
pub(super) fn volumes(options: &Options) -> Vec<Value> {
    let binary = json!({
        "name": "deskd-bin",
        "image": { "reference": options.image, "pullPolicy": "IfNotPresent" },
    });
    let token = json!({ "name": "deskd-token", "projected": { "defaultMode": VOLUME_MODE, "sources": [
        { "serviceAccountToken": { "path": "token", "expirationSeconds": TOKEN_S } },
        { "configMap": {
            "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
        { "downwardAPI": { "items": [
            { "path": "namespace", "fieldRef": field("metadata.namespace") }] } },
    ]}});
    let config_map = |volume: &str, name: &str| {
        json!({ "name": volume,
            "configMap": { "name": name, "defaultMode": VOLUME_MODE, "optional": true } })
    };
    let binary = (options.binary == Binary::ImageVolume).then_some(binary);
    let rest = [
        json!({ "name": "deskd-state", "emptyDir": {} }),
        token,
        config_map("deskd-config", "deskd"),
        config_map("deskd-apps", "deskd-apps"),
    ];
    binary.into_iter().chain(rest).collect()
}

/// deskd's container.
pub(super) fn container(pod: &Pod<'_>, options: &Options) -> Value {
    let graphical = pod.graphical;
    let mut container = json!({
        "name": CONTAINER,
        "restartPolicy": "Always",
        "env": by_key("name", &graphical["env"], variables(pod)),
        "ports": [{ "name": "deskd", "containerPort": PORT, "protocol": "TCP" }],
        // Held until the display works: see docs/operations.md, "Probes".
        "readinessProbe": {
            "httpGet": { "path": "/readyz?wait=25s&exclude=shm&exclude=x11-tcp", "port": "deskd" },
            "periodSeconds": 2, "timeoutSeconds": 30, "failureThreshold": 1,
        },
        "livenessProbe": {
            "httpGet": { "path": "/livez", "port": "deskd" },
            "periodSeconds": 10, "timeoutSeconds": 10, "failureThreshold": 6,
        },
        "securityContext": security(pod),
        "resources": resources(graphical),
        "volumeMounts": by_key("mountPath", &graphical["volumeMounts"], mounts(options)),
    });
    let (image, pull_policy, program) = match options.binary {
        Binary::ImageVolume => (
            graphical["image"].clone(),
            graphical["imagePullPolicy"].clone(),
            format!("{BINARY_DIR}{BINARY}"),
        ),
        Binary::OwnImage => {
            (options.image.as_str().into(), "IfNotPresent".into(), BINARY.to_owned())
        }
    };
    container["command"] = json!([program, "run", "--lenient"]);
    // kubelet asks for the first time some 20 ms after it started a container, and takes a refused
    // connection for a failed probe. Until this ends the container is not running for it.
    container["lifecycle"] = json!({
        "postStart": { "exec": { "command": [program, "health", "--live", "--wait", "30s"] } } });
    let copied = [
        ("image", image),
        ("imagePullPolicy", pull_policy),
        ("envFrom", graphical["envFrom"].clone()),
        ("workingDir", graphical["workingDir"].clone()),
    ];
    for (key, value) in copied.into_iter().filter(|(_, value)| !value.is_null()) {
        container[key] = value;
    }
    container
}

/// The list of the graphical container with those of deskd: in the place of one with the same key,
/// else at the end.
fn by_key(key: &str, theirs: &Value, ours: Vec<Value>) -> Vec<Value> {
    let mut list = theirs.as_array().cloned().unwrap_or_default();
    for entry in ours {
        match list.iter_mut().find(|known| known[key] == entry[key]) {
            Some(known) => *known = entry,
            None => list.push(entry),
        }
    }
    list
}

fn variables(pod: &Pod<'_>) -> Vec<Value> {
    let value = |name: &str, value: &str| json!({ "name": name, "value": value });
    let from =
        |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": field(path) } });
    let engines =
        if pod.tcp { "ephemeral_container,pod_application" } else { "ephemeral_container" };
    // A display on TCP would lose shared memory, also within the pod.
    let local = variable(pod.graphical, "DISPLAY").filter(|display| display.starts_with(':'));
    vec![
        value("DISPLAY", local.unwrap_or(":0")),
        value("POD_CONTAINER", CONTAINER),
        value("DESKD_LISTEN", &format!("0.0.0.0:{PORT}")),
        value("DESKD_STATE_DIR", &format!("{STATE_DIR}/state")),
        value("DESKD_CONFIG", "/etc/deskd/deskd.toml"),
        value("DESKD_APPS_DIRECTORY", "/etc/deskd-apps"),
        value("DESKD_ENGINES_DEFAULT", engines),
        value(
            "TERMINATION_GRACE_PERIOD_SECONDS",
            &pod.grace_s.unwrap_or(GRACE_S_DEFAULT).to_string(),
        ),
        from("POD_NAME", "metadata.name"),
        from("POD_NAMESPACE", "metadata.namespace"),
        from("POD_UID", "metadata.uid"),
        from("POD_IP", "status.podIP"),
        from("NODE_NAME", "spec.nodeName"),
    ]
}

fn mounts(options: &Options) -> Vec<Value> {
    let mount = |name: &str, path: &str, read_only: bool| {
        let mut mount = json!({ "name": name, "mountPath": path });
        if read_only {
            mount["readOnly"] = true.into();
        }
        mount
    };
    let binary =
        (options.binary == Binary::ImageVolume).then(|| mount("deskd-bin", BINARY_DIR, true));
    let rest = [
        mount("deskd-state", STATE_DIR, false),
        mount("deskd-token", TOKEN_DIR, true),
        mount("deskd-config", "/etc/deskd", true),
        mount("deskd-apps", "/etc/deskd-apps", true),
    ];
    binary.into_iter().chain(rest).collect()
}

/// The graphical container's user, and less than its privileges.
fn security(pod: &Pod<'_>) -> Value {
    let theirs = &pod.graphical["securityContext"];
    let mut ours = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    // Where the cluster's policies want a read-only root, they want it of every container.
    for key in ["runAsUser", "runAsGroup", "readOnlyRootFilesystem"] {
        if !theirs[key].is_null() {
            ours[key] = theirs[key].clone();
        }
    }
    if pod.unprivileged {
        ours["runAsNonRoot"] = true.into();
    }
    ours
}

/// deskd needs little; what it starts beside itself is of the graphical container's kind, so its
/// limits of memory and processors are too. No devices: they would be taken twice.
fn resources(graphical: &Value) -> Value {
    let mut resources = json!({ "requests": { "cpu": "50m", "memory": "32Mi" } });
    let theirs = &graphical["resources"]["limits"];
    let limits: Map<String, Value> = ["cpu", "memory"]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), theirs.get(key)?.clone())))
        .collect();
    if !limits.is_empty() {
        resources["limits"] = limits.into();
    }
    resources
}

/// A literal value of a container's environment; of several with one name the last holds.
pub(super) fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let env = container["env"].as_array()?;
    env.iter().rfind(|entry| entry["name"] == name)?["value"].as_str()
}

fn field(path: &str) -> Value {
    json!({ "fieldPath": path })
}
