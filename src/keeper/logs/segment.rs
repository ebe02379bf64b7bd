//! The files of one task's log: their names, their list, and walking over their records.
//!
//! Shared by writer and readers; nothing here changes a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

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
        if let Some(start) = entry?.file_name().to_str().and_then(start_of) {
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
    digits.parse().ok()
}

fn read_dropped(dir: &Path) -> Option<Gap> {
    let path = dropped_path(dir);
    if std::fs::metadata(&path).ok()?.len() > DROPPED_FILE_BYTES_MAX {
        return None;
    }
    let bytes = std::fs::read(path).ok()?;
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
/// no more. `block` is working memory.
pub(super) fn walk(file: &File, from: Place, until: u64, block: &mut Vec<u8>) -> io::Result<Place> {
    let mut place = from;
    block.resize(BLOCK_BYTES, 0);
    while place.cursor < until {
        let got = read_at(file, block, place.offset)?;
        let mut rest = &block[..got];
        let before = place;
        while place.cursor < until
            && let Some(newline) = memchr::memchr(b'\n', rest)
        {
            let Ok(output) = record::output_bytes(&rest[..newline]) else { return Ok(place) };
            place.offset += newline as u64 + 1;
            place.cursor = place.cursor.saturating_add(output);
            rest = &rest[newline + 1..];
        }
        if place == before {
            break;
        }
    }
    Ok(place)
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
