//! Writing: used by the keeper alone, which has one thread and one store.
//!
//! What arrives is formatted into one shared buffer and written at once: nothing of a task's
//! output waits in memory, so a crash of the process loses nothing that `append` was given, and
//! followers see prompts. A record is never changed once it is in a file; a torn one (by a crash
//! or a full disk) is cut off and the log goes on in a new segment, so that readers in other
//! processes can trust every byte up to the last newline.
//!
//! Deliberately not here: what is dropped when (`limits`), and repair after a crash (`repair`).

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::record::{CONTENT_BYTES_MAX, Gap, GapReason, HEAD_BYTES, Records, Stamp, Stream};
use super::repair::{measure, repair};
use super::segment;
use crate::domain::id::TaskId;

/// Smallest segment, in bytes.
pub const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Largest segment, in bytes: bounds what a reader walks over to find a cursor.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 20;
/// Segments a full log consists of: a task keeps at least 7/8 of its limit.
const SEGMENTS_PER_TASK: u64 = 8;
/// Formatted records are written when there are this many bytes (or at the end of an append).
pub(super) const BATCH_BYTES_MAX: u64 = 128 << 10;

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
    batch: Batch,
    trouble: Option<String>,
    pub(super) disk: Disk,
}

/// The write side of one task's log: a key into the store. [`LogStore::close`] gives its file back.
#[derive(Debug)]
pub struct TaskLog {
    key: u32,
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

    pub(super) fn lose(&mut self, bytes: u64, reason: GapReason) {
        if bytes > 0 {
            self.lost.get_or_insert(Gap { dropped_bytes: 0, reason }).dropped_bytes += bytes;
        }
    }
}

/// Formatted records on their way to a file.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Output they stand for.
    output: u64,
    /// How far `bytes` may grow before it is written.
    room: usize,
}

impl Batch {
    fn push(&mut self, head: &[u8; HEAD_BYTES], content: &[u8], ends_line: bool) {
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(content);
        self.bytes.push(b'\n');
        self.output += content.len() as u64 + u64::from(ends_line);
    }
}

/// The heads of one append's records.
struct Heads {
    full: [u8; HEAD_BYTES],
    piece: [u8; HEAD_BYTES],
}

impl LogStore {
    /// Opens (and creates, mode 0700) the directory; adds up what is there. The logs found count
    /// against the total and are the first to be dropped until their task is opened.
    pub fn open(dir: PathBuf, limits: Limits) -> io::Result<Self> {
        make_dir(&dir)?;
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
            let stamp = Stamp::now();
            let heads = Heads { full: stamp.head(stream, b'F'), piece: stamp.head(stream, b'P') };
            stored = self.format(key, &heads, bytes);
            self.flush(key);
        }
        let Some(entry) = self.logs.get_mut(&key) else { return };
        entry.lose((bytes.len() - stored) as u64, GapReason::WriteFailed);
        if was_failing && !entry.failing {
            self.retry();
        }
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

    /// Formats `bytes`, writing whenever the batch is full. Returns how many of them were handed
    /// on: fewer than all when a write failed.
    fn format(&mut self, key: u32, heads: &Heads, bytes: &[u8]) -> usize {
        self.batch.room = self.room(key, 0);
        let mut at = 0;
        for newline in memchr::memchr_iter(b'\n', bytes) {
            let record_bytes = HEAD_BYTES + newline - at + 1;
            if newline - at <= CONTENT_BYTES_MAX
                && self.batch.bytes.len() + record_bytes <= self.batch.room
            {
                self.batch.push(&heads.full, &bytes[at..newline], true);
            } else if !self.format_slowly(key, heads, bytes, &mut at, newline) {
                return at;
            }
            at = newline + 1;
        }
        while at < bytes.len() {
            let end = bytes.len().min(at + CONTENT_BYTES_MAX);
            if !self.put(key, &heads.piece, &bytes[at..end], false) {
                return at;
            }
            at = end;
        }
        at
    }

    /// The line `bytes[at..newline]` when it is too long for one record or for the batch.
    fn format_slowly(
        &mut self,
        key: u32,
        heads: &Heads,
        bytes: &[u8],
        at: &mut usize,
        newline: usize,
    ) -> bool {
        while newline - *at > CONTENT_BYTES_MAX {
            let end = *at + CONTENT_BYTES_MAX;
            if !self.put(key, &heads.piece, &bytes[*at..end], false) {
                return false;
            }
            *at = end;
        }
        self.put(key, &heads.full, &bytes[*at..newline], true)
    }

    fn put(&mut self, key: u32, head: &[u8; HEAD_BYTES], content: &[u8], ends_line: bool) -> bool {
        let record_bytes = HEAD_BYTES + content.len() + 1;
        if self.batch.bytes.len() + record_bytes > self.batch.room {
            if !self.flush(key) {
                return false;
            }
            self.batch.room = self.room(key, record_bytes);
        }
        self.batch.push(head, content, ends_line);
        true
    }

    /// How large the next batch may become, at least `needed`; ends a segment that is too full.
    fn room(&mut self, key: u32, needed: usize) -> usize {
        let Some(log) = self.logs.get_mut(&key) else { return needed };
        let used = log.segments.last().filter(|_| !log.sealed).map_or(0, |segment| segment.bytes);
        let mut room = self.segment_bytes.saturating_sub(used);
        if used > 0 && room < needed as u64 {
            log.sealed = true;
            log.file = None;
            room = self.segment_bytes;
        }
        // A batch is far smaller than an address space.
        (room.min(BATCH_BYTES_MAX) as usize).max(needed)
    }

    /// Makes the log ready for records: it is repaired, and the gap record it is owed is written.
    fn recover(&mut self, key: u32) -> bool {
        if !self.load(key) {
            return false;
        }
        let Some(log) = self.logs.get_mut(&key) else { return false };
        let Some(gap) = log.lost.take() else { return true };
        Stamp::now().push_gap(&gap, &mut self.batch.bytes);
        self.batch.output = gap.dropped_bytes;
        let written = self.flush(key);
        if let (false, Some(log)) = (written, self.logs.get_mut(&key)) {
            log.lost = Some(gap);
        }
        written
    }

    fn load(&mut self, key: u32) -> bool {
        let Some(log) = self.logs.get_mut(&key) else { return false };
        if log.loaded {
            return true;
        }
        let dir = self.dir.join(log.task.as_str());
        self.total_bytes -= log.stored_bytes();
        let loaded = make_dir(&dir).and_then(|()| repair(&dir, log, &mut self.batch.bytes));
        self.total_bytes += log.stored_bytes();
        self.batch.bytes.clear();
        match &loaded {
            Ok(()) => self.succeed(key),
            Err(error) => self.fail(key, &dir, error),
        }
        loaded.is_ok()
    }

    /// Writes the batch to the end of the log; what cannot be written is counted as lost.
    fn flush(&mut self, key: u32) -> bool {
        if self.batch.bytes.is_empty() {
            return true;
        }
        self.make_room(key, self.batch.bytes.len() as u64);
        let Some(log) = self.logs.get(&key) else { return false };
        let dir = self.dir.join(log.task.as_str());
        let (kept, failure) = match self.ready(key, &dir) {
            Ok(()) => self.write(key),
            Err(error) => (0, Some(error)),
        };
        let output = match failure {
            None => self.batch.output,
            Some(_) => output_of(&self.batch.bytes[..kept]),
        };
        let lost = self.batch.output - output;
        self.batch.bytes.clear();
        self.batch.output = 0;
        self.total_bytes += kept as u64;
        let Some(log) = self.logs.get_mut(&key) else { return false };
        log.end += output;
        log.lose(lost, GapReason::WriteFailed);
        let Some(error) = failure else {
            self.succeed(key);
            return true;
        };
        let path = log.segments.last().map_or(dir.clone(), |last| segment::path(&dir, last.start));
        self.fail(key, &path, &error);
        false
    }

    /// Opens the segment the next record belongs to. Out of descriptors, the files of other logs
    /// are closed: they are opened again when needed.
    fn ready(&mut self, key: u32, dir: &Path) -> io::Result<()> {
        let mut others_closed = false;
        loop {
            let Some(log) = self.logs.get_mut(&key) else { return Ok(()) };
            match open_segment(dir, log) {
                Err(error) if is_out_of_descriptors(&error) && !others_closed => {
                    self.logs.values_mut().for_each(|log| log.file = None);
                    others_closed = true;
                }
                other => return other,
            }
        }
    }

    /// Writes the batch. Returns the bytes of whole records that are in the file.
    fn write(&mut self, key: u32) -> (usize, Option<io::Error>) {
        let Some(log) = self.logs.get_mut(&key) else { return (0, None) };
        let (Some(file), Some(segment)) = (&log.file, log.segments.last_mut()) else {
            return (0, None);
        };
        let (written, failure) = self.disk.write_all(file, &self.batch.bytes, segment.bytes);
        // Content has no newline: the last one ends a whole record.
        let kept = memchr::memrchr(b'\n', &self.batch.bytes[..written]).map_or(0, |at| at + 1);
        segment.bytes += kept as u64;
        if written > kept {
            // Readers do not mind a torn piece at the end, agents may.
            let _ = file.set_len(segment.bytes);
            // A reader may be reading the torn bytes: their place is not used again.
            log.sealed = true;
            log.file = None;
        }
        (kept, failure)
    }

    fn succeed(&mut self, key: u32) {
        if let Some(log) = self.logs.get_mut(&key).filter(|log| log.failing) {
            log.failing = false;
            self.settle();
        }
    }

    fn fail(&mut self, key: u32, path: &Path, error: &io::Error) {
        if let Some(log) = self.logs.get_mut(&key) {
            log.failing = true;
        }
        let path = path.display();
        self.trouble = Some(format!(
            "cannot write the log {path}: {error}; output that does not fit is counted and dropped"
        ));
    }

    fn settle(&mut self) {
        if !self.logs.values().any(|log| log.failing) {
            self.trouble = None;
        }
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

fn output_of(records: &[u8]) -> u64 {
    Records::new(records, 0).map_while(Result::ok).last().map_or(0, |record| record.next)
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    errno == Some(nix::libc::EMFILE) || errno == Some(nix::libc::ENFILE)
}

fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes `log.file` the segment that the next record belongs to.
fn open_segment(dir: &Path, log: &mut Log) -> io::Result<()> {
    if log.file.is_some() {
        return Ok(());
    }
    if let Some(segment) = log.segments.last().filter(|_| !log.sealed) {
        match OpenOptions::new().write(true).open(segment::path(dir, segment.start)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => {
                log.file = Some(opened?);
                return Ok(());
            }
        }
    }
    let path = segment::path(dir, log.end);
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let file = match create() {
        // The directory was removed under us.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_dir(dir)?;
            create()?
        }
        // Without a whole record: the log would end later. A new file, because a reader may have
        // seen the torn bytes of the old one.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(&path)?;
            create()?
        }
        created => created?,
    };
    log.segments.retain(|segment| segment.start != log.end);
    log.segments.push(Segment { start: log.end, bytes: 0 });
    log.file = Some(file);
    log.sealed = false;
    Ok(())
}
