//! What the desktop's own pod says about what can be done in it. Pure.

use std::collections::BTreeMap;

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
    let target = config.policy.target_container.clone().or(own);
    let volumes = volumes(&pod.spec.volumes);
    let target_spec = targets(pod).find(|container| Some(&container.name) == target.as_ref());
    let mounts = target_spec.into_iter().flat_map(|container| &container.volume_mounts);
    let mounts = mounts.filter(|mount| usable(mount, &volumes)).map(|mount| VolumeMount {
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
    fn with_another_target_its_processes_are_not_seen_unless_shared() {
        let mut config = config();
        let policy = Policy { target_container: Some("xvnc".into()), ..Policy::default() };
        config.policy = std::sync::Arc::new(policy);
        let mut pod = desktop();
        assert_eq!(facts(&pod, &config, 0).target_container.as_deref(), Some("xvnc"));
        assert!(!sees_processes(&pod, &config));
        pod.spec.share_process_namespace = true;
        assert!(sees_processes(&pod, &config));
    }
}
