//! From bytes of a pipe to records: the hot path. Copies and counts; what is done with a full batch
//! is the business of `flush`.

use super::record::{CONTENT_BYTES_MAX, HEAD_BYTES, RECORD_BYTES_MAX, Records, Stamp, Stream};
use super::writer::LogStore;

/// Formatted records are written when there are this many bytes (or at the end of an append).
const BATCH_BYTES_MAX: u64 = 128 << 10;

/// Formatted records on their way to a file.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub bytes: Vec<u8>,
    /// Output they stand for.
    pub output: u64,
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
pub(super) struct Heads {
    full: [u8; HEAD_BYTES],
    piece: [u8; HEAD_BYTES],
}

impl Heads {
    /// With the time it is now.
    pub(super) fn now(stream: Stream) -> Self {
        Self::at(&Stamp::now(), stream)
    }

    /// With another time.
    pub(super) fn at(stamp: &Stamp, stream: Stream) -> Self {
        Self { full: stamp.head(stream, b'F'), piece: stamp.head(stream, b'P') }
    }
}

impl LogStore {
    /// Formats `bytes`, writing whenever the batch is full. Returns how many of them were handed
    /// on: fewer than all when a write failed.
    pub(super) fn format(&mut self, key: u32, heads: &Heads, bytes: &[u8]) -> usize {
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

    /// Records as they are, but those before `stored`. Returns how much output of them was not handed
    /// on, because a write failed, or nothing can be written.
    pub(super) fn format_records(
        &mut self,
        key: u32,
        stored: u64,
        from: u64,
        records: &[u8],
        writable: bool,
    ) -> u64 {
        self.batch.room = self.room(key, 0);
        let (mut rest, mut owed, mut failed) = (records, 0, !writable);
        for record in Records::new(records, from) {
            let Ok(record) = record else {
                tracing::error!("what came from a place is no log");
                break;
            };
            let bytes = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, after) = rest.split_at(bytes);
            rest = after;
            if record.cursor < stored {
                continue;
            }
            failed =
                failed || line.len() > RECORD_BYTES_MAX || !self.make_room_in_batch(key, bytes);
            if failed {
                owed += record.next - record.cursor;
            } else {
                self.batch.bytes.extend_from_slice(line);
                self.batch.output += record.next - record.cursor;
            }
        }
        owed
    }

    /// Writes the batch if it has no room for a record of so many bytes; false when that failed.
    fn make_room_in_batch(&mut self, key: u32, record_bytes: usize) -> bool {
        if self.batch.bytes.len() + record_bytes > self.batch.room {
            if !self.flush(key) {
                return false;
            }
            self.batch.room = self.room(key, record_bytes);
        }
        true
    }

    fn put(&mut self, key: u32, head: &[u8; HEAD_BYTES], content: &[u8], ends_line: bool) -> bool {
        if !self.make_room_in_batch(key, HEAD_BYTES + content.len() + 1) {
            return false;
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
}
