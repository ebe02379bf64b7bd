//! The stages of a launch, and when each began and ended: what a slow launch was slow in.
//!
//! ```text
//!  local:       queue --> start ---------------------------------> first window
//!  in a cluster: queue --> api --> schedule --> start <--> pull --> first window
//! ```
//!
//! A plan is made in microseconds and has no stage. The times are those of the events that change a task:
//! of the cluster's, when deskd's watch had them.

use serde::{Deserialize, Serialize};

use super::task::UnixMs;
use crate::why::reason::{WaitReason, Waiting};

/// Stages of one run that are kept: a node may pull several images, one after the other.
pub const STAGES_MAX: usize = 16;

/// A part of a launch.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It waits for its turn: for the daemon, or for the time of a restart.
    Queue,
    /// The API server is asked for its object.
    Api,
    /// The scheduler chooses a node.
    Schedule,
    /// The node pulls an image.
    Pull,
    /// Its process is made: by the keeper, or by the node with sandbox, network and volumes.
    Start,
    /// Its process runs and has not shown a window.
    FirstWindow,
}

impl Stage {
    /// All of them, in the order of a launch.
    pub const ALL: [Self; 6] =
        [Self::Queue, Self::Api, Self::Schedule, Self::Pull, Self::Start, Self::FirstWindow];

    /// The word in `/v1` and `/metrics`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Api => "api",
            Self::Schedule => "schedule",
            Self::Pull => "pull",
            Self::Start => "start",
            Self::FirstWindow => "first_window",
        }
    }
}

/// A stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StageTime {
    /// Which.
    pub stage: Stage,
    /// When it began, in milliseconds since the Unix epoch.
    pub from: UnixMs,
    /// When it ended; absent: it goes on.
    pub to: Option<UnixMs>,
}

impl StageTime {
    /// How long it took, in milliseconds, once it is over.
    #[must_use]
    pub fn took_ms(&self) -> Option<u64> {
        Some(u64::try_from(self.to? - self.from).unwrap_or(0))
    }
}

/// The next stage begins, and the one before it ends.
pub fn enter(stages: &mut Vec<StageTime>, stage: Stage, at: UnixMs) {
    let last = stages.last();
    if last.is_some_and(|last| last.stage == stage) || stages.len() >= STAGES_MAX {
        return;
    }
    // Clocks of nodes are not ours: no stage ends before it begins.
    let at = last.map_or(at, |last| at.max(last.from));
    finish(stages, at);
    stages.push(StageTime { stage, from: at, to: None });
}

/// The last stage is over.
pub fn finish(stages: &mut [StageTime], at: UnixMs) {
    if let Some(last) = stages.last_mut().filter(|last| last.to.is_none()) {
        last.to = Some(at.max(last.from));
    }
}

impl Waiting {
    /// The stage in which a run waits so; nothing where an earlier release said it.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        self.reason.stage()
    }
}

impl WaitReason {
    fn stage(&self) -> Option<Stage> {
        match self {
            Self::Request { .. } => Some(Stage::Api),
            Self::Scheduler | Self::Gated | Self::Unschedulable => Some(Stage::Schedule),
            Self::Pulling { .. }
            | Self::PullFailed { .. }
            | Self::PullBackOff { .. }
            | Self::ImageName { .. }
            | Self::ImageNeverPulled { .. }
            | Self::RegistryAway { .. } => Some(Stage::Pull),
            Self::Node { .. }
            | Self::Prepared { .. }
            | Self::ContainerConfig { .. }
            | Self::ImageVolume { .. }
            | Self::ContainerStart { .. }
            | Self::Sandbox
            | Self::Volume
            | Self::Network
            | Self::Device
            | Self::Other { .. } => Some(Stage::Start),
            Self::Init { reason, .. } => reason.stage(),
            Self::Told => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::ObjectRef;
    use crate::plan::EngineKind;
    use crate::task::{Task, TaskEvent};

    fn task() -> Task {
        let mut app = crate::samples::app("xclock");
        app.needs_display = true;
        Task::new("xclock-00001".parse().unwrap(), &app, &crate::samples::plan_of(&app), 100)
    }

    fn told(task: &Task) -> Vec<(Stage, Option<u64>)> {
        task.stages.iter().map(|it| (it.stage, it.took_ms())).collect()
    }

    #[test]
    fn a_local_launch_waits_starts_and_shows_a_window() {
        let mut task = task();
        task.apply(TaskEvent::Starting { run: 1 }, 103);
        task.apply(TaskEvent::Started { run: 1, pid: Some(7), at: 110 }, 111);
        assert_eq!(told(&task).last(), Some(&(Stage::FirstWindow, None)));
        task.apply(TaskEvent::WindowMapped, 150);
        task.apply(TaskEvent::WindowMapped, 190);
        let stages =
            [(Stage::Queue, Some(3)), (Stage::Start, Some(7)), (Stage::FirstWindow, Some(40))];
        assert_eq!(told(&task), stages);
    }

    #[test]
    fn a_launch_in_the_cluster_has_the_stages_that_the_cluster_tells() {
        let mut task = task();
        task.engine = EngineKind::PodApplication;
        let object = ObjectRef { namespace: "d".into(), pod: "p".into(), container: "app".into() };
        task.apply(TaskEvent::Starting { run: 1 }, 100);
        task.apply(TaskEvent::Placed { run: 1, object }, 100);
        let mut waits = |reason: WaitReason, now| {
            task.apply(TaskEvent::Waiting { run: 1, why: reason.into() }, now);
        };
        let image = crate::why::reason::Image::default();
        waits(WaitReason::Scheduler, 120);
        waits(WaitReason::Unschedulable, 130);
        waits(WaitReason::Node { node: None }, 150);
        waits(WaitReason::Pulling { of_volume: false }, 160);
        waits(WaitReason::PullFailed { image: image.clone() }, 900);
        waits(WaitReason::Prepared { node: None, image }, 1160);
        // A node whose clock is behind.
        task.apply(TaskEvent::Started { run: 1, pid: None, at: 1100 }, 1200);
        let stages = [
            (Stage::Queue, Some(0)),
            (Stage::Api, Some(20)),
            (Stage::Schedule, Some(30)),
            (Stage::Start, Some(10)),
            (Stage::Pull, Some(1000)),
            (Stage::Start, Some(0)),
            (Stage::FirstWindow, None),
        ];
        assert_eq!(told(&task), stages);
    }

    #[test]
    fn a_run_that_ends_without_a_window_has_no_stage_that_goes_on_and_the_next_has_its_own() {
        let mut task = task();
        task.apply(TaskEvent::Starting { run: 1 }, 100);
        task.apply(TaskEvent::Started { run: 1, pid: Some(7), at: 101 }, 101);
        let exit = crate::task::Exit::Code(1);
        let rusage = crate::task::Rusage::default();
        task.apply(TaskEvent::Exited { run: 1, exit, reason: None, rusage, at: 140 }, 140);
        assert_eq!(told(&task).last(), Some(&(Stage::FirstWindow, Some(39))));
        task.apply(TaskEvent::RestartAt(1140), 140);
        task.apply(TaskEvent::Starting { run: 2 }, 1145);
        assert_eq!(told(&task), [(Stage::Queue, Some(5)), (Stage::Start, None)]);
    }
}
