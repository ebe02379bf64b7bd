//! From an application and facts to a complete plan, with reasons and rejected alternatives.
//!
//! ```text
//!  App, LaunchSpec, Facts --> ask (+ needs) --> local, ephemeral, pod: Fit or Blocker each
//!                                                   | choose
//!                                      Plan <-------+-------> Unplannable (refuse)
//! ```
//!
//! Each engine's module states its preconditions as one list of checks, and builds what would be
//! carried out; which of the possible engines is taken is decided in `choose` alone. Nothing here
//! asks anybody: what the API server will say to a plan (quota, admission) is only foreseen.

use serde::{Deserialize, Serialize};

mod abcdesktop;
mod ask;
pub mod assumed;
mod choose;
mod class;
mod cluster;
mod command;
mod cookie;
mod env;
mod ephemeral;
pub mod facts;
mod home;
mod language;
mod local;
mod needs;
pub mod place;
mod pod;
mod quota;
mod refuse;
pub mod remote;
mod shm;
mod volumes;
mod warm;

pub use class::name_of as class_of;
pub use env::SHM_OFF;
pub use facts::{Facts, KubernetesFacts, LaunchSpec};
pub use remote::{ContainerPlan, EphemeralPlan, PodPlan};
pub use warm::{Warm, warm};

use super::app::{App, LocalProgram};
use super::display::{DisplayStatus, EndpointState};
use super::env_var::EnvVar;
use super::port::Link;
use super::wall::Wall;
use crate::text;
use crate::text::Text;

/// Where a task runs.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// A process of this container, through the keeper.
    Local,
    /// An ephemeral container of this pod.
    EphemeralContainer,
    /// A pod of its own.
    PodApplication,
}

impl EngineKind {
    /// All of them, in the order of preference.
    pub const ALL: [Self; 3] = [Self::Local, Self::EphemeralContainer, Self::PodApplication];

    /// Who carries it out.
    #[must_use]
    pub fn link(self) -> Link {
        match self {
            Self::Local => Link::Keeper,
            Self::EphemeralContainer | Self::PodApplication => Link::Cluster,
        }
    }

    /// Whether its tasks are containers, which an API server tells of, and not processes of a keeper.
    #[must_use]
    pub fn is_in_cluster(self) -> bool {
        self.link() == Link::Cluster
    }

    /// Whether its tasks have a pod of their own: what they share with the X server is the network, and
    /// what is left of them goes with the pod. The others live in the desktop's, as long as that.
    #[must_use]
    pub fn has_own_pod(self) -> bool {
        match self {
            Self::Local | Self::EphemeralContainer => false,
            Self::PodApplication => true,
        }
    }

    /// The word used in `/v1`, labels and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::EphemeralContainer => "ephemeral_container",
            Self::PodApplication => "pod_application",
        }
    }

    /// The same in words, for sentences.
    #[must_use]
    pub fn phrase(self) -> Text {
        match self {
            Self::Local => text!("a process in deskd's container"),
            Self::EphemeralContainer => text!("an ephemeral container"),
            Self::PodApplication => text!("a pod of its own"),
        }
    }

    /// Why it is preferred to those that come after it.
    fn advantage(self) -> Text {
        match self {
            Self::Local => text!("it starts soonest and shares memory with the X server"),
            Self::EphemeralContainer => {
                text!("it starts sooner and shares memory with the X server")
            }
            Self::PodApplication => text!("it has memory of its own"),
        }
    }
}

/// Everything the local engine needs; it decides nothing itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LocalPlan {
    /// argv.
    pub argv: Vec<String>,
    /// The whole environment, sorted by name, complete but for the task's own marker variable.
    pub env: Vec<EnvVar>,
    /// How it is started (cwd, limits, nice); its command and env are superseded by the fields above.
    pub program: LocalProgram,
    /// The wall between it and deskd; absent: none, and a reason says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall: Option<Wall>,
}

/// What the chosen engine carries out; in JSON the field has the engine's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A process of this container.
    Local(Box<LocalPlan>),
    /// An ephemeral container of this pod.
    EphemeralContainer(Box<EphemeralPlan>),
    /// A pod of its own.
    PodApplication(Box<PodPlan>),
}

impl Work {
    /// The container that it runs, in whichever pod; nothing for a process of this container.
    #[must_use]
    pub fn container(&self) -> Option<&ContainerPlan> {
        match self {
            Self::Local(_) => None,
            Self::EphemeralContainer(plan) => Some(&plan.container),
            Self::PodApplication(plan) => Some(&plan.container),
        }
    }

    /// argv; empty: the image's own.
    #[must_use]
    pub fn argv(&self) -> &[String] {
        match self {
            Self::Local(plan) => &plan.argv,
            Self::EphemeralContainer(plan) => &plan.container.argv,
            Self::PodApplication(plan) => &plan.container.argv,
        }
    }

    /// The environment.
    #[must_use]
    pub fn env(&self) -> &[EnvVar] {
        match self {
            Self::Local(plan) => &plan.env,
            Self::EphemeralContainer(plan) => &plan.container.env,
            Self::PodApplication(plan) => &plan.container.env,
        }
    }

    /// Seconds from SIGTERM to SIGKILL; absent: as for every program (`[stop]`).
    #[must_use]
    pub fn grace_s(&self) -> Option<u32> {
        match self {
            Self::Local(_) => None,
            Self::EphemeralContainer(plan) => plan.grace_s,
            Self::PodApplication(plan) => Some(plan.grace_s),
        }
    }

    /// The environment, to be changed: views redact it.
    pub fn env_mut(&mut self) -> &mut Vec<EnvVar> {
        match self {
            Self::Local(plan) => &mut plan.env,
            Self::EphemeralContainer(plan) => &mut plan.container.env,
            Self::PodApplication(plan) => &mut plan.container.env,
        }
    }
}

/// One engine that was not chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rejected {
    /// The engine.
    pub engine: EngineKind,
    /// One sentence.
    pub why: Text,
}

/// A complete decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// The chosen engine.
    pub engine: EngineKind,
    /// What it carries out.
    #[serde(flatten)]
    pub work: Work,
    /// Why this engine, in sentences.
    pub reasons: Vec<Text>,
    /// Why not the others.
    pub rejected: Vec<Rejected>,
}

/// No engine can run it now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{sentence}")]
pub struct Unplannable {
    /// Stable code, such as `display_unavailable`.
    pub code: UnplannableCode,
    /// One sentence for the user.
    pub sentence: Text,
    /// Why not, per engine.
    pub rejected: Vec<Rejected>,
}

/// Why no plan could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnplannableCode {
    /// The app needs the display and the display does not answer.
    DisplayUnavailable,
    /// The app's description has no command.
    NoCommand,
    /// The app's access list does not permit this user.
    NotPermitted,
    /// Another task with the same unique key runs.
    AlreadyRunning,
    /// As many remote tasks run as may.
    TooManyRemoteTasks,
    /// TCP 6000 is not listening, and only a pod of its own could run the app.
    DisplayNotOnNetwork,
    /// The Kubernetes API is needed and cannot be used.
    KubernetesUnavailable,
    /// deskd has not the right that the only possible engine needs.
    RightMissing,
    /// What the app asks for contradicts itself, the configuration, or what is left of a quota.
    CannotBePlaced,
}

/// Chooses the engine for `app`.
///
/// Preferred are, in this order: a program of this container, an ephemeral container, a pod of its
/// own. Who insists on an engine (`launch.engine`, else the document's `oc.containerengine`) gets it
/// or a refusal. An application in an image is a program of this container only where the operator's
/// configuration permits it, whoever insists.
///
/// # Errors
/// No engine can run it now: why not, per engine.
pub fn plan(app: &App, launch: &LaunchSpec, facts: &Facts) -> Result<Plan, Unplannable> {
    choose::choose(app, launch, facts)
}

/// Why the display cannot be drawn on, as the end of a sentence.
#[must_use]
pub fn display_sentence(display: &DisplayStatus) -> Text {
    let name = &display.display;
    match &display.unix.state {
        EndpointState::Unchecked => text!("display {name} has not been checked yet", name),
        EndpointState::NotListening => text!("nothing listens on display {name}", name),
        EndpointState::Refused(text) => {
            text!(
                "display {name} refused the connection ({text}): check XAUTHORITY or XAUTH_KEY",
                name,
                text
            )
        }
        EndpointState::Hanging => {
            text!(
                "display {name} accepts connections but does not answer: the X server hangs",
                name
            )
        }
        EndpointState::Answering => text!("display {name} answers", name),
    }
}

#[cfg(test)]
mod tests;
