//! The daemon's second connection: word of logs that grew.
//!
//! The thread of the daemon that serves followers holds the other end, so a line does not wait for the daemon's driver
//! on its way to them. The daemon says Hello on it and is not answered; from then on the answers to WatchLog, wherever
//! that was asked, go this way, and it asks again here. A daemon that never does so is of an earlier release: it is told
//! over its first connection.

use std::io;
use std::os::fd::OwnedFd;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::{Keeper, Source};
use crate::link::{Connection, LinkError};
use deskd_core::id::TaskId;
use deskd_core::wire::{FromKeeper, ToKeeper};

/// The keeper's end.
#[derive(Debug)]
pub(super) struct Feed {
    connection: Connection,
    /// The daemon said Hello on it.
    greeted: bool,
    /// What it is watched for.
    interest: EpollFlags,
}

impl Keeper {
    /// Makes it for the next daemon, and gives the end that it inherits.
    pub(super) fn connect_feed(&mut self) -> io::Result<OwnedFd> {
        let (connection, end) = Connection::pair()?;
        let interest = EpollFlags::EPOLLIN;
        self.epoll.add(&connection, EpollEvent::new(interest, Source::Feed as u64))?;
        self.feed = Some(Feed { connection, greeted: false, interest });
        Ok(end)
    }

    /// Takes what the daemon asks for there: no more than a socket holds, and a watch takes no time.
    pub(super) fn answer_feed(&mut self) {
        while let Some(feed) = &mut self.feed {
            match feed.connection.next() {
                Ok(Some(ToKeeper::Hello { .. })) => feed.greeted = true,
                Ok(Some(ToKeeper::WatchLog { task, seen })) => self.watch_log(&task, seen),
                Ok(Some(_)) => {
                    tracing::warn!("the daemon sent a request where only logs are asked for");
                    return self.drop_connection();
                }
                Ok(None) => return,
                // Its first connection says why.
                Err(LinkError::Closed) => self.feed = None,
                Err(error) => return self.hang_up(&error),
            }
        }
    }

    /// Tells the daemon that a log it watches has grown.
    pub(super) fn tell_grown(&mut self, task: TaskId, end: u64) {
        let message = FromKeeper::LogAdvanced { task, end };
        match self.feed.as_mut().filter(|feed| feed.greeted) {
            None => self.tell(&message),
            Some(feed) => {
                if let Err(error) = feed.connection.send(&message) {
                    self.hang_up(&error);
                }
            }
        }
    }

    /// Writes what waits, and asks to be told when there is room for more.
    pub(super) fn flush_feed(&mut self) {
        let Some(feed) = &mut self.feed else { return };
        if let Err(error) = feed.connection.flush() {
            return self.hang_up(&error);
        }
        let mut interest = EpollFlags::EPOLLIN;
        interest.set(EpollFlags::EPOLLOUT, feed.connection.waiting_bytes() > 0);
        if interest != feed.interest {
            feed.interest = interest;
            let mut event = EpollEvent::new(interest, Source::Feed as u64);
            if let Err(error) = self.epoll.modify(&feed.connection, &mut event) {
                tracing::warn!(%error, "cannot watch the daemon's second connection");
            }
        }
    }
}
