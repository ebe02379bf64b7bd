//! Who waits for an answer about a task, by the number that `core::run` knows them by.

use std::collections::HashMap;

use super::handle::{RemedyError, RemoveError, StopAdmission, StopError};
use super::input::Reply;
use super::timing::{Launched, Timings};
use deskd_core::run::{Answer, ReplyId};
use deskd_core::task::Task;
use std::sync::Arc;

/// Where an answer goes.
#[derive(Debug)]
pub(super) enum Waiting {
    Launch(Reply<Launched>),
    Stop(Reply<Result<StopAdmission, StopError>>),
    Remedy(Reply<Result<Arc<Task>, RemedyError>>),
    Remove(Reply<Result<(), RemoveError>>),
}

/// Everybody who waits.
#[derive(Debug, Default)]
pub(super) struct Replies {
    waiting: HashMap<ReplyId, Waiting>,
    next: u64,
    pub(super) timings: Timings,
}

impl Replies {
    pub(super) fn wait(&mut self, waiting: Waiting) -> ReplyId {
        let id = ReplyId(self.next);
        self.next += 1;
        self.waiting.insert(id, waiting);
        id
    }

    /// A caller that went away does not want its answer.
    pub(super) fn answer(&mut self, id: ReplyId, answer: Answer) {
        match (self.waiting.remove(&id), answer) {
            (Some(Waiting::Launch(reply)), Answer::Launch(admission)) => {
                drop(reply.send(self.timings.launched(admission)));
            }
            (Some(Waiting::Stop(reply)), Answer::Stop(answer)) => drop(reply.send(answer)),
            (Some(Waiting::Remedy(reply)), Answer::Remedy(answer)) => drop(reply.send(answer)),
            (Some(Waiting::Remove(reply)), Answer::Remove(answer)) => drop(reply.send(answer)),
            (waiting, answer) => {
                tracing::error!(?waiting, ?answer, "an answer to another question")
            }
        }
    }
}
