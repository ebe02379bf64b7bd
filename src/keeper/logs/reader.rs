//! Reading a task's log by cursor. Blocking file reads from the page cache, bounded per call.
//!
//! A reader holds the current segment open and its place in it, so following costs a few system
//! calls per read and no look at the directory while nothing changed. Because a segment is named
//! by the cursor at which its predecessor ends, the next one is found by its name. A file that is
//! unlinked meanwhile is still read to its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::record::{self, Gap, GapReason, RECORD_BYTES_MAX};
use super::segment::{self, Listing, Place};
use deskd_core::id::TaskId;

/// Most bytes one read returns, whatever is asked for.
pub const READ_BYTES_MAX: usize = 1 << 20;
/// How often a place is looked for again when the writer drops the segment it is in.
const SEEK_TRIES_MAX: usize = 16;

/// What is in the store now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Cursor of the oldest record.
    pub first: u64,
    /// Where the next record will begin.
    pub end: u64,
}

/// The outcome of one read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Cursor of the first byte that was read (after a gap: later than what was asked for).
    pub from: u64,
    /// Cursor to read from next.
    pub next: u64,
    /// What was dropped between the cursor asked for and `from`.
    pub gap: Option<Gap>,
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The task has no log.
    #[error("there is no log of task {0}")]
    NoLog(TaskId),
    /// The cursor lies beyond the end or inside a record.
    #[error("cursor {cursor} is not the start of a record (the log has bytes {first} to {end})")]
    BadCursor {
        /// As asked.
        cursor: u64,
        /// Oldest.
        first: u64,
        /// End.
        end: u64,
    },
    /// A file operation failed.
    #[error("cannot read the log in {path}")]
    Io {
        /// Directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Reads one task's log; keeps the current segment open between calls.
#[derive(Debug)]
pub struct LogReader {
    pub(super) dir: PathBuf,
    task: TaskId,
    at: Option<Position>,
    /// When the directory was last listed without finding anything later: its mtime.
    listed: Option<(i64, i64)>,
    /// Working memory.
    pub(super) block: Vec<u8>,
}

/// Where the last read ended.
#[derive(Debug)]
struct Position {
    /// Nothing while the segment does not exist yet.
    file: Option<File>,
    start: u64,
    place: Place,
}

/// What is at the position.
enum Found {
    Records,
    /// Nothing, or a record that is being written.
    End,
    /// Something that is not a record, or less than there was.
    Damage,
}

impl LogReader {
    /// Opens the log of `task` below `logs_dir` (`<state>/logs`).
    pub fn open(logs_dir: &Path, task: &TaskId) -> Result<Self, ReadError> {
        let dir = logs_dir.join(task.as_str());
        if !dir.is_dir() {
            return Err(ReadError::NoLog(task.clone()));
        }
        Ok(Self { dir, task: task.clone(), at: None, listed: None, block: Vec::new() })
    }

    /// What is there now. Reads at most the last segment.
    pub fn bounds(&mut self) -> Result<Bounds, ReadError> {
        self.retrying(|reader| {
            let listing = reader.list()?;
            let end = reader.end_of(&listing)?.map_or(listing.first(), |(_, place)| place.cursor);
            Ok(Bounds { first: listing.first(), end })
        })
    }

    /// Appends to `out` whole records from `cursor` on, at most `bytes_max` bytes (but at least one
    /// record when there is one; never more than [`READ_BYTES_MAX`]), as raw CRI bytes. Less than
    /// asked for does not mean that there is no more: `next == from` without a gap does.
    pub fn read(
        &mut self,
        cursor: u64,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<Chunk, ReadError> {
        let mut gap = None;
        let mut at = match self.at.take() {
            Some(at) if at.place.cursor == cursor => at,
            _ => self.seek(cursor, &mut gap)?,
        };
        // Each turn goes to a later segment, and a log has finitely many.
        loop {
            let from = at.place.cursor;
            let found = at.read(bytes_max, out).map_err(|error| self.io(error))?;
            if matches!(found, Found::Records) || !self.advance(&mut at, &found, &mut gap)? {
                let next = at.place.cursor;
                self.at = Some(at);
                return Ok(Chunk { from, next, gap });
            }
        }
    }

    /// Goes to a later segment; false when there is none.
    fn advance(
        &mut self,
        at: &mut Position,
        found: &Found,
        gap: &mut Option<Gap>,
    ) -> Result<bool, ReadError> {
        let cursor = at.place.cursor;
        if at.file.is_none() || at.start != cursor {
            match File::open(segment::path(&self.dir, cursor)) {
                Ok(file) => {
                    let place = Place { offset: 0, cursor };
                    *at = Position { file: Some(file), start: cursor, place };
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.io(error)),
            }
        }
        let unlinked = match &at.file {
            Some(file) => file.metadata().map_err(|error| self.io(error))?.nlink() == 0,
            None => true,
        };
        if !unlinked && !matches!(found, Found::Damage) && !self.has_later(at.start)? {
            return Ok(false);
        }
        let (start, was_there) = (at.start, at.file.is_some());
        *at = self.seek(cursor, gap)?;
        let moved = at.place.cursor != cursor || at.start != start;
        Ok(moved || (unlinked && was_there && at.file.is_some()))
    }

    /// Whether a segment after `start` exists whose name is not where this one ends: after a crash
    /// of the machine. Lists the directory only when it has changed.
    fn has_later(&mut self, start: u64) -> Result<bool, ReadError> {
        let meta = match std::fs::metadata(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            other => other.map_err(|error| self.io(error))?,
        };
        let changed = Some((meta.mtime(), meta.mtime_nsec()));
        if self.listed == changed {
            return Ok(false);
        }
        let later = self.list()?.starts.last().is_some_and(|last| *last > start);
        self.listed = if later { None } else { changed };
        Ok(later)
    }

    /// Finds the place of `cursor`; what is missing there is added to `gap`.
    fn seek(&mut self, cursor: u64, gap: &mut Option<Gap>) -> Result<Position, ReadError> {
        let (position, missing) = self.retrying(|reader| {
            let listing = reader.list()?;
            reader.locate(cursor, &listing)
        })?;
        if let Some(missing) = missing {
            let before = gap.as_ref().map_or(0, |gap| gap.dropped_bytes);
            let dropped_bytes = before + missing.dropped_bytes;
            *gap = Some(Gap { dropped_bytes, reason: missing.reason });
        }
        Ok(position)
    }

    fn locate(
        &mut self,
        cursor: u64,
        listing: &Listing,
    ) -> Result<(Position, Option<Gap>), ReadError> {
        let first = listing.first();
        let target = cursor.max(first);
        let gap = (cursor < first)
            .then(|| Gap { dropped_bytes: first - cursor, reason: listing.reason() });
        let after = listing.starts.partition_point(|start| *start <= target);
        let Some(start) = after.checked_sub(1).map(|index| listing.starts[index]) else {
            // No segment at all.
            if target > first {
                return Err(ReadError::BadCursor { cursor, first, end: first });
            }
            let place = Place { offset: 0, cursor: first };
            return Ok((Position { file: None, start: first, place }, gap));
        };
        let file = self.open_segment(start)?;
        let from = Place { offset: 0, cursor: start };
        let place = self.walk(&file, from, target)?;
        if place.cursor > target {
            let end = self.end_of(listing)?.map_or(first, |(_, place)| place.cursor);
            return Err(ReadError::BadCursor { cursor, first, end });
        }
        let Some(&next) = listing.starts.get(after) else {
            if place.cursor < target {
                return Err(ReadError::BadCursor { cursor, first, end: place.cursor });
            }
            return Ok((Position { file: Some(file), start, place }, gap));
        };
        let more = self.walk(&file, place, target.saturating_add(1))?;
        if more != place {
            return Ok((Position { file: Some(file), start, place }, gap));
        }
        // The segment ends at or before the target, and the next one begins after it.
        if place.cursor == target && segment::path(&self.dir, target).exists() {
            return Ok((Position { file: Some(file), start, place }, gap));
        }
        let file = self.open_segment(next)?;
        let torn = next - target + gap.as_ref().map_or(0, |gap| gap.dropped_bytes);
        let gap = Gap { dropped_bytes: torn, reason: GapReason::Torn };
        let place = Place { offset: 0, cursor: next };
        Ok((Position { file: Some(file), start: next, place }, Some(gap)))
    }

    /// The last segment and the place where it ends.
    pub(super) fn end_of(&mut self, listing: &Listing) -> Result<Option<(File, Place)>, ReadError> {
        let Some(&start) = listing.starts.last() else { return Ok(None) };
        let file = self.open_segment(start)?;
        let place = self.walk(&file, Place { offset: 0, cursor: start }, u64::MAX)?;
        Ok(Some((file, place)))
    }

    /// Does `look` again when a segment it wanted was dropped meanwhile.
    pub(super) fn retrying<T>(
        &mut self,
        mut look: impl FnMut(&mut Self) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let mut tries_left = SEEK_TRIES_MAX;
        loop {
            tries_left -= 1;
            match look(self) {
                Err(ReadError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && tries_left > 0 => {}
                other => return other,
            }
        }
    }

    pub(super) fn list(&self) -> Result<Listing, ReadError> {
        segment::list(&self.dir).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ReadError::NoLog(self.task.clone()),
            _ => self.io(error),
        })
    }

    pub(super) fn open_segment(&self, start: u64) -> Result<File, ReadError> {
        let path = segment::path(&self.dir, start);
        File::open(&path).map_err(|source| ReadError::Io { path, source })
    }

    fn walk(&mut self, file: &File, from: Place, until: u64) -> Result<Place, ReadError> {
        segment::walk(file, from, until, &mut self.block).map_err(|error| self.io(error))
    }

    pub(super) fn io(&self, source: io::Error) -> ReadError {
        ReadError::Io { path: self.dir.clone(), source }
    }
}

impl Position {
    /// Appends records to `out` and moves behind them.
    fn read(&mut self, bytes_max: usize, out: &mut Vec<u8>) -> io::Result<Found> {
        let Some(file) = &self.file else { return Ok(Found::End) };
        let base = out.len();
        let Some(there) = file.metadata()?.len().checked_sub(self.place.offset) else {
            return Ok(Found::Damage);
        };
        let there = usize::try_from(there).unwrap_or(usize::MAX);
        let mut want = there.min(bytes_max.clamp(1, READ_BYTES_MAX));
        out.resize(base + want, 0);
        let mut got = segment::read_at(file, &mut out[base..], self.place.offset)?;
        let mut whole = memchr::memrchr(b'\n', &out[base..base + got]).map_or(0, |at| at + 1);
        if whole == 0 && want < there && want < RECORD_BYTES_MAX {
            want = there.min(RECORD_BYTES_MAX);
            out.resize(base + want, 0);
            got = segment::read_at(file, &mut out[base..], self.place.offset)?;
            whole = memchr::memchr(b'\n', &out[base..base + got]).map_or(0, |at| at + 1);
        }
        let mut rest = &out[base..base + whole];
        let before = self.place;
        while let Some(newline) = memchr::memchr(b'\n', rest) {
            let Ok(output) = record::output_bytes(&rest[..newline]) else { break };
            self.place.offset += newline as u64 + 1;
            self.place.cursor = self.place.cursor.saturating_add(output);
            rest = &rest[newline + 1..];
        }
        let kept = whole - rest.len();
        let damage = !rest.is_empty() || got >= RECORD_BYTES_MAX;
        out.truncate(base + kept);
        Ok(match (self.place == before, damage) {
            (false, _) => Found::Records,
            (true, true) => Found::Damage,
            (true, false) => Found::End,
        })
    }
}
