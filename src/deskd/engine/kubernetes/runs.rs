//! One run as the engine knows it, and how what is seen of it is put together: from a pod's status,
//! from its processes and from its windows, whichever comes first.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::time::Instant;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::processes::End;
use super::watch::Which;
use super::{LogMark, Object, Observation, Stranger};
use deskd_core::id::{AppId, TaskId};
use deskd_core::kubernetes::ObjectRef;
use deskd_core::origin::{NoStopCode, Origin};
use deskd_core::plan::EngineKind;
use deskd_core::task::{Exit, UnixMs};
use deskd_core::why::evidence::ClusterEvidence;

/// Whether its object was made.
#[derive(Debug)]
pub enum Creation {
    /// On its way.
    Pending(CancellationToken),
    /// There, or it was.
    Done,
}

/// How far its output is.
#[derive(Debug)]
pub enum Output {
    /// Nothing was written yet, or nobody wants it; it goes on from here.
    Waits(LogMark),
    /// It is being read.
    Read(watch::Sender<Fate>),
    /// Everything is read, or never will be.
    Done,
}

/// What the reader of its output has to know about the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It writes.
    Runs,
    /// It will not write more.
    Ended,
    /// And cannot be read any more.
    Gone,
}

/// A stop under way.
#[derive(Debug)]
pub struct Stopping {
    /// SIGTERM.
    pub term_at: Instant,
    /// SIGKILL.
    pub kill_at: Instant,
    /// Who carries it out, once there is something to stop.
    pub worker: Option<AbortHandle>,
}

/// A run.
#[derive(Debug)]
pub struct Run {
    /// Of which app.
    pub app: AppId,
    /// Which engine.
    pub engine: EngineKind,
    /// Where it is.
    pub object: ObjectRef,
    /// Who started it.
    pub origin: Origin,
    /// What its object says, if others started it.
    pub stranger: Option<Box<Stranger>>,
    /// Why it cannot be stopped, if others started it.
    pub no_stop: Option<NoStopCode>,
    /// The driver knows of it.
    pub known: bool,
    /// The driver does not want to hear of it any more.
    pub forgotten: bool,
    /// Whether its object was made.
    pub creation: Creation,
    /// A watch saw its object, and it is not gone.
    pub present: bool,
    /// What the cluster said about it.
    pub said: ClusterEvidence,
    /// The newest observation.
    pub told: Option<Observation>,
    /// There is output to be read.
    pub has_log: bool,
    /// How far its output is.
    pub output: Output,
    /// A stop under way.
    pub stop: Option<Stopping>,
    /// It was stopped while its container had not been started, which may still happen.
    pub may_start_late: bool,
    /// Ended, for those who carry a stop out.
    pub over: Arc<AtomicBool>,
    /// Its first process in the own PID namespace.
    pub pid: Option<u32>,
    /// When that process was seen to end.
    pub exit_seen: Option<UnixMs>,
    /// How it and its program were seen to end.
    pub end: End,
    /// Its processes are in a PID namespace of their own: it is a place, or at one.
    pub own_pids: bool,
    /// The program that its entry point starts.
    pub program: Option<String>,
    /// Since when its first process is looked for.
    pub looks_since: Option<Instant>,
    /// When its events are to be asked for, should it not run by then.
    pub obstacle_at: Option<Instant>,
    /// When its status says something else without having changed.
    pub look_again_at: Option<UnixMs>,
}

impl Run {
    /// One that nobody saw yet.
    #[must_use]
    pub fn new(app: AppId, engine: EngineKind, object: ObjectRef, creation: Creation) -> Self {
        Self {
            app,
            engine,
            object,
            origin: Origin::Deskd,
            stranger: None,
            no_stop: None,
            known: true,
            forgotten: false,
            creation,
            present: false,
            said: ClusterEvidence::default(),
            told: None,
            has_log: false,
            output: Output::Waits(LogMark::default()),
            stop: None,
            may_start_late: false,
            over: Arc::default(),
            pid: None,
            exit_seen: None,
            end: End::default(),
            own_pids: false,
            program: None,
            looks_since: None,
            obstacle_at: None,
            look_again_at: None,
        }
    }

    /// What the driver is told of it.
    #[must_use]
    pub fn object(&self) -> Object {
        Object {
            app: self.app.clone(),
            engine: self.engine,
            place: self.object.clone(),
            stranger: self.stranger.clone().filter(|_| !self.known),
        }
    }

    /// The watch that sees it.
    #[must_use]
    pub fn which(&self) -> Which {
        match (self.engine, self.origin) {
            (EngineKind::PodApplication, Origin::Deskd) => Which::Apps,
            (EngineKind::PodApplication, Origin::Other) => Which::Others,
            _ => Which::Own,
        }
    }

    /// Whether it ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.told, Some(Observation::Ended { .. }))
    }

    /// Whether it was seen running.
    #[must_use]
    pub fn ran(&self) -> bool {
        matches!(self.told, Some(Observation::Running { .. } | Observation::Ended { .. }))
    }

    /// Takes an observation in; returns what is news.
    pub fn take(&mut self, seen: Observation) -> Option<Observation> {
        let seen = match seen {
            Observation::Ended { exit, reason, at } => {
                Observation::Ended { exit: self.of_program(exit), reason, at }
            }
            seen => seen,
        };
        let next = merge(self.told.as_ref(), seen, self.exit_seen)?;
        if matches!(next, Observation::Ended { .. }) {
            self.over.store(true, std::sync::atomic::Ordering::Release);
        }
        self.told = Some(next.clone());
        Some(next)
    }
}

impl Run {
    /// How its program ended, if the container ended with `exit`.
    fn of_program(&self, exit: Exit) -> Exit {
        let own = self.end.program.clone();
        if own.is_some() || self.program.is_some() { exit.of_program(own) } else { exit }
    }
}

/// What is known after `seen`, if that is more than before. A run does not go back: the status lags
/// behind what its processes showed.
fn merge(
    told: Option<&Observation>,
    seen: Observation,
    exit_seen: Option<UnixMs>,
) -> Option<Observation> {
    match (told, seen) {
        (Some(Observation::Ended { .. }), _)
        | (Some(Observation::Running { .. }), Observation::Waiting(_)) => None,
        (
            Some(Observation::Running { at, pid, node }),
            Observation::Running { pid: new_pid, node: new_node, .. },
        ) => {
            let next = Observation::Running {
                at: *at,
                pid: pid.or(new_pid),
                node: node.clone().or(new_node),
            };
            (told != Some(&next)).then_some(next)
        }
        (told, Observation::Ended { exit, reason, at }) => {
            // kubelet tells whole seconds, which may be before the start.
            let started = match told {
                Some(Observation::Running { at, .. }) => *at,
                _ => UnixMs::MIN,
            };
            let at = exit_seen.unwrap_or(at).max(started);
            Some(Observation::Ended { exit, reason, at })
        }
        (told, seen) => (told != Some(&seen)).then_some(seen),
    }
}

/// The app of a task that only its object tells of: the id without its suffix.
#[must_use]
pub fn app_of(task: &TaskId) -> Option<AppId> {
    let (app, _) = task.as_str().rsplit_once('-')?;
    app.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use deskd_core::task::Exit;
    use deskd_core::why::reason::WaitReason;

    fn running(at: UnixMs, pid: Option<u32>) -> Observation {
        Observation::Running { at, pid, node: pid.is_none().then(|| "n".to_owned()) }
    }

    fn waiting() -> Observation {
        Observation::Waiting(WaitReason::Scheduler.into())
    }

    fn ended(at: UnixMs) -> Observation {
        Observation::Ended { exit: Exit::Code(0), reason: None, at }
    }

    #[test]
    fn the_first_proof_of_running_counts_and_later_ones_only_add() {
        let first = running(5, Some(7));
        let next = merge(Some(&first), running(9, None), None).unwrap();
        let both = Observation::Running { at: 5, pid: Some(7), node: Some("n".into()) };
        assert_eq!(next, both);
        assert_eq!(merge(Some(&both), running(9, None), None), None);
        assert_eq!(merge(Some(&both), waiting(), None), None);
    }

    #[test]
    fn an_end_is_not_before_the_start_and_as_exact_as_it_was_seen() {
        assert_eq!(merge(Some(&running(5_300, None)), ended(5_000), None), Some(ended(5_300)));
        let seen = merge(Some(&running(5_300, None)), ended(9_000), Some(8_200));
        assert_eq!(seen, Some(ended(8_200)));
        assert_eq!(merge(Some(&ended(1)), running(2, None), None), None);
    }

    #[test]
    fn the_same_is_not_told_twice() {
        assert_eq!(merge(None, waiting(), None), Some(waiting()));
        assert_eq!(merge(Some(&waiting()), waiting(), None), None);
    }

    #[test]
    fn a_task_tells_its_app() {
        let app = app_of(&"2048-ubuntu-0a1b2".parse().unwrap()).unwrap();
        assert_eq!(app.as_str(), "2048-ubuntu");
    }
}
