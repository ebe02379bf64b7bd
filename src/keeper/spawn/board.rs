//! A page that the keeper and a starter share: how far each start is.
//!
//! What is written there wakes nobody, and is there also when the starter is not any more. The kernel
//! itself notes a new process before that can run (`CLONE_PARENT_SETTID`). So the keeper can tell a start
//! that was never begun from one that was not answered, and knows whose process it is that ended before
//! the answer arrived.

#![expect(unsafe_code, reason = "memory that two processes share")]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::ftruncate;

/// Starts that a starter has at once.
pub const SLOTS: usize = 32;

/// One start.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Its process, from the moment on at which there is one; 0: none yet.
    pub(super) pid: AtomicI32,
    /// What failed in that process before its program ran: an errno, the step, and which of its items.
    pub(super) errno: AtomicI32,
    pub(super) step: AtomicU32,
    pub(super) index: AtomicU32,
    /// When the process was about to execute its program, in nanoseconds of the monotonic clock.
    pub(super) executing: AtomicU64,
}

impl Slot {
    /// For another start.
    pub(super) fn clear(&self) {
        self.pid.store(0, Relaxed);
        self.errno.store(0, Relaxed);
    }

    /// How far a start is.
    pub(super) fn progress(&self) -> Progress {
        let pid = self.pid.load(SeqCst).unsigned_abs();
        match (pid, self.errno.load(SeqCst)) {
            (0, _) => Progress::NotBegun,
            (pid, 0) => Progress::Begun(pid),
            (pid, errno) => Progress::Failed { pid, errno },
        }
    }
}

/// How far a start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// No process was made.
    NotBegun,
    /// There is one, and nothing failed in it so far.
    Begun(u32),
    /// There was one, which could not execute its program.
    Failed {
        /// Its pid.
        pid: u32,
        /// Why.
        errno: i32,
    },
}

/// The page.
#[derive(Debug)]
pub(super) struct Board(NonNull<[Slot; SLOTS]>);

// SAFETY: a slot is made of atomics, and the mapping lives as long as its owner.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}

impl Board {
    /// A new one, and the memory file with which a starter maps it.
    pub(super) fn create() -> io::Result<(Self, OwnedFd)> {
        let file = memfd_create(c"deskd-starts", MFdFlags::MFD_CLOEXEC)?;
        ftruncate(&file, size_of::<[Slot; SLOTS]>() as i64)?;
        Ok((Self::map(file.as_fd())?, file))
    }

    /// The one in this memory file, which has its size.
    pub(super) fn map(file: impl AsFd) -> io::Result<Self> {
        const BYTES: NonZeroUsize = NonZeroUsize::new(size_of::<[Slot; SLOTS]>()).unwrap();
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at no address of anybody's.
        let mapped = unsafe { mmap(None, BYTES, access, MapFlags::MAP_SHARED, file, 0) }?;
        // All zeros is a valid slot.
        Ok(Self(mapped.cast()))
    }

    /// The slot with this number, if there is one.
    pub(super) fn slot(&self, number: u32) -> Option<&Slot> {
        // SAFETY: mapped, of this size, and made of atomics.
        let slots = unsafe { self.0.as_ref() };
        slots.get(number as usize)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and nobody borrows from it any more.
        let _ = unsafe { munmap(self.0.cast(), size_of::<[Slot; SLOTS]>()) };
    }
}
