//! What the operator decided about remote engines: `[kubernetes]`, `[execute_class.NAME]`,
//! `[network_rule.NAME]`. Checked by `config`, read by `plan`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::id::AppId;
use super::plan::EngineKind;
use super::plan::facts::ClassChange;
use super::quantity::Quantity;
use crate::app::access::Identity;
use crate::app::container::EntryPoint;

/// Most launches that are on their way to the API server at once, when not configured.
pub const LAUNCHES_AT_ONCE_DEFAULT: u32 = 5;
/// Most remote tasks that are not ended, when not configured.
pub const REMOTE_TASKS_MAX_DEFAULT: u32 = 100;
/// Most places that are kept ready for launches, all together.
pub const WARM_MAX: u32 = 16;
/// Extended resource that stands for one GPU, when not configured.
pub const GPU_RESOURCE_DEFAULT: &str = "nvidia.com/gpu";

/// Volumes that ephemeral containers get when not configured: what abcdesktop gives them, by the
/// names that its control plane makes up, and those of `container/pod.yaml`. `cache`, `config` and
/// `local` are parts of its home directory, and count only where they are mounted in it.
pub const VOLUMES_DEFAULT: [&str; 18] = [
    "home*",
    "cache",
    "config",
    "local",
    "x11",
    "x11socket",
    "xauthority",
    "pulseaudiosocket",
    "cupsdsocket",
    "tmp",
    "run",
    "log",
    "rundbus",
    "runuser",
    "shm",
    "sudoers",
    "localaccount",
    "auth-localaccount-*",
];
/// Variables of the graphical container that applications get when not configured: who the user is,
/// the language, and where services of the desktop are.
pub const INHERIT_ENV_DEFAULT: [&str; 11] = [
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "TZ",
    "XDG_RUNTIME_DIR",
    "PULSE_SERVER",
    "CUPS_SERVER",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// A Kubernetes toleration; see the API documentation of `core/v1 Toleration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Toleration {
    /// Taint key; absent with operator `Exists`: every taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `Equal` (the default) or `Exists`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Taint value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule`, `NoExecute`; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
}

/// What `oc.executeclassname = NAME` means. Quantities are Kubernetes quantities (`500m`, `1Gi`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExecuteClass {
    /// Resource requests.
    pub requests: BTreeMap<String, String>,
    /// Resource limits.
    pub limits: BTreeMap<String, String>,
    /// Whole GPUs, of the configured extended resource.
    pub gpu: Option<u32>,
    /// Node selector.
    pub node_selector: BTreeMap<String, String>,
    /// Runtime class.
    pub runtime_class: Option<String>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
    /// Seconds for which its pods wait for the next program; absent: as the policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linger_s: Option<u32>,
    /// Places that are kept ready for each image of its applications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm: Option<u32>,
}

/// As which user applications run in containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunAs {
    /// User id: the X server's, else shared memory is refused.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplemental groups (pods only; an ephemeral container has the pod's).
    pub groups: Vec<u32>,
}

/// When kubelet pulls an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum PullPolicy {
    /// Whenever the application starts.
    Always,
    /// If the node has none.
    #[default]
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

/// Which image has deskd, for the init container that makes the cookie file of an application pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeskdImage {
    /// The one that deskd's own container has it from.
    #[default]
    Own,
    /// This one.
    Named(String),
    /// Pods get no such container.
    None,
}

/// Applications in images that may run outside of their image, as programs of deskd's container:
/// beside its token and its files. Only the operator says so, no document does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalApps {
    /// All of them (`"*"`).
    All,
    /// These.
    Only(BTreeSet<AppId>),
}

impl LocalApps {
    /// Whether `app` may.
    #[must_use]
    pub fn permit(&self, app: &AppId) -> bool {
        match self {
            Self::All => true,
            Self::Only(apps) => apps.contains(app),
        }
    }
}

impl Default for LocalApps {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

/// Everything configured about remote engines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Remote engines that may be used; empty: the Kubernetes API is not asked for anything.
    pub engines: Vec<EngineKind>,
    /// Which command of every application in an image runs; absent: as its document says
    /// (`io.deskd.entrypoint`), else the image's own where the document tells it.
    pub entrypoint: Option<EntryPoint>,
    /// Whether an ephemeral container may be a place: with a keeper as its first process.
    pub places: bool,
    /// Where keepers in application pods reach deskd; absent: they have none.
    pub places_port: Option<u16>,
    /// Seconds for which a pod waits for the next program after its last one ended.
    pub linger_s: u32,
    /// Places that are kept ready for an application; absent: as its execute class says.
    #[serde(default)]
    pub warm: BTreeMap<AppId, u32>,
    /// Which applications in images may run outside of them.
    pub local: LocalApps,
    /// Namespace of application pods; absent: the desktop's.
    pub apps_namespace: Option<String>,
    /// Container whose PID namespace ephemeral containers join; absent: deskd's own, found by its
    /// name in `POD_CONTAINER`, else by being the one that deskd's port belongs to.
    pub target_container: Option<String>,
    /// As which user applications run.
    pub run_as: RunAs,
    /// Image pull policy.
    pub pull_policy: PullPolicy,
    /// Names of image pull secrets for application pods.
    pub pull_secrets: Vec<String>,
    /// Whether `app add` pulls the image on the nodes.
    pub pull_on_add: bool,
    /// Extended resource that stands for one GPU.
    pub gpu_resource: String,
    /// Secret with key `Xauthority` in the namespace of application pods; absent: the cookie is
    /// given in the variable `XAUTH_KEY`, as abcdesktop does.
    pub xauthority_secret: Option<String>,
    /// The image that has deskd.
    pub deskd_image: DeskdImage,
    /// Volumes of the desktop pod that application pods get too, mounted at the same place.
    pub pod_volumes: Vec<String>,
    /// Volumes of the desktop pod that ephemeral containers get, where the graphical container mounts
    /// them; a `*` at the end of a name stands for anything.
    pub volumes: Vec<String>,
    /// The container that draws the desktop; absent: the first whose name begins with `x`, else the
    /// target container.
    pub graphical_container: Option<String>,
    /// Variables of every application in a container.
    pub env: BTreeMap<String, String>,
    /// Variables of the graphical container that applications get.
    pub inherit_env: Vec<String>,
    /// Launches on their way to the API server at once.
    pub launches_at_once: u32,
    /// Remote tasks that are not ended.
    pub remote_tasks_max: u32,
    /// Class of applications that name none.
    pub default_class: Option<String>,
    /// The execute classes.
    pub classes: BTreeMap<String, ExecuteClass>,
    /// Pod annotations per network rule.
    pub network_rules: BTreeMap<String, BTreeMap<String, String>>,
    /// Who uses this desktop.
    pub identity: Identity,
    /// Seconds between SIGTERM and SIGKILL of application pods.
    pub grace_s: u32,
}

impl Policy {
    /// Whether any places are kept ready.
    #[must_use]
    pub fn keeps_warm(&self) -> bool {
        let of_classes = self.classes.values().filter_map(|class| class.warm.as_ref());
        self.places && self.warm.values().chain(of_classes).any(|count| *count > 0)
    }

    /// How many places are kept ready for an application that has this class.
    #[must_use]
    pub fn warm_of(&self, app: &AppId, class: Option<&str>) -> u32 {
        let of_class = || self.classes.get(class?)?.warm;
        self.warm.get(app).copied().or_else(of_class).unwrap_or(0)
    }

    /// The execute class that is nearest to the class `from` among those that have more, or less,
    /// of a resource, and among equals nearest in memory. None that asks for more GPUs, or for nodes
    /// that it did without: there are few. More is a matter of limits (what a container may take
    /// before it is killed), less one of requests (what a node must have).
    #[must_use]
    pub fn class_beside(&self, from: &str, change: &ClassChange) -> Option<&str> {
        let of = |class: &ExecuteClass, resource: &str| {
            class.amount(resource, change.more, &self.gpu_resource)
        };
        let own = self.classes.get(from)?;
        let (own_amount, own_gpus) = (of(own, &change.resource), own.gpu.unwrap_or(0));
        let others = self.classes.iter().filter(|(_, class)| {
            let mut nodes = class.node_selector.iter();
            nodes.all(|(key, value)| own.node_selector.get(key) == Some(value))
                && (change.resource == self.gpu_resource || class.gpu.unwrap_or(0) <= own_gpus)
        });
        let others = others
            .map(|(name, class)| (of(class, &change.resource), of(class, "memory"), name.as_str()));
        let nearest = match change.more {
            true => others.filter(|(amount, ..)| *amount > own_amount).min(),
            false => others.filter(|(amount, ..)| *amount < own_amount).max(),
        };
        nearest.map(|(.., name)| name)
    }
}

impl ExecuteClass {
    /// How much of a resource it has (by its limit; without one as much as there is) or asks for.
    #[must_use]
    pub fn amount(&self, resource: &str, by_limit: bool, gpu_resource: &str) -> Quantity {
        let gpus = self.gpu.filter(|_| resource == gpu_resource).map(|gpus| gpus.to_string());
        let (first, second, absent) = match by_limit {
            true => (&self.limits, &self.requests, Quantity::LARGEST),
            false => (&self.requests, &self.limits, Quantity::default()),
        };
        let named = first.get(resource).or_else(|| second.get(resource));
        let text = gpus.as_ref().or(named);
        text.and_then(|text| Quantity::parse(text).ok()).unwrap_or(absent)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            engines: Vec::new(),
            entrypoint: None,
            places: true,
            places_port: None,
            linger_s: 0,
            warm: BTreeMap::new(),
            local: LocalApps::default(),
            apps_namespace: None,
            target_container: None,
            run_as: RunAs { uid: 4096, gid: 4096, groups: Vec::new() },
            pull_policy: PullPolicy::default(),
            pull_secrets: Vec::new(),
            pull_on_add: false,
            gpu_resource: GPU_RESOURCE_DEFAULT.to_owned(),
            xauthority_secret: None,
            deskd_image: DeskdImage::default(),
            pod_volumes: Vec::new(),
            volumes: VOLUMES_DEFAULT.map(str::to_owned).to_vec(),
            graphical_container: None,
            env: BTreeMap::new(),
            inherit_env: INHERIT_ENV_DEFAULT.map(str::to_owned).to_vec(),
            launches_at_once: LAUNCHES_AT_ONCE_DEFAULT,
            remote_tasks_max: REMOTE_TASKS_MAX_DEFAULT,
            default_class: None,
            classes: BTreeMap::new(),
            network_rules: BTreeMap::new(),
            identity: Identity::default(),
            grace_s: 30,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(memory: Option<&str>, cpu: &str, gpu: Option<u32>) -> ExecuteClass {
        let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        ExecuteClass {
            requests: map("cpu", cpu),
            limits: memory.map(|memory| map("memory", memory)).unwrap_or_default(),
            gpu,
            ..ExecuteClass::default()
        }
    }

    #[test]
    fn the_class_beside_is_the_nearest_that_wants_nothing_new() {
        let elsewhere = BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]);
        let ssd = ExecuteClass { node_selector: elsewhere, ..class(Some("300Mi"), "40", None) };
        let classes = [
            ("tiny", class(Some("32Mi"), "10m", None)),
            ("small", class(Some("256Mi"), "50m", None)),
            ("default", class(Some("1Gi"), "100m", None)),
            ("gpu", class(Some("4Gi"), "500m", Some(1))),
            ("huge", class(None, "100", None)),
            ("ssd", ssd),
        ];
        let classes = classes.map(|(name, class)| (name.to_owned(), class)).into();
        let policy = Policy { classes, ..Policy::default() };
        let beside = |from, resource: &str, more| {
            policy.class_beside(from, &ClassChange { resource: resource.into(), more })
        };
        assert_eq!(beside("tiny", "memory", true), Some("small"));
        assert_eq!(beside("small", "memory", true), Some("default"));
        assert_eq!(beside("huge", "memory", true), None);
        assert_eq!(beside("huge", "cpu", false), Some("default"));
        assert_eq!(beside("gpu", "nvidia.com/gpu", false), Some("default"));
        assert_eq!(beside("default", "nvidia.com/gpu", false), None);
        assert_eq!(beside("ssd", "cpu", false), Some("default"));
        assert_eq!(beside("nobody", "cpu", false), None);
    }
}
