//! The bytes of one segment as a reader takes them: the file, or, where that is damaged, what is
//! left of it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::libc;

use super::mend::mend;
use super::segment::{self, Place, SEGMENT_FILE_BYTES_MAX};
use crate::files::{self, Links};

/// Not because there was no descriptor or no memory for a moment.
pub(super) fn is_for_good(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::PermissionDenied, io::ErrorKind::InvalidInput];
    let of_disk = [libc::EIO, libc::EUCLEAN, libc::EBADMSG];
    kinds.contains(&error.kind()) || error.raw_os_error().is_some_and(|it| of_disk.contains(&it))
}

/// What stands for a segment that cannot be read: damage.
const UNREADABLE: &[u8] = b"?\n";

/// See the module.
#[derive(Debug)]
pub(super) enum Source {
    /// As it is.
    File(File),
    /// Damaged: its records, and gaps.
    Mended {
        /// What is left.
        bytes: Vec<u8>,
        /// The file, if it can be read, and how long it was.
        file: Option<File>,
        file_bytes: u64,
    },
}

impl Source {
    /// Opens the segment of `dir` that begins at `start`; `next`: where the one after it does, if
    /// there is one. Walks over it, to know whether it is whole. One that cannot be read (its sectors, or its
    /// mode) is missing, and no reason not to read the others. `block` is working memory.
    pub(super) fn open(
        dir: &Path,
        start: u64,
        next: Option<u64>,
        block: &mut Vec<u8>,
    ) -> io::Result<Self> {
        match Self::read(dir, start, next, block) {
            Err(error) if is_for_good(&error) => {
                let segment = segment::path(dir, start);
                tracing::warn!("{} cannot be read: {error}", segment.display());
                let bytes = mend(UNREADABLE, next.map(|next| next - start)).bytes;
                Ok(Self::Mended { bytes, file: None, file_bytes: 0 })
            }
            other => other,
        }
    }

    fn read(dir: &Path, start: u64, next: Option<u64>, block: &mut Vec<u8>) -> io::Result<Self> {
        let file = files::open(&segment::path(dir, start), Links::Refuse)?;
        let file_bytes = file.metadata()?.len();
        let from = Place { offset: 0, cursor: start };
        let (end, damaged) = segment::walk(&Self::File(file.try_clone()?), from, u64::MAX, block)?;
        // A list may have missed the very next one.
        let ends_there = |next| next == end.cursor || segment::path(dir, end.cursor).is_file();
        let whole = next.is_none_or(|next| ends_there(next) && end.offset == file_bytes);
        if whole && !damaged {
            return Ok(Self::File(file));
        }
        let mut bytes = Vec::new();
        (&file).take(SEGMENT_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        let bytes = mend(&bytes, next.map(|next| next - start)).bytes;
        Ok(Self::Mended { bytes, file: Some(file), file_bytes })
    }

    /// Its length, in bytes.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Mended { bytes, .. } => Ok(bytes.len() as u64),
        }
    }

    /// pread(2).
    pub(super) fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => segment::read_at(file, into, offset),
            Self::Mended { bytes, .. } => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let count = into.len().min(bytes.len() - offset);
                into[..count].copy_from_slice(&bytes[offset..offset + count]);
                Ok(count)
            }
        }
    }

    /// The file behind it was removed.
    pub(super) fn is_unlinked(&self) -> io::Result<bool> {
        match self {
            Self::File(file) | Self::Mended { file: Some(file), .. } => {
                Ok(file.metadata()?.nlink() == 0)
            }
            Self::Mended { file: None, .. } => Ok(false),
        }
    }

    /// The file grew since it was mended.
    pub(super) fn is_old(&self) -> io::Result<bool> {
        match self {
            Self::Mended { file: Some(file), file_bytes, .. } => {
                Ok(file.metadata()?.len() != *file_bytes)
            }
            Self::File(_) | Self::Mended { file: None, .. } => Ok(false),
        }
    }

    /// Damaged.
    pub(super) fn is_mended(&self) -> bool {
        matches!(self, Self::Mended { .. })
    }
}
