//! Log records as SSE events: pure, from stored bytes to bytes on the wire.
//!
//! Text is lossy UTF-8, but a character that was cut by the end of a pipe read is not lost: its
//! first bytes are carried over to the next piece of the same stream, and a chunk that ends inside
//! a character leaves that piece to the next chunk.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::sse;
use deskd_keeper::logs::{Gap, Record, Records, Stream, Tag};

/// One record on the wire; the names are short because there are many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogLine<'a> {
    /// Cursor of the record.
    pub c: u64,
    /// When it was read from the pipe, RFC 3339.
    pub t: Cow<'a, str>,
    /// Which pipe.
    pub s: Stream,
    /// The line goes on in the next record of the same stream.
    pub p: bool,
    /// Its text, lossy UTF-8, without the newline.
    pub text: Cow<'a, str>,
}

/// The outcome of encoding a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// Where to read on.
    pub next: u64,
    /// The chunk's last piece ends inside a character and was left out.
    pub held_back: bool,
}

/// Appends the events of `bytes`, whole records from the cursor `from` to before `end`. Unless
/// `force`, a last piece that ends inside a character is left out.
pub fn events(bytes: &[u8], from: u64, end: u64, force: bool, out: &mut Vec<u8>) -> Encoded {
    let mut lines = Lines { out, open: None, next: from };
    let mut carry: [Vec<u8>; 2] = Default::default();
    let mut last: [Option<Record<'_>>; 2] = [None, None];
    for record in Records::new(bytes, from) {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                // The writer repairs torn records when it opens a log, so this is a damaged disk.
                tracing::warn!(%error, "a log record could not be read");
                lines.gap(&damaged(end.saturating_sub(lines.next)), end);
                return Encoded { next: end, held_back: false };
            }
        };
        if let Tag::Gap(gap) = &record.tag {
            lines.gap(gap, record.next);
            continue;
        }
        let partial = record.tag == Tag::Partial;
        let at = usize::from(record.stream == Stream::Stderr);
        let begun_here = carry[at].is_empty();
        carry[at].extend_from_slice(record.content);
        let cut = if partial { cut_character(&carry[at]) } else { 0 };
        if cut > 0 && record.next == end && begun_here && !force {
            lines.close();
            return Encoded { next: record.cursor, held_back: true };
        }
        let rest = carry[at].split_off(carry[at].len() - cut);
        lines.push(&record, partial, &carry[at]);
        carry[at] = rest;
        last[at] = Some(record);
    }
    // Half a character whose other half is not in this chunk and that could not be left to the next.
    for (half, record) in carry.iter().zip(&last) {
        if let (false, Some(record)) = (half.is_empty(), record) {
            lines.push(record, true, half);
        }
    }
    lines.close();
    Encoded { next: end, held_back: false }
}

fn damaged(bytes: u64) -> Gap {
    Gap { dropped_bytes: bytes, reason: deskd_keeper::logs::GapReason::Torn }
}

struct Lines<'a> {
    out: &'a mut Vec<u8>,
    /// Where the array of the open `lines` event begins.
    open: Option<usize>,
    next: u64,
}

impl Lines<'_> {
    fn push(&mut self, record: &Record<'_>, partial: bool, content: &[u8]) {
        match self.open {
            Some(_) => self.out.push(b','),
            None => {
                sse::begin(self.out, "lines");
                self.open = Some(self.out.len());
                self.out.push(b'[');
            }
        }
        let line = LogLine {
            c: record.cursor,
            t: record.time.into(),
            s: record.stream,
            p: partial,
            text: String::from_utf8_lossy(content),
        };
        // Writing to a Vec cannot fail, and the value has no map.
        let _ = serde_json::to_writer(&mut *self.out, &line);
        self.next = self.next.max(record.next);
    }

    /// The id comes last: a stream cut in the middle of an event is resumed before it either way.
    fn close(&mut self) {
        if self.open.take().is_some() {
            self.out.extend_from_slice(format!("]\nid: {}\n\n", self.next).as_bytes());
        }
    }

    fn gap(&mut self, gap: &Gap, next: u64) {
        self.close();
        sse::event(self.out, "gap", Some(&next.to_string()), gap);
        self.next = next;
    }
}

/// Bytes at the end of `content` that begin a character but do not finish it: 0 to 3.
fn cut_character(content: &[u8]) -> usize {
    for (at, byte) in content.iter().rev().take(3).enumerate() {
        let wanted = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return 0,
        };
        return if at + 1 < wanted { at + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIME: &str = "2026-11-24T05:30:26.123456789Z";

    /// Encodes and gives the outcome, the bytes and where the records end.
    fn encoded(bytes: &[u8], from: u64, force: bool) -> (Encoded, Vec<u8>, u64) {
        let end = Records::new(bytes, from).last().map_or(from, |record| record.unwrap().next);
        let mut out = Vec::new();
        (events(bytes, from, end, force, &mut out), out, end)
    }

    fn stored(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (head, content) in records {
            bytes.extend_from_slice(format!("{TIME} {head} ").as_bytes());
            bytes.extend_from_slice(content);
            bytes.push(b'\n');
        }
        bytes
    }

    fn lines(encoded: &[u8]) -> Vec<(String, bool)> {
        String::from_utf8(encoded.to_vec())
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_prefix("data: ["))
            .flat_map(|array| {
                serde_json::from_str::<Vec<LogLine<'_>>>(&format!("[{array}")).unwrap()
            })
            .map(|line| (line.text.into_owned(), line.p))
            .collect()
    }

    #[test]
    fn a_chunk_is_one_event_whose_id_is_the_cursor_after_it() {
        let bytes = stored(&[("stdout F", b"one"), ("stderr F", b"\xff\0two")]);
        let (encoded, out, end) = encoded(&bytes, 100, false);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(encoded.next, end);
        let end = format!("]\nid: {end}\n\n");
        assert!(text.starts_with("event: lines\ndata: [{\"c\":100,\"t\":\"2026-"), "{text}");
        assert!(text.ends_with(&end), "{text}");
        assert!(
            text.contains("\"s\":\"stderr\",\"p\":false,\"text\":\"\u{fffd}\\u0000two\""),
            "{text}"
        );
    }

    #[test]
    fn a_gap_is_an_event_of_its_own_between_the_lines() {
        let bytes = stored(&[
            ("stdout F", b"one"),
            ("stderr F:gap", b"42 write_failed 42 bytes dropped: the disk was full"),
            ("stdout F", b"two"),
        ]);
        let (_, out, _) = encoded(&bytes, 0, false);
        let text = String::from_utf8(out).unwrap();
        let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        assert_eq!(names, ["lines", "gap", "lines"]);
        assert!(
            text.contains("data: {\"dropped_bytes\":42,\"reason\":\"write_failed\"}"),
            "{text}"
        );
    }

    #[test]
    fn a_character_cut_by_a_read_is_whole_again() {
        let bytes =
            stored(&[("stdout P", b"a\xe2\x82"), ("stderr F", b"x"), ("stdout F", b"\xacb")]);
        let (_, out, _) = encoded(&bytes, 0, false);
        let expected = [("a".into(), true), ("x".into(), false), ("\u{20ac}b".into(), false)];
        assert_eq!(lines(&out), expected);
    }

    #[test]
    fn a_chunk_that_ends_inside_a_character_leaves_that_piece_to_the_next() {
        let bytes = stored(&[("stdout F", b"one"), ("stdout P", b"a\xe2\x82")]);
        let (outcome, out, _) = encoded(&bytes, 0, false);
        assert_eq!(outcome, Encoded { next: 4, held_back: true });
        assert_eq!(lines(&out), [("one".into(), false)]);
        let (outcome, out, end) = encoded(&bytes, 0, true);
        assert_eq!(outcome.next, end);
        let pieces = [("a".into(), true), ("\u{fffd}".into(), true)];
        assert_eq!(lines(&out)[1..], pieces);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn text_is_the_same_wherever_reads_cut_it(text in "\\PC{0,40}", cuts in prop::collection::vec(0usize..160, 0..5)) {
            let raw = text.replace('\n', " ").into_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| (1..raw.len()).contains(cut)).collect();
            cuts.sort_unstable();
            cuts.dedup();
            let mut bytes = Vec::new();
            let mut from = 0;
            for cut in cuts {
                bytes.extend(stored(&[("stdout P", &raw[from..cut])]));
                from = cut;
            }
            bytes.extend(stored(&[("stdout F", &raw[from..])]));
            let (_, out, _) = encoded(&bytes, 0, false);
            let joined: String = lines(&out).into_iter().map(|(text, _)| text).collect();
            prop_assert_eq!(joined.into_bytes(), raw);
        }
    }
}
