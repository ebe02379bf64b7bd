//! Captured bytes to the log store, and word of it to who watches.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::Keeper;
use crate::capture::Sink;
use crate::logs::Stream;
use crate::output::Output;
use crate::table::{Table, TaskKey};
use crate::{KeeperError, tried};
use deskd_core::id::TaskId;
use deskd_core::wire::FromKeeper;

/// Between two tries to write what is owed to logs.
const LOG_RETRY_MS: u64 = 1_000;

/// Where the pipes' bytes go.
struct Logs<'a> {
    table: &'a mut Table,
    store: &'a mut Output,
    advanced: Vec<(TaskId, u64)>,
    /// Tasks of which the daemon of a place asked for what they write.
    asked: Vec<TaskId>,
}

impl<'a> Logs<'a> {
    fn new(table: &'a mut Table, store: &'a mut Output) -> Self {
        Self { table, store, advanced: Vec::new(), asked: Vec::new() }
    }
}

impl Sink for Logs<'_> {
    fn end(&mut self, key: TaskKey) -> u64 {
        let Some(task) = self.table.get_mut(key) else { return 0 };
        let log = task.log.get_or_insert_with(|| self.store.open_task(&task.id.task, 0));
        self.store.end(log)
    }

    fn bytes(&mut self, key: TaskKey, stream: Stream, bytes: &[u8]) {
        let Some(task) = self.table.get_mut(key) else { return };
        let log = task.log.get_or_insert_with(|| self.store.open_task(&task.id.task, 0));
        self.store.append(log, stream, bytes);
        if let Some(seen) = task.watch {
            let end = self.store.end(log);
            if end > seen {
                task.watch = None;
                self.advanced.push((task.id.task.clone(), end));
            }
        }
        if task.asked.is_some() {
            self.asked.push(task.id.task.clone());
        }
    }

    fn closed(&mut self, key: TaskKey) {
        let Some(task) = self.table.get_mut(key) else { return };
        task.pipes = task.pipes.saturating_sub(1);
        if task.pipes == 0
            && let Some(log) = task.log.take()
        {
            task.log_end = self.store.end(&log);
            self.store.close(log);
            if task.asked.is_some() {
                self.asked.push(task.id.task.clone());
            }
        }
    }
}

impl Keeper {
    /// One round over the pipes that have something.
    pub(super) fn read_pipes(&mut self) -> Result<(), KeeperError> {
        let mut logs = Logs::new(&mut self.table, &mut self.store);
        self.capture.round(&mut logs).map_err(tried("wait for output"))?;
        let Logs { advanced, asked, .. } = logs;
        self.captured(advanced, &asked);
        Ok(())
    }

    /// Everything a task wrote until now, before its end is reported: who knows of the end can
    /// read the whole log.
    pub(super) fn drain_pipes(&mut self, key: TaskKey) {
        let mut logs = Logs::new(&mut self.table, &mut self.store);
        self.capture.drain(key, &mut logs);
        let Logs { advanced, asked, .. } = logs;
        self.captured(advanced, &asked);
    }

    fn captured(&mut self, advanced: Vec<(TaskId, u64)>, asked: &[TaskId]) {
        self.report_logs(advanced);
        asked.iter().for_each(|task| self.give_records(task));
    }

    /// Captures what comes through a pipe from now on.
    pub(super) fn capture_pipe(&mut self, key: TaskKey, fd: OwnedFd, stream: Stream) {
        match self.capture.add(fd, key, stream) {
            Ok(()) => self.table.get_mut(key).into_iter().for_each(|task| task.pipes += 1),
            Err(error) => tracing::error!(%error, "cannot capture an application's output"),
        }
    }

    /// Opens a new run's log, so that it exists even if nothing is ever written.
    pub(super) fn open_log(&mut self, key: TaskKey, from: u64) {
        let Some(task) = self.table.get_mut(key) else { return };
        let log = task.log.get_or_insert_with(|| self.store.open_task(&task.id.task, from));
        task.log_end = self.store.end(log);
        self.report_logs(Vec::new());
    }

    /// What a full disk kept from being written (the gap's record) is owed also to a log that gets
    /// nothing more.
    pub(super) fn retry_logs_if_due(&mut self, now: Instant) {
        if self.log_retry_at.is_some_and(|at| now >= at) {
            self.log_retry_at = None;
            self.store.retry();
            self.report_logs(Vec::new());
        }
    }

    pub(super) fn report_logs(&mut self, advanced: Vec<(TaskId, u64)>) {
        for (task, end) in advanced {
            self.tell_grown(task, end);
        }
        if self.store.trouble().is_some() && self.log_retry_at.is_none() {
            self.log_retry_at = Some(Instant::now() + Duration::from_millis(LOG_RETRY_MS));
        }
        if self.store.trouble() != self.log_trouble.as_deref() {
            self.log_trouble = self.store.trouble().map(str::to_owned);
            self.tell(&FromKeeper::LogTrouble { trouble: self.log_trouble.clone() });
        }
    }
}
