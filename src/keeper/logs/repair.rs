//! Opening a log that another process (or another boot) wrote: what is there, and is its end whole?
//!
//! A process that is killed leaves at most a torn last record; a machine that crashes may leave
//! zeros or old blocks. Everything after the last whole record of the last segment is cut, and
//! counted as far as it can be: of a torn record the content that was there, at least one byte.
//! What a crash kept from ever reaching the file nobody can count.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

use super::mend::mend;
use super::record::{self, GapReason, HEAD_BYTES};
use super::segment::{self, BLOCK_BYTES, Place};
use super::source::{Source, is_for_good};
use super::writer::{Log, Segment};
use crate::files::{self, Links};

/// Adds up the files of a log, without reading records.
pub(super) fn measure(dir: &Path, log: &mut Log) -> io::Result<segment::Listing> {
    segment::set_aside_strangers(dir)?;
    let listing = segment::list(dir)?;
    let mut segments = Vec::with_capacity(listing.starts.len());
    for &start in &listing.starts {
        let bytes = fs::metadata(segment::path(dir, start))?.len();
        segments.push(Segment { start, bytes });
    }
    log.dropped_file_bytes = fs::metadata(segment::dropped_path(dir)).map_or(0, |meta| meta.len());
    log.segments = segments;
    Ok(listing)
}

/// Makes the log ready for appending: finishes an interrupted drop, cuts a torn end and notes the
/// gap, finds the end. `block` is working memory. Done again it changes nothing.
pub(super) fn repair(dir: &Path, log: &mut Log, block: &mut Vec<u8>) -> io::Result<()> {
    let listing = measure(dir, log)?;
    for start in &listing.stale {
        fs::remove_file(segment::path(dir, *start))?;
    }
    let mut end = listing.first();
    let mut torn = 0;
    if let Some(last) = log.segments.last_mut() {
        let path = segment::path(dir, last.start);
        let from = Place { offset: 0, cursor: last.start };
        let read = files::open(&path, Links::Refuse).and_then(|file| {
            let source = Source::File(file.try_clone()?);
            Ok((file, segment::walk(&source, from, u64::MAX, block)?))
        });
        let (file, (mut place, damaged)) = match read {
            Err(error) if is_for_good(&error) => {
                // The log goes on behind it, and all of it is a gap: it stands for less output than it has bytes.
                log.sealed = true;
                log.end = last.start.saturating_add(last.bytes);
                log.loaded = true;
                return Ok(());
            }
            read => read?,
        };
        if damaged {
            // Records after it stay where they are; only what is behind the last one is cut.
            block.clear();
            (&file).read_to_end(block)?;
            let mended = mend(block, None);
            place.offset = mended.whole_bytes as u64;
            place.cursor = last.start.saturating_add(mended.whole_output);
            log.sealed = true;
        }
        end = place.cursor;
        if place.offset < last.bytes {
            torn = torn_output(&file, place.offset, block)?.max(1);
            // A reader may be reading the torn bytes: their place is not used again.
            log.sealed = true;
            files::open_with(OpenOptions::new().write(true), &path, Links::Refuse)?
                .set_len(place.offset)?;
            last.bytes = place.offset;
        }
    }
    log.end = end;
    log.lose(torn, GapReason::Torn);
    log.loaded = true;
    Ok(())
}

/// How many bytes of output can be recognized after `offset`: whole records after garbage, and
/// what begins like a record.
fn torn_output(file: &File, mut offset: u64, block: &mut Vec<u8>) -> io::Result<u64> {
    let mut torn = 0_u64;
    loop {
        block.resize(BLOCK_BYTES, 0);
        let got = segment::read_at(file, block, offset)?;
        if got == 0 {
            return Ok(torn);
        }
        let (line, step) = match memchr::memchr(b'\n', &block[..got]) {
            Some(newline) => (&block[..newline], newline + 1),
            None => (&block[..got], got),
        };
        torn = torn.saturating_add(torn_line(line, step > line.len()));
        offset += step as u64;
    }
}

fn torn_line(line: &[u8], whole: bool) -> u64 {
    match record::output_bytes(line) {
        Ok(output) if whole => output,
        // A gap's count may itself be torn.
        Ok(_) if line[HEAD_BYTES - 1] == b' ' => (line.len() - HEAD_BYTES) as u64,
        _ => 0,
    }
}
