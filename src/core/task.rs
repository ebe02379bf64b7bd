//! The lifecycle of a task.
//!
//! ```text
//!            launch          spawned           stop asked            tree gone
//!  planned ---------> starting -----> running -----------> stopping -----------> ended
//!     ^                  |               |                                        ^
//!     |                  | refused       | exit by itself                         |
//!     |                  +---------------+----------------------------------------+
//!     +------ restart due (policy, backoff; a new run of the same task) ----------+
//! ```
//!
//! The driver feeds [`TaskEvent`]s to [`Task::apply`] (in [`crate::run::life`]); nothing else
//! changes a task.

use serde::{Deserialize, Serialize};

use super::id::{AppId, TaskId};
use super::kubernetes::ObjectRef;
use super::origin::{NoStop, Origin};
use super::plan::{EngineKind, Plan, Rejected};
use super::restart::{Backoff, RestartPolicy};
use super::stage::StageTime;
use crate::text;
use crate::text::Text;
use crate::why::reason::{Ended, Explanation, LostReason, Refused, Waiting, record};
use crate::why::{Actor, Applied, Diagnosis};

/// History entries kept per task; the oldest after the first go first.
pub const HISTORY_ENTRIES_MAX: usize = 64;

/// Milliseconds since the Unix epoch, UTC.
pub type UnixMs = i64;

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Decided; waiting for its turn (a restart's backoff, a limit).
    Planned,
    /// Asked of the engine.
    Starting,
    /// Its process exists.
    Running,
    /// Being stopped.
    Stopping,
    /// Over. Only a restart leaves this state.
    Ended,
}

impl TaskState {
    /// The word used in `/v1`, labels and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Ended => "ended",
        }
    }
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// `exit(code)`, 0..=255.
    Code(i32),
    /// The exit code of the entry point that started the program, whose own nobody saw.
    EntryPoint(i32),
    /// Killed by a signal.
    Signal {
        /// Number, such as 15.
        number: i32,
        /// Name, such as `SIGTERM`.
        name: String,
        /// A core was dumped.
        core_dumped: bool,
    },
    /// It never ran, or nobody could see how it ended. JSON has a sentence that says why.
    #[serde(rename = "reason", with = "record::lost")]
    Lost(LostReason),
}

impl Exit {
    /// Whether a restart policy counts it as a failure.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.code() != Some(0)
    }

    /// The exit code, of whichever process.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Code(code) | Self::EntryPoint(code) => Some(*code),
            Self::Signal { .. } | Self::Lost(_) => None,
        }
    }

    /// How a run ended whose first process ended so and was to start a program: as that did (`own`), if it
    /// was seen. Whoever sends the first process a signal does not mean it alone.
    #[must_use]
    pub fn of_program(self, own: Option<Self>) -> Self {
        match (self, own) {
            (Self::Lost(why), _) => Self::Lost(why),
            (_, Some(own)) => own,
            (Self::Code(code), None) => Self::EntryPoint(code),
            (exit, None) => exit,
        }
    }

    /// `exit code 3`, also of the entry point, `SIGSEGV (core dumped)`, or the reason.
    #[must_use]
    pub fn sentence(&self) -> Text {
        match self {
            Self::Code(code) => text!("exit code {code}", code),
            Self::EntryPoint(code) => {
                text!("exit code {code} of its entry point (the program's own is not known)", code)
            }
            Self::Signal { name, core_dumped: true, .. } => text!("{name} (core dumped)", name),
            Self::Signal { name, .. } => Text::words(name.clone()),
            Self::Lost(why) => why.sentence(),
        }
    }
}

/// What a run used, `getrusage(2)`, of the main process and the children it waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rusage {
    /// User CPU, microseconds.
    pub user_us: u64,
    /// System CPU, microseconds.
    pub system_us: u64,
    /// Peak resident set, KiB.
    pub max_rss_kib: u64,
    /// Page faults served with I/O.
    pub major_faults: u64,
}

/// One step of a stop and what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StopStep {
    /// When.
    pub at: UnixMs,
    /// `close_windows`, `term`, `kill`.
    pub step: StopStepKind,
    /// One sentence: how many windows were asked, which processes were signalled.
    pub detail: Text,
}

/// The escalation of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopStepKind {
    /// WM_DELETE_WINDOW to every window that takes it.
    CloseWindows,
    /// SIGTERM to the whole tree.
    Term,
    /// SIGKILL to what is left.
    Kill,
}

/// A line of a task's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HistoryEntry {
    /// When.
    pub at: UnixMs,
    /// The state after it.
    pub state: TaskState,
    /// One sentence.
    pub what: Text,
}

/// A task as everybody sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What it runs.
    pub app: AppId,
    /// For people.
    pub display_name: String,
    /// Who started it: deskd, or somebody else.
    #[serde(default)]
    pub origin: Origin,
    /// Who that was, where it can be told (`abcdesktop`); absent for deskd's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<String>,
    /// Why it cannot be stopped here; absent: it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_stop: Option<NoStop>,
    /// Where it runs.
    pub engine: EngineKind,
    /// Why there, in sentences.
    pub reasons: Vec<Text>,
    /// Why not elsewhere.
    #[serde(default)]
    pub rejected: Vec<Rejected>,
    /// argv; empty: the image's own.
    pub command: Vec<String>,
    /// `command` is the image's own, which starts the program: the exit code may be that command's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub entry_point: bool,
    /// The program that the image's own command starts, with its arguments, as far as it is known;
    /// empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub program: Vec<String>,
    /// Where it is in its life.
    pub state: TaskState,
    /// Main process in deskd's PID namespace (tasks of this pod that have one now).
    pub pid: Option<u32>,
    /// The object of the current or last run in the cluster (remote tasks).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// The node it runs on (remote tasks, once it is known).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// While it is starting: what exactly it waits for, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "record::waiting")]
    #[schema(value_type = Option<String>)]
    pub waiting: Option<Waiting>,
    /// The Kubernetes API is away: what is said here may not be the case any more.
    #[serde(default)]
    pub stale: bool,
    /// How the last run ended.
    pub exit: Option<Exit>,
    /// What the last run used.
    pub rusage: Option<Rusage>,
    /// Launch was accepted.
    pub created_at: UnixMs,
    /// The current or last run was asked of its engine.
    #[serde(default)]
    pub asked_at: Option<UnixMs>,
    /// The current or last run's process exists: as the keeper, a window, the process table or the
    /// Kubernetes API told first.
    pub started_at: Option<UnixMs>,
    /// The last run ended.
    pub ended_at: Option<UnixMs>,
    /// From `asked_at` to its first mapped window, milliseconds.
    pub first_window_ms: Option<u64>,
    /// The stages of the current or last run's launch, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageTime>,
    /// Windows mapped now.
    pub windows: u32,
    /// Bytes it wrote so far, dropped ones included. In a snapshot: as of its last end; `GET` of a
    /// task that runs looks now.
    #[serde(default)]
    pub log_bytes: u64,
    /// What happened, in one sentence, when it ended badly or cannot start.
    #[serde(default, with = "record::cause")]
    #[schema(value_type = Option<String>)]
    pub cause: Option<Explanation>,
    /// Why the last run failed, was killed, or does not start, with the proof and what to do; absent
    /// when there is nothing to explain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Box<Diagnosis>>,
    /// The remedy that was applied to it, with what it was before and why it failed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedied: Option<Box<Applied>>,
    /// Runs so far; 1 for a task that never restarted.
    pub runs: u32,
    /// When the next run is due.
    pub next_run_at: Option<UnixMs>,
    /// The steps of the stop, in order.
    pub stop_steps: Vec<StopStep>,
    /// What happened when, oldest first.
    pub history: Vec<HistoryEntry>,
    /// Number of the change that made this view; see the snapshot's generation.
    pub generation: u64,
    /// The restart policy.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Failures in a row.
    #[serde(default)]
    pub backoff: Backoff,
    /// A stop was asked for: whatever ends it now is not a failure and is not restarted.
    #[serde(default)]
    pub stop_asked: bool,
    /// Processes of it outlive its main process, or the end of its output was not read yet.
    #[serde(default)]
    pub leftovers: bool,
}

/// Everything that can happen to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEvent {
    /// The engine was asked for run number `run`.
    Starting {
        /// 1 for the first.
        run: u32,
    },
    /// The process exists.
    Started {
        /// Which run.
        run: u32,
        /// Its pid, if it is in deskd's PID namespace.
        pid: Option<u32>,
        /// When it was spawned.
        at: UnixMs,
    },
    /// The engine was asked to create an object.
    Placed {
        /// Which run.
        run: u32,
        /// The object.
        object: ObjectRef,
    },
    /// It is not running yet.
    Waiting {
        /// Which run.
        run: u32,
        /// Why.
        why: Waiting,
    },
    /// It is on a node.
    OnNode {
        /// Which run.
        run: u32,
        /// The node.
        node: String,
    },
    /// The Kubernetes API is away, or is back.
    Stale(bool),
    /// It could not be started.
    Refused {
        /// Which run.
        run: u32,
        /// Why.
        why: Refused,
    },
    /// A window of it was mapped.
    WindowMapped,
    /// A window of it is gone.
    WindowGone,
    /// Somebody asked to stop it.
    StopAsked(Actor),
    /// A step of the stop.
    StopStep(StopStep),
    /// The main process of `run` ended.
    Exited {
        /// Which run.
        run: u32,
        /// How.
        exit: Exit,
        /// What the cluster reported about it.
        reason: Option<Ended>,
        /// What it used.
        rusage: Rusage,
        /// When.
        at: UnixMs,
    },
    /// No process of `run` is left.
    TreeGone {
        /// Which run.
        run: u32,
    },
    /// A restart was scheduled.
    RestartAt(UnixMs),
    /// It ended badly and is to run again otherwise, as `plan` says: run `applied.run`.
    Remedied {
        /// What is done, and why.
        applied: Box<Applied>,
        /// The plan for the run.
        plan: Box<Plan>,
    },
}
