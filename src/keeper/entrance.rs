//! How a daemon and the keeper of a place come together: it comes in, or is gone to.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use crate::door::Door;
use crate::link::Connection;
use crate::way::Way;

/// One of the two.
#[derive(Debug)]
pub enum Entrance {
    /// In the pod of the daemon.
    Door(Door),
    /// In another one.
    Way(Box<Way>),
}

impl Entrance {
    /// Goes on; the connection of a daemon that proved to be one.
    pub fn round(&mut self, now: Instant) -> Option<Connection> {
        match self {
            Self::Door(door) => {
                let daemon = door.round(now).map(Connection::of);
                door.cut_late(now);
                daemon
            }
            Self::Way(way) => way.round(now),
        }
    }

    /// When to go on although nothing happens.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        match self {
            Self::Door(door) => door.next_at(),
            Self::Way(way) => way.next_at(),
        }
    }

    /// The connection ended.
    pub fn lost(&mut self, now: Instant) {
        if let Self::Way(way) = self {
            way.lost(now);
        }
    }

    /// Since when a keeper that goes to its daemon has not reached it.
    #[must_use]
    pub fn alone_since(&self) -> Option<Instant> {
        match self {
            Self::Door(_) => None,
            Self::Way(way) => way.alone_since(),
        }
    }
}

impl AsFd for Entrance {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Door(door) => door.as_fd(),
            Self::Way(way) => way.as_fd(),
        }
    }
}
