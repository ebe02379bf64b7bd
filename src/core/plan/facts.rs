//! What a plan is made from: everything that may change the choice.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::EngineKind;
use super::remote::KeeperFile;
use crate::app::container::EntryPoint;
use crate::display::DisplayStatus;
use crate::id::TaskId;
use crate::kubernetes::ObjectRef;
use crate::place::{Life, PlaceSpec};
use crate::policy::Policy;
use crate::task::UnixMs;
use crate::text::Text;
use crate::wall::{Need, WallFacts};

/// A launch as far as the plan is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// Appended to the app's command.
    #[serde(default)]
    pub args: Vec<String>,
    /// The engine somebody insists on (`deskd launch --engine`): the others are rejected.
    #[serde(default)]
    pub engine: Option<EngineKind>,
    /// What a remedy changes; part of no request.
    #[serde(skip)]
    pub change: Change,
}

/// What a remedy changes of a launch: it wins over what the application and the request say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Run it there.
    pub engine: Option<EngineKind>,
    /// Variables to set.
    pub env: Vec<(String, String)>,
    /// Arguments to append.
    pub args: Vec<String>,
    /// Run this command.
    pub entrypoint: Option<EntryPoint>,
    /// Take another execute class.
    pub class: Option<ClassChange>,
}

/// Another execute class: the one that is nearest in the amount of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassChange {
    /// The resource, as Kubernetes names it (`memory`, `nvidia.com/gpu`).
    pub resource: String,
    /// More of it; otherwise less, or none.
    pub more: bool,
}

/// Everything that may change the choice.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The display now.
    pub display: DisplayStatus,
    /// This machine.
    pub machine: Arc<Machine>,
    /// Whether the app's local program is in this container; unknown for a name that nobody looked
    /// up (an app of the configuration file: the keeper says what is wrong with it).
    pub program: ProgramPresence,
    /// What its program needs that a wall takes away.
    pub need: Option<Need>,
    /// What is left of this container's memory.
    pub headroom: Headroom,
    /// The cluster.
    pub kubernetes: Arc<KubernetesFacts>,
    /// What the operator decided.
    pub policy: Arc<Policy>,
    /// Remote tasks that are not ended.
    pub remote_tasks: u32,
    /// Keys (`oc.uniquerunkey`) of tasks that are not ended, with the task that holds each.
    pub unique_keys: BTreeMap<String, String>,
}

/// What a plan has to know of this machine and does not change while deskd runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Variables deskd passes on to local programs (already without secrets of its own).
    pub inherited_env: Arc<[(String, String)]>,
    /// `XAUTHORITY` for local programs.
    pub xauthority: Option<String>,
    /// The display's cookie in hexadecimal, as `XAUTH_KEY` takes it, if deskd knows it.
    pub cookie: Option<String>,
    /// deskd's own user: shared memory with the X server was proved as this one.
    pub uid: u32,
    /// This node's architecture in the words of images, such as `amd64`.
    pub architecture: &'static str,
    /// The home directory, if it exists: where local programs start that name no directory.
    pub home: Option<String>,
    /// deskd's user can make files in it.
    pub home_is_writable: bool,
    /// deskd's own time zone, as `TZ` names it, if it is known.
    pub time_zone: Option<String>,
    /// What a wall between programs and deskd can do here.
    pub wall: Arc<WallFacts>,
}

/// Whether a program is in this container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgramPresence {
    /// Nobody looked.
    #[default]
    Unknown,
    /// It is there and may be executed.
    Present,
    /// It is not.
    Absent,
}

/// What is left of this container's memory, from its cgroup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Headroom {
    /// Bytes until the memory limit; absent: no limit, or not readable.
    pub memory_bytes: Option<u64>,
    /// `memory.pressure` `some avg10`, in hundredths of a percent; absent: no PSI.
    pub memory_pressure_centipercent: Option<u32>,
}

/// Whether the Kubernetes API can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApiState {
    /// It is not asked for anything; the sentence says why (not configured, no credentials).
    Off(String),
    /// It has not answered yet.
    #[default]
    Unknown,
    /// It does not answer; the sentence says what was tried and what happened.
    Away(String),
    /// It answers.
    Answers,
}

/// The desktop's own pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OwnPod {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Uid.
    pub uid: String,
    /// Address of the pod network.
    pub ip: Option<String>,
    /// Node.
    pub node: Option<String>,
    /// Containers that can be a target: ordinary and sidecar ones.
    pub containers: Vec<String>,
    /// The container whose PID namespace ephemeral containers join.
    pub target_container: Option<String>,
    /// What the target container mounts (without subPath: ephemeral containers cannot have one, and
    /// without what is withheld).
    pub mounts: Vec<VolumeMount>,
    /// What deskd's own container mounts, in the same way.
    #[serde(default)]
    pub own_mounts: Vec<VolumeMount>,
    /// Names of volumes with files that no application may read: deskd's own, tokens for the
    /// Kubernetes API, the password of the desktop's VNC server.
    #[serde(default)]
    pub withheld: Vec<String>,
    /// Where deskd itself comes from, if an image has it.
    #[serde(default)]
    pub deskd: Option<DeskdProgram>,
    /// The keeper that an ephemeral container of the pod can have, if a volume brings it.
    #[serde(default)]
    pub keeper: Option<KeeperFile>,
    /// The container that draws the desktop, if it is known.
    #[serde(default)]
    pub graphical: Option<Graphical>,
    /// The pod's labels. Cookies are among them: they are never shown.
    #[serde(skip)]
    pub labels: BTreeMap<String, String>,
    /// The pod's volumes as in its spec, by name.
    #[schema(value_type = BTreeMap<String, Object>)]
    pub volumes: BTreeMap<String, serde_json::Value>,
    /// Entries of `spec.ephemeralContainers`: they are never removed.
    pub ephemeral_used: u32,
    /// Bytes of the pod as the API gives it; etcd refuses objects above about 1.5 MiB.
    pub object_bytes: u64,
    /// It is being deleted.
    #[serde(default)]
    pub terminating: bool,
    /// `shareProcessNamespace`: ephemeral containers outlive a restart of their target.
    pub shares_processes: bool,
}

/// deskd's program in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeskdProgram {
    /// The image.
    pub image: String,
    /// Where in it.
    pub path: String,
}

/// What the container that draws the desktop has: applications are given what it has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Graphical {
    /// Name.
    pub name: String,
    /// Image.
    pub image: String,
    /// Variables whose value deskd knows: literal ones, and fields of the pod. Secrets are among
    /// them: they are never shown.
    #[serde(skip)]
    pub env: BTreeMap<String, String>,
    /// Variables whose value the pod does not tell: it is in a Secret or a ConfigMap.
    #[serde(default)]
    pub untold_env: Vec<String>,
    /// The Secrets and ConfigMaps all of which it has as variables (`envFrom`), in words.
    #[serde(default)]
    pub env_from: Vec<String>,
    /// What it mounts (without subPath, and without what is withheld).
    pub mounts: Vec<VolumeMount>,
    /// Where it mounts a part of a volume (`subPath`), without what is withheld.
    #[serde(default)]
    pub parts: Vec<VolumeMount>,
    /// Its `resources`, as in the pod's spec.
    #[schema(value_type = Object)]
    pub resources: serde_json::Value,
}

/// A volume of the pod, mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VolumeMount {
    /// The volume.
    pub name: String,
    /// Where.
    pub path: String,
    /// Read-only.
    pub read_only: bool,
}

/// One call deskd may want to make, and whether it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Right {
    /// The engine that needs it; absent: it only makes explanations better.
    pub engine: Option<EngineKind>,
    /// Such as `patch`.
    pub verb: String,
    /// Such as `pods/ephemeralcontainers`.
    pub resource: String,
    /// Where.
    pub namespace: String,
    /// What the API server said.
    pub allowed: bool,
    /// What does not work without it, and where to grant it; empty when allowed.
    pub sentence: Text,
}

impl Right {
    /// The manifest of the project that grants a right in a namespace, or in the whole cluster if that is empty.
    #[must_use]
    pub fn manifest(namespace: &str) -> &'static str {
        match namespace {
            "" => "container/nodes/rbac.yaml",
            _ => "container/base/rbac.yaml",
        }
    }
}

/// One resource of one quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Quota {
    /// Namespace.
    pub namespace: String,
    /// The ResourceQuota.
    pub name: String,
    /// Such as `limits.memory` or `pods`.
    pub resource: String,
    /// In use, as the API writes it.
    pub used: String,
    /// Allowed.
    pub hard: String,
}

/// What is known about the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KubernetesFacts {
    /// Whether the API can be used.
    pub api: ApiState,
    /// The desktop's own pod, once it was read.
    pub own_pod: Option<OwnPod>,
    /// What deskd may do; empty until it was asked.
    pub rights: Vec<Right>,
    /// Quotas of the namespace of application pods, if deskd may read them.
    pub quotas: Vec<Quota>,
    /// Images known to be on the desktop's node: pulled by deskd, or seen in a running container.
    pub images: Vec<String>,
    /// Whether keepers in application pods reach deskd.
    #[serde(default)]
    pub way: Way,
    /// Containers and pods in which a keeper starts programs.
    #[serde(default)]
    pub places: Vec<PlaceFacts>,
}

/// A container or a pod in which a keeper starts one program after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlaceFacts {
    /// Its name.
    pub name: TaskId,
    /// Image.
    pub image: String,
    /// What it is: a container of this pod, or a pod of its own.
    pub engine: EngineKind,
    /// Where it is: tasks in it have the same.
    pub object: ObjectRef,
    /// How far it is.
    pub state: Life,
    /// When its keeper started, by the clock there; absent: it has not answered this daemon.
    pub keeper_since: Option<UnixMs>,
    /// Nothing runs in it.
    pub idle: bool,
    /// It is kept ready for a launch (`warm`).
    pub warm: bool,
    /// What it takes, while it is a pod that takes a program.
    #[serde(skip)]
    pub spec: Option<Arc<PlaceSpec>>,
}

/// Whether keepers in application pods reach deskd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// None has tried.
    #[default]
    Untried,
    /// One did.
    Works,
    /// The last one did not.
    Barred {
        /// Where it tried.
        port: u16,
    },
    /// deskd does not listen; the sentence says why.
    Closed(String),
}
