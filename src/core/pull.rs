//! Pulling an image on the nodes before somebody waits for it.

use serde::{Deserialize, Serialize};

/// How far the pull on one node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PullState {
    /// The pod that pulls it is being created or scheduled.
    Scheduling {
        /// What it waits for, if that is known.
        why: Option<String>,
    },
    /// The node pulls.
    Pulling,
    /// The node has it.
    Pulled {
        /// Size, in bytes, when the node told.
        size_bytes: Option<u64>,
        /// How long it took, in milliseconds.
        took_ms: u64,
    },
    /// It cannot be pulled.
    Failed {
        /// One sentence.
        why: String,
    },
}

/// A pull on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PullStatus {
    /// The image.
    pub image: String,
    /// The node; absent: whichever the scheduler chose, not known yet.
    pub node: Option<String>,
    /// How far it is.
    #[serde(flatten)]
    pub state: PullState,
}
