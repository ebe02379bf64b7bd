//! What is told of a place itself, and what it means for the runs there: the ends of its container and
//! of its keeper's answers.

use std::time::Duration;

use nix::libc::{SIGKILL, SIGTERM};
use tokio::time::Instant;

use super::Engine;
use super::places::place_run;
use crate::clock::now_ms;
use crate::engine::kubernetes::runs::Run;
use crate::engine::kubernetes::watch::Which;
use crate::engine::kubernetes::{Ended, Event, Observation, Refused};
use deskd_core::id::TaskId;
use deskd_core::place::{Life, Stage};
use deskd_core::task::{Exit, UnixMs};
use deskd_core::why::reason::{EndReason, LostReason};
use deskd_core::wire::RunId;

/// Most time that the keeper of a container that runs does not answer before it is given up.
const SILENT_MAX: Duration = Duration::from_secs(60);

/// How a place came to its end.
pub(super) enum PlaceEnd {
    /// Its container ended.
    Container { exit: Exit, reason: Option<Ended>, at: UnixMs },
    /// It is not there any more.
    Gone,
    /// Its container runs, and its keeper does not answer.
    Silent,
}

impl PlaceEnd {
    /// Whether a keeper that had not answered until then cannot run there at all: what else ends a
    /// container (a deletion, an eviction, a signal from outside) says nothing about the next one.
    fn speaks_against_its_kind(&self) -> bool {
        match self {
            Self::Gone => false,
            Self::Silent => true,
            Self::Container { reason: Some(ended), .. } => {
                matches!(ended.reason, EndReason::StartError | EndReason::InitFailed { .. })
            }
            Self::Container { exit, reason: None, .. } => match exit {
                Exit::Code(_) | Exit::EntryPoint(_) => true,
                Exit::Signal { number, .. } => ![SIGKILL, SIGTERM].contains(number),
                Exit::Lost(_) => false,
            },
        }
    }
}

impl<T: From<Event> + Send + 'static> Engine<T> {
    /// What is told of a place itself.
    pub(super) fn place_event(&mut self, event: Event) {
        match event {
            Event::Accepted { run, .. } => self.connect(&run.task),
            Event::Refused { run, refusal } => self.place_refused(&run.task, &refusal),
            Event::Observed { run, what, .. } => match what {
                Observation::Waiting(_) => {
                    for waits in self.waiting_at(&run.task) {
                        self.observe(&waits, what.clone());
                    }
                }
                // An image may have been pulled for long.
                Observation::Running { .. } => {
                    if let Some(link) = self.places.links.get_mut(&run.task)
                        && link.queue.is_none()
                    {
                        link.silent_since = Some(Instant::now());
                    }
                }
                Observation::Ended { exit, reason, at } => {
                    self.place_ended(&run.task, PlaceEnd::Container { exit, reason, at });
                }
            },
            Event::Said { run, said } => {
                for waits in self.waiting_at(&run.task) {
                    self.said(&waits, (*said).clone());
                }
            }
            Event::Gone { run } => self.place_ended(&run.task, PlaceEnd::Gone),
            _ => {}
        }
    }

    fn waiting_at(&self, id: &TaskId) -> Vec<RunId> {
        let asked = self.places.life.runs(id).filter(|(_, stage)| *stage == Stage::Asked);
        asked.map(|(run, _)| run.clone()).collect()
    }

    fn place_refused(&mut self, id: &TaskId, refusal: &Refused) {
        for (run, _) in self.forget_place(id) {
            self.places.runs.remove(&run);
            if self.runs.remove(&run).is_some() {
                self.out.push(Event::Refused { run, refusal: refusal.clone() });
            }
        }
    }

    /// It ended, and with it everything at it.
    pub(super) fn place_ended(&mut self, id: &TaskId, end: PlaceEnd) {
        let unfit = end.speaks_against_its_kind();
        let (reason, at) = match end {
            PlaceEnd::Container { reason, at, .. } => (reason, at),
            PlaceEnd::Gone | PlaceEnd::Silent => (None, now_ms()),
        };
        let exit = match &reason {
            _ if self.known.terminating() => Exit::Lost(LostReason::WithItsPod),
            Some(reason) => Exit::Lost(LostReason::Ended(Box::new(reason.clone()))),
            None => Exit::Lost(LostReason::PlaceEnded),
        };
        // What does not start at all does not start the next time either.
        let never_answered = self.places.links.get(id).is_some_and(|link| !link.answered);
        let far = self.places.links.get(id).is_some_and(|link| link.far);
        let ending = self.places.life.life(id) == Some(Life::Ending);
        let spec = self.places.life.iter().find(|(of, _)| *of == id).map(|(_, spec)| spec.clone());
        self.places.unfit.extend(spec.filter(|_| unfit && never_answered && !ending));
        if far && never_answered && !ending {
            return self.leave_alone(id);
        }
        let left = self.places.links.get(id).filter(|link| link.far && link.unasked && !ending);
        let left = left.map(|link| link.object.clone());
        self.end_runs_of_place(id, &exit, reason, at);
        // Those that were made for a run are forgotten with it.
        if let Some(object) = left {
            self.delete_place(object);
        }
    }

    /// What is there runs on, and nobody can ask for it: the next launch makes another place.
    pub(super) fn place_is_of_another_version(&mut self, id: &TaskId) {
        self.end_runs_of_place(id, &Exit::Lost(LostReason::PlaceOfAnotherVersion), None, now_ms());
    }

    fn end_runs_of_place(&mut self, id: &TaskId, exit: &Exit, reason: Option<Ended>, at: UnixMs) {
        for (run, _) in self.forget_place(id) {
            let (exit, reason) = (exit.clone(), reason.clone());
            self.observe(&run, Observation::Ended { exit, reason, at });
            self.close_output(&run);
            self.places.runs.remove(&run);
        }
    }

    pub(super) fn forget_place(&mut self, id: &TaskId) -> Vec<(RunId, Stage)> {
        let runs = self.places.life.dead(id);
        self.places.links.remove(id);
        self.places.questions.dead(id);
        self.tell_processes();
        self.runs.remove(&place_run(id));
        if let Err(error) = self.record_places() {
            tracing::warn!(%error, "the record of places cannot be written");
        }
        self.tell_list_that_waited();
        runs
    }

    /// Whether a container runs whose keeper has not told yet what is there.
    pub(super) fn has_untold_places(&self) -> bool {
        let near = |id: &&TaskId| self.places.links.get(id).is_some_and(|link| !link.far);
        let runs = |id: &TaskId| self.runs.get(&place_run(id)).is_some_and(Run::ran);
        self.places.life.away().filter(near).any(runs)
    }

    pub(super) fn tell_list_that_waited(&mut self) {
        if self.places.list_waits && !self.has_untold_places() {
            self.listed(Which::Own);
        }
    }

    /// When a keeper that does not answer is given up.
    pub(super) fn next_place_due(&self) -> Option<Instant> {
        self.silent().map(|(_, at)| at).min()
    }

    fn silent(&self) -> impl Iterator<Item = (&TaskId, Instant)> {
        // A network may be gone for long: what is in a pod ends when the cluster says so.
        let near = self.places.links.iter().filter(|(_, link)| !link.far);
        let since = near.map(|(id, link)| (id, link.silent_since));
        // One whose container is not known to run has not begun to be silent.
        since
            .filter(|(id, _)| self.runs.get(&place_run(id)).is_some_and(Run::ran))
            .filter_map(|(id, since)| Some((id, since? + SILENT_MAX)))
    }

    pub(super) fn give_up_silent_places(&mut self) {
        let now = Instant::now();
        let late: Vec<_> =
            self.silent().filter(|(_, at)| *at <= now).map(|(id, _)| id.clone()).collect();
        for id in late {
            tracing::warn!(place = %id, "its keeper does not answer: it is given up");
            self.place_ended(&id, PlaceEnd::Silent);
        }
    }
}
