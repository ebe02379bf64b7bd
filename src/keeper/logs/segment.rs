//! The files of one task's log: their names, their list, and walking over their records.
//!
//! Shared by writer and readers; nothing here changes a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::source::Source;
use crate::files::{self, Links};

use super::record::{self, Gap, GapReason, RECORD_BYTES_MAX, Records, Tag};

/// Holds one gap record for everything the limits dropped: the output from 0 up to the first
/// segment. Sorts before all segments, so `cat *.log` shows it first.
const DROPPED_FILE: &str = "00000000000000000000-dropped.log";
/// Written first, then renamed: readers never see half a gap.
const DROPPED_TEMPORARY: &str = "dropped.tmp";
/// Bytes read at a time when walking over records; more than a record.
pub(super) const BLOCK_BYTES: usize = 64 << 10;
/// Largest "dropped" file that is believed, in bytes.
const DROPPED_FILE_BYTES_MAX: u64 = 4096;
/// Largest segment that is believed, in bytes; none that was written comes near.
pub(super) const SEGMENT_FILE_BYTES_MAX: u64 = 4 << 20;
/// Largest cursor that is believed: an exbibyte.
const CURSOR_MAX: u64 = 1 << 60;
/// How often a list that changed while it was made is made again.
const LIST_TRIES_MAX: usize = 8;

const _: () = assert!(BLOCK_BYTES > RECORD_BYTES_MAX);

/// The path of the segment of `dir` that begins at `start`.
pub(super) fn path(dir: &Path, start: u64) -> PathBuf {
    dir.join(format!("{start:020}.log"))
}

/// The path of the gap record of dropped segments.
pub(super) fn dropped_path(dir: &Path) -> PathBuf {
    dir.join(DROPPED_FILE)
}

/// Where that record is written before it is renamed.
pub(super) fn dropped_temporary(dir: &Path) -> PathBuf {
    dir.join(DROPPED_TEMPORARY)
}

/// What a task's directory holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Starts of the segments that count, ascending.
    pub starts: Vec<u64>,
    /// Starts of segments that are inside the dropped range: a drop that was interrupted.
    pub stale: Vec<u64>,
    /// What was dropped before the first segment.
    pub dropped: Option<Gap>,
}

impl Listing {
    /// Cursor of the oldest record (or where it will be).
    pub(super) fn first(&self) -> u64 {
        self.starts.first().copied().unwrap_or_else(|| self.dropped_end())
    }

    /// Why the output before [`Self::first`] is missing.
    pub(super) fn reason(&self) -> GapReason {
        self.dropped.as_ref().map_or(GapReason::TaskLimit, |gap| gap.reason)
    }

    /// Where the first segment after `start` begins.
    pub(super) fn next_after(&self, start: u64) -> Option<u64> {
        let after = self.starts.partition_point(|other| *other <= start);
        self.starts.get(after).copied()
    }

    fn dropped_end(&self) -> u64 {
        self.dropped.as_ref().map_or(0, |gap| gap.dropped_bytes)
    }
}

/// Lists `dir`. The list may be a moment old, but it has no holes that the log does not have.
pub(super) fn list(dir: &Path) -> io::Result<Listing> {
    let mut tries_left = LIST_TRIES_MAX;
    loop {
        let listing = list_once(dir)?;
        tries_left -= 1;
        // A directory is not read atomically: the segment after the dropped range may exist and
        // have been missed. (It may also be missing because the disk was too full for the gap.)
        let expected = listing.dropped_end();
        let missed = listing.first() != expected && path(dir, expected).exists();
        if !missed || tries_left == 0 {
            return Ok(listing);
        }
    }
}

fn list_once(dir: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // Whatever else has such a name is none of ours, and may keep whoever opens it waiting.
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if let (true, Some(start)) = (is_file, entry.file_name().to_str().and_then(start_of)) {
            listing.starts.push(start);
        }
    }
    listing.starts.sort_unstable();
    // After the names: a segment dropped meanwhile is then inside the dropped range.
    listing.dropped = read_dropped(dir);
    let stale = listing.starts.partition_point(|start| *start < listing.dropped_end());
    listing.stale = listing.starts.drain(..stale).collect();
    Ok(listing)
}

fn start_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then_some(())?;
    digits.parse().ok().filter(|start| *start <= CURSOR_MAX)
}

/// Sets aside what has the name of a file of a log and is none: no regular file, or larger than any. Files
/// that their mode keeps from deskd are mended. For the writer alone.
pub(super) fn set_aside_strangers(dir: &Path) -> io::Result<()> {
    files::regain(dir);
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        if start_of(name).is_none() && name != DROPPED_FILE {
            continue;
        }
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        let why = match (metadata.is_file(), metadata.len() > SEGMENT_FILE_BYTES_MAX) {
            (false, _) => "it is not a regular file",
            (true, true) => "it is larger than any segment",
            (true, false) => {
                if metadata.mode() & 0o600 != 0o600 {
                    files::regain(&entry.path());
                }
                continue;
            }
        };
        files::set_aside(&entry.path(), &io::Error::other(why))?;
    }
    Ok(())
}

fn read_dropped(dir: &Path) -> Option<Gap> {
    let bytes = files::read(&dropped_path(dir), DROPPED_FILE_BYTES_MAX, Links::Refuse).ok()?;
    match Records::new(&bytes, 0).next()?.ok()?.tag {
        Tag::Gap(gap) => Some(gap),
        Tag::Full | Tag::Partial => None,
    }
}

/// A place between two records of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Byte in the file.
    pub offset: u64,
    /// Cursor of the record that begins (or will begin) there.
    pub cursor: u64,
}

/// Walks over whole, valid records from `from` until the cursor is at least `until`, or there are
/// no more; says whether that is because of something that is no record. `block` is working memory.
pub(super) fn walk(
    source: &Source,
    from: Place,
    until: u64,
    block: &mut Vec<u8>,
) -> io::Result<(Place, bool)> {
    let mut place = from;
    block.resize(BLOCK_BYTES, 0);
    while place.cursor < until {
        let got = source.read_at(block, place.offset)?;
        let mut rest = &block[..got];
        let before = place;
        while place.cursor < until
            && let Some(newline) = memchr::memchr(b'\n', rest)
        {
            let Ok(output) = record::output_bytes(&rest[..newline]) else {
                return Ok((place, true));
            };
            place.offset += newline as u64 + 1;
            place.cursor = place.cursor.saturating_add(output);
            rest = &rest[newline + 1..];
        }
        if place == before {
            return Ok((place, got >= RECORD_BYTES_MAX));
        }
    }
    Ok((place, false))
}

/// pread(2) that is not disturbed by signals.
pub(super) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(bytes, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
