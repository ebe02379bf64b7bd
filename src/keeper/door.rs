//! The socket of a keeper at a place: whoever proves to be its daemon is let in.
//!
//! Every program of the pod can connect. One of this place is cut at once. One that says nothing, or
//! something wrong, is cut; one that connects again and again takes the place of its own earlier
//! connections: each gets a moment, so that a daemon, which needs less, gets through. The proof is that of [`deskd_core::wire::proof`].

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{UnixCredentials, getsockopt};

use crate::seldom::Seldom;
use deskd_core::wire::proof::{ANSWER_BYTES, Bytes, Key};

/// How long one that has not proved anything is waited for.
const PROOF_MS_MAX: u64 = 2_000;
/// How many of those there are at once; a further one takes the place of the oldest.
const VISITORS_MAX: usize = 32;
/// Connections accepted in one round: those that are there are heard first.
const ACCEPTS_PER_ROUND: usize = 4;
/// Events taken in one round.
const EVENTS_MAX: usize = 16;
/// The listener among the events.
const LISTENER: u64 = 0;

/// The listening socket, and who connected and has not proved anything yet.
#[derive(Debug)]
pub struct Door {
    key: Key,
    listener: UnixListener,
    epoll: Epoll,
    visitors: VecDeque<Visitor>,
    next_token: u64,
    /// That somebody has not the key.
    stranger: Seldom,
}

#[derive(Debug)]
struct Visitor {
    token: u64,
    stream: UnixStream,
    challenge: Bytes,
    heard: [u8; ANSWER_BYTES],
    bytes: usize,
    until: Instant,
}

impl Door {
    /// Listens.
    ///
    /// # Errors
    /// The name is taken, or there are no descriptors.
    pub fn open(key: Key) -> io::Result<Self> {
        let name = SocketAddr::from_abstract_name(key.socket_name())?;
        let listener = UnixListener::bind_addr(&name)?;
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        let (visitors, next_token, stranger) = (VecDeque::new(), LISTENER + 1, Seldom::default());
        Ok(Self { key, listener, epoll, visitors, next_token, stranger })
    }

    /// Hears everybody once; the connection of a daemon that has proved to be one.
    pub fn round(&mut self, now: Instant) -> Option<UnixStream> {
        let mut events = [EpollEvent::empty(); EVENTS_MAX];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        let mut proved = None;
        for event in events[..count].iter().filter(|event| event.data() != LISTENER) {
            // Of two daemons the later one counts.
            proved = self.hear(event.data()).or(proved);
        }
        if events[..count].iter().any(|event| event.data() == LISTENER) {
            (0..ACCEPTS_PER_ROUND).for_each(|_| self.accept(now));
        }
        proved
    }

    /// Cuts those that have had their time.
    pub fn cut_late(&mut self, now: Instant) {
        self.visitors.retain(|visitor| now < visitor.until);
    }

    /// When there is somebody to cut.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.visitors.front().map(|visitor| visitor.until)
    }

    fn accept(&mut self, now: Instant) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        // Of a PID namespace of its own the keeper is the first process, and the daemon is outside: no program of
        // this place takes its turn. In a pod with shareProcessNamespace all have a number.
        let has_number = |peer: UnixCredentials| peer.pid() != 0;
        if std::process::id() == 1 && getsockopt(&stream, PeerCredentials).is_ok_and(has_number) {
            return;
        }
        let token = self.next_token;
        self.next_token += 1;
        let mut challenge = Bytes::default();
        let challenged = getrandom::fill(&mut challenge)
            .map_err(io::Error::other)
            .and_then(|()| stream.set_nonblocking(true))
            .and_then(|()| (&stream).write_all(&challenge))
            .and_then(|()| {
                Ok(self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
            });
        if challenged.is_err() {
            return;
        }
        if self.visitors.len() >= VISITORS_MAX {
            self.visitors.pop_front();
        }
        let until = now + Duration::from_millis(PROOF_MS_MAX);
        let heard = [0; ANSWER_BYTES];
        self.visitors.push_back(Visitor { token, stream, challenge, heard, bytes: 0, until });
    }

    fn hear(&mut self, token: u64) -> Option<UnixStream> {
        let at = self.visitors.iter().position(|visitor| visitor.token == token)?;
        let visitor = self.visitors.get_mut(at)?;
        match visitor.stream.read(&mut visitor.heard[visitor.bytes..]) {
            Ok(more @ 1..) => visitor.bytes += more,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return None;
            }
            Ok(0) | Err(_) => {
                self.visitors.remove(at);
                return None;
            }
        }
        if visitor.bytes < ANSWER_BYTES {
            return None;
        }
        let visitor = self.visitors.remove(at)?;
        let Some(proof) = self.key.admit(&visitor.challenge, &visitor.heard) else {
            if self.stranger.is_due() {
                tracing::warn!(
                    "somebody who does not have this place's key tried to be its daemon"
                );
            }
            return None;
        };
        self.epoll.delete(&visitor.stream).ok()?;
        (&visitor.stream).write_all(&proof).ok()?;
        Some(visitor.stream)
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
