//! The socket the daemon connects to, and its connection.
//!
//! Non-blocking, at most one connection: a new one replaces the old. What cannot be written at
//! once waits in a bounded queue; a daemon that lets it overflow is dropped, comes back, and is
//! told everything anew. Not here: what the messages mean.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;

use deskd_core::wire::frame::{self, Decoder, FrameError};
use deskd_core::wire::{FromKeeper, MESSAGE_BYTES_MAX, ToKeeper};

use crate::files;

/// Bytes that wait to be written; Welcome and one answer of the largest size fit.
const QUEUE_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// Bytes of one read from the connection.
const READ_BYTES: usize = 16 << 10;
/// Reads in one turn, so that a daemon that talks without end does not hold up everything else.
const READS_PER_TURN: usize = 64;
/// An empty queue larger than this gives its memory back.
const IDLE_QUEUE_BYTES_MAX: usize = 16 << 10;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The daemon closed it or died.
    #[error("the daemon closed its connection")]
    Closed,
    /// The socket failed.
    #[error("the daemon's connection failed")]
    Io(#[from] io::Error),
    /// What arrived is not a message.
    #[error("the daemon's connection makes no sense")]
    Frame(#[from] FrameError),
    /// It does not read.
    #[error("the daemon does not read: more than {QUEUE_BYTES_MAX} bytes wait for it")]
    Overflow,
}

/// The listening socket; removed when dropped.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`; whatever was there is replaced (the caller holds the directory's lock).
    pub fn bind(path: &Path) -> io::Result<Self> {
        files::clear(path)?;
        let socket = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// A waiting connection of this user or root; others are turned away.
    pub fn accept(&self) -> io::Result<Option<Connection>> {
        let stream = match self.socket.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let uid = getsockopt(&stream, PeerCredentials)?.uid();
        if uid != 0 && uid != geteuid().as_raw() {
            tracing::warn!(uid, "refused a connection of another user to the keeper");
            return Ok(None);
        }
        stream.set_nonblocking(true)?;
        Ok(Some(Connection::new(stream)))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The daemon's connection.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    incoming: Decoder,
    outgoing: Vec<u8>,
    written: usize,
    at_end: bool,
}

impl Connection {
    fn new(stream: UnixStream) -> Self {
        let incoming = Decoder::default();
        Self { stream, incoming, outgoing: Vec::new(), written: 0, at_end: false }
    }

    /// Reads what is there and appends the whole messages in it.
    pub fn receive(&mut self, messages: &mut Vec<ToKeeper>) -> Result<(), LinkError> {
        let mut bytes = [0; READ_BYTES];
        for _ in 0..READS_PER_TURN {
            match self.stream.read(&mut bytes) {
                Ok(0) => {
                    self.at_end = true;
                    break;
                }
                Ok(count) => {
                    self.incoming.push(&bytes[..count]);
                    while let Some(message) = self.incoming.take()? {
                        messages.push(message);
                    }
                    if count < bytes.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if self.at_end { Err(LinkError::Closed) } else { Ok(()) }
    }

    /// Queues a message.
    pub fn send(&mut self, message: &FromKeeper) -> Result<(), LinkError> {
        frame::encode(message, &mut self.outgoing)?;
        if self.waiting_bytes() > QUEUE_BYTES_MAX { Err(LinkError::Overflow) } else { Ok(()) }
    }

    /// Writes as much of the queue as the socket takes.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        while self.written < self.outgoing.len() {
            match self.stream.write(&self.outgoing[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if self.written == self.outgoing.len() {
            self.outgoing.clear();
            self.outgoing.shrink_to(IDLE_QUEUE_BYTES_MAX);
            self.written = 0;
        }
        Ok(())
    }

    /// Bytes the socket has not taken yet.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.outgoing.len() - self.written
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
