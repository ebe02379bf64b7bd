//! Where the last lines begin: read backwards in blocks, from the end of the log, so that the cost
//! is that of what is found (and of one walk over the last segment, to know where the log ends).

use super::reader::{LogReader, ReadError};
use super::record::{HEAD_BYTES, RECORD_BYTES_MAX, output_bytes};
use super::segment::Place;
use super::source::Source;

/// Bytes read at a time, backwards; more than a record.
const TAIL_BLOCK_BYTES: u64 = 64 << 10;

const _: () = assert!(TAIL_BLOCK_BYTES > RECORD_BYTES_MAX as u64);

/// What was found on the way back.
struct Count {
    lines_wanted: u64,
    lines: u64,
    /// Output after the record was seen.
    any: bool,
}

impl Count {
    /// Takes the next record on the way back; false when the lines wanted begin after it.
    fn take(&mut self, record: &[u8]) -> bool {
        let tag = record.get(HEAD_BYTES - 2..HEAD_BYTES);
        let (ends_line, is_piece) = (tag == Some(b"F "), tag == Some(b"P "));
        // A piece at the end is a line that has not ended.
        if ends_line || (is_piece && !self.any) {
            if self.lines == self.lines_wanted {
                return false;
            }
            self.lines += 1;
        }
        self.any |= ends_line || is_piece;
        true
    }
}

impl LogReader {
    /// The cursor at which the last `lines` lines begin (`F` records count as line ends, over both
    /// streams; a piece at the end counts as a line; a gap does not).
    pub fn tail(&mut self, lines: u64) -> Result<u64, ReadError> {
        self.retrying(|reader| {
            let listing = reader.list()?;
            let Some((file, end)) = reader.end_of(&listing)? else { return Ok(listing.first()) };
            let mut count = Count { lines_wanted: lines, lines: 0, any: false };
            let (mut cursor, mut done) = reader.back(&file, end, &mut count)?;
            for &start in listing.starts.iter().rev().skip(1) {
                if done {
                    break;
                }
                let file = reader.open_segment(start, listing.next_after(start))?;
                let offset = file.bytes().map_err(|error| reader.io(error))?;
                (cursor, done) = reader.back(&file, Place { offset, cursor }, &mut count)?;
            }
            Ok(cursor)
        })
    }

    /// Goes back from `from`, the end of a record. Returns the cursor where it stopped, and
    /// whether all lines were found.
    fn back(
        &mut self,
        source: &Source,
        from: Place,
        count: &mut Count,
    ) -> Result<(u64, bool), ReadError> {
        let mut place = from;
        while place.offset > 0 {
            let block_start = place.offset.saturating_sub(TAIL_BLOCK_BYTES);
            self.block.resize((place.offset - block_start) as usize, 0);
            let mut block = std::mem::take(&mut self.block);
            let got = source.read_at(&mut block, block_start);
            self.block = block;
            let got = got.map_err(|error| self.io(error))?;
            let before = place;
            let mut rest = &self.block[..got];
            while let Some(line) = rest.strip_suffix(b"\n") {
                let begin = match memchr::memrchr(b'\n', line) {
                    Some(newline) => newline + 1,
                    None if block_start == 0 => 0,
                    None => break,
                };
                let Ok(output) = output_bytes(&line[begin..]) else {
                    return Ok((place.cursor, true));
                };
                if !count.take(&line[begin..]) {
                    return Ok((place.cursor, true));
                }
                place.offset -= (rest.len() - begin) as u64;
                place.cursor = place.cursor.saturating_sub(output);
                rest = &rest[..begin];
            }
            if place == before {
                return Ok((place.cursor, true));
            }
        }
        Ok((place.cursor, false))
    }
}
