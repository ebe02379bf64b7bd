//! The one place where the writer writes records to a file; in tests, where a disk can be full.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Writes.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// Bytes until the disk is full.
    #[cfg(test)]
    pub free_bytes: Option<usize>,
}

impl Disk {
    /// Writes all of `bytes` at `offset`, or as many as possible: returns how many, and why not all.
    pub(super) fn write_all(
        &mut self,
        file: &File,
        bytes: &[u8],
        offset: u64,
    ) -> (usize, Option<io::Error>) {
        let mut written = 0;
        while written < bytes.len() {
            match self.write(file, &bytes[written..], offset + written as u64) {
                Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Some(error)),
            }
        }
        (written, None)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in tests the disk has a size")]
    fn write(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(bytes, offset)
    }

    #[cfg(test)]
    fn write(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let Some(free) = &mut self.free_bytes else { return file.write_at(bytes, offset) };
        if *free == 0 {
            return Err(io::Error::from_raw_os_error(nix::libc::ENOSPC));
        }
        let written = file.write_at(&bytes[..bytes.len().min(*free)], offset)?;
        *free -= written;
        Ok(written)
    }
}
