//! Which volumes of the desktop pod an application gets.

use serde_json::{Value, json};

use super::UnplannableCode;
use super::ask::{Ask, Blocker};
use super::env::{XAUTHORITY_DIR, XAUTHORITY_FILE};
use super::facts::{OwnPod, VolumeMount};

/// Name of the volume with the cookie in application pods.
const XAUTHORITY_VOLUME: &str = "deskd-x11";
/// The cookie file's mode: a projected file belongs to root, and only the application is in the pod.
const XAUTHORITY_MODE: u32 = 0o444;

/// What an application pod gets of the desktop's volumes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shared {
    /// As in a pod's spec.
    pub(super) volumes: Vec<Value>,
    /// Where they are mounted.
    pub(super) mounts: Vec<VolumeMount>,
    /// What is configured and cannot be, in sentences.
    pub(super) notes: Vec<String>,
}

/// Whether `path` is in something that the target container mounts.
pub(super) fn is_mounted(pod: &OwnPod, path: &str) -> bool {
    pod.mounts.iter().any(|mount| {
        let root = mount.path.trim_end_matches('/');
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// What an ephemeral container lacks of the volumes of its target.
pub(super) fn withheld_note(pod: &OwnPod) -> Option<String> {
    let names: Vec<_> = pod.withheld.iter().map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| {
        format!(
            "it does not get the volume {}, which has deskd's own files (pod_volumes would give it)",
            names.join(", ")
        )
    })
}

/// The secrets it requires are mounted where it would run in this pod.
pub(super) fn secrets_are_here(ask: &Ask<'_>) -> Result<(), Blocker> {
    for name in wanted_secrets(ask) {
        let pod = ask.facts.kubernetes.own_pod.as_ref();
        if pod.and_then(|pod| mounted_secret(pod, name)).is_none() {
            return Err(no_secret(name));
        }
    }
    Ok(())
}

fn wanted_secrets<'a>(ask: &Ask<'a>) -> &'a [String] {
    ask.container().map_or(&[], |container| &container.secrets)
}

fn no_secret(name: &str) -> Blocker {
    let why = format!(
        "it requires the secret `{name}` (oc.secrets_requirement), which deskd's container does \
         not mount: add it to the desktop pod as a volume"
    );
    Blocker::now(UnplannableCode::CannotBePlaced, why)
}

/// The mount of the secret, by the volume's name or the secret's.
fn mounted_secret<'a>(pod: &'a OwnPod, secret: &str) -> Option<(&'a Value, &'a VolumeMount)> {
    let has = |volume: &Value| {
        let projected = volume.pointer("/projected/sources").and_then(Value::as_array);
        let sources = projected.into_iter().flatten().map(|source| source.pointer("/secret/name"));
        let names = sources.chain([volume.pointer("/secret/secretName")]).flatten();
        names.into_iter().any(|name| name.as_str() == Some(secret))
    };
    pod.mounts.iter().find_map(|mount| {
        let volume = pod.volumes.get(&mount.name)?;
        (has(volume) || (mount.name == secret && volume.get("secret").is_some()))
            .then_some((volume, mount))
    })
}

/// Why a volume cannot be in another pod, in `namespace`; nothing when it can.
fn unshareable(volume: &Value, same_namespace: bool) -> Option<&'static str> {
    let has = |kind: &str| volume.get(kind).is_some();
    let token = volume
        .pointer("/projected/sources")
        .and_then(Value::as_array)
        .is_some_and(|all| all.iter().any(|source| source.get("serviceAccountToken").is_some()));
    let namespaced = ["persistentVolumeClaim", "configMap", "secret", "projected", "csi"];
    if has("emptyDir") {
        Some("an emptyDir belongs to one pod: use a persistent volume claim")
    } else if has("ephemeral") {
        Some("an ephemeral volume belongs to one pod: use a persistent volume claim")
    } else if has("hostPath") {
        Some("application pods get no directory of the node: use a persistent volume claim")
    } else if has("downwardAPI") {
        Some("it describes the desktop's pod")
    } else if token {
        Some("it holds a token of the desktop's service account")
    } else if !same_namespace && namespaced.into_iter().any(has) {
        Some("what it names is in the desktop's namespace, and application pods are in another")
    } else {
        None
    }
}

/// The volumes of an application pod in `namespace`: the configured ones that can be shared, the
/// secrets it requires, and the cookie.
pub(super) fn of_pod(ask: &Ask<'_>, pod: &OwnPod, namespace: &str) -> Result<Shared, Blocker> {
    let mut shared = Shared::default();
    let same_namespace = namespace == pod.namespace;
    for secret in wanted_secrets(ask) {
        let (volume, mount) = mounted_secret(pod, secret).ok_or_else(|| no_secret(secret))?;
        if let Some(why) = unshareable(volume, same_namespace) {
            let why = format!("it requires the secret `{secret}` (oc.secrets_requirement): {why}");
            return Err(Blocker::now(UnplannableCode::CannotBePlaced, why));
        }
        shared.add(volume, mount);
    }
    for name in &ask.facts.policy.pod_volumes {
        let mount = pod.mounts.iter().find(|mount| mount.name == *name);
        let why = match (pod.volumes.get(name), mount) {
            (Some(volume), Some(mount)) => match unshareable(volume, same_namespace) {
                None => {
                    shared.add(volume, mount);
                    continue;
                }
                Some(why) => why,
            },
            (Some(_), None) => "deskd's container does not mount it, so there is no place for it",
            (None, _) => "the desktop's pod has no such volume",
        };
        shared.notes.push(format!("it does not get the volume `{name}` (pod_volumes): {why}"));
    }
    if let Some(secret) = ask.facts.policy.xauthority_secret.as_deref()
        && ask.app.needs_display
    {
        shared.cookie(secret);
    }
    Ok(shared)
}

impl Shared {
    fn add(&mut self, volume: &Value, mount: &VolumeMount) {
        if self.mounts.contains(mount) {
            return;
        }
        let mut volume = volume.clone();
        if let Some(fields) = volume.as_object_mut() {
            fields.insert("name".into(), json!(mount.name));
        }
        if !self.volumes.contains(&volume) {
            self.volumes.push(volume);
        }
        self.mounts.push(mount.clone());
    }

    fn cookie(&mut self, secret: &str) {
        let items = json!([{ "key": XAUTHORITY_FILE, "path": XAUTHORITY_FILE }]);
        self.volumes.push(json!({
            "name": XAUTHORITY_VOLUME,
            "projected": {
                "defaultMode": XAUTHORITY_MODE,
                "sources": [{ "secret": { "name": secret, "items": items } }],
            },
        }));
        self.mounts.push(VolumeMount {
            name: XAUTHORITY_VOLUME.into(),
            path: XAUTHORITY_DIR.into(),
            read_only: true,
        });
    }
}
