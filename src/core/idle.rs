//! Whether a desktop is used: by a person who looks at it or types, or by a program that computes.
//! For whoever ends or suspends desktops that nobody uses.

use serde::{Deserialize, Serialize};

use super::id::TaskId;
use super::task::UnixMs;

/// Viewers on one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Viewers {
    /// The port's name in the configuration.
    pub name: String,
    /// TCP port.
    pub port: u16,
    /// Established connections.
    pub connections: usize,
}

/// A task that computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BusyTask {
    /// Which.
    pub task: TaskId,
    /// Of one CPU.
    pub cpu_percent: f32,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Evidence {
    /// When it was looked at.
    pub at: UnixMs,
    /// Since when deskd has watched: nothing is known of the time before.
    pub watching_since: UnixMs,
    /// Connections to the ports that the configuration names.
    pub viewers: Vec<Viewers>,
    /// When a viewer was seen last.
    pub last_viewer_at: Option<UnixMs>,
    /// Last input of the display's keyboard or pointer; absent: the X server does not tell.
    pub last_input_at: Option<UnixMs>,
    /// Tasks that use at least as much CPU as the configuration says.
    pub busy_tasks: Vec<BusyTask>,
    /// When a task was busy last.
    pub last_busy_at: Option<UnixMs>,
    /// Tasks that run where deskd does not see what they use: in pods of their own.
    pub unseen_tasks: Vec<TaskId>,
}

/// The verdict, with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Activity {
    /// Since when nobody and nothing has used the desktop; absent: it is used.
    pub idle_since: Option<UnixMs>,
    /// The same as a time up to now, in milliseconds; 0: it is used.
    pub idle_for_ms: u64,
    /// Why, in one sentence.
    pub sentence: String,
    /// What it follows from.
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// Judges. A connected viewer is use, whether or not somebody types: a person may read or watch.
#[must_use]
pub fn judge(evidence: Evidence) -> Activity {
    let connections: usize = evidence.viewers.iter().map(|viewers| viewers.connections).sum();
    let used = match (connections, evidence.busy_tasks.as_slice()) {
        (0, []) => None,
        (0, [busy, ..]) => {
            Some(format!("task {} computes ({} % of a CPU)", busy.task, busy.cpu_percent))
        }
        (1, _) => Some("a viewer is connected".to_owned()),
        (count, _) => Some(format!("{count} viewers are connected")),
    };
    if let Some(sentence) = used {
        return Activity { idle_since: None, idle_for_ms: 0, sentence, evidence };
    }
    let ends = [
        (evidence.last_viewer_at, "the last viewer left"),
        (evidence.last_input_at, "the last key or pointer moved"),
        (evidence.last_busy_at, "the last task stopped computing"),
        (Some(evidence.watching_since), "deskd began to watch"),
    ];
    let known = ends.into_iter().filter_map(|(at, what)| Some((at?, what)));
    let (since, what) = known.max_by_key(|(at, _)| *at).unwrap_or((evidence.at, ""));
    let since = since.min(evidence.at);
    let idle_for_ms = u64::try_from(evidence.at - since).unwrap_or(0);
    let sentence = format!("idle for {} s, since {what}", idle_for_ms / 1000);
    Activity { idle_since: Some(since), idle_for_ms, sentence, evidence }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        Evidence {
            at: 100_000,
            watching_since: 10_000,
            viewers: vec![Viewers { name: "novnc".into(), port: 6081, connections: 0 }],
            last_viewer_at: None,
            last_input_at: None,
            busy_tasks: vec![],
            last_busy_at: None,
            unseen_tasks: vec![],
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Evidence), idle_since: Option<UnixMs>, words: &str) {
        let mut evidence = evidence();
        change(&mut evidence);
        let verdict = judge(evidence);
        assert_eq!(verdict.idle_since, idle_since, "{verdict:?}");
        assert!(verdict.sentence.contains(words), "{verdict:?}");
    }

    #[test]
    fn the_last_use_of_any_kind_counts_and_nothing_before_deskd_watched() {
        check(|_| {}, Some(10_000), "deskd began to watch");
        check(|it| it.last_input_at = Some(1_000), Some(10_000), "began to watch");
        check(
            |it| it.last_input_at = Some(50_000),
            Some(50_000),
            "idle for 50 s, since the last key",
        );
        check(|it| it.last_viewer_at = Some(60_000), Some(60_000), "the last viewer left");
        check(|it| it.last_busy_at = Some(70_000), Some(70_000), "stopped computing");
        // A clock that was set back makes no desktop used in the future.
        check(|it| it.last_input_at = Some(200_000), Some(100_000), "idle for 0 s");
    }

    #[test]
    fn viewers_and_programs_that_compute_are_use() {
        check(|it| it.viewers[0].connections = 1, None, "a viewer is connected");
        check(|it| it.viewers[0].connections = 2, None, "2 viewers are connected");
        let build = BusyTask { task: "make-00001".parse().unwrap(), cpu_percent: 99.5 };
        check(|it| it.busy_tasks.push(build), None, "task make-00001 computes (99.5 % of a CPU)");
    }
}
