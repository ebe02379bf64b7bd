//! Writing: used by the keeper alone, which has one thread and one store.
//!
//! What arrives is formatted into one shared buffer and written at once: nothing of a task's
//! output waits in memory, so a crash of the process loses nothing that `append` was given, and
//! followers see prompts.
//!
//! Here is what the keeper sees. How bytes become records is in `format`, how records come to the
//! disk in `flush`, what is dropped when in `eviction`, and what a crash leaves in `repair`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use super::disk::Disk;
use super::format::{Batch, Heads};
use super::record::{Gap, GapReason, Stamp, Stream};
use super::repair::measure;
use crate::files;
use deskd_core::id::TaskId;

/// Smallest segment, in bytes.
pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Largest segment, in bytes: bounds what a reader walks over to find a cursor.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 20;
/// Segments a full log consists of: a task keeps at least 7/8 of its limit.
const SEGMENTS_PER_TASK: u64 = 8;

/// Limits of the store, in bytes of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of one task.
    pub task_bytes: u64,
    /// Of all tasks together.
    pub total_bytes: u64,
}

/// The store: directory, limits, one scratch buffer for all tasks.
#[derive(Debug)]
pub struct LogStore {
    pub(super) dir: PathBuf,
    pub(super) limits: Limits,
    pub(super) segment_bytes: u64,
    pub(super) logs: BTreeMap<u32, Log>,
    next_key: u32,
    pub(super) total_bytes: u64,
    pub(super) batch: Batch,
    pub(super) trouble: Option<String>,
    pub(super) disk: Disk,
}

/// The write side of one task's log: a key into the store. [`LogStore::close`] gives its file back.
#[derive(Debug)]
pub struct TaskLog {
    pub(super) key: u32,
}

/// One task's log as the store knows it.
#[derive(Debug)]
pub(super) struct Log {
    pub task: TaskId,
    /// Opened by this process. The others were left by an earlier one and are dropped first.
    pub known: bool,
    /// What is in the directory is known: repaired, measured, `end` is right.
    pub loaded: bool,
    /// The last segment, while it is written to.
    pub file: Option<File>,
    /// The last segment takes no more records.
    pub sealed: bool,
    /// Ascending.
    pub segments: Vec<Segment>,
    /// Size of the record of what the limits dropped.
    pub dropped_file_bytes: u64,
    /// Cursor of the next record.
    pub end: u64,
    /// Output that is not in the log and has no gap record yet.
    pub lost: Option<Gap>,
    /// The last write failed.
    pub failing: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub start: u64,
    pub bytes: u64,
}

impl Log {
    pub(super) fn stored_bytes(&self) -> u64 {
        self.dropped_file_bytes + self.segments.iter().map(|segment| segment.bytes).sum::<u64>()
    }

    /// Its directory is new: there is nothing in it.
    pub(super) fn begin(&mut self) {
        (self.segments, self.dropped_file_bytes, self.end) = (Vec::new(), 0, 0);
        self.loaded = true;
    }

    pub(super) fn lose(&mut self, bytes: u64, reason: GapReason) {
        if bytes > 0 {
            let lost = self.lost.get_or_insert(Gap { dropped_bytes: 0, reason });
            lost.dropped_bytes = lost.dropped_bytes.saturating_add(bytes);
        }
    }
}

impl LogStore {
    /// Opens (and creates, mode 0700) the directory; adds up what is there. The logs found count
    /// against the total and are the first to be dropped until their task is opened.
    pub fn open(dir: PathBuf, limits: Limits) -> io::Result<Self> {
        files::make_dir(&dir)?;
        let segment_bytes =
            (limits.task_bytes / SEGMENTS_PER_TASK).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        let mut store = Self {
            dir,
            limits,
            segment_bytes,
            logs: BTreeMap::new(),
            next_key: 0,
            total_bytes: 0,
            batch: Batch::default(),
            trouble: None,
            disk: Disk::default(),
        };
        for entry in std::fs::read_dir(&store.dir)? {
            let name = entry?.file_name();
            if let Some(task) = name.to_str().and_then(|name| name.parse().ok()) {
                let mut log = new_log(task);
                // What cannot be read is not counted; opening the task will say why.
                let _ = measure(&store.dir.join(name), &mut log);
                store.insert(log);
            }
        }
        Ok(store)
    }

    /// Opens the log of `task` for appending: repairs a torn last record, continues after the end.
    /// Never fails for good: an unwritable directory becomes trouble and a later gap. Opening a
    /// task again (its next run) continues the same log.
    pub fn open_task(&mut self, task: &TaskId) -> TaskLog {
        let found = self.logs.iter().find(|(_, log)| log.task == *task).map(|(key, _)| *key);
        let key = found.unwrap_or_else(|| self.insert(new_log(task.clone())));
        if let Some(log) = self.logs.get_mut(&key) {
            log.known = true;
        }
        self.recover(key);
        TaskLog { key }
    }

    /// Stores `bytes` just read from `stream`, all with one timestamp. Everything is in the page
    /// cache when this returns; what could not be written is counted and becomes a gap.
    /// Ignored when the log was removed.
    pub fn append(&mut self, log: &mut TaskLog, stream: Stream, bytes: &[u8]) {
        let key = log.key;
        let Some(entry) = self.logs.get(&key) else { return };
        let was_failing = entry.failing;
        let mut stored = 0;
        if self.recover(key) {
            stored = self.format(key, &Heads::now(stream), bytes);
            self.flush(key);
        }
        let Some(entry) = self.logs.get_mut(&key) else { return };
        entry.lose((bytes.len() - stored) as u64, GapReason::WriteFailed);
        if was_failing && !entry.failing {
            self.retry();
        }
    }

    /// Stores a line, or a piece of one that goes on, with the time somebody else gave it
    /// (`2026-11-24T05:30:26.123456789Z`; in another shape it is replaced by the clock's). Its
    /// stream is standard output: who brings it does not know which it was.
    pub fn append_line(&mut self, log: &TaskLog, time: &str, bytes: &[u8], ends_line: bool) {
        let key = log.key;
        let mut line = bytes.to_vec();
        if ends_line {
            line.push(b'\n');
        }
        let mut stored = 0;
        if self.recover(key) {
            stored = self.format(key, &Heads::at(&Stamp::of(time), Stream::Stdout), &line);
            self.flush(key);
        }
        if let Some(entry) = self.logs.get_mut(&key) {
            entry.lose((line.len() - stored) as u64, GapReason::WriteFailed);
        }
    }

    /// Stores whole records that were made elsewhere and stand for the bytes `of` the output, as they
    /// are. What is in the log already, or known to be lost, is left out; what no record stands for is
    /// lost. Returns up to where everything is in the log or known to be lost.
    pub fn append_records(&mut self, log: &TaskLog, of: Range<u64>, records: &[u8]) -> u64 {
        let key = log.key;
        let loaded = self.recover(key);
        let accounted = self.accounted(key);
        if let Some(entry) = self.logs.get_mut(&key) {
            entry.lose(of.start.saturating_sub(accounted), GapReason::Damaged);
        }
        let writable = loaded && self.recover(key);
        let owed = self.format_records(key, accounted, of.start, records, writable);
        self.flush(key);
        if let Some(entry) = self.logs.get_mut(&key) {
            entry.lose(owed, GapReason::WriteFailed);
        }
        let accounted = self.accounted(key);
        if let Some(entry) = self.logs.get_mut(&key) {
            entry.lose(of.end.saturating_sub(accounted), GapReason::Damaged);
        }
        self.accounted(key)
    }

    fn accounted(&self, key: u32) -> u64 {
        let lost = |log: &Log| log.lost.as_ref().map_or(0, |gap| gap.dropped_bytes);
        self.logs.get(&key).map_or(0, |log| log.end + lost(log))
    }

    /// Where the task's log ends now (its next cursor). What could not be written is not part of
    /// it until its gap record is; 0 when the log was removed.
    #[must_use]
    pub fn end(&self, log: &TaskLog) -> u64 {
        self.logs.get(&log.key).map_or(0, |log| log.end)
    }

    /// Bytes of files that the task's log takes.
    #[must_use]
    pub fn stored_bytes(&self, log: &TaskLog) -> u64 {
        self.logs.get(&log.key).map_or(0, Log::stored_bytes)
    }

    /// Bytes of files that all logs together take, also those of unknown tasks.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// What is wrong, in one sentence; nothing once writing works again.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Tries to write what is owed to logs whose last write failed. To be called about once a
    /// second while there is [`Self::trouble`], for tasks that have nothing more to say.
    pub fn retry(&mut self) {
        let failing = self.logs.iter().filter(|(_, log)| log.failing).map(|(key, _)| *key);
        for key in failing.collect::<Vec<_>>() {
            self.recover(key);
        }
    }

    /// Gives back the file descriptor of a log that nobody writes to any more. The log stays, and
    /// what is owed to it is still written by [`Self::retry`].
    pub fn close(&mut self, log: TaskLog) {
        self.recover(log.key);
        if let Some(log) = self.logs.get_mut(&log.key) {
            log.file = None;
        }
    }

    /// Removes a task's log.
    pub fn remove(&mut self, task: &TaskId) -> io::Result<()> {
        if let Some(key) = self.logs.iter().find(|(_, log)| log.task == *task).map(|(key, _)| *key)
        {
            self.forget(key);
        }
        match std::fs::remove_dir_all(self.dir.join(task.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes a task's log if nothing was ever in it.
    pub fn remove_if_empty(&mut self, task: &TaskId) {
        let empty = |log: &Log| log.loaded && log.end == 0 && log.lost.is_none();
        let found = self.logs.iter().find(|(_, log)| log.task == *task && empty(log));
        if let Some(key) = found.map(|(key, _)| *key) {
            self.forget(key);
            // Refused, should something be in it all the same.
            let _ = std::fs::remove_dir(self.dir.join(task.as_str()));
        }
    }

    pub(super) fn forget(&mut self, key: u32) {
        if let Some(log) = self.logs.remove(&key) {
            self.total_bytes -= log.stored_bytes();
            self.settle();
        }
    }

    fn insert(&mut self, log: Log) -> u32 {
        let key = self.next_key;
        self.next_key += 1;
        self.total_bytes += log.stored_bytes();
        self.logs.insert(key, log);
        key
    }
}

fn new_log(task: TaskId) -> Log {
    Log {
        task,
        known: false,
        loaded: false,
        file: None,
        sealed: false,
        segments: Vec::new(),
        dropped_file_bytes: 0,
        end: 0,
        lost: None,
        failing: false,
    }
}
