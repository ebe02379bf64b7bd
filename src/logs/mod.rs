//! The log store: every byte a task wrote, in order, in files any log agent can read.
//!
//! `<state>/logs/<task>/<first offset, 20 digits>.log`, each a run of CRI records:
//!
//! ```text
//! 2026-11-24T05:30:26.123456789Z stdout F a whole line
//! 2026-11-24T05:30:26.123456789Z stdout P a piece of a line, continued by the next stdout record
//! 2026-11-24T05:30:27.000000000Z stderr F:gap 8388608 task_limit 8388608 bytes dropped: ...
//! ```
//!
//! An `F` record stands for its content and a newline, a `P` record for its content alone, so the
//! output can be reproduced byte for byte. The *cursor* is the offset of a record's first byte in
//! the task's log as if it were one endless file; segments are named by theirs.
//!
//! Writers live in the keeper (one process), readers anywhere: a reader needs nothing but the
//! directory. Followers are woken by the keeper (`WatchLog`), not by polling.
//!
//! Deliberately not here: who follows what, HTTP, and any decision about tasks.

mod reader;
mod record;
mod writer;

pub use reader::{Bounds, Chunk, LogReader, ReadError};
pub use record::{Gap, GapReason, Record, RecordError, Records, Stream, Tag};
pub use writer::{Limits, LogStore, TaskLog};
