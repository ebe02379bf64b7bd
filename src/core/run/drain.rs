//! The shutdown: everything that is to end with deskd is stopped, and the keeper is told once nothing of it is left.

use std::time::Duration;

use super::ask::StopRequest;
use super::stop::Times;
use super::{Runs, Step};
use crate::origin::Origin;
use crate::plan::EngineKind;
use crate::plan::facts::ApiState;
use crate::port::{Command, Link};
use crate::task::{Task, TaskState};
use crate::why::Actor;
use crate::wire::Drain;

/// What a hurried shutdown leaves between SIGTERM and SIGKILL.
const HURRY_KILL: Duration = Duration::from_millis(500);
/// From SIGTERM until the API server has told whether the desktop's pod is being deleted, where that matters.
/// kubelet, which sent the SIGTERM, was told in the same moment as deskd; on a busy node deskd may hear later.
const NEWS_MAX: Duration = Duration::from_secs(2);

/// A shutdown under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draining {
    drain: Drain,
    /// Begun then, on the clock of `Now::clock`.
    since: Duration,
    /// What ends with the pod was stopped too.
    pod_ends: bool,
    /// The keeper was told that nothing is left.
    told: bool,
}

impl Runs {
    fn pod_ends(&self) -> bool {
        self.cluster.facts.own_pod.as_ref().is_some_and(|pod| pod.terminating)
    }

    /// Whether a task is to be stopped when deskd is. What runs in containers outlives a restart of
    /// deskd's own; when the whole pod goes, its ephemeral containers go with it, and pods of their
    /// own would be left. What others started is theirs to end.
    fn ends_with_us(&self, task: &Task) -> bool {
        task.origin == Origin::Deskd && (!task.engine.is_in_cluster() || self.pod_ends())
    }

    /// Until when the news are waited for that the desktop's pod is being deleted.
    pub(super) fn news_due(&self) -> Option<Duration> {
        let draining = self.draining.filter(|it| !it.told && !it.drain.hurry)?;
        let own_pods = |task: &Task| {
            task.engine.has_own_pod() && task.origin == Origin::Deskd && !task.is_over()
        };
        let any = self.has_pod_places() || self.table.iter().any(|entry| own_pods(&entry.task));
        let asks = any && self.cluster.facts.api == ApiState::Answers && !self.pod_ends();
        asks.then_some(draining.since + NEWS_MAX)
    }

    fn has_pod_places(&self) -> bool {
        let mut places = self.cluster.facts.places.iter();
        places.any(|place| place.engine == EngineKind::PodApplication)
    }

    fn nothing_left(&self, clock: Duration) -> bool {
        let mut tasks = self.table.iter().map(|entry| &entry.task);
        // The engine deletes them: deskd would leave them behind.
        let pods =
            self.pod_ends() && self.cluster.facts.api == ApiState::Answers && self.has_pod_places();
        tasks.all(|task| task.is_over() || !self.ends_with_us(task))
            && !pods
            && self.news_due().is_none_or(|due| due <= clock)
    }
}

impl Step<'_> {
    pub(super) fn drain(&mut self, drain: Drain) {
        let since = self.runs.draining.map_or(self.now.clock, |it| it.since);
        let pod_ends = self.runs.pod_ends();
        self.runs.draining = Some(Draining { drain, since, pod_ends, told: false });
        self.stop_all(|_| true);
    }

    /// The desktop's pod may be known to end only now.
    pub(super) fn drain_after_news(&mut self) {
        let ends = self.runs.pod_ends();
        if let Some(draining) = self.runs.draining.as_mut().filter(|it| ends && !it.pod_ends) {
            draining.pod_ends = true;
            self.stop_all(|task| task.engine.is_in_cluster());
        }
    }

    fn stop_all(&mut self, which: impl Fn(&Task) -> bool) {
        let Some(Draining { drain, .. }) = self.runs.draining else { return };
        let left = u64::try_from(drain.deadline - self.now.unix_ms).unwrap_or(0);
        let left = Duration::from_millis(left);
        let live = self.runs.table.iter().map(|entry| &entry.task);
        let live = live.filter(|task| !task.is_over() && self.runs.ends_with_us(task));
        let live = live.filter(|task| which(task)).map(|task| task.id.clone());
        for id in live.collect::<Vec<_>>() {
            let usual = self.runs.times(&id, StopRequest::default());
            let kill = usual.kill.min(left);
            let times = if drain.hurry {
                Times::at_once(HURRY_KILL.min(kill))
            } else {
                let kill_without_windows = usual.kill_without_windows.min(left);
                Times { close: usual.close.min(kill / 2), kill, kill_without_windows }
            };
            if self.runs.task(&id).is_some_and(|task| task.state == TaskState::Ended) {
                self.signal(&id, Duration::ZERO, times.kill);
            } else {
                self.stop_task(&id, Actor::Shutdown, times);
            }
        }
    }

    /// Tells the keeper once nothing is left to stop.
    pub(super) fn report_drained(&mut self) {
        if self.runs.draining.is_some_and(|it| !it.told)
            && self.runs.nothing_left(self.now.clock)
            && let Some(draining) = &mut self.runs.draining
        {
            draining.told = true;
            self.tell(Link::Keeper, Command::Drained);
        }
    }
}
