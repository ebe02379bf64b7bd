//! One SysV shared memory segment that cannot outlive this process.
#![expect(unsafe_code, reason = "shmget, shmat, shmdt and shmctl have no safe wrapper")]

use std::ptr::NonNull;

use nix::errno::Errno;
use nix::libc;

/// A private segment (0600), attached here, already marked for removal: on Linux it can still be
/// attached by its id while it is attached here (`shmctl(2)`, IPC_RMID), and the kernel frees it
/// with the last detach, even after `kill -9`.
#[derive(Debug)]
pub(super) struct Segment {
    id: libc::c_int,
    memory: NonNull<u8>,
}

impl Segment {
    /// A segment that starts with `content`; on failure names the call.
    pub(super) fn new(content: &[u8]) -> Result<Self, (&'static str, Errno)> {
        // SAFETY: shmget takes no pointers.
        let id = unsafe { libc::shmget(libc::IPC_PRIVATE, content.len(), libc::IPC_CREAT | 0o600) };
        let id = Errno::result(id).map_err(|errno| ("shmget", errno))?;
        // SAFETY: a null address lets the kernel choose a free range.
        let address = unsafe { libc::shmat(id, std::ptr::null(), 0) };
        // shmat returns -1 on failure; errno is read before the next call can change it.
        let attached = if address.addr() == usize::MAX { Err(Errno::last()) } else { Ok(address) };
        // SAFETY: IPC_RMID does not use the buffer.
        let removed = unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
        let removed = Errno::result(removed);
        let memory = attached.map_err(|errno| ("shmat", errno))?;
        let memory = NonNull::new(memory.cast::<u8>()).ok_or(("shmat", Errno::EFAULT))?;
        let segment = Self { id, memory };
        removed.map_err(|errno| ("shmctl", errno))?;
        // SAFETY: the segment is at least `content.len()` bytes long, writable, fresh, and no
        // reference to it exists; X servers that attach it later only ever race on its bytes.
        unsafe {
            segment.memory.copy_from_nonoverlapping(NonNull::from(content).cast(), content.len())
        };
        Ok(segment)
    }

    /// What ShmAttach wants.
    pub(super) fn id(&self) -> u32 {
        self.id.cast_unsigned()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: `memory` is what shmat returned and is detached only here.
        unsafe { libc::shmdt(self.memory.as_ptr().cast()) };
    }
}
