//! The daemon's connection: greeting it, and keeping up with it.

use std::time::{Duration, Instant};

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::{Keeper, Source, unix_ms_at};
use crate::link::LinkError;
use crate::table::TaskKey;
use deskd_core::wire::{Drain, FromKeeper, TaskRecord, ToKeeper, VERSION, WELCOME_BYTES};

/// Bytes that may still wait for the daemon when the next part of a Welcome is added.
const WELCOME_WAITING_BYTES: usize = 64 << 10;
/// Until a connection that could not be accepted is tried again.
const ACCEPT_RETRY_MS: u64 = 100;

impl Keeper {
    pub(super) fn accept(&mut self) {
        let connection = match self.listener.accept() {
            Ok(Some(connection)) => connection,
            Ok(None) => return,
            Err(error) => {
                // Most likely no descriptor is free. The connection waits, so does the keeper.
                tracing::warn!(%error, "cannot accept the daemon's connection; trying again");
                self.listen_again_at =
                    Some(Instant::now() + Duration::from_millis(ACCEPT_RETRY_MS));
                return self.listen(false);
            }
        };
        // What the daemon before this one still asked for counts.
        self.welcome = None;
        self.receive();
        self.answer_requests(usize::MAX);
        self.drop_connection();
        let event = EpollEvent::new(EpollFlags::EPOLLIN, Source::Connection as u64);
        match self.epoll.add(&connection, event) {
            Ok(()) => {
                self.connection = Some(connection);
                self.interest = EpollFlags::EPOLLIN;
            }
            Err(error) => tracing::warn!(%error, "cannot watch the daemon's connection"),
        }
    }

    pub(super) fn listen_again_if_due(&mut self, now: Instant) {
        if self.listen_again_at.is_some_and(|at| now >= at) {
            self.listen_again_at = None;
            self.listen(true);
        }
    }

    /// Whether to be told of a connection that waits.
    fn listen(&self, wanted: bool) {
        let interest = if wanted { EpollFlags::EPOLLIN } else { EpollFlags::empty() };
        let mut event = EpollEvent::new(interest, Source::Listener as u64);
        if let Err(error) = self.epoll.modify(&self.listener, &mut event) {
            tracing::error!(%error, "cannot watch the socket for the daemon");
        }
    }

    pub(super) fn receive(&mut self) {
        let Some(connection) = self.connection.as_mut().filter(|_| self.welcome.is_none()) else {
            return;
        };
        let mut messages = Vec::new();
        let received = connection.receive(&mut messages);
        self.inbox.extend(messages);
        if let Err(error) = received {
            // What was asked before the end counts all the same.
            self.answer_requests(usize::MAX);
            self.hang_up(&error);
        }
    }

    /// Answers requests in order; none while a Welcome is incomplete.
    pub(super) fn answer_requests(&mut self, requests_max: usize) {
        for _ in 0..requests_max {
            if self.welcome.is_some() {
                return;
            }
            let Some(request) = self.inbox.pop_front() else { return };
            match request {
                ToKeeper::Hello { version } => self.greet(version),
                _ if !self.greeted => {
                    tracing::warn!("the daemon did not say hello; its connection is closed");
                    return self.drop_connection();
                }
                request => self.answer(request),
            }
        }
    }

    fn greet(&mut self, version: u32) {
        self.greeted = true;
        if version != VERSION {
            self.tell(&FromKeeper::VersionRefused { version: VERSION });
            self.flush();
            tracing::warn!(version, "refused a daemon that speaks another version");
            return self.drop_connection();
        }
        let (tasks, next) = self.records_from(TaskKey(0));
        let welcome = FromKeeper::Welcome {
            version: VERSION,
            keeper_pid: self.pid,
            started_at: self.started_at,
            tasks,
            more: next.is_some(),
            draining: self.drain(),
            log_trouble: self.log_trouble.clone(),
        };
        self.tell(&welcome);
        self.welcome = next;
    }

    /// Records from `key` on, as many as fit into a message, and where to go on.
    fn records_from(&self, key: TaskKey) -> (Vec<TaskRecord>, Option<TaskKey>) {
        let mut bytes = 0;
        let mut records = Vec::new();
        for (key, task) in self.table.iter_from(key).filter(|(_, task)| !task.forgotten) {
            bytes += task.meta.len();
            if bytes > WELCOME_BYTES && !records.is_empty() {
                return (records, Some(key));
            }
            records.push(task.record());
        }
        (records, None)
    }

    /// The shutdown as the daemon is told it.
    pub(super) fn drain(&self) -> Option<Drain> {
        let shutdown = self.shutdown.as_ref()?;
        Some(Drain { deadline: unix_ms_at(shutdown.deadline()), hurry: shutdown.is_hurried() })
    }

    pub(super) fn ping_if_due(&mut self, now: Instant) {
        if let Some(number) = self.notify.take_ping(now) {
            self.tell(&FromKeeper::Ping { number });
        }
    }

    /// Writes what waits, goes on with a Welcome, and asks to be told when there is room for more.
    pub(super) fn flush(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        if let Err(error) = connection.flush() {
            return self.hang_up(&error);
        }
        let waiting = connection.waiting_bytes();
        if waiting <= WELCOME_WAITING_BYTES
            && let Some(key) = self.welcome
        {
            let (tasks, next) = self.records_from(key);
            self.tell(&FromKeeper::MoreTasks { tasks, more: next.is_some() });
            self.welcome = next;
        }
        self.watch_connection();
    }

    fn watch_connection(&mut self) {
        let Some(connection) = &self.connection else { return };
        let mut interest = EpollFlags::empty();
        // With a Welcome under way nothing is read.
        interest.set(EpollFlags::EPOLLIN, self.welcome.is_none());
        interest.set(EpollFlags::EPOLLOUT, connection.waiting_bytes() > 0);
        if interest == self.interest {
            return;
        }
        let mut event = EpollEvent::new(interest, Source::Connection as u64);
        if let Err(error) = self.epoll.modify(connection, &mut event) {
            tracing::warn!(%error, "cannot watch the daemon's connection");
        }
        self.interest = interest;
    }

    pub(super) fn hang_up(&mut self, error: &LinkError) {
        match error {
            LinkError::Closed => tracing::info!("the daemon's connection is closed"),
            error => tracing::warn!(
                error = error as &dyn std::error::Error,
                "the daemon's connection is dropped"
            ),
        }
        self.drop_connection();
    }

    /// Watches end with the connection: the next daemon sets its own.
    pub(super) fn drop_connection(&mut self) {
        self.connection = None;
        self.greeted = false;
        self.welcome = None;
        self.inbox.clear();
        for (_, task) in self.table.iter_mut() {
            task.watch = None;
        }
    }
}
