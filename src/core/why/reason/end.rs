//! Why a run ended, where its exit status alone does not tell; and why no exit status was seen.

use serde::{Deserialize, Serialize};

use super::{Actor, Refused};
use crate::task::Exit;
use crate::text::Text;
use crate::why::Cause;

/// What the cluster reports about an end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// What it was.
    pub reason: EndReason,
    /// The cluster's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

/// What the cluster reports about an end. A `node` that is absent is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// It used more memory than its limit, and was killed.
    OomKilled,
    /// The same, of a process of it.
    OomKilledChild,
    /// The node has lost sight of it.
    LostSight {
        /// Which node.
        node: Option<String>,
    },
    /// Its program cannot be started.
    StartError,
    /// The node evicted its pod.
    Evicted {
        /// Which node.
        node: Option<String>,
    },
    /// Its pod was moved away, by the eviction API.
    MovedAway {
        /// From which node.
        node: Option<String>,
    },
    /// It ran longer than its deadline.
    Deadline,
    /// Its node does not answer.
    NodeLost {
        /// Which.
        node: Option<String>,
    },
    /// Its node does not exist any more.
    NodeGone {
        /// Which.
        node: Option<String>,
    },
    /// A more important pod took its place on the node.
    Preempted {
        /// Which node.
        node: Option<String>,
    },
    /// The scheduler ended it for a more important pod.
    PreemptedByScheduler,
    /// The node was shut down.
    NodeShutdown {
        /// Which.
        node: Option<String>,
    },
    /// Kubelet ended it.
    ByKubelet {
        /// On which node.
        node: Option<String>,
    },
    /// The node did not take it.
    NotAdmitted {
        /// Which.
        node: Option<String>,
        /// Its labels do not fit any more; otherwise a device could not be had.
        affinity: bool,
    },
    /// The node has not enough of a resource for it.
    OutOf {
        /// Which node.
        node: Option<String>,
        /// Of what.
        resource: String,
    },
    /// Its pod was disrupted, for a reason that is not one of these.
    Disrupted {
        /// Kubernetes' word for it.
        word: String,
    },
    /// The container that prepares it failed.
    InitFailed {
        /// Its pod.
        pod: String,
        /// Its name.
        container: String,
        /// It is deskd's, and makes the display's cookie file.
        cookie: bool,
        /// Its exit code; absent: it could not be started, and the words say why.
        code: Option<i32>,
    },
    /// Its pod ended, for a reason that is not one of these.
    PodEnded {
        /// Kubernetes' word for it.
        word: String,
    },
    /// Somebody deleted its pod.
    PodDeleted,
    /// It was stopped before it started, and its entry stays in the desktop's pod.
    EntryLeft,
    /// Its process ended, and the node has not told its exit code.
    CodeUntold,
}

/// Why no exit status was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostReason {
    /// It was stopped before it ran.
    BeforeItRan,
    /// It was stopped before it started.
    BeforeItStarted,
    /// A restart that waited was called off.
    CalledOff(Actor),
    /// It could not be started.
    NotStarted(Box<Refused>),
    /// Its pod or container ended, and no status tells how the program did.
    Ended(Box<Ended>),
    /// Nobody saw how it ended.
    Unseen,
    /// It ended with the desktop's pod.
    WithItsPod,
    /// Its pod was deleted by somebody else.
    PodDeleted,
    /// Its pod was deleted while deskd was not looking.
    PodGone,
    /// The keeper, and with it everything in deskd's container, was started anew.
    KeeperRestarted,
    /// The keeper that had started it was killed, and its new parent did not wait for it, or the kernel does
    /// not tell (before Linux 6.15).
    KeeperKilled,
    /// The container that it shared with other programs of its image ended.
    PlaceEnded,
    /// The keeper of its place speaks another version of the messages.
    PlaceOfAnotherVersion,
    /// As somebody said it: an earlier release of deskd, or a person's evidence.
    Told(String),
}

/// What happened to a task that ended badly or cannot start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Explanation {
    /// It was not started.
    NotStarted {
        /// Its application's name; absent: it was stopped, and nobody knows whether it could have.
        app: Option<String>,
        /// Why.
        why: Box<Refused>,
    },
    /// It ended by itself.
    ByItself {
        /// How.
        exit: Exit,
        /// The last line that it wrote, of what looks like an error.
        last_line: Option<String>,
    },
    /// No exit status was seen.
    Lost {
        /// Why.
        reason: LostReason,
        /// The last line that it wrote, of what looks like an error.
        last_line: Option<String>,
    },
    /// What the cluster reported.
    Cluster(Ended),
    /// The diagnosis.
    Diagnosed {
        /// Its cause.
        cause: Cause,
        /// Its sentence.
        sentence: Text,
    },
    /// As an earlier release of deskd said it.
    Told(String),
}

impl Explanation {
    /// Of a run that ended so and was not asked to.
    #[must_use]
    pub fn of_exit(exit: &Exit) -> Self {
        match exit {
            Exit::Lost(reason) => Self::Lost { reason: reason.clone(), last_line: None },
            exit => Self::ByItself { exit: exit.clone(), last_line: None },
        }
    }

    /// The engine reported it: as good as a diagnosis.
    #[must_use]
    pub fn is_reported(&self) -> bool {
        matches!(self, Self::NotStarted { .. } | Self::Cluster(_) | Self::Told(_))
    }
}

impl From<EndReason> for Ended {
    fn from(reason: EndReason) -> Self {
        Self { reason, words: None }
    }
}
