//! What a keeper at a place keeps of its tasks' output until somebody else has stored it.
//!
//! The same records with the same cursors as in the log store, but in files without a name: programs
//! of the place are of the keeper's user and may write wherever it may, so that a file with a name
//! would be theirs too. What was given away and stored is dropped. Beyond the limit the oldest is
//! dropped; what is missing is a hole between two pieces, and read as a gap record.
//!
//! Deliberately not here: who reads, and a life after the keeper's. A place ends with its keeper.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs};

use super::disk::Disk;
use super::record::{
    CONTENT_BYTES_MAX, Gap, GapReason, HEAD_BYTES, RECORD_BYTES_MAX, Records, Stamp, Stream,
};
use super::writer::TaskLog;
use deskd_core::id::TaskId;

/// A piece is followed by another one when it is larger than this, in bytes.
const PIECE_BYTES: u64 = 1 << 20;
/// A piece of which everything was given away is gone on with while it is smaller than this, in bytes.
const IDLE_PIECE_BYTES_MAX: u64 = 64 << 10;
/// Pieces of one task at most: a disk with room needs fewer, and one that is full again and again begins a piece,
/// and so takes a descriptor, whenever it takes something.
const PIECES_PER_TASK_MAX: usize = 80;
/// ramfs, as `<linux/magic.h>` has it.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// Limits of a spool, in bytes of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolLimits {
    /// On a disk.
    pub disk_bytes: u64,
    /// Where there is none to write to: in memory.
    pub memory_bytes: u64,
}

/// Output of all tasks of a place.
#[derive(Debug)]
pub struct Spool {
    /// On the disk that has it; absent: in memory.
    directory: Option<PathBuf>,
    limit_bytes: u64,
    logs: BTreeMap<u32, Kept>,
    next_key: u32,
    bytes: u64,
    batch: Vec<u8>,
    disk: Disk,
    trouble: Option<String>,
}

/// Output of one task.
#[derive(Debug)]
struct Kept {
    task: TaskId,
    /// Ascending; between two of them, before the first and after the last may be a hole.
    pieces: VecDeque<Piece>,
    /// Cursor of the next record.
    end: u64,
    /// Where the last read ended.
    place: Option<Place>,
}

#[derive(Debug)]
struct Piece {
    file: File,
    start: u64,
    end: u64,
    bytes: u64,
    /// Why there is a hole before it.
    missing: GapReason,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    /// Start of the piece.
    piece: u64,
    cursor: u64,
    offset: u64,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Cursor after the last record that was read.
    pub next: u64,
    /// That is the end.
    pub all: bool,
}

impl Spool {
    /// In the first of `directories` that is on a disk and can be written; else in memory.
    #[must_use]
    pub fn open(directories: &[PathBuf], limits: SpoolLimits) -> Self {
        let directory = directories.iter().find(|it| unnamed_on_disk(it).is_ok()).cloned();
        let limit_bytes = if directory.is_some() { limits.disk_bytes } else { limits.memory_bytes };
        Self {
            directory,
            limit_bytes,
            logs: BTreeMap::new(),
            next_key: 0,
            bytes: 0,
            batch: Vec::new(),
            disk: Disk::default(),
            trouble: None,
        }
    }

    /// Opens the log of `task`, which begins at the cursor `from` or where it ended before.
    pub fn open_task(&mut self, task: &TaskId, from: u64) -> TaskLog {
        let found = self.logs.iter_mut().find(|(_, log)| log.task == *task);
        let key = match found {
            Some((key, log)) => {
                log.end = log.end.max(from);
                *key
            }
            None => {
                let key = self.next_key;
                self.next_key += 1;
                let (pieces, place) = (VecDeque::new(), None);
                self.logs.insert(key, Kept { task: task.clone(), pieces, end: from, place });
                key
            }
        };
        TaskLog { key }
    }

    /// Removes a task's log if nothing is in it.
    pub fn remove_if_empty(&mut self, task: &TaskId) {
        self.logs.retain(|_, log| log.task != *task || !log.pieces.is_empty());
    }

    /// Keeps `bytes` just read from `stream`; what cannot be kept is counted.
    pub fn append(&mut self, log: &TaskLog, stream: Stream, bytes: &[u8]) {
        self.batch.clear();
        push_records(stream, bytes, &mut self.batch);
        self.make_room(self.batch.len() as u64);
        let (Some(log), wanted) = (self.logs.get_mut(&log.key), bytes.len() as u64) else { return };
        let end = log.end + wanted;
        while log.pieces.len() >= PIECES_PER_TASK_MAX {
            self.bytes -= log.drop_oldest();
        }
        let (kept, failure) = match piece_for_more(log, self.directory.as_ref()) {
            Ok(piece) => {
                let (written, failure) = self.disk.write_all(&piece.file, &self.batch, piece.bytes);
                let records = &self.batch[..written];
                let whole = memchr::memrchr(b'\n', records).map_or(0, |at| at + 1);
                let last = Records::new(&records[..whole], piece.end).map_while(Result::ok).last();
                piece.end = last.map_or(piece.end, |record| record.next);
                piece.bytes += whole as u64;
                if failure.is_some() {
                    // A torn record is no hole in a piece that goes on.
                    let _ = piece.file.set_len(piece.bytes);
                }
                (whole as u64, failure)
            }
            Err(error) => (0, Some(error)),
        };
        log.end = end;
        self.bytes += kept;
        self.trouble = failure.map(|error| {
            format!("cannot keep output: {error}; it is dropped, and the dropped bytes are counted")
        });
    }

    /// Where the task's output ends.
    #[must_use]
    pub fn end(&self, log: &TaskLog) -> u64 {
        self.logs.get(&log.key).map_or(0, |log| log.end)
    }

    /// What is wrong, in one sentence.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Forgets a task's output.
    pub fn remove(&mut self, task: &TaskId) {
        let Some(key) = self.key(task) else { return };
        let Some(log) = self.logs.remove(&key) else { return };
        self.bytes -= log.pieces.iter().map(|piece| piece.bytes).sum::<u64>();
    }

    /// What is before `from` was stored by somebody else.
    pub fn stored_until(&mut self, task: &TaskId, from: u64) {
        let Some(log) = self.key(task).and_then(|key| self.logs.get_mut(&key)) else { return };
        let is_last_and_small = |log: &Kept| match log.pieces.as_slices() {
            ([last], []) | ([], [last]) => last.bytes < IDLE_PIECE_BYTES_MAX,
            _ => false,
        };
        while log.pieces.front().is_some_and(|piece| piece.end <= from) && !is_last_and_small(log) {
            self.bytes -= log.pieces.pop_front().map_or(0, |piece| piece.bytes);
        }
    }

    /// Appends to `out` whole records from `from` on: at most `bytes_max` bytes, but at least one record
    /// if there is one. Nothing if the task is not known.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(
        &mut self,
        task: &TaskId,
        from: u64,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> io::Result<Option<Given>> {
        let Some(log) = self.key(task).and_then(|key| self.logs.get_mut(&key)) else {
            return Ok(None);
        };
        let end = log.end;
        let piece = log.pieces.iter().find(|piece| piece.end > from);
        let next = match piece {
            _ if from >= end => from,
            Some(piece) if piece.start <= from => {
                let offset =
                    match log.place.filter(|it| (it.piece, it.cursor) == (piece.start, from)) {
                        Some(place) => place.offset,
                        None => offset_of(piece, from)?,
                    };
                let (next, bytes) = read_records(piece, from, offset, bytes_max, out)?;
                let offset = offset + bytes;
                log.place = Some(Place { piece: piece.start, cursor: next, offset });
                next
            }
            other => {
                let until = other.map_or(end, |piece| piece.start);
                let reason = other.map_or(GapReason::WriteFailed, |piece| piece.missing);
                Stamp::now().push_gap(&Gap { dropped_bytes: until - from, reason }, out);
                until
            }
        };
        Ok(Some(Given { next, all: next >= end }))
    }

    fn key(&self, task: &TaskId) -> Option<u32> {
        self.logs.iter().find(|(_, log)| log.task == *task).map(|(key, _)| *key)
    }

    /// Drops the oldest pieces of those that have most.
    fn make_room(&mut self, bytes: u64) {
        while self.bytes + bytes > self.limit_bytes {
            let of = |log: &Kept| log.pieces.iter().map(|piece| piece.bytes).sum::<u64>();
            let Some(log) = self.logs.values_mut().max_by_key(|log| of(log)) else { return };
            if log.pieces.is_empty() {
                return;
            }
            self.bytes -= log.drop_oldest();
        }
    }
}

impl Kept {
    /// Drops the oldest piece; returns its bytes.
    fn drop_oldest(&mut self) -> u64 {
        let dropped = self.pieces.pop_front().map_or(0, |piece| piece.bytes);
        if let Some(next) = self.pieces.front_mut() {
            next.missing = GapReason::TotalLimit;
        }
        dropped
    }
}

/// The piece that the next record belongs to: the last one, unless it is full or ends before that.
fn piece_for_more<'a>(log: &'a mut Kept, directory: Option<&PathBuf>) -> io::Result<&'a mut Piece> {
    if let Some(last) = log.pieces.back_mut().filter(|last| last.bytes == 0) {
        // What a full disk did not take is a hole before it.
        (last.start, last.end) = (log.end, log.end);
    }
    let goes_on =
        log.pieces.back().is_some_and(|last| last.end == log.end && last.bytes < PIECE_BYTES);
    if !goes_on {
        let file = match directory {
            Some(directory) => unnamed(directory)?,
            None => memfd_create(c"deskd-output", MFdFlags::MFD_CLOEXEC)?.into(),
        };
        let (start, end) = (log.end, log.end);
        let missing = GapReason::WriteFailed;
        log.pieces.push_back(Piece { file, start, end, bytes: 0, missing });
    }
    log.pieces.back_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn push_records(stream: Stream, bytes: &[u8], out: &mut Vec<u8>) {
    let stamp = Stamp::now();
    let heads = [stamp.head(stream, b'F'), stamp.head(stream, b'P')];
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (content, ends) = match line.strip_suffix(b"\n") {
            Some(content) => (content, true),
            None => (line, false),
        };
        let mut push = |head: &[u8; HEAD_BYTES], piece: &[u8]| {
            out.extend_from_slice(head);
            out.extend_from_slice(piece);
            out.push(b'\n');
        };
        let mut rest = content;
        while rest.len() > CONTENT_BYTES_MAX {
            push(&heads[1], &rest[..CONTENT_BYTES_MAX]);
            rest = &rest[CONTENT_BYTES_MAX..];
        }
        match ends {
            true => push(&heads[0], rest),
            false => push(&heads[1], rest),
        }
    }
}

/// Where the record with this cursor begins.
fn offset_of(piece: &Piece, cursor: u64) -> io::Result<u64> {
    let mut records = vec![0; usize::try_from(piece.bytes).unwrap_or(usize::MAX)];
    piece.file.read_exact_at(&mut records, 0)?;
    let (mut rest, mut at) = (&records[..], piece.start);
    while at < cursor
        && let Some(newline) = memchr::memchr(b'\n', rest)
        && let Ok(output) = super::record::output_bytes(&rest[..newline])
    {
        at += output;
        rest = &rest[newline + 1..];
    }
    if at == cursor {
        Ok((records.len() - rest.len()) as u64)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "no record begins at the cursor"))
    }
}

fn read_records(
    piece: &Piece,
    from: u64,
    offset: u64,
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> io::Result<(u64, u64)> {
    let there = usize::try_from(piece.bytes - offset).unwrap_or(usize::MAX);
    let base = out.len();
    out.resize(base + there.min(bytes_max.max(RECORD_BYTES_MAX)), 0);
    piece.file.read_exact_at(&mut out[base..], offset)?;
    let whole = memchr::memrchr(b'\n', &out[base..]).map_or(0, |at| at + 1);
    out.truncate(base + whole);
    let last = Records::new(&out[base..], from).map_while(Result::ok).last();
    Ok((last.map_or(from, |record| record.next), whole as u64))
}

/// A new file in `directory` that has no name there.
fn unnamed(directory: &PathBuf) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE | libc::O_EXCL);
    options.open(directory)
}

fn unnamed_on_disk(directory: &PathBuf) -> io::Result<File> {
    let file = unnamed(directory)?;
    let kind = fstatfs(file.as_fd())?.filesystem_type();
    if kind == TMPFS_MAGIC || kind == RAMFS_MAGIC {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: SpoolLimits = SpoolLimits { disk_bytes: 4 << 20, memory_bytes: 4 << 20 };

    fn task() -> TaskId {
        "app-00001".parse().unwrap()
    }

    /// Everything from `from` on, with what gaps say is missing.
    fn read_all(spool: &mut Spool, mut from: u64, bytes_max: usize) -> (Vec<u8>, u64, u64) {
        let (mut output, mut missing) = (Vec::new(), 0);
        loop {
            let mut records = Vec::new();
            let given = spool.read(&task(), from, bytes_max, &mut records).unwrap().unwrap();
            let mut at = from;
            for record in Records::new(&records, from).map(Result::unwrap) {
                record.push_output(&mut output);
                if let super::super::Tag::Gap(gap) = &record.tag {
                    missing += gap.dropped_bytes;
                }
                at = record.next;
            }
            assert_eq!(at, given.next);
            if given.all {
                return (output, missing, given.next);
            }
            assert!(given.next > from, "it goes on");
            from = given.next;
        }
    }

    #[test]
    fn what_was_stored_elsewhere_is_dropped_and_the_rest_is_read_from_any_record_on() {
        let mut spool = Spool::open(&["/var/tmp".into()], LIMITS);
        let log = spool.open_task(&task(), 100);
        spool.append(&log, Stream::Stdout, b"one\ntwo\n");
        spool.append(&log, Stream::Stderr, b"thr");
        spool.append(&log, Stream::Stderr, b"ee\n");
        assert_eq!(read_all(&mut spool, 100, 1), (b"one\ntwo\nthree\n".to_vec(), 0, 114));
        assert_eq!(read_all(&mut spool, 104, 1 << 20).0, b"two\nthree\n");
        spool.stored_until(&task(), 114);
        assert_eq!(read_all(&mut spool, 114, 1), (Vec::new(), 0, 114));
        let line = [&[b'x'; 70_000][..], b"\n"].concat();
        for _ in 0..30 {
            spool.append(&log, Stream::Stdout, &line);
        }
        let (output, _, end) = read_all(&mut spool, 114, 1 << 16);
        assert_eq!(output.len(), 30 * line.len());
        spool.stored_until(&task(), end);
        assert_eq!((spool.bytes, spool.end(&log)), (0, end));
        assert!(
            spool.read(&"other-00001".parse().unwrap(), 0, 1, &mut Vec::new()).unwrap().is_none()
        );
    }

    #[test]
    fn beyond_the_limit_the_oldest_is_a_gap() {
        let limits = SpoolLimits { disk_bytes: 0, memory_bytes: 3 << 20 };
        let mut spool = Spool::open(&[], limits);
        let log = spool.open_task(&task(), 0);
        let lines = b"a line of forty bytes, so that it counts\n".repeat(1000);
        for _ in 0..200 {
            spool.append(&log, Stream::Stdout, &lines);
            assert!(spool.bytes <= 3 << 20);
        }
        let (output, missing, end) = read_all(&mut spool, 0, 1 << 16);
        assert_eq!(end, 200 * lines.len() as u64);
        assert_eq!(missing + output.len() as u64, end);
        assert!(output.len() > 400_000 && output.starts_with(b"a line"));
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_a_gap_and_what_follows_is_kept() {
        let mut spool = Spool::open(&[], LIMITS);
        let log = spool.open_task(&task(), 0);
        spool.append(&log, Stream::Stdout, b"before\n");
        spool.disk.free_bytes = Some(60);
        spool.append(&log, Stream::Stdout, b"a\nlost\n");
        assert!(spool.trouble().unwrap().starts_with("cannot keep output: "));
        spool.disk.free_bytes = None;
        spool.append(&log, Stream::Stdout, b"after\n");
        assert_eq!(read_all(&mut spool, 0, 1), (b"before\na\nafter\n".to_vec(), 5, 20));
        assert_eq!(spool.trouble(), None);
    }

    #[test]
    fn a_disk_that_is_full_again_and_again_takes_no_more_descriptors() {
        let mut spool = Spool::open(&[], LIMITS);
        let log = spool.open_task(&task(), 0);
        let pieces = |spool: &Spool| spool.logs.values().map(|log| log.pieces.len()).sum::<usize>();
        for free_bytes in [0, 60] {
            for _ in 0..1000 {
                spool.disk.free_bytes = Some(free_bytes);
                spool.append(&log, Stream::Stdout, b"a\nlost\n");
            }
            assert!(pieces(&spool) <= PIECES_PER_TASK_MAX, "{}", pieces(&spool));
            assert!(free_bytes > 0 || pieces(&spool) == 1);
        }
        let (output, missing, end) = read_all(&mut spool, 0, 1);
        assert_eq!(missing + output.len() as u64, end);
        assert!(output.ends_with(b"a\n") && end == 2000 * 7);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn what_is_written_is_read(
            chunks in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 1..200), 0..20),
            bytes_max in 1..300_usize, acknowledged: bool,
        ) {
            let mut spool = Spool::open(&[], LIMITS);
            let log = spool.open_task(&task(), 7);
            let mut at = 7;
            for chunk in chunks {
                spool.append(&log, Stream::Stdout, &chunk);
                let (output, missing, next) = read_all(&mut spool, at, bytes_max);
                prop_assert_eq!((output, missing), (chunk, 0));
                at = next;
                if acknowledged {
                    spool.stored_until(&task(), at);
                }
            }
            prop_assert_eq!(at, spool.end(&log));
        }
    }
}
