//! What the desktop's own pod says about what can be done in it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::identity::EngineConfig;
use super::objects::{Container, Mount, Pod};
use crate::domain::plan::facts::{OwnPod, VolumeMount};

/// Where kubelet mounts a service account's token.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The facts of `pod`, which takes `bytes` as JSON.
#[must_use]
pub fn facts(pod: &Pod, config: &EngineConfig, bytes: u64) -> OwnPod {
    let own = own_container(pod, config);
    let target = config.policy.target_container.clone().or_else(|| own.clone());
    let volumes = volumes(&pod.spec.volumes);
    let mounts_of = |name: &Option<String>| {
        let container = targets(pod).find(|container| Some(&container.name) == name.as_ref());
        container.map_or(&[][..], |container| &container.volume_mounts)
    };
    let withheld = withheld(mounts_of(&own), config);
    let mounts = mounts_of(&target).iter();
    let mounts = mounts.filter(|mount| usable(mount, &volumes) && !withheld.contains(&mount.name));
    let mounts = mounts.map(|mount| VolumeMount {
        name: mount.name.clone(),
        path: mount.mount_path.clone(),
        read_only: mount.read_only,
    });
    OwnPod {
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        uid: pod.metadata.uid.clone(),
        ip: pod.status.pod_ip.clone().or_else(|| config.pod.ip.clone()),
        node: pod.spec.node_name.clone().or_else(|| config.pod.node.clone()),
        containers: targets(pod).map(|container| container.name.clone()).collect(),
        mounts: mounts.collect(),
        withheld: withheld.iter().cloned().collect(),
        labels: pod.metadata.labels.clone(),
        target_container: target,
        ephemeral_used: u32::try_from(pod.spec.ephemeral_containers.len()).unwrap_or(u32::MAX),
        object_bytes: bytes,
        terminating: pod.metadata.deletion_timestamp.is_some(),
        shares_processes: pod.spec.share_process_namespace,
        volumes,
    }
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

/// Ephemeral containers cannot mount parts of volumes, and applications get no token.
fn usable(mount: &Mount, volumes: &BTreeMap<String, Value>) -> bool {
    let whole = mount.sub_path.is_none() && mount.sub_path_expr.is_none();
    let sources = |volume: &Value| {
        let sources = volume.pointer("/projected/sources").and_then(Value::as_array);
        sources.into_iter().flatten().any(|source| source.get("serviceAccountToken").is_some())
    };
    let token = mount.mount_path == TOKEN_PATH || volumes.get(&mount.name).is_some_and(sources);
    whole && !token
}

/// The volumes with deskd's own files: whoever reads them reads its token and every task's output, and
/// speaks to its keeper. One that the operator names among those of applications is theirs.
fn withheld(own_mounts: &[Mount], config: &EngineConfig) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in config.private.iter().map(|path| plain(path)) {
        let holds = |mount: &&Mount| path.starts_with(plain(Path::new(&mount.mount_path)));
        let inside = |mount: &&Mount| plain(Path::new(&mount.mount_path)).starts_with(&path);
        let innermost = own_mounts.iter().filter(holds).max_by_key(|m| m.mount_path.len());
        names.extend(innermost.map(|mount| mount.name.clone()));
        names.extend(own_mounts.iter().filter(inside).map(|mount| mount.name.clone()));
    }
    names.retain(|name| !config.policy.pod_volumes.contains(name));
    names
}

/// `/var/run` is a link to `/run` in images of today's distributions.
fn plain(path: &Path) -> PathBuf {
    path.strip_prefix("/var/run")
        .map_or_else(|_| path.to_owned(), |rest| Path::new("/run").join(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Policy;
    use crate::engine::kubernetes::PodIdentity;
    use serde_json::json;

    fn config() -> EngineConfig {
        EngineConfig {
            pod: PodIdentity::default(),
            port: 29791,
            policy: std::sync::Arc::default(),
            kubeconfig: None,
            private: vec!["/run/deskd/state".into(), "/run/deskd/state/deskd.sock".into()],
        }
    }

    fn desktop() -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "anna", "namespace": "d", "uid": "u" },
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
                        { "name": "kube-api-access-x", "mountPath": TOKEN_PATH },
                      ] },
                ],
                "containers": [{ "name": "xvnc" }],
                "ephemeralContainers": [{ "name": "a" }, { "name": "b" }],
                "volumes": [
                    { "name": "home", "emptyDir": {} },
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
    fn volumes_with_deskds_own_files_are_withheld_unless_they_are_named() {
        let paths = |config: &EngineConfig| {
            let OwnPod { withheld, mounts, .. } = facts(&desktop(), config, 0);
            (withheld, mounts.into_iter().map(|mount| mount.path).collect::<Vec<_>>())
        };
        let (withheld, mounts) = paths(&config());
        assert_eq!(withheld, ["state"]);
        assert_eq!(mounts, ["/home/balloon", "/tmp/.X11-unix"], "wherever else it is mounted");
        let named = Policy { pod_volumes: vec!["state".into()], ..Policy::default() };
        let (withheld, mounts) = paths(&EngineConfig { policy: named.into(), ..config() });
        assert!(withheld.is_empty() && mounts.contains(&"/elsewhere".to_owned()), "{mounts:?}");
        let socket = vec!["/tmp/.X11-unix/d/deskd.sock".into()];
        let (withheld, mounts) = paths(&EngineConfig { private: socket, ..config() });
        assert_eq!((withheld, mounts.len()), (vec!["tmp".to_owned()], 3));
        let (withheld, _) = paths(&EngineConfig { private: vec!["/opt/state".into()], ..config() });
        assert!(withheld.is_empty(), "in no volume");
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
}
