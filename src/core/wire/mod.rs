//! Messages between the keeper and the daemon.
//!
//! Over a pair of stream sockets that the keeper makes for each daemon, which inherits its end; each
//! message is a 4-byte little-endian length and that many bytes of JSON, at most
//! [`MESSAGE_BYTES_MAX`]. The daemon sends [`ToKeeper::Hello`] and is answered with
//! [`FromKeeper::Welcome`], which lists everything the keeper knows; from then on changes arrive as
//! they happen. Re-adoption is therefore the normal way of starting. One daemon at a time, and only
//! the keeper's own child; to the keeper of a place ([`proof`]), the one that has its key.
//!
//! Every request names its run, so a repeated request is answered with what is already the case
//! ("nothing is started twice").

pub mod channel;
mod daemon_end;
pub mod frame;
mod latin1;
pub mod proof;
mod spawn;
mod version;

use serde::{Deserialize, Serialize};

use crate::app::Rlimits;
use crate::id::TaskId;
use crate::task::{Exit, Rusage, StopStep, StopStepKind, UnixMs};
use crate::text;
use crate::text::Text;
use crate::wall::Wall;

/// Largest message, in bytes (an argv and environment of Linux's ARG_MAX fit).
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Largest opaque [`SpawnRequest::meta`], in bytes: the keeper holds one per task.
pub const META_BYTES_MAX: usize = 256 << 10;

pub use crate::kubernetes::TASK_VARIABLE;
pub use daemon_end::DaemonEnd;
pub use spawn::SpawnError;
pub use version::{PLACES_SINCE, REFUSAL_SINCE, VERSION, VERSION_OLDEST, agreed};

/// Pids named in one [`StopRound`].
pub const STOP_PIDS_MAX: usize = 64;
/// Rounds of a stop that are reported; further ones (a fork bomb) are carried out silently.
pub const STOP_ROUNDS_MAX: usize = 16;
/// Bytes of meta in one Welcome or MoreTasks; JSON may make six of one (control characters).
pub const WELCOME_BYTES: usize = 512 << 10;

/// Bytes of the reason in a [`FromKeeper::ReloadRefused`].
pub const REFUSAL_BYTES_MAX: usize = 4 << 10;
/// Bytes of lines in one [`ToKeeper::AppendLog`], and of records in one [`ToKeeper::StoreRecords`].
pub const APPEND_BYTES_MAX: usize = 256 << 10;

/// One run of a task; runs of a task count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId {
    /// The task.
    pub task: TaskId,
    /// Which run of it.
    pub run: u32,
}

/// From the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToKeeper {
    /// First message on a connection.
    Hello {
        /// [`VERSION`].
        version: u32,
        /// [`VERSION_OLDEST`]; absent: only `version`.
        #[serde(default)]
        oldest: Option<u32>,
    },
    /// Start a process. Answered with Spawned or SpawnRefused, always.
    Spawn(Box<SpawnRequest>),
    /// Stop a run's whole tree: SIGTERM after `term_after_ms`, SIGKILL after `kill_after_ms`, both
    /// counted from now. Sent again it may only make the stop come sooner. Each signal round is
    /// reported as StopStep; the end as Exited and TreeGone.
    Stop {
        /// Which run.
        id: RunId,
        /// Milliseconds from now to SIGTERM.
        term_after_ms: u64,
        /// Milliseconds from now to SIGKILL.
        kill_after_ms: u64,
    },
    /// Forget an ended task: its record and its log. Ignored while its main process lives; with
    /// other processes of it left it is no longer told of, and goes when they are gone.
    Forget {
        /// Which task.
        task: TaskId,
    },
    /// Send one LogAdvanced as soon as the task's log ends beyond `seen` (at once if it does
    /// already). One watch per task; a new one replaces it.
    WatchLog {
        /// Which task.
        task: TaskId,
        /// Cursor the daemon has seen.
        seen: u64,
    },
    /// The daemon is ready (forwarded to systemd) or stops being so; the text is a status line.
    Status {
        /// Ready to serve.
        ready: bool,
        /// For `systemctl status`.
        status: String,
    },
    /// The log of a task that is no process of this keeper: what its containers write arrives as
    /// AppendLog. Repeating it changes nothing.
    OpenLog {
        /// Which task.
        task: TaskId,
    },
    /// Lines of such a log, in order. Ignored unless it was opened: the task was forgotten.
    AppendLog {
        /// Which task.
        task: TaskId,
        /// At most [`APPEND_BYTES_MAX`] together.
        lines: Vec<LogLine>,
    },
    /// Only of a keeper at a place: give what a task wrote from `from` on, as LogRecords, as soon as
    /// there is any, or nothing more comes. What is before `from` is stored elsewhere, and need not be
    /// kept. One question per task; a new one replaces it.
    ReadLog {
        /// Which task.
        task: TaskId,
        /// Cursor of the first byte.
        from: u64,
    },
    /// Records that the keeper of a place gave away, for a log that was opened with OpenLog. Those
    /// that are stored already are left out. Answered with RecordsStored.
    StoreRecords {
        /// Which task.
        task: TaskId,
        /// Cursor of the first of them.
        from: u64,
        /// Cursor after the last of them: what no record stands for is lost.
        next: u64,
        /// As in LogRecords.
        #[serde(with = "latin1")]
        records: Vec<u8>,
    },
    /// Nothing more comes. Answered with LogClosed; until the task is opened again its file is
    /// closed.
    CloseLog {
        /// Which task.
        task: TaskId,
    },
    /// Only of a keeper at a place: which task the process with this number in its PID namespace is of.
    /// Answered with ProcessFound.
    FindProcess {
        /// The number.
        pid: u32,
    },
    /// Answer to Ping.
    Pong {
        /// The ping's number.
        number: u64,
    },
    /// All tasks were stopped politely; the keeper may finish.
    Drained,
}

/// Everything needed to start one process; nothing is decided by the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnRequest {
    /// Which run. A run the keeper already knows is not started again.
    pub id: RunId,
    /// argv; `argv[0]` with a `/` is a path, else it is looked up in the PATH of `env`.
    pub argv: Vec<String>,
    /// The whole environment, in order. The keeper adds `DESKD_TASK_ID`. At a place: what is added to
    /// that of its image.
    pub env: Vec<(String, String)>,
    /// Working directory; absent: `/`, at a place its image's.
    pub cwd: Option<String>,
    /// umask; absent: inherited.
    pub umask: Option<u32>,
    /// Resource limits.
    pub rlimits: Rlimits,
    /// Nice value.
    pub nice: Option<i32>,
    /// oom_score_adj.
    pub oom_score_adj: Option<i32>,
    /// The wall between it and deskd; absent: none.
    #[serde(default)]
    pub wall: Option<Wall>,
    /// Only at a place: the cursor of the first byte that the task writes there, so that its output
    /// has one cursor wherever it is.
    #[serde(default)]
    pub log_from: u64,
    /// Only at a place: the program, a path or a name, that `argv` starts and that the run is all about.
    /// Its end is told as the run's: entry points end in `PROGRAM | tee LOG`.
    #[serde(default)]
    pub program: Option<String>,
    /// What the daemon needs to re-adopt the task: opaque to the keeper, kept until Forget,
    /// at most [`META_BYTES_MAX`] bytes. Every run's request replaces it.
    pub meta: String,
}

impl SpawnRequest {
    /// That of a command with nothing else said.
    #[must_use]
    pub fn new(id: RunId, argv: Vec<String>) -> Self {
        Self {
            id,
            argv,
            env: Vec::new(),
            cwd: None,
            umask: None,
            rlimits: Rlimits::default(),
            nice: None,
            oom_score_adj: None,
            wall: None,
            log_from: 0,
            program: None,
            meta: String::new(),
        }
    }
}

/// When a start was how far, in nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartTimes {
    /// The keeper read the request.
    pub received: u64,
    /// A starter makes a process.
    pub begun: u64,
    /// That process is about to execute its program.
    pub executing: u64,
    /// The program is executed.
    pub executed: u64,
}

/// From the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromKeeper {
    /// Answer to Hello.
    Welcome {
        /// What both speak from now on: [`agreed`].
        version: u32,
        /// The keeper's pid.
        keeper_pid: u32,
        /// When the keeper started.
        started_at: UnixMs,
        /// The tasks it knows, each with its last run, in order of first spawn.
        tasks: Vec<TaskRecord>,
        /// They did not all fit into one message: MoreTasks follows. No other message is about a
        /// task whose record has not been sent yet.
        more: bool,
        /// A shutdown is under way.
        draining: Option<Drain>,
        /// What is wrong with the log store, if anything.
        log_trouble: Option<String>,
        /// How the daemon before this one ended; absent: this is the first, or speaks version 1.
        #[serde(default)]
        predecessor: Option<DaemonEnd>,
        /// The keeper's release, such as `0.1.0`; absent: one that speaks version 3 at most.
        #[serde(default)]
        release: Option<String>,
    },
    /// Continues Welcome.
    MoreTasks {
        /// The next tasks.
        tasks: Vec<TaskRecord>,
        /// Yet another MoreTasks follows.
        more: bool,
    },
    /// The process runs its program (exec succeeded).
    Spawned {
        /// Which run.
        id: RunId,
        /// Its pid; also its session and process group.
        pid: u32,
        /// When.
        at: UnixMs,
        /// How long it took; absent: it was asked for before, or its starter was killed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        times: Option<StartTimes>,
    },
    /// It was not started; the task is not remembered unless it had an earlier run.
    SpawnRefused {
        /// Which run.
        id: RunId,
        /// Why.
        error: SpawnError,
    },
    /// The main process ended.
    Exited {
        /// Which run.
        id: RunId,
        /// How, what it used, when.
        end: RunEnd,
    },
    /// No process of the run is left (also those that left its session).
    TreeGone {
        /// Which run.
        id: RunId,
    },
    /// A stop went one step further.
    StopStep {
        /// Which run.
        id: RunId,
        /// What was done.
        round: StopRound,
    },
    /// Answer to WatchLog.
    LogAdvanced {
        /// Which task.
        task: TaskId,
        /// Where its log ends now.
        end: u64,
    },
    /// Answer to CloseLog: everything sent before is stored.
    LogClosed {
        /// Which task.
        task: TaskId,
        /// Where its log ends.
        end: u64,
    },
    /// Answer to ReadLog.
    LogRecords {
        /// Which task.
        task: TaskId,
        /// As asked.
        from: u64,
        /// Cursor after the last record.
        next: u64,
        /// Whole records in the CRI format, at most [`APPEND_BYTES_MAX`] bytes (and one record
        /// more). A gap record stands for what could not be kept.
        #[serde(with = "latin1")]
        records: Vec<u8>,
        /// Nothing more comes: no process has the run's output any more, and all of it was given.
        over: bool,
    },
    /// Answer to FindProcess.
    ProcessFound {
        /// As asked.
        pid: u32,
        /// Its task; absent: there is no such process, or it is of none.
        task: Option<TaskId>,
    },
    /// Answer to StoreRecords.
    RecordsStored {
        /// Which task.
        task: TaskId,
        /// Everything before this cursor is stored, or known to be lost.
        end: u64,
    },
    /// The log store has a problem (disk full, read-only), or no longer has one.
    LogTrouble {
        /// One sentence; absent: over.
        trouble: Option<String>,
    },
    /// SIGTERM arrived: no new launches; everything must be gone within the grace.
    Draining(Drain),
    /// SIGHUP changed nothing. From [`REFUSAL_SINCE`] on.
    ReloadRefused {
        /// When.
        at: UnixMs,
        /// One sentence or several lines, at most [`REFUSAL_BYTES_MAX`].
        why: String,
    },
    /// Whether the daemon lives: answer with Pong.
    Ping {
        /// To be repeated in the answer.
        number: u64,
    },
    /// The daemon's Hello was not understood: it must exit.
    VersionRefused {
        /// The keeper's [`VERSION`].
        version: u32,
    },
}

/// A line, or a piece of a long one, of a container's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written, RFC 3339 with nanoseconds in UTC (`2026-11-24T05:30:26.123456789Z`), as
    /// kubelet says; it becomes the record's time, from which the stream is resumed.
    pub time: String,
    /// A newline follows.
    pub ends_line: bool,
    /// Without the newline. In JSON one character per byte (ISO 8859-1), since it need not be UTF-8.
    #[serde(with = "latin1")]
    pub bytes: Vec<u8>,
}

/// A shutdown under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// When the keeper will have killed everything.
    pub deadline: UnixMs,
    /// A second SIGTERM arrived: no politeness.
    pub hurry: bool,
}

/// A task as the keeper knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Its last run.
    pub id: RunId,
    /// The last run's meta.
    pub meta: String,
    /// Main pid of the last run.
    pub pid: u32,
    /// When the last run was spawned.
    pub spawned_at: UnixMs,
    /// How the last run ended, if it has.
    pub end: Option<RunEnd>,
    /// No process of the run is left.
    pub tree_gone: bool,
    /// A stop was asked for.
    pub stopping: bool,
    /// The stop's rounds so far, at most [`STOP_ROUNDS_MAX`].
    pub stop_steps: Vec<StopRound>,
}

/// One signal round of a stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRound {
    /// When.
    pub at: UnixMs,
    /// Which step (`term` or `kill`).
    pub step: StopStepKind,
    /// How many processes were signalled.
    pub count: u32,
    /// Their pids, at most the first [`STOP_PIDS_MAX`].
    pub pids: Vec<u32>,
    /// Pids that may not be signalled (EPERM: they run as another user), likewise bounded.
    pub refused: Vec<u32>,
    /// Pids, likewise bounded, of processes that may be left of the task: they made it impossible to
    /// tell which task they are of, and another that is not stopped may be it.
    #[serde(default)]
    pub unclear: Vec<u32>,
}

impl StopRound {
    /// In words.
    #[must_use]
    pub fn step(&self) -> StopStep {
        let signal = if self.step == StopStepKind::Kill { "SIGKILL" } else { "SIGTERM" };
        let list = |pids: &[u32]| pids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        if !self.unclear.is_empty() {
            return StopStep { at: self.at, step: self.step, detail: doubt(&self.unclear) };
        }
        let mut detail = match self.pids.as_slice() {
            [one] => text!("{signal} to process {pid}", signal, pid = one),
            pids => {
                let count = self.count;
                text!("{signal} to {count} processes: {pids}", signal, count, pids = list(pids))
            }
        };
        if !self.refused.is_empty() {
            detail = text!(
                "{detail}; not permitted (they run as another user): {pids}",
                detail,
                pids = list(&self.refused)
            );
        }
        StopStep { at: self.at, step: self.step, detail }
    }
}

/// That processes may be left, and how to end them.
fn doubt(pids: &[u32]) -> Text {
    let list: Vec<String> = pids.iter().map(u32::to_string).collect();
    let list = list.join(", ");
    match pids {
        [_] => text!(
            "process {list} may be left: it hides which task it belongs to; to end what is left, \
             stop the other tasks too",
            list
        ),
        _ => text!(
            "processes {list} may be left: they hide which task they belong to; to end what is \
             left, stop the other tasks too",
            list
        ),
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Exit code or signal.
    pub exit: Exit,
    /// What it used.
    pub rusage: Rusage,
    /// When the keeper reaped it.
    pub at: UnixMs,
    /// Whether the kernel killed a process of the container since the run was started, for want of
    /// memory. Absent where that is not counted, and of keepers that do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_killed: Option<bool>,
}
