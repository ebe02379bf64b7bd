//! Reading a log for many followers at once.
//!
//! All followers of a task that are at the same cursor get the same encoded bytes: one read, one
//! encoding. Followers are also paced together: with N of them, each gets an event at most every
//! N times [`SPACING_US`], so that followers of a busy task cost a bounded share of a core however
//! many there are, while a lone follower sees each line at once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::Bytes;

use super::encode;
use super::error::ApiError;
use super::limits::CHUNK_BYTES_MAX;
use crate::supervisor::Handle;
use deskd_core::id::TaskId;
use deskd_keeper::logs::{LogReader, ReadError};

/// Encoded chunks kept per followed task.
const CHUNKS_MAX: usize = 4;
/// Time per follower between two events of a busy log, in microseconds.
pub const SPACING_US: u64 = 100;

/// What one read brought.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Where to read on; the same as asked: nothing there yet.
    pub next: u64,
    /// Events.
    pub bytes: Bytes,
    /// The rest is half a character.
    pub held_back: bool,
}

/// The followed logs.
#[derive(Debug, Default)]
pub struct Feeds {
    open: Mutex<HashMap<TaskId, Weak<Feed>>>,
}

/// One followed log.
#[derive(Debug)]
pub struct Feed {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    reader: LogReader,
    scratch: Vec<u8>,
    chunks: VecDeque<(u64, Piece)>,
}

impl Feeds {
    /// The feed of a task; opened by its first follower, closed with its last.
    pub fn open(&self, handle: &Handle, task: &TaskId) -> Result<Arc<Feed>, ApiError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = open.get(task).and_then(Weak::upgrade) {
            return Ok(feed);
        }
        open.retain(|_, feed| feed.strong_count() > 0);
        let feed = Arc::new(Feed::new(handle.log_reader(task)?));
        open.insert(task.clone(), Arc::downgrade(&feed));
        Ok(feed)
    }
}

impl Feed {
    fn new(reader: LogReader) -> Self {
        let inner = Inner { reader, scratch: Vec::new(), chunks: VecDeque::new() };
        Self { inner: Mutex::new(inner) }
    }

    /// Where to begin: `from`, or the last `tail` lines, or the oldest record.
    pub fn start(&self, from: Option<u64>, tail: Option<u64>) -> Result<u64, ReadError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match (from, tail) {
            (Some(cursor), _) => {
                // Asked now, so that a wrong cursor is refused before the stream begins.
                let inner = &mut *inner;
                inner.scratch.clear();
                inner.reader.read(cursor, 1, &mut inner.scratch)?;
                Ok(cursor)
            }
            (None, Some(lines)) => inner.reader.tail(lines),
            (None, None) => Ok(inner.reader.bounds()?.first),
        }
    }

    /// Where the log ends now.
    pub fn end(&self) -> Result<u64, ReadError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(inner.reader.bounds()?.end)
    }

    /// The events from `cursor` on.
    pub fn read(&self, cursor: u64, force: bool) -> Result<Piece, ReadError> {
        let inner = &mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, piece)) = inner.chunks.iter().find(|(from, _)| *from == cursor) {
            return Ok(piece.clone());
        }
        inner.scratch.clear();
        let chunk = inner.reader.read(cursor, CHUNK_BYTES_MAX, &mut inner.scratch)?;
        let mut out = Vec::with_capacity(inner.scratch.len() + inner.scratch.len() / 4);
        if let Some(gap) = &chunk.gap {
            super::sse::event(&mut out, "gap", Some(&chunk.from.to_string()), gap);
        }
        let encoded = encode::events(&inner.scratch, chunk.from, chunk.next, force, &mut out);
        out.shrink_to_fit();
        let piece = Piece { next: encoded.next, bytes: out.into(), held_back: encoded.held_back };
        if piece.next > cursor {
            if inner.chunks.len() == CHUNKS_MAX {
                inner.chunks.pop_front();
            }
            inner.chunks.push_back((cursor, piece.clone()));
        }
        Ok(piece)
    }
}

/// How far apart the events of one of `followers` are at least; timers tick in milliseconds, so
/// less than that is no pause at all.
#[must_use]
pub fn pause(followers: usize) -> Option<Duration> {
    let micros = SPACING_US * followers as u64;
    (micros >= 1000).then(|| Duration::from_micros(micros))
}
