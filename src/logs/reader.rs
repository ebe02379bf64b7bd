//! Reading a task's log by cursor. Blocking file reads from the page cache, bounded per call.

use std::path::Path;

use super::record::Gap;
use crate::domain::id::TaskId;

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
    #[error("cursor {cursor} is not the start of a record (the log reaches from {first} to {end})")]
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
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Reads one task's log; keeps the current segment open between calls.
#[derive(Debug)]
pub struct LogReader {}

impl LogReader {
    /// Opens the log of `task` below `logs_dir` (`<state>/logs`).
    pub fn open(_logs_dir: &Path, _task: &TaskId) -> Result<Self, ReadError> {
        unimplemented!()
    }

    /// What is there now.
    pub fn bounds(&mut self) -> Result<Bounds, ReadError> {
        unimplemented!()
    }

    /// Appends to `out` whole records from `cursor` on, at most `bytes_max` bytes (but at least one
    /// record when there is one), as raw CRI bytes. `next == from` means: nothing there yet.
    pub fn read(
        &mut self,
        _cursor: u64,
        _bytes_max: usize,
        _out: &mut Vec<u8>,
    ) -> Result<Chunk, ReadError> {
        unimplemented!()
    }

    /// The cursor at which the last `lines` lines begin (`F` records count as line ends, over both
    /// streams; a piece at the end counts as a line).
    pub fn tail(&mut self, _lines: u64) -> Result<u64, ReadError> {
        unimplemented!()
    }
}
