//! Reading a task's log by cursor. Blocking file reads from the page cache, bounded per call.
//!
//! A reader holds the current segment open and its place in it, so following costs a few system
//! calls per read and no look at the directory while nothing changed. Because a segment is named
//! by the cursor at which its predecessor ends, the next one is found by its name. A file that is
//! unlinked meanwhile is still read to its end.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::record::{self, Gap, GapReason, RECORD_BYTES_MAX};
use super::segment::{self, Listing, Place};
use super::source::Source;
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
    pub(super) at: Option<Position>,
    /// When the directory was last listed without finding anything later: its mtime.
    listed: Option<(i64, i64)>,
    /// Working memory.
    pub(super) block: Vec<u8>,
}

/// Where the last read ended.
#[derive(Debug)]
pub(super) struct Position {
    /// Nothing while the segment does not exist yet.
    source: Option<Source>,
    start: u64,
    place: Place,
    /// How long the source was when it was last read, in bytes.
    read_of: u64,
}

/// What is at the position.
pub(super) enum Found {
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

    /// Goes on where there is more: in the same segment, mended, or in a later one; false when there
    /// is nothing.
    pub(super) fn advance(
        &mut self,
        at: &mut Position,
        found: &Found,
        gap: &mut Option<Gap>,
    ) -> Result<bool, ReadError> {
        let cursor = at.place.cursor;
        let begins_here = || segment::path(&self.dir, cursor).symlink_metadata().is_ok();
        if (at.source.is_none() || at.start != cursor) && begins_here() {
            match Source::open(&self.dir, cursor, self.next_after(cursor)?, &mut self.block) {
                Ok(source) => {
                    *at = Position::new(Some(source), cursor, Place { offset: 0, cursor });
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.io(error)),
            }
        }
        let Some(source) = &at.source else {
            *at = self.seek(cursor, gap)?;
            return Ok(at.source.is_some() || at.place.cursor != cursor);
        };
        let unlinked = source.is_unlinked().map_err(|error| self.io(error))?;
        let old = !unlinked && source.is_old().map_err(|error| self.io(error))?;
        if old || (matches!(found, Found::Damage) && !source.is_mended() && !unlinked) {
            let (bytes, start) = (source.bytes().map_err(|error| self.io(error))?, at.start);
            let was_mended = source.is_mended();
            *at = self.seek(cursor, gap)?;
            let more = match &at.source {
                Some(source) if at.start == start && was_mended => {
                    source.bytes().map_err(|error| self.io(error))? > bytes
                }
                // A file that is shorter than it was is not mended, and has no more.
                Some(source) => at.start != start || source.is_mended(),
                None => false,
            };
            return Ok(more || at.place.cursor != cursor);
        }
        let later = unlinked || self.has_later(at.start)?;
        // Seen from here, a later segment was begun after this one was complete, but not before it
        // was read: the writer may have filled it and gone on in between.
        if later && source.bytes().map_err(|error| self.io(error))? != at.read_of {
            return Ok(true);
        }
        if unlinked {
            let start = at.start;
            *at = self.seek(cursor, gap)?;
            let moved = at.place.cursor != cursor || at.start != start;
            return Ok(moved || at.source.is_some());
        }
        Ok(later && self.next_segment(at, gap)?)
    }

    /// Leaves a segment that was read to its end for the next one that there is.
    fn next_segment(
        &mut self,
        at: &mut Position,
        gap: &mut Option<Gap>,
    ) -> Result<bool, ReadError> {
        let (cursor, start) = (at.place.cursor, at.start);
        let listing = self.list()?;
        let later = listing.starts.iter().find(|later| **later > start);
        match later {
            // What is in between never came to a file, or is in one that was damaged.
            Some(&later) if later > cursor && listing.first() != later => {
                let next = self.next_after(later)?;
                let source = Source::open(&self.dir, later, next, &mut self.block);
                let source = match source {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        *at = self.seek(cursor, gap)?;
                        return Ok(at.place.cursor != cursor || at.start != start);
                    }
                    other => other.map_err(|error| self.io(error))?,
                };
                add_gap(gap, later - cursor, GapReason::Torn);
                let place = Place { offset: 0, cursor: later };
                *at = Position::new(Some(source), later, place);
                Ok(true)
            }
            // More was thought to be missing than was: what is there of it was passed over.
            Some(&later) if later < cursor => {
                let source = self.open_segment(later, listing.next_after(later))?;
                let place = self.walk(&source, Place { offset: 0, cursor: later }, cursor)?;
                let there = place.cursor >= cursor;
                if there {
                    add_gap(gap, place.cursor - cursor, GapReason::Damaged);
                    *at = Position::new(Some(source), later, place);
                }
                Ok(there)
            }
            _ => {
                *at = self.seek(cursor, gap)?;
                Ok(at.place.cursor != cursor || at.start != start)
            }
        }
    }

    /// Where the first segment after `start` begins.
    fn next_after(&self, start: u64) -> Result<Option<u64>, ReadError> {
        Ok(self.list()?.next_after(start))
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
            add_gap(gap, missing.dropped_bytes, missing.reason);
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
            return Ok((Position::new(None, first, place), gap));
        };
        let next = listing.starts.get(after).copied();
        let source = self.open_segment(start, next)?;
        let from = Place { offset: 0, cursor: start };
        let place = self.walk(&source, from, target)?;
        let mut gap = gap;
        if place.cursor > target && source.is_mended() {
            // It was a record's once, or what was known of the damage has changed.
            add_gap(&mut gap, place.cursor - target, GapReason::Damaged);
        } else if place.cursor > target {
            let end = self.end_of(listing)?.map_or(first, |(_, place)| place.cursor);
            return Err(ReadError::BadCursor { cursor, first, end });
        } else if place.cursor < target {
            // Only in the last one: every other is mended to where the next begins.
            return Err(ReadError::BadCursor { cursor, first, end: place.cursor });
        }
        Ok((Position::new(Some(source), start, place), gap))
    }

    /// The last segment and the place where it ends.
    pub(super) fn end_of(
        &mut self,
        listing: &Listing,
    ) -> Result<Option<(Source, Place)>, ReadError> {
        let Some(&start) = listing.starts.last() else { return Ok(None) };
        let source = self.open_segment(start, None)?;
        let place = self.walk(&source, Place { offset: 0, cursor: start }, u64::MAX)?;
        Ok(Some((source, place)))
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

    pub(super) fn open_segment(
        &mut self,
        start: u64,
        next: Option<u64>,
    ) -> Result<Source, ReadError> {
        Source::open(&self.dir, start, next, &mut self.block)
            .map_err(|source| ReadError::Io { path: segment::path(&self.dir, start), source })
    }

    fn walk(&mut self, source: &Source, from: Place, until: u64) -> Result<Place, ReadError> {
        let walked = segment::walk(source, from, until, &mut self.block);
        walked.map(|(place, _)| place).map_err(|error| self.io(error))
    }

    pub(super) fn io(&self, source: io::Error) -> ReadError {
        ReadError::Io { path: self.dir.clone(), source }
    }
}

impl Position {
    fn new(source: Option<Source>, start: u64, place: Place) -> Self {
        Self { source, start, place, read_of: 0 }
    }

    /// Appends records to `out` and moves behind them.
    fn read(&mut self, bytes_max: usize, out: &mut Vec<u8>) -> io::Result<Found> {
        let Some(source) = &self.source else { return Ok(Found::End) };
        let base = out.len();
        self.read_of = source.bytes()?;
        let Some(there) = self.read_of.checked_sub(self.place.offset) else {
            return Ok(Found::Damage);
        };
        let there = usize::try_from(there).unwrap_or(usize::MAX);
        let mut want = there.min(bytes_max.clamp(1, READ_BYTES_MAX));
        out.resize(base + want, 0);
        let mut got = source.read_at(&mut out[base..], self.place.offset)?;
        let mut whole = memchr::memrchr(b'\n', &out[base..base + got]).map_or(0, |at| at + 1);
        if whole == 0 && want < there && want < RECORD_BYTES_MAX {
            want = there.min(RECORD_BYTES_MAX);
            out.resize(base + want, 0);
            got = source.read_at(&mut out[base..], self.place.offset)?;
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

fn add_gap(gap: &mut Option<Gap>, bytes: u64, reason: GapReason) {
    if bytes == 0 {
        return;
    }
    let before = gap.as_ref().map_or(0, |gap| gap.dropped_bytes);
    *gap = Some(Gap { dropped_bytes: before.saturating_add(bytes), reason });
}
