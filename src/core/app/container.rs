//! An application that comes in an image, as its document (`docker inspect`, `crictl inspecti`)
//! describes it. What the document says is read in `document`; here is what is known afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::access::AccessList;
use crate::plan::EngineKind;

/// Whether an application needs shared memory with the X server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShmNeed {
    /// Draws without it, slower (most toolkits test for it and fall back).
    #[default]
    Preferred,
    /// Dies without it: it must run in this pod. Label `io.deskd.shm=required`.
    Required,
}

/// Which command a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryPoint {
    /// The image's own, as its packager tested it: it prepares the session and starts the program.
    Image,
    /// The program itself.
    Program,
}

impl EntryPoint {
    /// Both, with the words of the label `io.deskd.entrypoint` and of the configuration.
    pub const WORDS: [(&'static str, Self); 2] =
        [("image", Self::Image), ("program", Self::Program)];
}

/// Which home directory an application has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HomeNeed {
    /// The user's, as the desktop has it.
    #[default]
    Shared,
    /// An empty one of its own, gone with it: `oc.rules` `{"homedir": {"default": false}}`.
    Private,
}

/// What `oc.host_config` asks for, in Docker's words (docker-py, `create_host_config`). What else
/// it has is Docker's alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HostConfig {
    /// `shm_size`: size of `/dev/shm`, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_bytes: Option<u64>,
    /// `mem_limit`: the most memory, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// `cpus`, `nano_cpus`, or `cpu_quota` of `cpu_period`: the most CPU time, in thousandths of
    /// a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u64>,
}

/// A port that others in the cluster may connect to: needs a pod of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppPort {
    /// Name, a DNS label of at most 15 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// 1..=65535.
    pub port: u16,
    /// `TCP` (the default), `UDP` or `SCTP`.
    #[serde(default = "tcp")]
    pub protocol: String,
}

fn tcp() -> String {
    "TCP".to_owned()
}

/// How kubelet is to see that the application works: needs a pod of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum AppProbe {
    /// A GET that is answered with 200..=399.
    HttpGet {
        /// Path, from `/` on.
        path: String,
        /// Port.
        port: u16,
    },
    /// A connection that is accepted.
    Tcp {
        /// Port.
        port: u16,
    },
}

/// An application in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ContainerApp {
    /// What kubelet is asked for: the first of `RepoTags`, else a digest.
    pub image: String,
    /// `Id` of the document.
    pub image_id: Option<String>,
    /// Size of the image, in bytes.
    pub size_bytes: Option<u64>,
    /// `Architecture`, such as `amd64`.
    pub architecture: Option<String>,
    /// The image's own command, `Config.Entrypoint` and `Config.Cmd`; empty: the document does not
    /// tell it.
    #[serde(default)]
    pub image_command: Vec<String>,
    /// `oc.path` and the words of `oc.args`; empty: the document names no program.
    #[serde(default, alias = "command")]
    pub program: Vec<String>,
    /// `oc.args` as given: what the image's own command gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<String>,
    /// `io.deskd.entrypoint`: which of the two commands runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<EntryPoint>,
    /// `Config.Env`, and whatever else the document adds.
    pub env: BTreeMap<String, String>,
    /// `Config.WorkingDir`.
    pub cwd: Option<String>,
    /// `oc.containerengine`: honoured unless it cannot work.
    pub engine: Option<EngineKind>,
    /// `oc.executeclassname`: a section `[execute_class.NAME]`.
    pub execute_class: Option<String>,
    /// `oc.acl`: who may see and launch it.
    pub access: AccessList,
    /// `io.deskd.shm`.
    pub shm: ShmNeed,
    /// `io.deskd.ports`.
    pub ports: Vec<AppPort>,
    /// `io.deskd.probe`.
    pub probe: Option<AppProbe>,
    /// Names in `oc.rules` that the application's network needs; each maps to pod annotations
    /// through `[network_rule.NAME]`.
    pub network_rules: Vec<String>,
    /// `oc.rules`, `homedir`: which home directory it has.
    #[serde(default)]
    pub home: HomeNeed,
    /// `oc.host_config`.
    #[serde(default)]
    pub host_config: HostConfig,
    /// `oc.secrets_requirement`: secrets that must be among the desktop's.
    pub secrets: Vec<String>,
    /// `oc.uniquerunkey`: at most one task of the applications that share it runs.
    pub unique_run_key: Option<String>,
    /// `oc.showinview`: `dock` puts it into abcdesktop's dock while the user has chosen none
    /// (`js/systemmenu.js` of its web modules). It hides nothing: its catalogue (`js/appstore.js`) and
    /// its search (`js/search.js`) list every application, and so does deskd.
    pub show_in_view: Option<String>,
    /// `oc.execmode`, as given.
    pub exec_mode: Option<String>,
    /// `io.deskd.grace`: seconds between SIGTERM and SIGKILL.
    pub grace_s: Option<u32>,
    /// `io.deskd.deadline`: seconds after which a pod is ended.
    pub deadline_s: Option<u32>,
    /// Every label of the document as given, unknown ones too, but for `oc.icondata`, which is the
    /// application's icon.
    pub labels: BTreeMap<String, String>,
}

impl ContainerApp {
    /// The program that it is about, for what tells applications apart by it: `oc.path`, else what
    /// the image runs.
    #[must_use]
    pub fn program_name(&self) -> Option<&str> {
        let path = self.program.first().or(self.image_command.first())?;
        path.rsplit('/').next().filter(|name| !name.is_empty())
    }
}
