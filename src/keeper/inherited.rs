//! Descriptors that a process was started with, by their numbers.

#![expect(unsafe_code, reason = "a number becomes a descriptor that is owned")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::libc;

use crate::link::INHERITED_FD_MIN;

/// The stream socket that this process inherited as `fd`. Nobody else must own it: to be called once, at the start.
pub fn socket(fd: RawFd) -> io::Result<UnixStream> {
    let owned = owned(fd)?;
    let stream = UnixStream::from(owned);
    // Only a socket has a peer.
    stream.peer_addr()?;
    Ok(stream)
}

/// A duplicate that no program inherits, and whose number is none of those that are inherited: one that is not there
/// is not taken for one that was taken before. `fd` itself is closed.
pub(crate) fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: duplicates whatever has that number, if anything has; the new number is owned by nobody yet.
    let copy = unsafe {
        match libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, INHERITED_FD_MIN) {
            -1 => return Err(io::Error::last_os_error()),
            copy => OwnedFd::from_raw_fd(copy),
        }
    };
    // It was open a moment ago, and closing cannot be done better when it fails.
    let _ = nix::unistd::close(fd);
    Ok(copy)
}
