//! What is known about a task that ended badly, or does not start. Values only: whoever collects
//! them is elsewhere, and a log of somebody else's program is evidence too.

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::reason::Actor;
use crate::plan::EngineKind;
use crate::task::{Exit, Rusage};

mod exit;

/// Bytes of the log's start that are looked at: programs complain early.
pub const LOG_START_BYTES_MAX: usize = 64 << 10;
/// Bytes of the log's end that are looked at: and they die late.
pub const LOG_END_BYTES_MAX: usize = 256 << 10;

/// Everything that may tell why. What is absent is not known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Evidence {
    /// Where it ran.
    pub engine: Option<EngineKind>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// It was started by the image's own command, not by itself.
    pub entry_point: bool,
    /// How it ended; absent: it did not, or nobody knows.
    #[serde(deserialize_with = "exit::deserialize")]
    pub exit: Option<Exit>,
    /// Who asked for its end, if somebody did (`a user`, `the shutdown`).
    pub stopped_by: Option<Actor>,
    /// SIGKILL was needed: it took no SIGTERM.
    pub killed_by_deskd: bool,
    /// How long it ran, in milliseconds.
    pub ran_ms: Option<u64>,
    /// A window of it was mapped at some time; absent: nobody looked.
    pub had_window: Option<bool>,
    /// What it used.
    pub rusage: Option<RusageEvidence>,
    /// The environment it was given, redacted.
    pub env: Vec<(String, String)>,
    /// The display when it was launched and, without a word about when, when it ended.
    pub display: DisplayEvidence,
    /// Its container's cgroup had an OOM kill while it ran.
    pub oom_killed: Option<bool>,
    /// Size and use of `/dev/shm`, in bytes, where it ran.
    pub dev_shm: Option<DevShmEvidence>,
    /// The cause that the engine reported, by a reason of its own.
    pub reported: Option<Cause>,
    /// What the cluster said.
    pub cluster: ClusterEvidence,
}

/// The display, as far as a diagnosis can use it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DisplayEvidence {
    /// `DISPLAY` it was given.
    pub given: Option<String>,
    /// The X server answered on its unix socket when the task was launched.
    pub answered_at_launch: Option<bool>,
    /// Shared memory was proved to work in this pod then.
    pub shm_worked_at_launch: Option<bool>,
    /// At the end the X server answered on its unix socket.
    pub answers: Option<bool>,
    /// And on TCP.
    pub answers_on_tcp: Option<bool>,
    /// Shared memory was proved to work in this pod.
    pub shm_works: Option<bool>,
    /// The X server was restarted, or went away, while the task ran.
    pub lost: bool,
}

/// A file system's size and use, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Size.
    pub size: u64,
    /// In use.
    pub used: u64,
}

/// `/dev/shm`, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DevShmEvidence {
    /// Its size.
    pub size: Option<u64>,
    /// In use.
    pub used: Option<u64>,
}

impl From<Usage> for DevShmEvidence {
    fn from(Usage { size, used }: Usage) -> Self {
        Self { size: Some(size), used: Some(used) }
    }
}

/// What a run used, as [`Rusage`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RusageEvidence {
    /// User CPU, microseconds.
    pub user_us: Option<u64>,
    /// System CPU, microseconds.
    pub system_us: Option<u64>,
    /// Peak resident set, KiB.
    pub max_rss_kib: Option<u64>,
    /// Page faults served with I/O.
    pub major_faults: Option<u64>,
}

impl From<Rusage> for RusageEvidence {
    fn from(Rusage { user_us, system_us, max_rss_kib, major_faults }: Rusage) -> Self {
        Self {
            user_us: Some(user_us),
            system_us: Some(system_us),
            max_rss_kib: Some(max_rss_kib),
            major_faults: Some(major_faults),
        }
    }
}

/// What the cluster said, in its own words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterEvidence {
    /// `reason` of the container's waiting or terminated state, such as `OOMKilled`.
    pub container_reason: Option<String>,
    /// Its message.
    pub container_message: Option<String>,
    /// `reason` of the pod's status, such as `Evicted`.
    pub pod_reason: Option<String>,
    /// Its message.
    pub pod_message: Option<String>,
    /// Message of the condition PodScheduled while it is false.
    pub unscheduled: Option<String>,
    /// The condition PodResizePending as `reason: message`: what it was to get while it runs, its node
    /// does not give it.
    pub resize: Option<String>,
    /// Messages of events about it, oldest first, as `reason: message`.
    pub events: Vec<String>,
    /// What the API server said when it refused to create it.
    pub refusal: Option<String>,
    /// The API server does not answer.
    pub api_away: bool,
}

#[cfg(test)]
mod tests;
