//! Bytes on their way from a pipe to a log, where a keeper that is killed leaves them whole.
//!
//! What a program wrote is moved from its pipe into another one (splice(2)), read from there into a
//! memory file, and stored. The daemon holds both, too. So whatever instruction is a keeper's last,
//! the bytes are in the program's pipe, in this one, or in the file, and what is noted there before
//! each step says how many of them are in the log already: as many as it has grown since the round
//! began.

#![expect(unsafe_code, reason = "memory that outlives the process")]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{ftruncate, pipe2, read};
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, splice};

use crate::logs::Stream;
use crate::table::TaskKey;

/// Bytes of one round at most: a pipe's ordinary capacity.
pub(super) const ROUND_BYTES: usize = 64 << 10;
/// Capacity of the pipe: it takes as many pieces as the largest pipe of a program has.
const PIPE_BYTES: usize = super::PIPE_BYTES_MAX;
/// Bytes in front of the content.
const HEAD_BYTES: usize = 64;
const MAP_BYTES: NonZeroUsize = NonZeroUsize::new(HEAD_BYTES + ROUND_BYTES).unwrap();

/// What is noted.
#[repr(C)]
struct Head {
    /// Whose output it is.
    task: AtomicU64,
    /// Of which stream: 0 is standard output.
    stream: AtomicU64,
    /// Where its log ended when the round began.
    cursor: AtomicU64,
    /// Bytes that were moved; 0: not known yet.
    bytes: AtomicU64,
}

/// The pipe and the file.
#[derive(Debug)]
pub struct Round {
    read: OwnedFd,
    write: OwnedFd,
    file: OwnedFd,
    map: NonNull<u8>,
}

/// What a keeper that was killed left under way.
#[derive(Debug, PartialEq, Eq)]
pub struct Left {
    /// Whose output it is, by the key that it had there.
    pub task: TaskKey,
    /// Of which stream.
    pub stream: Stream,
    /// Where its log ended before the first of these bytes.
    pub cursor: u64,
    /// All of them, also those that are stored.
    pub bytes: Vec<u8>,
}

impl Round {
    /// A new one.
    ///
    /// # Errors
    /// The system's.
    pub fn create() -> io::Result<Self> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        // Where that is refused (pipe(7)) fewer pieces are moved at once.
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        let file = memfd_create(c"deskd-round", MFdFlags::MFD_CLOEXEC)?;
        ftruncate(&file, MAP_BYTES.get() as i64)?;
        Self::of([read, write, file])
    }

    /// That of a keeper before, by its [descriptors](Self::fds).
    ///
    /// # Errors
    /// The system's.
    pub fn of([read, write, file]: [OwnedFd; 3]) -> io::Result<Self> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at no address of anybody's.
        let map = unsafe { mmap(None, MAP_BYTES, access, MapFlags::MAP_SHARED, &file, 0) }?;
        Ok(Self { read, write, file, map: map.cast() })
    }

    /// The pipe, and the file.
    #[must_use]
    pub fn fds(&self) -> [BorrowedFd<'_>; 3] {
        [self.read.as_fd(), self.write.as_fd(), self.file.as_fd()]
    }

    fn head(&self) -> &Head {
        // SAFETY: mapped, aligned to a page, made of atomics; all zeros is valid.
        unsafe { self.map.cast().as_ref() }
    }

    fn content(&self) -> NonNull<u8> {
        // SAFETY: within the mapping.
        unsafe { self.map.add(HEAD_BYTES) }
    }

    /// Takes what is in a program's pipe, one round's bytes at most; none: nobody can write any more. What was taken
    /// before has to be in the log, whose task this is; it ends at `cursor`.
    ///
    /// # Errors
    /// `EAGAIN`: nothing is there.
    pub fn take(
        &mut self,
        pipe: &OwnedFd,
        task: TaskKey,
        stream: Stream,
        cursor: u64,
    ) -> nix::Result<&[u8]> {
        let head = self.head();
        head.bytes.store(0, SeqCst);
        head.task.store(task.0, SeqCst);
        head.stream.store(u64::from(stream != Stream::Stdout), SeqCst);
        head.cursor.store(cursor, SeqCst);
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let moved = splice(pipe, None, &self.write, None, ROUND_BYTES, flags)
            .map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
        head.bytes.store(moved as u64, SeqCst);
        self.fill(0, moved);
        // SAFETY: within the mapping, and nobody writes there while this is borrowed.
        Ok(unsafe { std::slice::from_raw_parts(self.content().as_ptr(), moved) })
    }

    /// Reads what is in the pipe into the file, from one place to another.
    fn fill(&mut self, from: usize, to: usize) -> usize {
        let mut at = from;
        while at < to.min(ROUND_BYTES) {
            // SAFETY: within the mapping, and nobody else reads or writes there now.
            let rest = unsafe {
                let rest = self.content().add(at).as_ptr();
                std::slice::from_raw_parts_mut(rest, to.min(ROUND_BYTES) - at)
            };
            match read(&self.read, rest) {
                Ok(0) => break,
                Ok(count) => at += count,
                Err(Errno::EINTR) => {}
                // Never: they were moved there.
                Err(_) => break,
            }
        }
        at
    }

    /// What a keeper before was about to store when it was killed, if anything.
    pub fn left(&mut self) -> Option<Left> {
        let head = self.head();
        let task = TaskKey(head.task.load(SeqCst));
        let stream = if head.stream.load(SeqCst) == 0 { Stream::Stdout } else { Stream::Stderr };
        let cursor = head.cursor.load(SeqCst);
        let moved = usize::try_from(head.bytes.load(SeqCst)).ok()?.min(ROUND_BYTES);
        let waiting = usize::try_from(rustix::io::ioctl_fionread(&self.read).ok()?).ok()?;
        // Without a number nothing was read yet.
        let (from, to) =
            if moved == 0 { (0, waiting) } else { (moved.checked_sub(waiting)?, moved) };
        let end = self.fill(from, to);
        let mut bytes = vec![0; end];
        // SAFETY: both are of this size, and do not overlap.
        unsafe { ptr::copy_nonoverlapping(self.content().as_ptr(), bytes.as_mut_ptr(), end) };
        (end > 0).then_some(Left { task, stream, cursor, bytes })
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and nobody borrows from it any more.
        let _ = unsafe { munmap(self.map.cast(), MAP_BYTES.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Another keeper's view of the same descriptors.
    fn successor(round: &Round) -> Round {
        Round::of(round.fds().map(|fd| fd.try_clone_to_owned().unwrap())).unwrap()
    }

    fn pipe(text: &str) -> OwnedFd {
        let (read, write) = std::io::pipe().unwrap();
        (&write).write_all(text.as_bytes()).unwrap();
        read.into()
    }

    #[test]
    fn what_was_taken_is_left_until_more_is_taken() {
        let mut round = Round::create().unwrap();
        assert_eq!(successor(&round).left(), None);
        let key = TaskKey(7);
        assert_eq!(round.take(&pipe("one\ntwo"), key, Stream::Stderr, 100), Ok(&b"one\ntwo"[..]));
        let left = successor(&round).left().unwrap();
        assert_eq!((left.task, left.stream, left.cursor), (key, Stream::Stderr, 100));
        assert_eq!(left.bytes, b"one\ntwo");
        assert_eq!(round.take(&pipe(""), key, Stream::Stdout, 107), Ok(&b""[..]));
        assert_eq!(successor(&round).left(), None);
    }

    /// Wherever the keeper is killed between the move and the last byte that it reads.
    #[test]
    fn what_was_moved_and_not_or_half_read_is_left_too() {
        for (noted, read_before) in [(false, 0), (true, 0), (true, 3), (true, 7)] {
            let round = Round::create().unwrap();
            let flags = SpliceFlags::NONBLOCK;
            let source = pipe("one\ntwo");
            splice(&source, None, &round.write, None, ROUND_BYTES, flags).unwrap();
            round.head().cursor.store(5, SeqCst);
            if noted {
                round.head().bytes.store(7, SeqCst);
            }
            let mut other = successor(&round);
            assert_eq!(other.fill(0, read_before), read_before);
            assert_eq!(successor(&round).left().unwrap().bytes, b"one\ntwo", "{read_before}");
        }
    }
}
