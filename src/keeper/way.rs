//! The way of a keeper in another pod to its daemon: it connects, both prove who they are, and does so
//! again whenever the connection ended. The proofs are those of [`deskd_core::wire::channel`].
//!
//! Nothing is waited for here: the loop asks what there is to do, and when to ask again.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use crate::link::Connection;
use crate::tcp;
use deskd_core::wire::channel::{GREETING_BYTES, Half};
use deskd_core::wire::proof::{Bytes, Key, PROOF_BYTES};

/// From the first packet of an attempt to the daemon's proof.
const ATTEMPT_MS_MAX: u64 = 3_000;
/// After the first attempt that failed; after each further one twice as long.
const PAUSE_MS_MIN: u64 = 50;
/// And at most so long.
const PAUSE_MS_MAX: u64 = 5_000;
/// A connection that lasted so long makes up for attempts that failed.
const STEADY_MS: u64 = 10_000;

/// To one daemon.
#[derive(Debug)]
pub struct Way {
    key: Key,
    to: SocketAddr,
    epoll: Epoll,
    stage: Stage,
    pause: Duration,
    /// Of the words about attempts that failed, each is written once.
    said: String,
    /// Since when there has been a connection, or none.
    since: Instant,
}

#[derive(Debug)]
enum Stage {
    /// The next attempt is then.
    Rests(Instant),
    Tries(Attempt),
    /// Until the connection is lost.
    There,
}

#[derive(Debug)]
struct Attempt {
    stream: TcpStream,
    until: Instant,
    half: Half,
    /// The daemon's challenge, once it is complete; what follows is its proof.
    challenge: Option<Bytes>,
    heard: [u8; PROOF_BYTES],
    bytes: usize,
}

/// How far an attempt is.
enum Outcome {
    Goes,
    Connected(Box<Connection>),
    Failed(String),
}

impl Way {
    /// Begins as soon as it is asked what to do.
    ///
    /// # Errors
    /// There are no descriptors.
    pub fn new(key: Key, to: SocketAddr, now: Instant) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let (stage, pause) = (Stage::Rests(now), Duration::from_millis(PAUSE_MS_MIN));
        Ok(Self { key, to, epoll, stage, pause, said: String::new(), since: now })
    }

    /// Goes on; the connection to the daemon, once both proved who they are.
    pub fn round(&mut self, now: Instant) -> Option<Connection> {
        // What is ready is asked of the stream itself; here it only wakes the loop, once per change.
        let _ = self.epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO);
        let outcome = match &mut self.stage {
            Stage::There => return None,
            Stage::Rests(at) if now < *at => return None,
            Stage::Rests(_) => self.begin(now),
            Stage::Tries(attempt) if now >= attempt.until => {
                Outcome::Failed("nobody answers".into())
            }
            Stage::Tries(attempt) => attempt.go_on(&self.key),
        };
        match outcome {
            Outcome::Goes => None,
            Outcome::Connected(connection) => {
                self.forget_attempt();
                (self.stage, self.since) = (Stage::There, now);
                self.said.clear();
                Some(*connection)
            }
            Outcome::Failed(why) => {
                self.forget_attempt();
                if why != self.said {
                    tracing::warn!("cannot reach deskd at {}: {why}", self.to);
                    self.said = why;
                }
                self.rest(now);
                None
            }
        }
    }

    /// The connection ended.
    pub fn lost(&mut self, now: Instant) {
        if now >= self.since + Duration::from_millis(STEADY_MS) {
            self.pause = Duration::from_millis(PAUSE_MS_MIN);
        }
        self.since = now;
        self.rest(now);
    }

    fn rest(&mut self, now: Instant) {
        self.stage = Stage::Rests(now + self.pause);
        self.pause = (2 * self.pause).min(Duration::from_millis(PAUSE_MS_MAX));
    }

    /// When there is something to do although nothing happens.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Rests(at) => Some(*at),
            Stage::Tries(attempt) => Some(attempt.until),
            Stage::There => None,
        }
    }

    /// Since when there has been no connection; absent: there is one.
    #[must_use]
    pub fn alone_since(&self) -> Option<Instant> {
        (!matches!(self.stage, Stage::There)).then_some(self.since)
    }

    /// Why the daemon was not reached.
    #[must_use]
    pub fn trouble(&self) -> &str {
        if self.said.is_empty() { "nobody answers" } else { &self.said }
    }

    fn begin(&mut self, now: Instant) -> Outcome {
        let attempt = Attempt::begin(self.to, now).and_then(|attempt| {
            let either = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
            self.epoll.add(&attempt.stream, EpollEvent::new(either, 0))?;
            Ok(attempt)
        });
        match attempt {
            Ok(attempt) => {
                self.stage = Stage::Tries(attempt);
                Outcome::Goes
            }
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }

    fn forget_attempt(&mut self) {
        if let Stage::Tries(attempt) = &self.stage {
            // A stream that is used goes on to be watched by the loop; others are closed.
            let _ = self.epoll.delete(&attempt.stream);
        }
    }
}

impl AsFd for Way {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl Attempt {
    fn begin(to: SocketAddr, now: Instant) -> io::Result<Self> {
        let mut random = Bytes::default();
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let stream = socket_with(family, SocketType::STREAM, flags, None)?;
        tcp::notice_silence(&stream)?;
        match connect(&stream, &to) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        let until = now + Duration::from_millis(ATTEMPT_MS_MAX);
        let (heard, half) = ([0; PROOF_BYTES], Half::new(random));
        Ok(Self { stream: stream.into(), until, half, challenge: None, heard, bytes: 0 })
    }

    fn go_on(&mut self, key: &Key) -> Outcome {
        loop {
            match self.stream.read(&mut self.heard[self.bytes..]) {
                Ok(0) => {
                    return Outcome::Failed("it does not know this place, or is ending".into());
                }
                Ok(more) => self.bytes += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_later(&error) => return Outcome::Goes,
                Err(error) => return Outcome::Failed(error.to_string()),
            }
            if self.bytes < PROOF_BYTES {
                continue;
            }
            self.bytes = 0;
            match self.challenge {
                None => {
                    let greeting: [u8; GREETING_BYTES] = self.half.greeting(key, &self.heard);
                    // A socket that was never written to has room for so little.
                    if let Err(error) = self.stream.write_all(&greeting) {
                        return Outcome::Failed(error.to_string());
                    }
                    self.challenge = Some(self.heard);
                }
                Some(challenge) => return self.believe(key, &challenge),
            }
        }
    }

    fn believe(&self, key: &Key, challenge: &Bytes) -> Outcome {
        let Some(channel) = self.half.trust(key, challenge, &self.heard) else {
            return Outcome::Failed("who answers is not this place's deskd".into());
        };
        match self.stream.try_clone() {
            // Reading, writing and watching are the same for every kind of stream.
            Ok(stream) => {
                let stream = UnixStream::from(OwnedFd::from(stream));
                Outcome::Connected(Box::new(Connection::sealed(stream, channel)))
            }
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}

/// Not connected yet, or nothing has arrived.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
