//! The parts of a pod that deskd looks at. Whole objects of `k8s_openapi` would be several times as
//! large in memory, and slower to read; unknown fields are skipped.
//!
//! Field names and meanings: the Kubernetes API documentation of `core/v1 Pod`.

use std::collections::BTreeMap;

use serde::Deserialize;

use deskd_core::kubernetes::PROGRAM_VARIABLE;

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Pod {
    /// Who it is.
    pub metadata: Meta,
    /// What it is to be.
    pub spec: Spec,
    /// What it is.
    pub status: Status,
}

/// `metadata`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Uid.
    pub uid: String,
    /// Version of the object, or of a list.
    pub resource_version: String,
    /// Where a list goes on.
    pub r#continue: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When it is to be gone: the time of deletion and the grace.
    pub deletion_timestamp: Option<String>,
}

/// `spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The node it is bound to.
    pub node_name: Option<String>,
    /// Containers.
    #[serde(deserialize_with = "or_null")]
    pub containers: Vec<Container>,
    /// Init containers, native sidecars among them.
    pub init_containers: Vec<Container>,
    /// Ephemeral containers: entries are never removed.
    pub ephemeral_containers: Vec<Container>,
    /// Volumes as they are.
    pub volumes: Vec<serde_json::Value>,
    /// One PID namespace for all containers.
    pub share_process_namespace: bool,
}

/// In a bookmark of a watch it is null.
fn or_null<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Container>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A container of whatever kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    /// Name.
    pub name: String,
    /// Image.
    pub image: String,
    /// Environment; of variables that refer to something only fields of the pod are known.
    pub env: Vec<EnvVar>,
    /// Objects all of whose keys are variables.
    pub env_from: Vec<EnvFrom>,
    /// Ports.
    pub ports: Vec<Port>,
    /// Mounts.
    pub volume_mounts: Vec<Mount>,
    /// What runs instead of the image's entry point.
    pub command: Vec<String>,
    /// Behind it.
    pub args: Vec<String>,
    /// Resources as they are.
    pub resources: serde_json::Value,
    /// `Always` makes an init container a sidecar.
    pub restart_policy: Option<String>,
    /// The container whose PID namespace an ephemeral one joins.
    pub target_container_name: Option<String>,
}

impl Container {
    /// The program that its entry point starts, if it is one: abcdesktop's images are told which in
    /// a variable.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        let program = self.env(PROGRAM_VARIABLE).filter(|program| !program.is_empty())?;
        (self.command.first().map(String::as_str) != Some(program)).then_some(program)
    }

    /// The value of a variable.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|var| var.name == name)?.value.as_deref()
    }
}

/// A variable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Value.
    pub value: Option<String>,
    /// Where it comes from instead.
    pub value_from: Option<ValueFrom>,
}

/// An object all of whose keys are variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvFrom {
    /// A ConfigMap.
    pub config_map_ref: Option<ObjectName>,
    /// A Secret.
    pub secret_ref: Option<ObjectName>,
}

/// An object by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ObjectName {
    /// Its name.
    pub name: String,
}

/// What a variable refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ValueFrom {
    /// A field of the pod.
    pub field_ref: Option<FieldRef>,
    /// A key of a config map.
    pub config_map_key_ref: Option<serde_json::Value>,
    /// A key of a secret.
    pub secret_key_ref: Option<serde_json::Value>,
}

/// A field of the pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FieldRef {
    /// Such as `status.podIP`.
    pub field_path: String,
}

/// A port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Port {
    /// Its number.
    pub container_port: u16,
}

/// A mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Mount {
    /// The volume.
    pub name: String,
    /// Where.
    pub mount_path: String,
    /// Read-only.
    pub read_only: bool,
    /// Part of the volume: not possible in ephemeral containers.
    pub sub_path: Option<String>,
    /// The same.
    pub sub_path_expr: Option<String>,
}

/// `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`: lags behind the containers.
    pub phase: String,
    /// Such as `Evicted`, `DeadlineExceeded`, `NodeLost`.
    pub reason: Option<String>,
    /// In words.
    pub message: Option<String>,
    /// Such as `PodScheduled`, `DisruptionTarget`.
    pub conditions: Vec<Condition>,
    /// Address.
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    /// States of init containers.
    pub init_container_statuses: Vec<ContainerStatus>,
    /// States of containers.
    pub container_statuses: Vec<ContainerStatus>,
    /// States of ephemeral containers.
    pub ephemeral_container_statuses: Vec<ContainerStatus>,
}

/// A condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Which.
    pub r#type: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// One word.
    pub reason: Option<String>,
    /// In words.
    pub message: Option<String>,
}

/// The state of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The runtime's name for it; empty as long as none was made.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// Now.
    pub state: State,
    /// Before.
    pub last_state: State,
}

/// One of the three, or none yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct State {
    /// Not running yet.
    pub waiting: Option<Waiting>,
    /// Running.
    pub running: Option<Running>,
    /// Ended.
    pub terminated: Option<Terminated>,
}

/// Why a container does not run yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// One word.
    pub reason: String,
    /// In words.
    pub message: Option<String>,
}

/// A running container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Running {
    /// Since when.
    pub started_at: Option<String>,
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Terminated {
    /// 128 + n for signal n.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, ...
    pub reason: Option<String>,
    /// In words.
    pub message: Option<String>,
    /// When.
    pub finished_at: Option<String>,
}
