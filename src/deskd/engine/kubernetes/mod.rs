//! The remote engines: ephemeral containers of the desktop's pod and pods of their own.
//!
//! ```text
//!  driver --Command--> [kubernetes tasks] --Event--> driver
//!                          |  one watch of the own pod, one of the app pods (by label), one of those
//!                          |  that another control plane made for this user
//!                          |  writes: PATCH ephemeralcontainers (batched), POST and DELETE pods
//!                          +-- lines of pods/log --> keeper (through engine::local's bulk queue)
//! ```
//!
//! Carries plans out and says what it sees; it decides nothing about tasks, and keeps no state that
//! cannot be had again from the API server and the driver's [`Command::Adopt`].

mod api;
mod backoff;
mod calls;
pub mod collect;
mod credentials;
mod engine;
mod events;
mod evidence;
mod identity;
mod log;
mod manifest;
mod objects;
mod own_pod;
mod patches;
mod pods;
mod private_directory;
mod processes;
mod pull;
mod refusal;
mod rights;
mod runs;
mod status;
#[cfg(test)]
mod tests;
mod waiting;
mod watch;

use std::collections::BTreeSet;
use std::time::Duration;

pub use calls::{Calls, Verb};
pub use engine::{CommandSender, start};
pub use identity::{EngineConfig, PodIdentity};

use deskd_core::env_var::EnvVar;
use deskd_core::id::AppId;
use deskd_core::kubernetes::ObjectRef;
use deskd_core::origin::{Found, NoStopCode, Origin};
use deskd_core::plan::{EngineKind, EphemeralPlan, KubernetesFacts, PodPlan};
use deskd_core::task::{Exit, StopStep, UnixMs};
use deskd_core::why::evidence::ClusterEvidence;
pub use deskd_core::why::reason::{Ended, RefusalCode, Refused, Waiting};
use deskd_core::wire::RunId;

/// What a remote engine is to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteWork {
    /// An ephemeral container of the own pod.
    Ephemeral(Box<EphemeralPlan>),
    /// A pod.
    Pod(Box<PodPlan>),
}

/// A container that others started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// What its spec says.
    pub found: Found,
    /// Its variables, as far as the spec tells them.
    pub env: Vec<EnvVar>,
}

/// How far a log was stored: where its stream is to be resumed. Kubelet's timestamps are kept in
/// the log store's records, so this is read back from there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogMark {
    /// Time of the last stored line, RFC 3339 with nanoseconds as kubelet wrote it; empty: none.
    pub time: String,
    /// Whole lines stored with exactly that time.
    pub lines_at_time: u32,
    /// Bytes of a last line that was stored without its end.
    pub partial_bytes: u64,
}

/// What the driver asks for.
#[derive(Debug)]
pub enum Command {
    /// Create the object of a run. Repeating it makes no second object. Answered with
    /// [`Event::Accepted`] or [`Event::Refused`], always, however long the API server is away.
    Launch {
        /// Which run.
        run: RunId,
        /// Of which app.
        app: AppId,
        /// Its names: a pod's name is also its host name, by which its windows are found.
        object: ObjectRef,
        /// What to create.
        work: RemoteWork,
    },
    /// A run that an earlier daemon created, or others did: follow it, from `log` on.
    Adopt {
        /// Which run.
        run: RunId,
        /// Of which app.
        app: AppId,
        /// Who started it.
        origin: Origin,
        /// Where it is.
        object: ObjectRef,
        /// Which engine.
        engine: EngineKind,
        /// How far its log is stored.
        log: LogMark,
        /// A stop is under way: it goes on.
        stopping: bool,
    },
    /// End a run: SIGTERM after `term_after`, SIGKILL `kill_after`, both from now. A launch that
    /// was not sent yet is given up. Steps are told as [`Event::StopStep`].
    Stop {
        /// Which run.
        run: RunId,
        /// From now to SIGTERM: windows were asked to close.
        term_after: Duration,
        /// From now to SIGKILL.
        kill_after: Duration,
    },
    /// The task is removed: delete the pod if it is still there and deskd's, and forget everything
    /// about it. (An ephemeral container's entry cannot be removed from its pod.)
    Forget {
        /// Which run.
        run: RunId,
    },
    /// A window of it was mapped, by the process `pid` of the own PID namespace if that is known:
    /// an ephemeral container's processes can be watched from then on.
    WindowMapped {
        /// Which run.
        run: RunId,
        /// Process of the own PID namespace.
        pid: Option<u32>,
    },
    /// Pull an image on the nodes, in whose namespace application pods run.
    Pull {
        /// The image.
        image: String,
    },
}

/// What became of a run, as far as this observation goes. Repeated observations are harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// Not running yet.
    Waiting(Waiting),
    /// The process exists.
    Running {
        /// Since when, as far as is known.
        at: UnixMs,
        /// Its first process in the own PID namespace (ephemeral containers).
        pid: Option<u32>,
        /// The node.
        node: Option<String>,
    },
    /// It ended.
    Ended {
        /// How.
        exit: Exit,
        /// What happened, where the exit code alone does not tell (OOM, evicted, deadline, node lost,
        /// command not found).
        reason: Option<Ended>,
        /// When.
        at: UnixMs,
    },
}

/// What the engine tells the driver.
#[derive(Debug)]
pub enum Event {
    /// What is known about the cluster, whenever it changed.
    Facts(Box<KubernetesFacts>),
    /// The API server has the object of a run.
    Accepted {
        /// Which run.
        run: RunId,
        /// Where it is.
        object: ObjectRef,
    },
    /// It refused it, for good.
    Refused {
        /// Which run.
        run: RunId,
        /// Why.
        refusal: Refused,
    },
    /// A run was looked at. Also of runs the driver does not know (its record was lost, or others
    /// started it): what is known of them comes from the object.
    Observed {
        /// Which run.
        run: RunId,
        /// Which app.
        app: AppId,
        /// Which engine.
        engine: EngineKind,
        /// Where it is.
        object: ObjectRef,
        /// What was seen.
        what: Observation,
        /// What its object says, if others started it and it was not adopted yet.
        stranger: Option<Box<Stranger>>,
    },
    /// Whether a run that others started can be stopped.
    Stoppable {
        /// Which run.
        run: RunId,
        /// Why not.
        no_stop: Option<NoStopCode>,
    },
    /// Somebody else is deleting the pod of a run that others started.
    Deleting {
        /// Which run.
        run: RunId,
    },
    /// What the cluster said about a run changed; told before what follows from it.
    Said {
        /// Which run.
        run: RunId,
        /// All of it, in the cluster's own words.
        said: Box<ClusterEvidence>,
    },
    /// Everything of an engine and of who started it that exists was told as [`Event::Observed`] since
    /// the watch began or began anew: runs that are not in `present` have no object (any more).
    Synced {
        /// Which engine.
        engine: EngineKind,
        /// Who started them.
        origin: Origin,
        /// The runs that have an object.
        present: BTreeSet<RunId>,
    },
    /// The pod of a run was deleted by somebody, and no status told how it ended.
    Gone {
        /// Which run.
        run: RunId,
    },
    /// A stop went one step further.
    StopStep {
        /// Which run.
        run: RunId,
        /// What was done.
        step: StopStep,
    },
    /// Its log was read to the end (or cannot be, as the sentence says) and handed to the keeper.
    LogDone {
        /// Which run.
        run: RunId,
        /// Why not all of it could be read.
        trouble: Option<String>,
    },
    /// A pull went one step further.
    Pull(deskd_core::pull::PullStatus),
}
