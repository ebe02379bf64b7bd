//! Who follows which log. One watch per task at the keeper, shared by all followers; it is
//! one-shot, so a busy log costs at most one message per round trip however slow the followers are.

use tokio::sync::watch;

use super::driver::Driver;
use super::handle::{LogFollow, LogOpenError};
use super::input::Reply;
use deskd_core::id::TaskId;
use deskd_core::wire::ToKeeper;

impl Driver {
    pub(super) fn follow_log(&mut self, id: TaskId, reply: Reply<Result<LogFollow, LogOpenError>>) {
        let Some(entry) = self.runs.table().get(&id) else {
            return self.answer(reply, Err(LogOpenError::UnknownTask(id)));
        };
        let over = entry.task.is_over();
        let receiver = match self.followers.get(&id) {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, receiver) = watch::channel(0);
                if !over {
                    self.followers.insert(id.clone(), sender);
                    self.to_keeper.push(ToKeeper::WatchLog { task: id, seen: 0 });
                }
                receiver
            }
        };
        self.answer(reply, Ok(receiver));
    }

    pub(super) fn log_advanced(&mut self, id: &TaskId, end: u64) {
        let Some(sender) = self.followers.get(id) else { return };
        if sender.receiver_count() == 0 {
            self.followers.remove(id);
            return;
        }
        sender.send_replace(end);
        self.to_keeper.push(ToKeeper::WatchLog { task: id.clone(), seen: end });
    }

    /// Logs that will not grow any more: followers read what is left and are done.
    pub(super) fn close_follows(&mut self) {
        let runs = &self.runs;
        self.followers.retain(|id, _| runs.table().get(id).is_some_and(|it| !it.task.is_over()));
    }
}
