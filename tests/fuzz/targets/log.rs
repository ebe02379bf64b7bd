//! Segments of a log whose bytes somebody else wrote: of which a reader makes records, and which a writer
//! goes on with. Segments are separated by zero bytes.

use std::path::Path;

use deskd_core::id::TaskId;
use deskd_keeper::logs::{Limits, LogReader, LogStore, Records, Stream, Tag};

/// Reads that a log of this size cannot need.
const READS_MAX: usize = 100_000;
/// Bytes asked for at once: little, so that a chunk ends everywhere.
const READ_BYTES: usize = 200;
/// Segments of one input: more of them only take time.
const SEGMENTS_MAX: usize = 6;
/// Where logs end that are believed: files that say more than once that as much as this is missing leave no
/// room behind it.
const END_MAX: u64 = 1 << 59;
/// What the writer adds.
const LAST: &[u8] = b"the last line";

pub fn run(data: &[u8]) {
    records(data);
    let dir = tempfile::tempdir().expect("a directory");
    let task: TaskId = "fuzzed".parse().expect("an id");
    lay_out(&dir.path().join(task.as_str()), data);
    let mut reader = LogReader::open(dir.path(), &task).expect("is there");
    read_all(&mut reader);
    for lines in [0, 1, 3, u64::MAX] {
        reader.tail(lines).expect("has a tail");
    }
    let limits = Limits { task_bytes: 1 << 20, total_bytes: 1 << 20 };
    let mut store = LogStore::open(dir.path().to_owned(), limits).expect("a store");
    let mut log = store.open_task(&task);
    store.append(&mut log, Stream::Stdout, &[LAST, b"\n"].concat());
    let end = store.end(&log);
    store.close(log);
    assert_eq!(store.trouble(), None);
    let mut fresh = LogReader::open(dir.path(), &task).expect("is there");
    let last = read_all(&mut fresh);
    if end < END_MAX {
        assert_eq!(last.as_deref(), Some(LAST), "what was written afterwards is not there");
        assert_eq!(fresh.bounds().expect("has bounds").end, end, "writer and reader disagree");
    }
}

/// The parser alone: records touch, and their cursors grow.
fn records(data: &[u8]) {
    for start in [0, u64::MAX - 50] {
        let mut at: u64 = start;
        for record in Records::new(data, start).flatten() {
            assert_eq!(record.cursor, at, "records do not touch");
            assert!(record.next > at || at == u64::MAX, "a record of nothing");
            at = record.next;
        }
    }
}

/// Writes the segments, each where the one before says it ends (or where it would if it were whole).
fn lay_out(dir: &Path, data: &[u8]) {
    std::fs::create_dir(dir).expect("a directory");
    let mut cursor = 0_u64;
    for bytes in data.splitn(SEGMENTS_MAX, |byte| *byte == 0) {
        std::fs::write(dir.join(format!("{cursor:020}.log")), bytes).expect("a segment");
        let end = Records::new(bytes, cursor).flatten().last().map(|record| record.next);
        match end.filter(|end| *end > cursor) {
            Some(end) => cursor = end,
            None => cursor = cursor.saturating_add(bytes.len() as u64 + 1),
        }
    }
}

/// Follows the log to its end, and returns its last line.
fn read_all(reader: &mut LogReader) -> Option<Vec<u8>> {
    let (mut cursor, mut last) = (0, None);
    for _ in 0..READS_MAX {
        let mut raw = Vec::new();
        let chunk = reader.read(cursor, READ_BYTES, &mut raw);
        let chunk = chunk.unwrap_or_else(|error| panic!("cannot be read on: {error}"));
        let mut at = chunk.from;
        for record in Records::new(&raw, chunk.from) {
            let record = record.expect("a reader gives records only");
            assert_eq!(record.cursor, at, "records do not touch");
            at = record.next;
            if !matches!(record.tag, Tag::Gap(_)) {
                last = Some(record.content.to_vec());
            }
        }
        assert_eq!(at, chunk.next, "a chunk does not end where it says");
        if chunk.next == chunk.from && chunk.gap.is_none() {
            return last;
        }
        assert!(chunk.next > cursor, "it went back from {cursor} to {}", chunk.next);
        cursor = chunk.next;
    }
    panic!("reading does not end");
}
