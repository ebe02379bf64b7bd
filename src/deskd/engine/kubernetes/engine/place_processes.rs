//! Which task at a place has a process: a window tells a number, which each place counts for itself.

use std::collections::BTreeSet;

use super::Engine;
use crate::engine::kubernetes::Event;
use deskd_core::id::TaskId;
use deskd_core::place::Life;
use deskd_core::wire::ToKeeper;

impl<T: From<Event> + Send + 'static> Engine<T> {
    /// Asks all places that can have it.
    pub(super) fn find_process(&mut self, pid: u32) {
        // The host of a window tells which pod it is of.
        let near = self.places.life.iter().filter(|(_, spec)| spec.pod.is_none());
        let places: Vec<TaskId> = near.map(|(id, _)| id.clone()).collect();
        let has_programs = |id: &TaskId| self.places.life.life(id) != Some(Life::Starting);
        let asked: Vec<TaskId> = places.into_iter().filter(has_programs).collect();
        if !self.places.questions.ask(pid, asked.iter().cloned()) {
            tracing::warn!("too many windows wait for an answer of places; one has no owner");
            self.out.push(Event::ProcessFound { pid, tasks: BTreeSet::new() });
            return;
        }
        for id in &asked {
            // One that is away has no queue.
            self.tell_place(id, ToKeeper::FindProcess { pid });
        }
        self.tell_process(pid);
    }

    /// A keeper that answers again is asked for what it has not answered.
    pub(super) fn find_processes_again(&mut self, id: &TaskId) {
        for pid in self.places.questions.of(id) {
            self.tell_place(id, ToKeeper::FindProcess { pid });
        }
    }

    pub(super) fn process_found(&mut self, id: &TaskId, pid: u32, task: Option<TaskId>) {
        self.places.questions.answered(id, pid, task);
        self.tell_process(pid);
    }

    /// A place does not answer now, or never will: what others have told is told.
    pub(super) fn tell_processes(&mut self) {
        for pid in self.places.questions.pids() {
            self.tell_process(pid);
        }
    }

    fn tell_process(&mut self, pid: u32) {
        let life = &self.places.life;
        let told = self.places.questions.told(pid, |id| life.life(id) == Some(Life::Up));
        if let Some((pid, tasks)) = told {
            self.out.push(Event::ProcessFound { pid, tasks });
        }
    }
}
