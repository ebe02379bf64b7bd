//! What the remote engines carry out: complete but for names, which belong to a task and its run, so
//! that an engine only translates it into an object of the Kubernetes API.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::facts::VolumeMount;
use crate::app::container::{AppPort, AppProbe};
use crate::env_var::EnvVar;
use crate::policy::{PullPolicy, RunAs, Toleration};

/// A container, in whichever pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ContainerPlan {
    /// Image.
    pub image: String,
    /// When it is pulled.
    pub pull_policy: PullPolicy,
    /// argv; empty: the image's own.
    pub argv: Vec<String>,
    /// `argv` is the image's own command, which starts the program: the container's exit code is
    /// that command's.
    #[serde(default)]
    pub entry_point: bool,
    /// The program that it is about (`oc.path`), if the document names it.
    #[serde(default)]
    pub program: Option<String>,
    /// What the image's own command starts the program with; empty otherwise: `argv` has it.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// The whole environment that is added to the image's, sorted by name; the engine adds the
    /// names of task and run.
    pub env: Vec<EnvVar>,
    /// Working directory; absent: the image's.
    pub cwd: Option<String>,
    /// As whom. Never privileged, no capabilities, no escalation, the runtime's seccomp profile.
    pub run_as: RunAs,
    /// Volumes of the pod that it mounts.
    pub mounts: Vec<VolumeMount>,
}

impl ContainerPlan {
    /// The program that the image's own command starts, with its arguments; empty: it is not known.
    #[must_use]
    pub fn program_words(&self) -> Vec<String> {
        let known = self.program.iter().filter(|_| self.entry_point);
        known.flat_map(|program| std::iter::once(program).chain(&self.arguments)).cloned().collect()
    }
}

/// Where the keeper of a place comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeeperFile {
    /// The volume that has it, and where the place mounts it.
    pub mount: VolumeMount,
    /// The program, as the place has it.
    pub path: String,
}

/// An ephemeral container of this pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EphemeralPlan {
    /// The desktop's own pod.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// Whose PID namespace it joins.
    pub target_container: Option<String>,
    /// Directories that are made before it starts.
    #[serde(default)]
    pub prepare: Vec<PrivateDirectory>,
    /// The copy of the display's cookie file that is made before it starts.
    #[serde(default)]
    pub cookie: Option<CookieCopy>,
    /// What runs.
    pub container: ContainerPlan,
    /// The keeper that starts it, at a place that it shares with all programs of its image, user and
    /// volumes; absent: it gets a container of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<KeeperFile>,
    /// Seconds between SIGTERM and SIGKILL of a stop, as the document says; absent: as for programs of
    /// deskd's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<u32>,
}

/// A directory that is made, for one user alone, in a volume that deskd's container and the
/// application's share. A variable names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PrivateDirectory {
    /// The variable; where the directory cannot be made, the application is started without it.
    pub variable: String,
    /// Where deskd's container mounts the volume.
    pub root: String,
    /// Path below it, without a `/` at the ends; what of it is missing is made.
    pub path: String,
    /// The user that it must belong to. Its mode is 0700.
    pub uid: u32,
}

/// A copy of the display's cookie file, of mode 0600, in a directory that is its user's alone. Where it
/// cannot be made, the application is started without the variable that names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CookieCopy {
    /// The file as deskd's container has it.
    pub from: String,
    /// Where the copy is; the copy's own name is [`CookieCopy::NAME`].
    pub directory: PrivateDirectory,
}

impl CookieCopy {
    /// The copy's name.
    pub const NAME: &str = "Xauthority";
}

/// The init container of an application pod that makes the cookie file from the application's variable
/// `XAUTH_KEY`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CookieMaker {
    /// An image with deskd in it.
    pub image: String,
    /// deskd and its arguments.
    pub argv: Vec<String>,
    /// The volume for the file, which the application mounts in the same place.
    pub mount: VolumeMount,
}

impl CookieMaker {
    /// The application's variable that it reads.
    pub const VARIABLE: &str = "XAUTH_KEY";
}

/// A pod that owns another: `metadata.ownerReferences`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Owner {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
}

/// A pod of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PodPlan {
    /// Its namespace.
    pub namespace: String,
    /// The desktop pod, when it is in the same namespace: the garbage collector removes what
    /// outlives it.
    pub owner: Option<Owner>,
    /// Labels, but for those of task and run, which the engine adds.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// What runs.
    pub container: ContainerPlan,
    /// What makes the display's cookie file before that.
    #[serde(default)]
    pub cookie: Option<CookieMaker>,
    /// Volumes, as in a pod's spec.
    #[schema(value_type = Vec<Object>)]
    pub volumes: Vec<serde_json::Value>,
    /// Resource requests.
    pub requests: BTreeMap<String, String>,
    /// Resource limits.
    pub limits: BTreeMap<String, String>,
    /// Node selector.
    pub node_selector: BTreeMap<String, String>,
    /// Node that is preferred: the desktop's.
    pub preferred_node: Option<String>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
    /// Runtime class.
    pub runtime_class: Option<String>,
    /// Ports.
    pub ports: Vec<AppPort>,
    /// Readiness probe.
    pub probe: Option<AppProbe>,
    /// Image pull secrets.
    pub pull_secrets: Vec<String>,
    /// `terminationGracePeriodSeconds`.
    pub grace_s: u32,
    /// `activeDeadlineSeconds`.
    pub deadline_s: Option<u32>,
    /// The keeper that starts it; absent: the runtime does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PodPlace>,
}

/// What makes an application pod a place, in which one program can run after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PodPlace {
    /// Its keeper.
    pub keeper: KeeperFile,
    /// The volume that has it, as in a pod's spec.
    #[schema(value_type = Object)]
    pub volume: serde_json::Value,
    /// Where deskd listens for it.
    #[schema(value_type = String)]
    pub daemon: SocketAddr,
    /// Seconds for which the pod waits for the next program after its last one ended.
    pub linger_s: u32,
}
