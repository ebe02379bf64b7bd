//! The daemon's connection: greeting it, and keeping up with it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::{Keeper, REQUESTS_PER_TURN, Source, unix_ms_at};
use crate::link::{Connection, LinkError};
use crate::table::TaskKey;
use deskd_core::wire::{Drain, FromKeeper, TaskRecord, ToKeeper, VERSION, WELCOME_BYTES, agreed};

/// Bytes that may still wait for the daemon when the next part of a Welcome is added.
const WELCOME_WAITING_BYTES: usize = 64 << 10;

impl Keeper {
    /// Makes a connection for the next daemon, and gives the end that it inherits.
    pub(super) fn connect(&mut self) -> io::Result<OwnedFd> {
        let (connection, end) = Connection::pair()?;
        self.use_connection(connection)?;
        Ok(end)
    }

    /// From now on this is the daemon's.
    pub(super) fn use_connection(&mut self, connection: Connection) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, Source::Connection as u64);
        self.epoll.add(&connection, event)?;
        self.connection = Some(connection);
        self.interest = EpollFlags::EPOLLIN;
        Ok(())
    }

    /// Whether a request is answered now: not while a Welcome is incomplete or many starts wait, and a hello only when
    /// what the daemon before asked for is done.
    pub(super) fn can_answer(&self) -> bool {
        let starts =
            if self.spoken.is_some() { !self.starts.is_full() } else { self.starts.is_empty() };
        self.welcome.is_none() && starts
    }

    /// Answers requests in order. They are read as they are answered, so what a daemon asks for faster than that waits in
    /// its socket.
    pub(super) fn answer_requests(&mut self) {
        for _ in 0..REQUESTS_PER_TURN {
            if !self.can_answer() {
                break;
            }
            let Some(connection) = self.connection.as_mut() else { return };
            match connection.next() {
                Ok(Some(ToKeeper::Hello { version, oldest })) if self.spoken.is_none() => {
                    self.greet(version, oldest);
                }
                Ok(Some(request)) if self.spoken.is_some() => self.answer(request),
                Ok(Some(_)) => {
                    tracing::warn!(
                        "the daemon sent a request before its hello; the connection is closed"
                    );
                    return self.drop_connection();
                }
                Ok(None) => {
                    self.requests_left = false;
                    return;
                }
                Err(error) => return self.hang_up(&error),
            }
        }
        self.requests_left = true;
    }

    /// The daemon ended: what it asked for before counts all the same, and nobody is there to be answered.
    pub(super) fn take_last_requests(&mut self) {
        let last = self.connection.take().filter(|_| self.spoken.is_some());
        self.drop_connection();
        let Some(mut connection) = last else { return };
        while let Ok(Some(request)) = connection.next() {
            self.answer(request);
        }
    }

    fn greet(&mut self, version: u32, oldest: Option<u32>) {
        self.spoken = Some(VERSION);
        let Some(both) = agreed(version, oldest) else {
            self.tell(&FromKeeper::VersionRefused { version: VERSION });
            self.flush();
            tracing::warn!(version, "refused a daemon with another protocol version");
            return self.drop_connection();
        };
        self.spoken = Some(both);
        let (tasks, next) = self.records_from(TaskKey(0));
        let welcome = FromKeeper::Welcome {
            version: both,
            keeper_pid: self.pid,
            started_at: self.started_at,
            tasks,
            more: next.is_some(),
            draining: self.drain(),
            log_trouble: self.log_trouble.clone(),
            predecessor: self.predecessor.clone(),
            release: Some(env!("CARGO_PKG_VERSION").to_owned()),
        };
        self.tell(&welcome);
        self.welcome = next;
        // One that is elsewhere is its own keeper's to watch.
        if self.place.is_none() {
            self.heartbeat.greeted(Instant::now());
        }
        // Read already, perhaps, and not to be answered before the Welcome is complete.
        self.requests_left = true;
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
            // It reads: whether it answers shows when it has read everything.
            self.heartbeat.wait_anew(Instant::now());
        }
        self.watch_connection();
    }

    fn watch_connection(&mut self) {
        let Some(connection) = &self.connection else { return };
        let mut interest = EpollFlags::empty();
        interest.set(EpollFlags::EPOLLIN, self.can_answer());
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
            LinkError::Closed => tracing::info!("the connection to the daemon was closed"),
            error => tracing::warn!(
                error = error as &dyn std::error::Error,
                "the connection to the daemon failed and was dropped"
            ),
        }
        self.drop_connection();
    }

    /// Watches end with the connection: the next daemon sets its own.
    pub(super) fn drop_connection(&mut self) {
        if self.connection.take().is_some() {
            self.lose_daemon();
        }
        self.feed = None;
        self.spoken = None;
        self.welcome = None;
        self.requests_left = false;
        for (_, task) in self.table.iter_mut() {
            task.watch = None;
            task.asked = None;
        }
    }
}
