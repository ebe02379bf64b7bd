//! The keeper's end of its connection to a daemon.
//!
//! A pair of sockets that is made for each daemon and inherited by it: there is no name to connect to, so nobody else
//! can be taken for the daemon, nor for its keeper. Non-blocking. What cannot be written at once waits in a bounded
//! queue; a daemon that lets it overflow is dropped, ends, and its successor is told everything anew. Of what arrives,
//! only as much is read as is answered. Not here: what the messages mean.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use deskd_core::wire::channel::{Channel, Forged};
use deskd_core::wire::frame::{self, Decoder, FrameError};
use deskd_core::wire::{FromKeeper, MESSAGE_BYTES_MAX, ToKeeper};

/// Bytes that wait to be written; Welcome and one answer of the largest size fit.
const QUEUE_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// Bytes of one read from the connection. Beside them, at most one unfinished message is held.
const READ_BYTES: usize = 16 << 10;
/// The lowest number of a descriptor that a daemon is to inherit: none that its own descriptors are made from one
/// after the other (standard input, output, error, and what follows) is overwritten before its turn.
pub(crate) const INHERITED_FD_MIN: i32 = 10;
/// An empty queue larger than this gives its memory back.
const IDLE_QUEUE_BYTES_MAX: usize = 16 << 10;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The daemon closed it or died.
    #[error("the daemon closed its connection")]
    Closed,
    /// The socket failed.
    #[error("the connection to the daemon failed")]
    Io(#[from] io::Error),
    /// What arrived is not a message.
    #[error("the daemon sent a message that cannot be decoded")]
    Frame(#[from] FrameError),
    /// Somebody on the way changed what arrived.
    #[error(transparent)]
    Forged(#[from] Forged),
    /// It does not read.
    #[error("the daemon does not read: more than {QUEUE_BYTES_MAX} bytes are queued for it")]
    Overflow,
}

/// The daemon's connection.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    incoming: Decoder,
    outgoing: Vec<u8>,
    written: usize,
    /// Over a network.
    channel: Option<Box<Channel>>,
}

impl Connection {
    /// A connection, and its other end for the daemon to inherit.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (stream, other) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        Ok((Self::of(stream), inheritable(other.as_fd())?))
    }

    /// Over a stream that does not block, whose other end is a daemon's.
    #[must_use]
    pub fn of(stream: UnixStream) -> Self {
        let incoming = Decoder::default();
        Self { stream, incoming, outgoing: Vec::new(), written: 0, channel: None }
    }

    /// The same over a network: nobody on the way reads or changes what is exchanged.
    #[must_use]
    pub fn sealed(stream: UnixStream, channel: Channel) -> Self {
        Self { channel: Some(Box::new(channel)), ..Self::of(stream) }
    }

    /// The next message, if one has arrived. Reads when the last read holds no whole one.
    pub fn next(&mut self) -> Result<Option<ToKeeper>, LinkError> {
        let mut bytes = [0; READ_BYTES];
        loop {
            if let Some(message) = self.incoming.take()? {
                return Ok(Some(message));
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(count) => self.take_in(&bytes[..count])?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take_in(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        let Some(channel) = &mut self.channel else {
            self.incoming.push(bytes);
            return Ok(());
        };
        let mut plain = Vec::with_capacity(bytes.len());
        channel.opener.open(bytes, &mut plain)?;
        self.incoming.push(&plain);
        Ok(())
    }

    /// Queues a message.
    pub fn send(&mut self, message: &FromKeeper) -> Result<(), LinkError> {
        if let Some(channel) = &mut self.channel {
            let mut plain = Vec::new();
            frame::encode(message, &mut plain)?;
            channel.sealer.seal(&plain, &mut self.outgoing)?;
        } else {
            frame::encode(message, &mut self.outgoing)?;
        }
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

/// A duplicate whose number is none of those that daemons inherit.
pub fn inheritable(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, INHERITED_FD_MIN)?)
}
