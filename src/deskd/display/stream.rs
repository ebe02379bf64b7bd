//! The byte stream under an X11 connection, with a time limit and a byte limit on everything.
//!
//! x11rb waits for the server without a limit and believes the length of a reply before it has
//! the bytes. [`ServerStream`] fails instead: each operation gets a deadline and a byte budget
//! ([`ServerStream::begin`]), and of a packet that claims to be too long only the begin is stored.

use std::cell::{Cell, RefCell};
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use x11rb::rust_connection::{DefaultStream, PollMode, Stream};

/// Our largest legitimate reply is a QueryTree, which can tell of 65,535 windows (256 KiB). A server
/// with more of them sends them all the same (Xorg, Xvnc): that reply is cut.
const PACKET_BYTES_MAX: u64 = 1 << 20;
/// What one operation may read in all: half a million events, or four million windows.
const OPERATION_BYTES_MAX: usize = 16 << 20;
/// Every packet starts with this many bytes; replies and generic events may have more.
const PACKET_HEAD_BYTES: usize = 32;

const ERROR: u8 = 0;
const REPLY: u8 = 1;
const GENERIC_EVENT: u8 = 35;
/// The only event without a sequence number.
const KEYMAP_EVENT: u8 = 11;
/// The first event of an extension.
const EXTENSION_EVENTS: u8 = 64;
/// More requests than are ever on their way.
const SEQUENCE_AHEAD_MAX: u16 = 1 << 15;
/// Set in the type of events that came from SendEvent.
const SENT_EVENT: u8 = 0x80;

/// A connected stream that never waits or reads without a limit.
#[derive(Debug)]
pub struct ServerStream {
    inner: DefaultStream,
    deadline: Cell<Instant>,
    budget_bytes: Cell<usize>,
    /// Events that were read, whether or not somebody took them from x11rb's queue.
    events: Cell<u64>,
    frames: RefCell<Option<FrameGuard>>,
}

impl ServerStream {
    /// Wraps a connected stream; the operation that begins with it ends within `limit`.
    pub(super) fn new(inner: DefaultStream, limit: Duration) -> Self {
        Self {
            inner,
            deadline: Cell::new(Instant::now() + limit),
            budget_bytes: Cell::new(OPERATION_BYTES_MAX),
            events: Cell::new(0),
            frames: RefCell::new(None),
        }
    }

    /// Begins an operation: everything from now on must be over within `limit`.
    pub fn begin(&self, limit: Duration) {
        self.deadline.set(Instant::now() + limit);
        self.budget_bytes.set(OPERATION_BYTES_MAX);
    }

    /// The setup is over: packets follow.
    pub(super) fn expect_packets(&self) {
        *self.frames.borrow_mut() = Some(FrameGuard::default());
    }

    /// Requests that the server may refuse follow; until now an error ends the connection.
    pub(super) fn expect_errors(&self) {
        if let Some(frames) = self.frames.borrow_mut().as_mut() {
            frames.errors = true;
        }
    }

    /// Events read since the setup.
    pub(super) fn events(&self) -> u64 {
        self.events.get()
    }

    /// Waits until `flags` or the deadline.
    fn wait(&self, flags: PollFlags) -> Result<()> {
        loop {
            let left = self.deadline.get().saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            let timeout = Timespec::try_from(left).map_err(|_| ErrorKind::InvalidInput)?;
            match rustix::event::poll(&mut [PollFd::new(&self.inner, flags)], Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for ServerStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl Stream for ServerStream {
    fn poll(&self, mode: PollMode) -> Result<()> {
        self.wait(match mode {
            PollMode::Readable => PollFlags::IN,
            PollMode::Writable => PollFlags::OUT,
            PollMode::ReadAndWritable => PollFlags::IN | PollFlags::OUT,
        })
    }

    fn read(&self, buffer: &mut [u8], fds: &mut Vec<OwnedFd>) -> Result<usize> {
        let mut frames = self.frames.borrow_mut();
        loop {
            // What was kept back comes first; x11rb's buffers are larger than that.
            let before = frames.as_ref().map_or(0, |frames| frames.have);
            let Some(room) = buffer.get_mut(before..).filter(|room| !room.is_empty()) else {
                return Err(ErrorKind::InvalidInput.into());
            };
            let length = self.inner.read(room, fds)?;
            let budget = self.budget_bytes.get().checked_sub(length);
            self.budget_bytes
                .set(budget.ok_or_else(|| Error::other("the X server sent too much at once"))?);
            let Some(frames) = frames.as_mut() else { return Ok(length) };
            if length == 0 {
                return Ok(0);
            }
            let passed = frames.feed(buffer, before + length)?;
            self.events.set(frames.events);
            if passed > 0 {
                return Ok(passed);
            }
        }
    }

    fn write(&self, bytes: &[u8], fds: &mut Vec<OwnedFd>) -> Result<usize> {
        self.inner.write(bytes, fds)
    }

    fn write_vectored(
        &self,
        buffers: &[std::io::IoSlice<'_>],
        fds: &mut Vec<OwnedFd>,
    ) -> Result<usize> {
        self.inner.write_vectored(buffers, fds)
    }
}

/// Follows the packet boundaries of a byte stream, refuses packets that claim too much, and cuts long replies.
#[derive(Debug, Default)]
struct FrameGuard {
    /// The begin of a packet, kept back until its head is complete: it may have to be changed.
    head: [u8; PACKET_HEAD_BYTES],
    have: usize,
    /// Bytes of the current packet beyond its head that are still to come and to be passed on.
    pass: u64,
    /// Bytes after those that nobody gets.
    drop: u64,
    /// Events whose head is complete.
    events: u64,
    /// Number of the request that the server had come to.
    sequence: u16,
    /// Something was asked that the server may refuse.
    errors: bool,
}

impl FrameGuard {
    /// Takes the first `length` bytes of the buffer, of which the first `have` are those that were kept back
    /// (their place, at least). What is to be passed on is at the buffer's begin afterwards; gives its length.
    fn feed(&mut self, buffer: &mut [u8], length: usize) -> Result<usize> {
        buffer[..self.have].copy_from_slice(&self.head[..self.have]);
        self.have = 0;
        let (mut from, mut to) = (0, 0);
        while from < length {
            let left = length - from;
            if self.pass > 0 {
                let part = left.min(usize::try_from(self.pass).unwrap_or(usize::MAX));
                self.pass -= part as u64;
                buffer.copy_within(from..from + part, to);
                (from, to) = (from + part, to + part);
            } else if self.drop > 0 {
                let part = left.min(usize::try_from(self.drop).unwrap_or(usize::MAX));
                self.drop -= part as u64;
                from += part;
            } else if left < PACKET_HEAD_BYTES {
                self.head[..left].copy_from_slice(&buffer[from..length]);
                self.have = left;
                break;
            } else {
                self.head.copy_from_slice(&buffer[from..from + PACKET_HEAD_BYTES]);
                self.begin()?;
                buffer[to..to + PACKET_HEAD_BYTES].copy_from_slice(&self.head);
                (from, to) = (from + PACKET_HEAD_BYTES, to + PACKET_HEAD_BYTES);
            }
        }
        Ok(to)
    }

    /// A head is complete.
    fn begin(&mut self) -> Result<()> {
        self.check()?;
        self.events += u64::from(self.head[0] > REPLY);
        let tail = tail_bytes(&self.head);
        self.pass = tail.min(PACKET_BYTES_MAX);
        self.drop = tail - self.pass;
        if self.drop == 0 {
            return Ok(());
        }
        if self.head[0] != REPLY || tail > OPERATION_BYTES_MAX as u64 {
            return Err(Error::new(ErrorKind::InvalidData, "an oversized X11 packet"));
        }
        let units = u32::try_from(self.pass / 4).unwrap_or_default();
        self.head[4..8].copy_from_slice(&units.to_ne_bytes());
        Ok(())
    }
}

impl FrameGuard {
    /// After one wrong byte nothing that follows is where it is looked for, and an answer may never
    /// be recognized: what cannot be a packet of this connection ends it at once.
    fn check(&mut self) -> Result<()> {
        let kind = self.head[0] & !SENT_EVENT;
        if self.head[0] == SENT_EVENT || self.head[0] == SENT_EVENT | REPLY {
            return Err(Error::new(ErrorKind::InvalidData, "an X11 packet of an unknown kind"));
        }
        // Core events, and those of extensions.
        if !(kind <= GENERIC_EVENT || kind >= EXTENSION_EVENTS) {
            return Err(Error::new(ErrorKind::InvalidData, "an X11 packet of an unknown kind"));
        }
        if self.head[0] == ERROR && !self.errors {
            return Err(Error::new(ErrorKind::InvalidData, "an X11 error that nothing can cause"));
        }
        if kind == KEYMAP_EVENT {
            return Ok(());
        }
        let sequence = u16::from_ne_bytes([self.head[2], self.head[3]]);
        // It only grows, but for its overflow.
        if sequence.wrapping_sub(self.sequence) > SEQUENCE_AHEAD_MAX {
            return Err(Error::new(ErrorKind::InvalidData, "an X11 packet out of order"));
        }
        self.sequence = sequence;
        Ok(())
    }
}

/// How many bytes follow a packet's head (X protocol, "Connection setup" and the encoding of
/// replies: a count of 4-byte units at byte 4).
fn tail_bytes(head: &[u8; PACKET_HEAD_BYTES]) -> u64 {
    match head[0] {
        REPLY => {}
        kind if kind & !SENT_EVENT == GENERIC_EVENT => {}
        _ => return 0,
    }
    4 * u64::from(u32::from_ne_bytes([head[4], head[5], head[6], head[7]]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(kind: u8, units: u32) -> Vec<u8> {
        let mut bytes = vec![0; PACKET_HEAD_BYTES];
        bytes[0] = kind;
        bytes[4..8].copy_from_slice(&units.to_ne_bytes());
        bytes
    }

    /// What is passed on of `bytes`, which come in pieces of `cut`.
    fn passed(guard: &mut FrameGuard, bytes: &[u8], cut: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        for piece in bytes.chunks(cut) {
            let mut buffer = vec![0xee; guard.have];
            buffer.extend(piece);
            let length = buffer.len();
            let passed = guard.feed(&mut buffer, length)?;
            out.extend(&buffer[..passed]);
        }
        Ok(out)
    }

    fn fed(bytes: &[u8]) -> Result<Vec<u8>> {
        passed(&mut FrameGuard::default(), bytes, usize::MAX)
    }

    #[test]
    fn an_oversized_packet_is_refused_by_its_head_alone() {
        for kind in [REPLY, GENERIC_EVENT, GENERIC_EVENT | SENT_EVENT] {
            assert!(fed(&packet(kind, u32::MAX)).is_err());
        }
        let more_than_a_packet = u32::try_from(PACKET_BYTES_MAX / 4).unwrap() + 1;
        assert!(fed(&packet(GENERIC_EVENT, more_than_a_packet)).is_err());
        assert!(fed(&packet(12, u32::MAX)).is_ok());
    }

    #[test]
    fn a_reply_about_more_windows_than_it_can_count_is_cut_and_the_next_one_is_whole() {
        let windows = 400_000_u32;
        let mut bytes = packet(REPLY, windows);
        bytes.extend((0..windows).flat_map(u32::to_ne_bytes));
        let next = packet(12, 0);
        bytes.extend(&next);
        let kept = usize::try_from(PACKET_BYTES_MAX).unwrap();
        let mut expected = packet(REPLY, u32::try_from(PACKET_BYTES_MAX / 4).unwrap());
        expected.extend(&bytes[PACKET_HEAD_BYTES..PACKET_HEAD_BYTES + kept]);
        expected.extend(&next);
        for cut in [usize::MAX, 4096, 31, 1] {
            let mut guard = FrameGuard::default();
            assert!(passed(&mut guard, &bytes, cut).unwrap() == expected, "in pieces of {cut}");
            assert_eq!((guard.have, guard.pass, guard.drop, guard.events), (0, 0, 0, 1));
        }
    }

    #[test]
    fn what_cannot_be_a_packet_of_this_connection_ends_it() {
        let numbered = |kind: u8, sequence: u16| {
            let mut bytes = packet(kind, 0);
            bytes[2..4].copy_from_slice(&sequence.to_ne_bytes());
            bytes
        };
        for wrong in [40, 63, SENT_EVENT, SENT_EVENT | REPLY] {
            assert!(fed(&packet(wrong, 0)).is_err(), "{wrong}");
        }
        assert!(fed(&packet(ERROR, 0)).is_err(), "nothing was asked");
        let mut guard = FrameGuard { errors: true, ..FrameGuard::default() };
        for right in
            [(REPLY, 7), (12, 7), (0, 8), (KEYMAP_EVENT, 3), (12, 0x7000), (REPLY, 0xf000), (12, 3)]
        {
            passed(&mut guard, &numbered(right.0, right.1), 32).unwrap();
        }
        assert!(passed(&mut guard, &numbered(REPLY, 2), 32).is_err(), "it went back");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn boundaries_are_found_however_the_bytes_are_cut(
            sizes in proptest::collection::vec((prop_oneof![Just(REPLY), Just(12)], 0_u32..40), 0..8),
            cut in 1_usize..70,
        ) {
            let mut bytes = Vec::new();
            for (kind, units) in sizes {
                bytes.extend(packet(kind, units));
                if kind == REPLY {
                    bytes.extend(vec![0xff; 4 * units as usize]);
                }
            }
            let mut guard = FrameGuard::default();
            prop_assert_eq!(passed(&mut guard, &bytes, cut).unwrap(), bytes);
            prop_assert_eq!((guard.have, guard.pass, guard.drop), (0, 0, 0));
            prop_assert!(passed(&mut guard, &packet(REPLY, u32::MAX), cut).is_err());
        }
    }
}
