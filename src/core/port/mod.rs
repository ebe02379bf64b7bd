//! What the supervisor asks of an engine, and what an engine reports: one [`Command`] and one
//! [`Event`] for the keeper's processes and for containers. Values; the ends of the port
//! (`deskd::engine`) translate them into messages of the keeper and requests to the API server.
//!
//! Every command names its run, so a repeated one is answered with what is the case, and nothing is
//! started twice. Events may be repeated too.

pub mod keeper;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::env_var::EnvVar;
use crate::id::{AppId, TaskId};
use crate::kubernetes::ObjectRef;
use crate::origin::{Found, NoStopCode, Origin};
use crate::place::WarmPlace;
use crate::plan::{EngineKind, KubernetesFacts, Work};
use crate::task::{Exit, Rusage, StopStep, UnixMs};
use crate::why::evidence::ClusterEvidence;
use crate::why::reason::{Ended, Refused, Waiting};
use crate::wire::{Drain, RunEnd, RunId, TaskRecord};

/// Who carries commands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// The keeper: processes of deskd's container, and the log store.
    Keeper,
    /// The Kubernetes API.
    Cluster,
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

/// What an engine is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Start a run: its process, or the object that makes one. Repeating it starts nothing twice.
    /// Answered with [`Event::Accepted`], [`Event::Observed`] or [`Event::Refused`],
    /// always, however long that takes.
    Start {
        /// Which run.
        run: RunId,
        /// Of which app.
        app: AppId,
        /// The names of its object: a pod's name is also its host name, by which its windows are
        /// found. Absent: a process of this container.
        object: Option<ObjectRef>,
        /// What to start.
        work: Work,
        /// The task as it is now, in JSON: who keeps runs while the daemon is away gives it back.
        meta: String,
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
        /// How far its log is stored; filled in by who reads the log store.
        log: LogMark,
        /// A stop is under way: it goes on, with this long between SIGTERM and SIGKILL.
        stopping: Option<Duration>,
    },
    /// End a run: SIGTERM after `term_after`, SIGKILL `kill_after`, both from now. A start that
    /// was not sent yet is given up. Sent again it can only make the stop come sooner. Steps are
    /// reported as [`Event::StopStep`].
    Stop {
        /// Which run.
        run: RunId,
        /// From now to SIGTERM: windows were asked to close.
        term_after: Duration,
        /// From now to SIGKILL.
        kill_after: Duration,
    },
    /// Nobody asks for the run any more: delete its pod if it is still there and deskd's, and forget
    /// everything about it. (An ephemeral container's entry cannot be removed from its pod.)
    Forget {
        /// Which run.
        run: RunId,
        /// The task is removed: its stored output goes too.
        output: bool,
    },
    /// Nothing more will be written: answered with [`Event::Closed`].
    CloseOutput {
        /// Of which task.
        task: TaskId,
    },
    /// The log store has a task's output up to here, as it was given away by the keeper of a place.
    OutputStored {
        /// Of which task.
        task: TaskId,
        /// Cursor.
        end: u64,
    },
    /// A window of it was mapped, by the process `pid` of the own PID namespace if that is known:
    /// an ephemeral container's processes can be watched from then on.
    WindowMapped {
        /// Which run.
        run: RunId,
        /// Process of the own PID namespace.
        pid: Option<u32>,
    },
    /// Which tasks at places may have the process of a window that calls itself `pid`: each place
    /// numbers its processes from 1. Answered with [`Event::ProcessFound`], and again when a place
    /// that was away knows more.
    FindProcess {
        /// The number.
        pid: u32,
    },
    /// Pull an image on the nodes, in whose namespace application pods run.
    Pull {
        /// The image.
        image: String,
    },
    /// The places that are to be there before anybody asks: these, and no others.
    KeepWarm(Vec<WarmPlace>),
    /// All tasks that end with deskd have ended: the keeper may finish.
    Drained,
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

/// A run as its object in the cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Of which app.
    pub app: AppId,
    /// Which engine.
    pub engine: EngineKind,
    /// Where it is.
    pub place: ObjectRef,
    /// What its object says, if others started it and it was not adopted yet.
    pub stranger: Option<Box<Stranger>>,
}

impl Event {
    /// The run that it is about.
    #[must_use]
    pub fn run(&self) -> Option<&RunId> {
        match self {
            Self::Accepted { run, .. }
            | Self::Refused { run, .. }
            | Self::Observed { run, .. }
            | Self::Exited { run, .. }
            | Self::Used { run, .. }
            | Self::Stoppable { run, .. }
            | Self::Deleting { run }
            | Self::Said { run, .. }
            | Self::Gone { run }
            | Self::StopStep { run, .. }
            | Self::LogDone { run, .. } => Some(run),
            Self::Kept { record, .. } => Some(&record.id),
            Self::Facts(_)
            | Self::Keeper { .. }
            | Self::Draining(_)
            | Self::Closed { .. }
            | Self::Synced { .. }
            | Self::ProcessFound { .. }
            | Self::Pull(_) => None,
        }
    }
}

/// What an engine reports.
#[derive(Debug, Clone)]
pub enum Event {
    /// What is known about the cluster, whenever it changed.
    Facts(Box<KubernetesFacts>),
    /// A keeper answers: this one, by its start time. What it kept follows as [`Event::Kept`], and
    /// then [`Event::Synced`].
    Keeper {
        /// When it started.
        started_at: UnixMs,
    },
    /// A run that the keeper kept while the daemon was away.
    Kept {
        /// What it kept.
        record: Box<TaskRecord>,
        /// Where its task's output ends, if it ended and that could be read.
        log_bytes: Option<u64>,
    },
    /// The keeper ends: everything must be gone by a deadline.
    Draining(Drain),
    /// The API server has the object of a run.
    Accepted {
        /// Which run.
        run: RunId,
        /// Where it is.
        object: ObjectRef,
    },
    /// Its engine cannot start it, for good.
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
        /// Its object; absent: a process of this container.
        object: Option<Box<Object>>,
        /// What was seen.
        what: Observation,
    },
    /// The main process of a run ended, and its keeper saw how. All that it wrote is stored.
    Exited {
        /// Which run.
        run: RunId,
        /// How.
        end: RunEnd,
        /// Where its task's output ends, if that could be read.
        log_bytes: Option<u64>,
    },
    /// What a run in a container used, as the keeper there saw it; told before its end.
    Used {
        /// Which run.
        run: RunId,
        /// So much.
        usage: Rusage,
        /// As [`RunEnd::oom_killed`].
        oom_killed: Option<bool>,
    },
    /// Nothing is left of a run: no process, and no output that is not stored.
    Closed {
        /// The task.
        task: TaskId,
        /// Which run; absent: the one that was told of last.
        run: Option<u32>,
        /// Where its task's output ends, if that is known.
        log_bytes: Option<u64>,
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
    /// Answer to [`Command::FindProcess`].
    ProcessFound {
        /// The number.
        pid: u32,
        /// The tasks that have a process with this number.
        tasks: BTreeSet<TaskId>,
    },
    /// A pull went one step further.
    Pull(crate::pull::PullStatus),
}
