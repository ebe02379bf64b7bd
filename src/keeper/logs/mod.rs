//! The log store: every byte a task wrote, in order, in files any log agent can read.
//!
//! `<state>/logs/<task>/<first cursor, 20 digits>.log`, each a run of CRI records:
//!
//! ```text
//! 2026-11-24T05:30:26.123456789Z stdout F a whole line
//! 2026-11-24T05:30:26.123456789Z stdout P a piece of a line, continued by the next stdout record
//! 2026-11-24T05:30:27.000000000Z stderr F:gap 4096 write_failed 4096 bytes dropped: ...
//! ```
//!
//! An `F` record stands for its content and a newline, a `P` record for its content alone, so the
//! output can be reproduced byte for byte; a gap record stands for the bytes it says are missing.
//!
//! The *cursor* is an offset in the task's output: the bytes, of both streams in the order they
//! were taken, that the task had written before a record. It is not an offset in the files, because
//! then nobody could say how many bytes of output a reader misses whose place is gone; so it is
//! simply `first - cursor`, after restarts too. A segment is named by the cursor of its first
//! record, which is where the segment before it ends; the end of the log is the number of bytes the
//! task has written (so far as they are accounted for).
//!
//! What the limits dropped, always `[0, first segment)`, is one gap record in a file of its own,
//! `00000000000000000000-dropped.log`; every other gap is a record in its place.
//!
//! A file that was damaged is read on at its next record; what is missing there is a gap (`mend`).
//!
//! Writers live in the keeper (one process), readers anywhere: a reader needs nothing but the
//! directory. Followers are woken by the keeper (`WatchLog`), not by polling.
//!
//! Deliberately not here: who follows what, HTTP, and any decision about tasks.

mod disk;
mod eviction;
mod flush;
mod format;
mod mend;
mod reader;
mod record;
mod repair;
mod segment;
mod source;
mod spool;
mod tail;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::{Bounds, Chunk, LogReader, READ_BYTES_MAX, ReadError};
pub use record::{Gap, GapReason, Record, RecordError, Records, Stream, Tag};
pub use spool::{Given, Spool, SpoolLimits};
pub use writer::{Limits, LogStore, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, TaskLog};
