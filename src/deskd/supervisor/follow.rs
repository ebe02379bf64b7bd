//! Who follows which log. One watch per task at the keeper, shared by all followers; it is
//! one-shot, so a busy log costs at most one message per round trip however slow the followers are.
//!
//! The driver begins a watch, behind the launch of its task on the way to the keeper, and ends it with the task. Word of
//! growth comes past the driver, on the thread that serves the followers (`engine::feed`); only an older keeper sends it
//! to the driver.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::driver::Driver;
use super::handle::{LogFollow, LogOpenError};
use super::input::Reply;
use deskd_core::id::TaskId;
use deskd_core::wire::ToKeeper;

/// The logs that are followed.
#[derive(Debug, Default)]
pub struct Follows {
    ends: Mutex<HashMap<TaskId, watch::Sender<u64>>>,
}

impl Follows {
    /// A log ends at `end` now. What is to be asked of the keeper next; nothing when nobody follows any more.
    #[must_use]
    pub fn advanced(&self, task: TaskId, end: u64) -> Option<ToKeeper> {
        let mut ends = self.ends();
        let sender = ends.get(&task)?;
        if sender.receiver_count() == 0 {
            ends.remove(&task);
            return None;
        }
        sender.send_replace(end);
        Some(ToKeeper::WatchLog { task, seen: end })
    }

    /// One more follower, and what is to be asked of the keeper if it is the first.
    fn subscribe(&self, task: &TaskId) -> (LogFollow, Option<ToKeeper>) {
        let mut ends = self.ends();
        if let Some(sender) = ends.get(task) {
            return (sender.subscribe(), None);
        }
        let (sender, receiver) = watch::channel(0);
        ends.insert(task.clone(), sender);
        (receiver, Some(ToKeeper::WatchLog { task: task.clone(), seen: 0 }))
    }

    fn ends(&self) -> MutexGuard<'_, HashMap<TaskId, watch::Sender<u64>>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver {
    pub(super) fn follow_log(&mut self, id: TaskId, reply: Reply<Result<LogFollow, LogOpenError>>) {
        let Some(entry) = self.runs.table().get(&id) else {
            return self.answer(reply, Err(LogOpenError::UnknownTask(id)));
        };
        let receiver = if entry.task.is_over() {
            watch::channel(0).1
        } else {
            let (receiver, asked) = self.follows.subscribe(&id);
            self.to_keeper.extend(asked);
            receiver
        };
        self.answer(reply, Ok(receiver));
    }

    /// Logs that will not grow any more: followers read what is left and are done.
    pub(super) fn close_follows(&mut self) {
        let runs = &self.runs;
        self.follows
            .ends()
            .retain(|id, _| runs.table().get(id).is_some_and(|it| !it.task.is_over()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_followers_of_a_task_share_one_watch_which_ends_with_the_last() {
        let task: TaskId = "a-1".parse().unwrap();
        let follows = Follows::default();
        let (first, asked) = follows.subscribe(&task);
        let watch = |seen| Some(ToKeeper::WatchLog { task: task.clone(), seen });
        assert_eq!(asked, watch(0));
        let (second, asked) = follows.subscribe(&task);
        assert_eq!(asked, None);
        assert_eq!(follows.advanced(task.clone(), 7), watch(7));
        assert_eq!((*first.borrow(), *second.borrow()), (7, 7));
        drop((first, second));
        assert_eq!(follows.advanced(task.clone(), 9), None);
        assert_eq!(follows.subscribe(&task).1, watch(0));
    }
}
