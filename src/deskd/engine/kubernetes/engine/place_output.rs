//! The output of runs at places: from their keepers to the log store, which says where to go on.

use super::Engine;
use crate::engine::kubernetes::Event;
use crate::engine::kubernetes::runs::Run;
use deskd_core::id::TaskId;
use deskd_core::wire::{RunId, ToKeeper};

impl<T: From<Event> + Send + 'static> Engine<T> {
    /// The log store answers with [`Engine::output_stored`].
    pub(super) fn ask_for_output_end(&mut self, task: &TaskId) {
        let (logs, task) = (self.logs.clone(), task.clone());
        self.workers.spawn(async move {
            // The connection to the keeper has ended, and with it the daemon.
            let _ = logs.store(task, 0, 0, Vec::new()).await;
        });
    }

    pub(super) fn output_stored(&mut self, task: &TaskId, end: u64) {
        let runs = self.places.runs.iter_mut().filter(|(run, _)| run.task == *task);
        let Some((run, at)) = runs.max_by_key(|(run, _)| run.run) else { return };
        let run = run.clone();
        let Some(id) = self.places.life.of(&run).map(|(id, _)| id.clone()) else { return };
        if at.request.is_some() {
            return self.spawn_at(&id, &run, end);
        }
        if at.output_end.is_some_and(|all| end >= all) {
            at.output_stored = true;
            return self.close_output_if_over(&run);
        }
        if !at.output_closed {
            self.tell_place(&id, ToKeeper::ReadLog { task: task.clone(), from: end });
        }
    }

    /// That nothing more comes is told after the end: before it, it would mean nothing.
    pub(super) fn close_output_if_over(&mut self, run: &RunId) {
        let is_over = self.runs.get(run).is_some_and(Run::is_over);
        if is_over && self.places.runs.get(run).is_some_and(|at| at.output_stored) {
            self.close_output(run);
        }
    }

    pub(super) fn close_output(&mut self, run: &RunId) {
        let Some(at) = self.places.runs.get_mut(run) else { return };
        if !std::mem::replace(&mut at.output_closed, true) {
            self.places.to_close.push(run.task.clone());
        }
        self.note_idle_of(run);
    }

    /// Once the events of before were sent.
    pub(super) fn close_outputs(&mut self) {
        for task in std::mem::take(&mut self.places.to_close) {
            let logs = self.logs.clone();
            self.workers.spawn(async move {
                // The connection to the keeper has ended, and with it the daemon.
                let _ = logs.close(task).await;
            });
        }
    }

    /// Whose output is wanted goes on where it is stored.
    pub(super) fn go_on_with_output(&mut self, run: &RunId) {
        let wanted = self.runs.get(run).is_some_and(|known| known.known);
        if wanted && self.places.runs.get(run).is_some_and(|at| !at.output_closed) {
            self.ask_for_output_end(&run.task);
        }
    }
}
