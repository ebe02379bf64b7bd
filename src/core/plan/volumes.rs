//! Which volumes of the desktop pod an application gets.

use serde_json::{Value, json};

use super::UnplannableCode;
use super::abcdesktop;
use super::ask::{Ask, Blocker};
use super::cookie;
use super::facts::{OwnPod, VolumeMount};
use super::home::{below, desktop_home, shares_home};
use crate::app::container::ContainerApp;
use crate::text;
use crate::text::Text;

/// The cookie file's mode: a projected file belongs to root, and only the application is in the pod.
const XAUTHORITY_MODE: u32 = 0o444;

/// Volumes of abcdesktop 4 with parts of the home directory. Their names are so plain that they count
/// only where they are mounted in it.
const HOME_PARTS: [&str; 3] = ["cache", "config", "local"];
/// Secrets with the user's entry in the databases of users and groups, as abcdesktop names their
/// volumes; its images link `/etc/passwd` and `/etc/group` there.
const ACCOUNT: [&str; 2] = ["localaccount", "auth-localaccount-*"];
/// Their keys that another pod gets: no passwords.
const ACCOUNT_KEYS: [&str; 2] = ["passwd", "group"];
/// In `oc.secrets_requirement`: every secret of the user.
const ALL_SECRETS: &str = "all";

/// What an application gets of the desktop's volumes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shared {
    /// As in a pod's spec; empty where the pod is the desktop's.
    pub(super) volumes: Vec<Value>,
    /// Where they are mounted.
    pub(super) mounts: Vec<VolumeMount>,
    /// What is configured and cannot be, in sentences.
    pub(super) notes: Vec<Text>,
}

/// Whether `path` is in one of these mounts.
pub(super) fn holds(mounts: &[VolumeMount], path: &str) -> bool {
    mounts.iter().any(|mount| below(&mount.path, path).is_some())
}

/// Where volumes are mounted for applications: as the graphical container has them, else the target.
fn places(pod: &OwnPod) -> impl Iterator<Item = &VolumeMount> {
    let graphical = pod.graphical.as_ref().map(|graphical| graphical.mounts.iter());
    graphical.into_iter().flatten().chain(&pod.mounts)
}

/// What an ephemeral container gets: the volumes of the list, and the secrets that it requires.
pub(super) fn of_ephemeral(ask: &Ask<'_>, container: &ContainerApp, pod: &OwnPod) -> Shared {
    let mut shared = Shared::default();
    let list = &ask.facts.policy.volumes;
    let listed = |name: &str| list.iter().any(|pattern| matches(pattern, name));
    let wants_home = shares_home(container);
    let secrets: Vec<_> =
        wanted_secrets(ask).iter().flat_map(|secret| mounted_secrets(pod, secret)).collect();
    let mounts = match &pod.graphical {
        Some(graphical) => &graphical.mounts,
        None => &pod.mounts,
    };
    for mount in mounts {
        let part = HOME_PARTS.contains(&mount.name.as_str());
        let listed = listed(&mount.name)
            && (!part || is_at_home(pod, mount))
            && (wants_home || !is_home(pod, mount));
        if listed || secrets.iter().any(|(_, secret)| secret.name == mount.name) {
            shared.mounts.push(mount.clone());
        }
    }
    for (_, secret) in secrets {
        if !shared.mounts.iter().any(|mount| mount.name == secret.name) {
            shared.mounts.push(secret.clone());
        }
    }
    let parts = parts(pod).filter(|part| listed(&part.name));
    shared.notes.extend(parts.map(part_note));
    let withheld = pod.withheld.iter().filter(|name| listed(name));
    shared.notes.extend(withheld.map(|name| withheld_note(name, "volumes")));
    shared.notes.extend(absent_secrets(ask, pod));
    shared
}

/// Parts of volumes that the graphical container has.
fn parts(pod: &OwnPod) -> impl Iterator<Item = &VolumeMount> {
    pod.graphical.iter().flat_map(|graphical| &graphical.parts)
}

fn part_note(part: &VolumeMount) -> Text {
    let VolumeMount { name, path, .. } = part;
    text!(
        "it does not get {path} of the graphical container: that is a part of the volume `{name}` \
         (subPath), which an ephemeral container cannot mount; mount a separate volume there",
        path,
        name
    )
}

/// The desktop's home directory, or something in it. /tmp is one that many things share.
fn is_at_home(pod: &OwnPod, mount: &VolumeMount) -> bool {
    let home = desktop_home(pod).map(|(home, _)| home).filter(|home| *home != "/tmp");
    home.is_some_and(|home| below(home, &mount.path).is_some())
}

/// The same, also by its name.
fn is_home(pod: &OwnPod, mount: &VolumeMount) -> bool {
    is_at_home(pod, mount) || matches("home*", &mount.name)
}

/// Whether a pattern of `volumes` is about a volume.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

fn withheld_note(name: &str, key: &str) -> Text {
    text!(
        "it does not get the volume `{name}`, which contains files that no application may read \
         (deskd's own, a token for the Kubernetes API, the password of the desktop's VNC server): \
         move those files to a volume of their own, or remove `{name}` from `{key}`",
        name,
        key
    )
}

/// The secrets it requires are mounted where it would run in this pod.
pub(super) fn secrets_are_here(ask: &Ask<'_>) -> Result<(), Blocker> {
    let pod = ask.facts.kubernetes.own_pod.as_ref();
    for name in wanted_secrets(ask) {
        let here =
            pod.is_some_and(|pod| is_optional(pod, name) || !mounted_secrets(pod, name).is_empty());
        if !here {
            return Err(no_secret(name));
        }
    }
    Ok(())
}

fn wanted_secrets<'a>(ask: &Ask<'a>) -> &'a [String] {
    ask.container().map_or(&[], |container| &container.secrets)
}

/// pyos mounts those that the user has, and starts the application without the others.
fn is_optional(pod: &OwnPod, secret: &str) -> bool {
    secret == ALL_SECRETS || abcdesktop::is_desktop(pod)
}

/// The secrets it asks for and does without, in sentences.
fn absent_secrets(ask: &Ask<'_>, pod: &OwnPod) -> Vec<Text> {
    let absent = |name: &&String| *name != ALL_SECRETS && mounted_secrets(pod, name).is_empty();
    let sentence = |name: &String| {
        text!(
            "it asks for the secret `{name}` (oc.secrets_requirement), which this desktop does not have",
            name
        )
    };
    wanted_secrets(ask).iter().filter(absent).map(sentence).collect()
}

fn no_secret(name: &str) -> Blocker {
    let why = text!(
        "it needs the secret `{name}` (oc.secrets_requirement), which deskd's container does not \
         mount: add it to the desktop pod as a volume",
        name
    );
    Blocker::now(UnplannableCode::CannotBePlaced, why)
}

/// The mounts of a secret, by the volume's name, the secret's, or its type as pyos names volumes:
/// `abcdesktop/kerberos` is in `auth-kerberos-<user>`, and `all` is all of them.
fn mounted_secrets<'a>(pod: &'a OwnPod, secret: &str) -> Vec<(&'a Value, &'a VolumeMount)> {
    let has = |volume: &Value| {
        let projected = volume.pointer("/projected/sources").and_then(Value::as_array);
        let sources = projected.into_iter().flatten().map(|source| source.pointer("/secret/name"));
        let names = sources.chain([volume.pointer("/secret/secretName")]).flatten();
        names.into_iter().any(|name| name.as_str() == Some(secret))
    };
    let kind = secret.rsplit('/').next().unwrap_or(secret);
    let prefix = if secret == ALL_SECRETS { "auth-".to_owned() } else { format!("auth-{kind}-") };
    let named = |name: &str| name == secret || name.starts_with(&prefix);
    let mut found: Vec<(&Value, &VolumeMount)> = Vec::new();
    for mount in places(pod) {
        let Some(volume) = pod.volumes.get(&mount.name) else { continue };
        let wanted = has(volume) || (named(&mount.name) && volume.get("secret").is_some());
        if wanted && !found.iter().any(|(_, known)| known.name == mount.name) {
            found.push((volume, mount));
        }
    }
    found
}

/// Why a volume cannot be in another pod, in `namespace`; nothing when it can.
fn unshareable(volume: &Value, same_namespace: bool) -> Option<Text> {
    let has = |kind: &str| volume.get(kind).is_some();
    let token = volume
        .pointer("/projected/sources")
        .and_then(Value::as_array)
        .is_some_and(|all| all.iter().any(|source| source.get("serviceAccountToken").is_some()));
    let namespaced = ["persistentVolumeClaim", "configMap", "secret", "projected", "csi"];
    if has("emptyDir") {
        Some(text!("an emptyDir belongs to one pod: use a persistent volume claim"))
    } else if has("ephemeral") {
        Some(text!("an ephemeral volume belongs to one pod: use a persistent volume claim"))
    } else if has("hostPath") {
        Some(text!(
            "application pods may not mount directories of the node: use a persistent volume claim"
        ))
    } else if has("downwardAPI") {
        Some(text!("it describes the desktop's pod"))
    } else if token {
        Some(text!("it holds a token of the desktop's service account"))
    } else if !same_namespace && namespaced.into_iter().any(has) {
        Some(text!(
            "it refers to an object in the desktop's namespace, and application pods are in \
         another namespace"
        ))
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
        let found = mounted_secrets(pod, secret);
        if found.is_empty() && !is_optional(pod, secret) {
            return Err(no_secret(secret));
        }
        for (volume, mount) in found {
            if let Some(why) = unshareable(volume, same_namespace) {
                let why = text!(
                    "it needs the secret `{secret}` (oc.secrets_requirement): {why}",
                    secret,
                    why
                );
                return Err(Blocker::now(UnplannableCode::CannotBePlaced, why));
            }
            shared.add(volume, mount);
        }
    }
    shared.notes.extend(absent_secrets(ask, pod));
    for name in &ask.facts.policy.pod_volumes {
        if pod.withheld.contains(name) {
            shared.notes.push(withheld_note(name, "pod_volumes"));
            continue;
        }
        let mount = places(pod).find(|mount| mount.name == *name);
        let wants_home = ask.container().is_none_or(shares_home);
        if !wants_home && mount.is_some_and(|mount| is_home(pod, mount)) {
            continue;
        }
        let why = match (pod.volumes.get(name), mount) {
            (Some(volume), Some(mount)) => match unshareable(volume, same_namespace) {
                None => {
                    shared.add(volume, mount);
                    continue;
                }
                Some(why) => why,
            },
            (Some(_), None) if parts(pod).any(|part| part.name == *name) => {
                text!(
                    "the desktop mounts only a part of it (subPath): mount a separate volume there"
                )
            }
            (Some(_), None) => {
                text!("deskd's container does not mount it, so its mount path is unknown")
            }
            (None, _) => text!("the desktop's pod has no such volume"),
        };
        shared.notes.push(text!(
            "it does not get the volume `{name}` (pod_volumes): {why}",
            name,
            why
        ));
    }
    if same_namespace {
        shared.account(pod);
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

    /// Who its user is, unless that is mounted already. A key may be missing.
    fn account(&mut self, pod: &OwnPod) {
        let named = |name: &str| ACCOUNT.iter().any(|pattern| matches(pattern, name));
        let found = places(pod).filter(|mount| named(&mount.name)).find_map(|mount| {
            let secret = pod.volumes.get(&mount.name)?.pointer("/secret/secretName")?;
            Some((mount, secret))
        });
        let Some((mount, secret)) = found else { return };
        if self.mounts.iter().any(|known| known.path == mount.path) {
            return;
        }
        let items = ACCOUNT_KEYS.map(|key| json!({ "key": key, "path": key }));
        self.volumes.push(json!({
            "name": mount.name,
            "secret": { "secretName": secret, "items": items, "optional": true },
        }));
        self.mounts.push(VolumeMount { read_only: true, ..mount.clone() });
    }

    fn cookie(&mut self, secret: &str) {
        let items = json!([{ "key": cookie::FILE, "path": cookie::FILE }]);
        self.volumes.push(json!({
            "name": cookie::VOLUME,
            "projected": {
                "defaultMode": XAUTHORITY_MODE,
                "sources": [{ "secret": { "name": secret, "items": items } }],
            },
        }));
        self.mounts.push(VolumeMount {
            name: cookie::VOLUME.into(),
            path: cookie::DIRECTORY.into(),
            read_only: true,
        });
    }
}
