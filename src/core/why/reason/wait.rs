//! Why a run does not run yet.

use serde::{Deserialize, Serialize};

use super::Request;

/// Why a run does not run yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Why.
    pub reason: WaitReason,
    /// The cluster's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

/// Why a run does not run yet. A `node` that is absent is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// The API server did not carry the request out yet.
    Request {
        /// Which request.
        request: Request,
        /// What is in the way.
        delay: Delay,
    },
    /// The scheduler has not chosen a node.
    Scheduler,
    /// A scheduling gate holds it back.
    Gated,
    /// No node takes it.
    Unschedulable,
    /// It has a node, which has not said anything yet.
    Node {
        /// Which.
        node: Option<String>,
    },
    /// The node prepares it.
    Prepared {
        /// Which node.
        node: Option<String>,
        /// The image, which is pulled if need be.
        image: Image,
    },
    /// The node pulls an image.
    Pulling {
        /// It is the image of a volume.
        of_volume: bool,
    },
    /// A pull failed once.
    PullFailed {
        /// Of this image.
        image: Image,
    },
    /// Pulls failed; the node tries again ever more rarely.
    PullBackOff {
        /// Which node.
        node: Option<String>,
        /// Of this image.
        image: Image,
    },
    /// Its image's name is none.
    ImageName {
        /// The name.
        image: Image,
    },
    /// The node lacks the image, and the pull policy is Never.
    ImageNeverPulled {
        /// Which node.
        node: Option<String>,
        /// Which image.
        image: Image,
    },
    /// The image's registry does not answer.
    RegistryAway {
        /// Which image.
        image: Image,
    },
    /// The container cannot be made as it is described.
    ContainerConfig {
        /// Which node says so.
        node: Option<String>,
    },
    /// An image cannot be mounted as a volume.
    ImageVolume {
        /// Which node says so.
        node: Option<String>,
    },
    /// The container cannot be made or started.
    ContainerStart {
        /// Which node says so.
        node: Option<String>,
    },
    /// Its sandbox and network cannot be made.
    Sandbox,
    /// A volume cannot be mounted or attached.
    Volume,
    /// The node's network is not ready.
    Network,
    /// A device that it claims cannot be prepared.
    Device,
    /// The node does not start it, for a reason that is not one of these.
    Other {
        /// Which node.
        node: Option<String>,
        /// Kubernetes' word for the reason.
        word: String,
    },
    /// An init container waits, and with it everything after it.
    Init {
        /// What deskd's own init container is for.
        cookie: bool,
        /// Why it waits.
        reason: Box<WaitReason>,
    },
    /// As an earlier release of deskd said it; its words are the sentence.
    Told,
}

/// An image that a container needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its name; empty: not known.
    pub name: String,
    /// The volume that it is of; absent: it is the container's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
}

/// Why a request is not carried out yet, and is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delay {
    /// 409: somebody changed the object meanwhile.
    Conflict,
    /// 401: the API server does not accept the token.
    Token,
    /// The namespace has no service account yet.
    NamespaceNotReady,
    /// A role that is bound to deskd is not there: the API server has just started and does not know it yet,
    /// or somebody deleted it.
    RoleNotFound,
    /// 429: the API server is busy.
    Busy,
    /// Another error of the API server.
    Error {
        /// HTTP status.
        code: u16,
    },
    /// No answer came.
    NoAnswer,
}

impl WaitReason {
    /// Nothing will change by itself: the image does not exist, no node fits.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        match self {
            Self::Gated
            | Self::Unschedulable
            | Self::PullBackOff { .. }
            | Self::ImageName { .. }
            | Self::ImageNeverPulled { .. }
            | Self::ContainerConfig { .. }
            | Self::ImageVolume { .. }
            | Self::ContainerStart { .. } => true,
            Self::Init { reason, .. } => reason.is_stuck(),
            _ => false,
        }
    }
}

impl From<WaitReason> for Waiting {
    fn from(reason: WaitReason) -> Self {
        Self { reason, words: None }
    }
}

impl From<String> for Waiting {
    /// What an earlier release of deskd said.
    fn from(sentence: String) -> Self {
        Self { reason: WaitReason::Told, words: Some(sentence) }
    }
}
