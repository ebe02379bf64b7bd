//! What the desktop's own pod says about what can be done in it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::credentials::SERVICE_ACCOUNT_DIR;
use super::identity::EngineConfig;
use super::objects::{Container, EnvFrom, EnvVar, Mount, Pod};
use deskd_core::expansion::expand;
use deskd_core::plan::facts::{DeskdProgram, Graphical, OwnPod, VolumeMount};
use deskd_core::plan::remote::KeeperFile;

/// How the names of deskd's own volumes begin.
const OWN_VOLUMES: &str = "deskd";
/// The keeper's file, beside deskd's.
const KEEPER_NAME: &str = "deskd-keeper";
/// Where a place mounts the volume that has it.
const KEEPER_MOUNT: &str = "/.deskd";
/// How abcdesktop names the volume with the password of the desktop's VNC server.
const VNC_VOLUMES: &str = "auth-vnc-";
/// Where abcdesktop mounts secrets: `<this>/<namespace>/<type>`.
const SECRETS_PATH: &str = "/var/secrets";
/// The type of the one that is for the graphical container alone.
const VNC_SECRET: &str = "vnc";
/// How abcdesktop's control plane knows the graphical container: by the beginning of its name.
const GRAPHICAL_PREFIX: char = 'x';

/// The facts of `pod`, which takes `bytes` as JSON.
#[must_use]
pub fn facts(pod: &Pod, config: &EngineConfig, bytes: u64) -> OwnPod {
    let own = own_container(pod, config);
    let target = config.policy.target_container.clone().or_else(|| own.clone());
    let volumes = volumes(&pod.spec.volumes);
    let named = |name: &Option<String>| {
        targets(pod).find(|container| Some(&container.name) == name.as_ref())
    };
    let own_mounts = named(&own).map_or(&[][..], |container| &container.volume_mounts);
    let withheld = withheld(pod, own_mounts, config);
    let mounts_of = |container: Option<&Container>| {
        let mounts = container.map_or(&[][..], |container| &container.volume_mounts).iter();
        mounts
            .filter(|mount| is_whole(mount) && !withheld.contains(&mount.name))
            .map(plain_mount)
            .collect()
    };
    let parts_of = |container: &Container| {
        let mounts = container.volume_mounts.iter();
        let parts = mounts.filter(|mount| !is_whole(mount) && !withheld.contains(&mount.name));
        parts.map(plain_mount).collect()
    };
    let graphical = graphical(pod, config, &target).map(|container| Graphical {
        name: container.name.clone(),
        image: container.image.clone(),
        env: environment(pod, container),
        untold_env: untold(container),
        env_from: container.env_from.iter().filter_map(source).collect(),
        mounts: mounts_of(Some(container)),
        parts: parts_of(container),
        resources: container.resources.clone(),
    });
    OwnPod {
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        uid: pod.metadata.uid.clone(),
        ip: pod.status.pod_ip.clone().or_else(|| config.pod.ip.clone()),
        node: pod.spec.node_name.clone().or_else(|| config.pod.node.clone()),
        containers: targets(pod).map(|container| container.name.clone()).collect(),
        mounts: mounts_of(named(&target)),
        own_mounts: mounts_of(named(&own)),
        withheld: withheld.iter().cloned().collect(),
        deskd: named(&own).and_then(|container| deskd(pod, container, config)),
        keeper: named(&own).and_then(|container| keeper(pod, container, config)),
        graphical,
        labels: pod.metadata.labels.clone(),
        target_container: target,
        ephemeral_used: u32::try_from(pod.spec.ephemeral_containers.len()).unwrap_or(u32::MAX),
        object_bytes: bytes,
        terminating: pod.metadata.deletion_timestamp.is_some(),
        shares_processes: pod.spec.share_process_namespace,
        volumes,
    }
}

/// Which image deskd's program is in: that of a volume (an image volume), else its container's.
fn deskd(pod: &Pod, own: &Container, config: &EngineConfig) -> Option<DeskdProgram> {
    let program = config.program.as_deref().filter(|program| program.is_absolute())?;
    let holds = |mount: &&Mount| program.starts_with(&mount.mount_path);
    let innermost = own.volume_mounts.iter().filter(holds).max_by_key(|m| m.mount_path.len());
    let (image, path) = match innermost {
        None => (own.image.as_str(), program.to_owned()),
        Some(mount) => {
            let volumes = &pod.spec.volumes;
            let volume = volumes.iter().find(|volume| volume["name"] == mount.name.as_str())?;
            let below = program.strip_prefix(&mount.mount_path).ok()?;
            let part = mount.sub_path.as_deref().unwrap_or_default().trim_matches('/');
            (volume["image"]["reference"].as_str()?, Path::new("/").join(part).join(below))
        }
    };
    let path = path.to_str()?.to_owned();
    (!image.is_empty()).then(|| DeskdProgram { image: image.to_owned(), path })
}

/// The keeper of places: in the image volume that brings deskd itself, which no other container of the
/// pod can change.
fn keeper(pod: &Pod, own: &Container, config: &EngineConfig) -> Option<KeeperFile> {
    let program = config.program.as_deref().filter(|program| program.is_absolute())?;
    let holds = |mount: &&Mount| program.starts_with(&mount.mount_path);
    let innermost = own.volume_mounts.iter().filter(holds).max_by_key(|m| m.mount_path.len());
    let mount = innermost.filter(|mount| is_whole(mount))?;
    let volumes = &pod.spec.volumes;
    let volume = volumes.iter().find(|volume| volume["name"] == mount.name.as_str())?;
    volume["image"].as_object()?;
    let below = program.with_file_name(KEEPER_NAME);
    let path = Path::new(KEEPER_MOUNT).join(below.strip_prefix(&mount.mount_path).ok()?);
    let (name, at) = (mount.name.clone(), KEEPER_MOUNT.to_owned());
    let mount = VolumeMount { name, path: at, read_only: true };
    Some(KeeperFile { mount, path: path.to_str()?.to_owned() })
}

/// The container that draws the desktop: as configured, else by its name, else the target.
fn graphical<'a>(
    pod: &'a Pod,
    config: &EngineConfig,
    target: &Option<String>,
) -> Option<&'a Container> {
    let named = |name: &String| targets(pod).find(|container| container.name == *name);
    if let Some(name) = &config.policy.graphical_container {
        return named(name);
    }
    let by_name = targets(pod).find(|container| container.name.starts_with(GRAPHICAL_PREFIX));
    by_name.or_else(|| named(target.as_ref()?))
}

/// A container's variables as it sees them, as far as the pod tells: without what is in config maps
/// and secrets.
fn environment(pod: &Pod, container: &Container) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for var in &container.env {
        let field = var.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
        let value = match (&var.value, field) {
            (Some(value), _) => Some(expand(value, |name| env.get(name).cloned())),
            (None, Some(field)) => field_of(pod, &field.field_path),
            // An empty value is left out of JSON.
            (None, None) if var.value_from.is_none() => Some(String::new()),
            (None, None) => None,
        };
        env.extend(value.map(|value| (var.name.clone(), value)));
    }
    env
}

/// Its variables whose value is in a config map or a secret.
fn untold(container: &Container) -> Vec<String> {
    let elsewhere = |var: &&EnvVar| {
        var.value_from
            .as_ref()
            .is_some_and(|from| from.config_map_key_ref.is_some() || from.secret_key_ref.is_some())
    };
    container.env.iter().filter(elsewhere).map(|var| var.name.clone()).collect()
}

/// Where a container has many variables from, in words.
fn source(from: &EnvFrom) -> Option<String> {
    let config_map = from.config_map_ref.as_ref().map(|it| format!("the ConfigMap `{}`", it.name));
    config_map.or_else(|| Some(format!("the Secret `{}`", from.secret_ref.as_ref()?.name)))
}

/// A field as the downward API gives it.
fn field_of(pod: &Pod, path: &str) -> Option<String> {
    let value = match path {
        "metadata.name" => Some(&pod.metadata.name),
        "metadata.namespace" => Some(&pod.metadata.namespace),
        "metadata.uid" => Some(&pod.metadata.uid),
        "spec.nodeName" => pod.spec.node_name.as_ref(),
        "status.podIP" => pod.status.pod_ip.as_ref(),
        _ => {
            let label = path.strip_prefix("metadata.labels['")?.strip_suffix("']")?;
            pod.metadata.labels.get(label)
        }
    };
    value.cloned()
}

/// Whether deskd sees the processes of an ephemeral container that joins the configured target.
#[must_use]
pub fn sees_processes(pod: &Pod, config: &EngineConfig) -> bool {
    let own = own_container(pod, config);
    let target = config.policy.target_container.as_ref();
    pod.spec.share_process_namespace
        || own.is_some() && target.is_none_or(|t| Some(t) == own.as_ref())
}

/// Whether deskd sees the processes of this ephemeral container, which others made.
#[must_use]
pub fn sees_processes_of(pod: &Pod, container: &Container, config: &EngineConfig) -> bool {
    let own = own_container(pod, config);
    pod.spec.share_process_namespace || own.is_some() && container.target_container_name == own
}

/// Ordinary containers and native sidecars: those that run as long as the pod.
fn targets(pod: &Pod) -> impl Iterator<Item = &Container> {
    let sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    pod.spec.init_containers.iter().filter(sidecar).chain(&pod.spec.containers)
}

/// deskd's own container: as it was told, else the one that has its port, else the only one.
fn own_container(pod: &Pod, config: &EngineConfig) -> Option<String> {
    if let Some(name) = &config.pod.container {
        return Some(name.clone());
    }
    let has_port = |container: &&Container| {
        container.ports.iter().any(|port| port.container_port == config.port)
    };
    let by_port = targets(pod).find(has_port);
    let only = || {
        let mut all = targets(pod);
        all.next().filter(|_| all.next().is_none())
    };
    by_port.or_else(only).map(|container| container.name.clone())
}

fn volumes(specs: &[Value]) -> BTreeMap<String, Value> {
    let named = |spec: &Value| Some((spec.get("name")?.as_str()?.to_owned(), spec.clone()));
    specs.iter().filter_map(named).collect()
}

/// Ephemeral containers cannot mount parts of volumes.
fn is_whole(mount: &Mount) -> bool {
    mount.sub_path.is_none() && mount.sub_path_expr.is_none()
}

fn plain_mount(mount: &Mount) -> VolumeMount {
    VolumeMount {
        name: mount.name.clone(),
        path: mount.mount_path.clone(),
        read_only: mount.read_only,
    }
}

/// The volumes with files that no application may read: deskd's own (whoever reads them reads its
/// token, its credentials and every task's output, and speaks to its keeper), tokens for the Kubernetes
/// API, and the password of the VNC server.
fn withheld(pod: &Pod, own_mounts: &[Mount], config: &EngineConfig) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in config.private.iter().map(|path| plain(path)) {
        let holds = |mount: &&Mount| path.starts_with(plain(Path::new(&mount.mount_path)));
        let inside = |mount: &&Mount| plain(Path::new(&mount.mount_path)).starts_with(&path);
        let innermost = own_mounts.iter().filter(holds).max_by_key(|m| m.mount_path.len());
        names.extend(innermost.map(|mount| mount.name.clone()));
        names.extend(own_mounts.iter().filter(inside).map(|mount| mount.name.clone()));
    }
    for volume in &pod.spec.volumes {
        let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
        if name.starts_with(OWN_VOLUMES) || name.starts_with(VNC_VOLUMES) || has_token(volume) {
            names.insert(name.to_owned());
        }
    }
    let mounts = targets(pod).flat_map(|container| &container.volume_mounts);
    let by_place = mounts.filter(|mount| is_token_or_vnc(&mount.mount_path));
    names.extend(by_place.map(|mount| mount.name.clone()));
    names
}

fn has_token(volume: &Value) -> bool {
    let sources = volume.pointer("/projected/sources").and_then(Value::as_array);
    sources.into_iter().flatten().any(|source| source.get("serviceAccountToken").is_some())
}

fn is_token_or_vnc(path: &str) -> bool {
    let path = Path::new(path);
    let vnc = path.starts_with(SECRETS_PATH) && path.file_name().is_some_and(|n| n == VNC_SECRET);
    plain(path) == plain(Path::new(SERVICE_ACCOUNT_DIR)) || vnc
}

/// `/var/run` is a link to `/run` in images of today's distributions.
fn plain(path: &Path) -> PathBuf {
    path.strip_prefix("/var/run")
        .map_or_else(|_| path.to_owned(), |rest| Path::new("/run").join(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use deskd_core::kubernetes::PodIdentity;
    use deskd_core::policy::Policy;
    use serde_json::json;

    fn config() -> EngineConfig {
        EngineConfig {
            pod: PodIdentity::default(),
            port: 29791,
            policy: std::sync::Arc::default(),
            kubeconfig: None,
            program: None,
            private: vec!["/run/deskd/state".into(), "/run/deskd/state/deskd.sock".into()],
            places: None,
        }
    }

    fn desktop() -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "anna", "namespace": "d", "uid": "u", "labels": { "xauthkey": "c0" },
            },
            "spec": {
                "nodeName": "n1",
                "initContainers": [
                    { "name": "init" },
                    { "name": "deskd", "restartPolicy": "Always",
                      "ports": [{ "containerPort": 29791 }],
                      "volumeMounts": [
                        { "name": "home", "mountPath": "/home/balloon" },
                        { "name": "home", "mountPath": "/part", "subPath": "part" },
                        { "name": "tmp", "mountPath": "/tmp/.X11-unix", "readOnly": true },
                        { "name": "api", "mountPath": "/run/token" },
                        { "name": "state", "mountPath": "/var/run/deskd/" },
                        { "name": "state", "mountPath": "/elsewhere" },
                        { "name": "kube-api-access-x", "mountPath": SERVICE_ACCOUNT_DIR },
                      ] },
                ],
                "containers": [{
                    "name": "xvnc", "image": "desktop:1",
                    "resources": { "limits": { "cpu": "1" } },
                    "envFrom": [{ "configMapRef": { "name": "more" } }, { "secretRef": { "name": "keys" } }],
                    "env": [
                        { "name": "HOME", "value": "/home/b" },
                        { "name": "MAIL", "value": "$(HOME)/mail$$(X)" },
                        { "name": "EMPTY" },
                        { "name": "HERE", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
                        { "name": "COOKIE",
                          "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['xauthkey']" } } },
                        { "name": "SECRET", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
                    ],
                    "volumeMounts": [
                        { "name": "home", "mountPath": "/home/balloon" },
                        { "name": "home", "mountPath": "/mail", "subPath": "mail" },
                        { "name": "auth-vnc-b", "mountPath": "/var/secrets/d/vnc" },
                        { "name": "auth-vnc-b", "mountPath": "/pw", "subPath": "password" },
                    ],
                }],
                "ephemeralContainers": [{ "name": "a" }, { "name": "b" }],
                "volumes": [
                    { "name": "home", "emptyDir": {} },
                    { "name": "deskd-bin", "image": { "reference": "deskd" } },
                    { "name": "api", "projected": { "sources": [{ "serviceAccountToken": {} }] } },
                ],
            },
            "status": { "podIP": "10.0.0.1" },
        }))
        .unwrap()
    }

    #[test]
    fn the_own_container_is_found_by_its_port_and_is_the_target() {
        let facts = facts(&desktop(), &config(), 900);
        assert_eq!(facts.target_container.as_deref(), Some("deskd"));
        assert_eq!(facts.containers, ["deskd", "xvnc"]);
        assert_eq!((facts.ephemeral_used, facts.object_bytes), (2, 900));
        assert_eq!(facts.ip.as_deref(), Some("10.0.0.1"));
        let mounts: Vec<_> = facts.mounts.iter().map(|mount| mount.path.as_str()).collect();
        assert_eq!(mounts, ["/home/balloon", "/tmp/.X11-unix"]);
        assert!(facts.mounts[1].read_only);
        assert!(sees_processes(&desktop(), &config()));
    }

    #[test]
    fn volumes_with_files_that_no_application_may_read_are_withheld() {
        let paths = |config: &EngineConfig| {
            let OwnPod { withheld, mounts, .. } = facts(&desktop(), config, 0);
            (withheld, mounts.into_iter().map(|mount| mount.path).collect::<Vec<_>>())
        };
        let (withheld, mounts) = paths(&config());
        assert_eq!(withheld, ["api", "auth-vnc-b", "deskd-bin", "kube-api-access-x", "state"]);
        assert_eq!(mounts, ["/home/balloon", "/tmp/.X11-unix"], "wherever else it is mounted");
        // Also what the operator names: that would be the token for whoever starts an application.
        let named = Policy { pod_volumes: vec!["state".into()], ..Policy::default() };
        let (named, _) = paths(&EngineConfig { policy: named.into(), ..config() });
        assert_eq!(named, withheld);
        let socket = vec!["/tmp/.X11-unix/d/deskd.sock".into()];
        let (withheld, mounts) = paths(&EngineConfig { private: socket, ..config() });
        assert!(withheld.contains(&"tmp".to_owned()) && mounts.len() == 3, "{mounts:?}");
        let (withheld, _) = paths(&EngineConfig { private: vec!["/opt/state".into()], ..config() });
        assert!(!withheld.contains(&"state".to_owned()), "in no volume");
    }

    #[test]
    fn the_graphical_container_is_found_by_its_name_and_read_as_it_sees_itself() {
        let graphical = |name: Option<&str>| {
            let graphical_container = name.map(str::to_owned);
            let policy = Policy { graphical_container, ..Policy::default() };
            facts(&desktop(), &EngineConfig { policy: policy.into(), ..config() }, 0).graphical
        };
        let found = graphical(None).unwrap();
        assert_eq!((found.name.as_str(), found.image.as_str()), ("xvnc", "desktop:1"));
        let env: Vec<_> = found.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            env,
            ["COOKIE=c0", "EMPTY=", "HERE=10.0.0.1", "HOME=/home/b", "MAIL=/home/b/mail$(X)"]
        );
        assert_eq!(found.untold_env, ["SECRET"]);
        assert_eq!(found.env_from, ["the ConfigMap `more`", "the Secret `keys`"]);
        assert_eq!(found.mounts.len(), 1);
        assert_eq!(found.parts.iter().map(|part| &part.path).collect::<Vec<_>>(), ["/mail"]);
        assert_eq!(found.resources["limits"]["cpu"], "1");
        assert_eq!(graphical(Some("deskd")).unwrap().name, "deskd");
        assert_eq!(graphical(Some("nobody")), None);
        let mut pod = desktop();
        pod.spec.containers[0].name = "graphical".into();
        assert_eq!(facts(&pod, &config(), 0).graphical.unwrap().name, "deskd");
        let shown = serde_json::to_string(&facts(&desktop(), &config(), 0)).unwrap();
        assert!(!shown.contains("c0") && !shown.contains("/home/b/mail"), "{shown}");
    }

    #[test]
    fn with_another_target_its_processes_are_not_seen_unless_shared() {
        let mut config = config();
        let policy = Policy { target_container: Some("xvnc".into()), ..Policy::default() };
        config.policy = std::sync::Arc::new(policy);
        let mut pod = desktop();
        assert_eq!(facts(&pod, &config, 0).target_container.as_deref(), Some("xvnc"));
        assert!(!sees_processes(&pod, &config));
        let mut other = pod.spec.ephemeral_containers[0].clone();
        assert!(!sees_processes_of(&pod, &other, &config), "it joins nothing");
        other.target_container_name = Some("deskd".into());
        assert!(sees_processes_of(&pod, &other, &config));
        other.target_container_name = Some("xvnc".into());
        assert!(!sees_processes_of(&pod, &other, &config));
        pod.spec.share_process_namespace = true;
        assert!(sees_processes(&pod, &config));
        assert!(sees_processes_of(&pod, &other, &config));
    }

    #[test]
    fn the_keeper_of_places_is_beside_deskd_in_an_image_volume_and_nowhere_else() {
        let keeper = |program: &str| {
            let config = EngineConfig { program: Some(program.into()), ..config() };
            let mut pod = desktop();
            pod.spec.init_containers[1].volume_mounts.push(Mount {
                name: "deskd-bin".into(),
                mount_path: "/opt/deskd".into(),
                ..Mount::default()
            });
            facts(&pod, &config, 0).keeper
        };
        let found = keeper("/opt/deskd/usr/local/bin/deskd").unwrap();
        assert_eq!(found.path, "/.deskd/usr/local/bin/deskd-keeper");
        let mount =
            VolumeMount { name: "deskd-bin".into(), path: "/.deskd".into(), read_only: true };
        assert_eq!(found.mount, mount);
        for elsewhere in ["/usr/local/bin/deskd", "/var/run/deskd/deskd", "deskd"] {
            assert_eq!(keeper(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn the_image_of_deskd_is_that_of_its_container_or_of_an_image_volume() {
        let deskd = |program: Option<&str>, change: fn(&mut Pod)| {
            let mut pod = desktop();
            pod.spec.init_containers[1].image = "desktop:2".into();
            change(&mut pod);
            let config = EngineConfig { program: program.map(PathBuf::from), ..config() };
            let found = facts(&pod, &config, 0).deskd;
            found.map(|found| format!("{} {}", found.image, found.path))
        };
        let own = deskd(Some("/usr/local/bin/deskd"), |_| {});
        assert_eq!(own.as_deref(), Some("desktop:2 /usr/local/bin/deskd"));
        let mounted = |pod: &mut Pod| {
            pod.spec.init_containers[1].volume_mounts.push(Mount {
                name: "deskd-bin".into(),
                mount_path: "/opt/deskd/".into(),
                ..Mount::default()
            });
        };
        let found = deskd(Some("/opt/deskd/usr/local/bin/deskd"), mounted);
        assert_eq!(found.as_deref(), Some("deskd /usr/local/bin/deskd"));
        let found = deskd(Some("/opt/deskd/deskd"), |pod| {
            pod.spec.init_containers[1].volume_mounts.push(Mount {
                name: "deskd-bin".into(),
                mount_path: "/opt/deskd".into(),
                sub_path: Some("usr/local/bin".into()),
                ..Mount::default()
            });
        });
        assert_eq!(found.as_deref(), Some("deskd /usr/local/bin/deskd"));
        assert_eq!(deskd(Some("/home/balloon/bin/deskd"), |_| {}), None, "in no image");
        assert_eq!(deskd(None, |_| {}), None);
        assert_eq!(deskd(Some("deskd"), |_| {}), None);
    }
}
