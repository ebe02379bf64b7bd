//! Why a run was not started.

use serde::{Deserialize, Serialize};

use super::{EndReason, LostReason, Waiting};
use crate::room::NoRoom;
use crate::why::Remedy;
use crate::wire::SpawnError;

/// Why a run was not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub reason: RefusalReason,
    /// The words of whoever refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

/// Why a run was not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// The API server refused the request.
    Api {
        /// Which request.
        request: Request,
        /// Why.
        refusal: ApiRefusal,
    },
    /// A pod of that name belongs to something else.
    NameTaken {
        /// Its namespace.
        namespace: String,
        /// Its name.
        pod: String,
    },
    /// The desktop's pod cannot have more ephemeral containers.
    PodFull {
        /// The pod.
        pod: String,
        /// What is full.
        why: NoRoom,
    },
    /// Too many launches wait for the API server already.
    QueueFull {
        /// How many may.
        max: usize,
    },
    /// It was stopped before the API server was asked for it.
    Stopped,
    /// deskd does not know which pod it is in, or is not in one; the words say why.
    NoPod,
    /// The keeper could not start the process.
    Spawn(SpawnError),
    /// No plan can be made for it; the words say why.
    Unplannable,
    /// It waited, and a remedy starts it otherwise.
    GivenUp {
        /// Which remedy.
        remedy: Remedy,
        /// What it waited for.
        waited: Option<Box<Waiting>>,
    },
    /// Its container ended before it ran.
    Ended(EndReason),
    /// It was lost before it was seen to run.
    Lost(LostReason),
    /// As an earlier release of deskd said it; its words are the sentence.
    Told,
}

/// What a request to the API server was to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Create a pod.
    CreatePod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        pod: String,
    },
    /// Delete a pod.
    DeletePod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        pod: String,
    },
    /// Add an ephemeral container to a pod.
    AddContainer {
        /// The pod's namespace.
        namespace: String,
        /// The pod's name.
        pod: String,
    },
}

/// Why the API server refuses a request for good. `why` are its words about that alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiRefusal {
    /// 403 by a ResourceQuota or LimitRange.
    Quota {
        /// Which, and by how much.
        why: String,
    },
    /// By a ValidatingAdmissionPolicy.
    Policy {
        /// Its name.
        name: String,
        /// Its message.
        why: String,
    },
    /// By a MutatingAdmissionPolicy that fails.
    MutatingPolicy {
        /// Its name.
        name: String,
        /// Its error.
        why: String,
    },
    /// By an admission webhook.
    Webhook {
        /// Its name.
        name: String,
        /// Its message.
        why: String,
    },
    /// By Pod Security.
    PodSecurity {
        /// The level and what violates it.
        why: String,
    },
    /// The pod's node will never have so much.
    NodeTooSmall {
        /// Of what.
        why: String,
    },
    /// 403 by RBAC.
    Right,
    /// The namespace is being deleted.
    NamespaceEnds,
    /// 404: what it belongs to does not exist.
    NotFound,
    /// 413: it is larger than the API server takes.
    TooLarge,
    /// 400 or 422: the object is not valid.
    Invalid {
        /// Which fields, and why.
        why: String,
    },
}

/// Why an object was not created, as far as a program cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// By a ResourceQuota or LimitRange.
    Quota,
    /// By an admission policy, Pod Security, or a webhook.
    Admission,
    /// deskd may not do it.
    Forbidden,
    /// The object is not valid.
    Invalid,
    /// The own pod or the namespace is gone.
    NotFound,
    /// Something is full.
    Full,
    /// A stop came before it was sent.
    Stopped,
    /// Not a refusal of an object.
    Other,
}

impl Refused {
    /// What a program does about it depends on this.
    #[must_use]
    pub fn code(&self) -> RefusalCode {
        match &self.reason {
            RefusalReason::Api { refusal, .. } => refusal.code(),
            RefusalReason::NameTaken { .. } => RefusalCode::Invalid,
            RefusalReason::PodFull { .. } | RefusalReason::QueueFull { .. } => RefusalCode::Full,
            RefusalReason::Stopped => RefusalCode::Stopped,
            RefusalReason::NoPod => RefusalCode::Forbidden,
            RefusalReason::Spawn(_)
            | RefusalReason::Unplannable
            | RefusalReason::GivenUp { .. }
            | RefusalReason::Ended(_)
            | RefusalReason::Lost(_)
            | RefusalReason::Told => RefusalCode::Other,
        }
    }
}

impl ApiRefusal {
    fn code(&self) -> RefusalCode {
        match self {
            Self::Quota { .. } => RefusalCode::Quota,
            Self::Policy { .. }
            | Self::MutatingPolicy { .. }
            | Self::Webhook { .. }
            | Self::PodSecurity { .. }
            | Self::NodeTooSmall { .. } => RefusalCode::Admission,
            Self::Right => RefusalCode::Forbidden,
            Self::NamespaceEnds | Self::NotFound => RefusalCode::NotFound,
            Self::TooLarge => RefusalCode::Full,
            Self::Invalid { .. } => RefusalCode::Invalid,
        }
    }
}

impl From<RefusalReason> for Refused {
    fn from(reason: RefusalReason) -> Self {
        Self { reason, words: None }
    }
}

impl From<String> for Refused {
    /// What an earlier release of deskd said.
    fn from(sentence: String) -> Self {
        Self { reason: RefusalReason::Told, words: Some(sentence) }
    }
}
