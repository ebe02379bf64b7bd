//! One CRI record: parsing and formatting. Bytes in, values out; no files here.
//!
//! The head of an output record has one length, [`HEAD_BYTES`], so that the writer copies it as a
//! block and the reader finds the content without searching. Format: Kubernetes' CRI logging
//! (`kubelet`'s `pkg/kubelet/kuberuntime/logs`): `<RFC 3339 nano> <stream> <tags> <content>`, tags
//! separated by `:`, the first of them `F` or `P`.

use std::io::Write as _;

/// Which pipe a record came from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Why bytes are missing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The task's own limit dropped its oldest segments.
    TaskLimit,
    /// The limit of all tasks together did.
    TotalLimit,
    /// The file could not be written (disk full, read-only, I/O error).
    WriteFailed,
    /// A crash tore the end of a segment; the count is what is known to have been there, at least 1.
    Torn,
    /// A file was damaged in its middle.
    Damaged,
}

impl GapReason {
    const ALL: [Self; 5] =
        [Self::TaskLimit, Self::TotalLimit, Self::WriteFailed, Self::Torn, Self::Damaged];

    /// The word in the file, the same as in JSON.
    fn word(self) -> &'static str {
        match self {
            Self::TaskLimit => "task_limit",
            Self::TotalLimit => "total_limit",
            Self::WriteFailed => "write_failed",
            Self::Torn => "torn",
            Self::Damaged => "damaged",
        }
    }

    /// The rest of the sentence "N bytes dropped: ...".
    fn sentence(self) -> &'static str {
        match self {
            Self::TaskLimit => "the log of this task reached its limit",
            Self::TotalLimit => "the logs of all tasks reached their limit",
            Self::WriteFailed => "the log could not be written",
            Self::Torn => "a crash tore the end of the log",
            Self::Damaged => "the log's file was damaged",
        }
    }
}

/// Bytes that are not in the store any more.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Gap {
    /// Bytes of the application's output that were dropped.
    pub dropped_bytes: u64,
    /// Why.
    pub reason: GapReason,
}

/// The tag of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tag {
    /// `F`: ends a line.
    Full,
    /// `P`: the line goes on in the next record of the same stream.
    Partial,
    /// `F:gap`.
    Gap(Gap),
}

/// One record, borrowed from a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Offset of its first byte in the task's output.
    pub cursor: u64,
    /// Offset after it: where the next record begins. Resuming here repeats nothing.
    pub next: u64,
    /// The RFC 3339 time as written, such as `2026-11-24T05:30:26.123456789Z`.
    pub time: &'a str,
    /// Which pipe.
    pub stream: Stream,
    /// Whole line, piece, or gap.
    pub tag: Tag,
    /// The content, without the newline; any bytes but `\n`. Of a gap: a sentence for people.
    pub content: &'a [u8],
}

impl Record<'_> {
    /// Appends what the application wrote: the content, and the newline when it wrote one. A gap
    /// adds nothing.
    pub fn push_output(&self, out: &mut Vec<u8>) {
        match self.tag {
            Tag::Full => {
                out.extend_from_slice(self.content);
                out.push(b'\n');
            }
            Tag::Partial => out.extend_from_slice(self.content),
            Tag::Gap(_) => {}
        }
    }
}

/// Why a line is not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no CRI record at offset {cursor}: {what}")]
pub struct RecordError {
    /// Where.
    pub cursor: u64,
    /// What is wrong.
    pub what: &'static str,
}

/// Iterates over the records of a chunk of whole records; ends after the first error.
#[derive(Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    cursor: u64,
}

impl<'a> Records<'a> {
    /// Records in `bytes`, the first of which has the cursor `cursor` ([`super::Chunk::from`]).
    #[must_use]
    pub fn new(bytes: &'a [u8], cursor: u64) -> Self {
        Self { bytes, cursor }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        let parsed = match memchr::memchr(b'\n', self.bytes) {
            Some(newline) => parse(&self.bytes[..newline], self.cursor),
            None => Err("it does not end"),
        };
        match parsed {
            Ok((record, line_bytes)) => {
                self.bytes = &self.bytes[line_bytes + 1..];
                self.cursor = record.next;
                Some(Ok(record))
            }
            Err(what) => {
                self.bytes = &[];
                Some(Err(RecordError { cursor: self.cursor, what }))
            }
        }
    }
}

/// Bytes before the content of an output record: `<time> <stream> <F|P> `.
pub(super) const HEAD_BYTES: usize = 40;
/// Most content one record has, in bytes; longer lines become pieces. Half the smallest segment,
/// so that a segment holds at least one record.
pub(super) const CONTENT_BYTES_MAX: usize = 32 << 10;
/// Longest record, in bytes, with its newline.
pub(super) const RECORD_BYTES_MAX: usize = HEAD_BYTES + CONTENT_BYTES_MAX + 1;

/// Largest gap that is believed, in bytes: half an exbibyte, so that one wrong count leaves room for what is
/// written after it (see `segment::CURSOR_MAX`).
const GAP_BYTES_MAX: u64 = 1 << 59;

const TIME_BYTES: usize = 30;
const TIME_SHAPE: &[u8; TIME_BYTES] = b"0000-00-00T00:00:00.000000000Z";
const GAP_TAG: &[u8] = b"F:gap ";

/// The time of a batch of records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp([u8; TIME_BYTES]);

impl Stamp {
    /// The wall clock's time, with nanoseconds.
    pub(super) fn now() -> Self {
        let mut text = *TIME_SHAPE;
        // Thirty bytes for every year of four digits; a clock beyond them is cut, not a failure.
        let _ = write!(text.as_mut_slice(), "{:.9}", jiff::Timestamp::now());
        Self(text)
    }

    /// A time written by somebody else in this shape; the wall clock's where it has another.
    pub(super) fn of(time: &str) -> Self {
        let fits = |text: &[u8; TIME_BYTES]| {
            text.iter().zip(TIME_SHAPE).all(|(&byte, &shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                other => byte == other,
            })
        };
        match time.as_bytes().try_into().ok().filter(fits) {
            Some(text) => Self(text),
            None => Self::now(),
        }
    }

    /// That of a record.
    pub(super) fn of_record(record: &[u8]) -> Option<Self> {
        record.get(..TIME_BYTES)?.try_into().ok().map(Self)
    }

    /// The head of the records of `stream` with the tag `tag`.
    pub(super) fn head(&self, stream: Stream, tag: u8) -> [u8; HEAD_BYTES] {
        let mut head = [b' '; HEAD_BYTES];
        head[..TIME_BYTES].copy_from_slice(&self.0);
        head[TIME_BYTES + 1..TIME_BYTES + 7].copy_from_slice(match stream {
            Stream::Stdout => b"stdout",
            Stream::Stderr => b"stderr",
        });
        head[HEAD_BYTES - 2] = tag;
        head
    }

    /// Appends a gap record with its newline to `out`. Its stream is stderr: the bytes may be of
    /// both, and an agent should show it as trouble.
    pub(super) fn push_gap(&self, gap: &Gap, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head(Stream::Stderr, b'F')[..HEAD_BYTES - 2]);
        out.extend_from_slice(GAP_TAG);
        let (count, reason) = (gap.dropped_bytes, gap.reason);
        let (word, sentence) = (reason.word(), reason.sentence());
        // A Vec takes everything.
        let _ = writeln!(out, "{count} {word} {count} bytes dropped: {sentence}");
    }
}

/// The record in `line` (without its newline), and the line's length.
fn parse(line: &[u8], cursor: u64) -> Result<(Record<'_>, usize), &'static str> {
    let (stream, tag, content_at) = parse_head(line)?;
    let content = &line[content_at..];
    let time = std::str::from_utf8(&line[..TIME_BYTES]).map_err(|_| "its time is not ASCII")?;
    let next = cursor.saturating_add(output_of(&tag, content));
    Ok((Record { cursor, next, time, stream, tag, content }, line.len()))
}

/// How many bytes of output the record in `line` (without its newline) stands for.
pub(super) fn output_bytes(line: &[u8]) -> Result<u64, &'static str> {
    let (_, tag, content_at) = parse_head(line)?;
    Ok(output_of(&tag, &line[content_at..]))
}

fn output_of(tag: &Tag, content: &[u8]) -> u64 {
    match tag {
        Tag::Full => content.len() as u64 + 1,
        Tag::Partial => content.len() as u64,
        Tag::Gap(gap) => gap.dropped_bytes,
    }
}

fn parse_head(line: &[u8]) -> Result<(Stream, Tag, usize), &'static str> {
    if line.len() < HEAD_BYTES {
        return Err("it is too short");
    }
    let time = line[..TIME_BYTES].iter().zip(TIME_SHAPE);
    if !time.fold(true, |ok, (b, s)| ok & if *s == b'0' { b.is_ascii_digit() } else { b == s }) {
        return Err("it does not begin with a time");
    }
    let stream = match &line[TIME_BYTES..TIME_BYTES + 8] {
        b" stdout " => Stream::Stdout,
        b" stderr " => Stream::Stderr,
        _ => return Err("its stream is neither stdout nor stderr"),
    };
    match &line[HEAD_BYTES - 2..HEAD_BYTES] {
        b"F " => Ok((stream, Tag::Full, HEAD_BYTES)),
        // An empty piece would stand for nothing: two records would share a cursor.
        b"P " if line.len() > HEAD_BYTES => Ok((stream, Tag::Partial, HEAD_BYTES)),
        b"F:" => {
            let gap = parse_gap(&line[HEAD_BYTES - 2..]).ok_or("its gap is malformed")?;
            Ok((stream, Tag::Gap(gap), HEAD_BYTES - 2 + GAP_TAG.len()))
        }
        _ => Err("its tag is none of F, P and F:gap"),
    }
}

/// Where a head begins in `line`, from `from` on.
pub(super) fn head_at(line: &[u8], from: usize) -> Option<usize> {
    // `T` is rare enough to look for.
    let day = TIME_SHAPE.iter().position(|byte| *byte == b'T').unwrap_or(0);
    memchr::memchr_iter(b'T', line)
        .filter_map(|at| at.checked_sub(day))
        .find(|&at| at >= from && parse_head(&line[at..]).is_ok())
}

/// Whether most of it is a head's, so that what follows was content.
pub(super) fn looks_like_head(head: &[u8]) -> bool {
    let time = head.iter().zip(TIME_SHAPE);
    let wrong = time.filter(|(byte, shape)| match shape {
        b'0' => !byte.is_ascii_digit(),
        _ => byte != shape,
    });
    wrong.count() <= TIME_BYTES / 4
}

fn parse_gap(tag_and_content: &[u8]) -> Option<Gap> {
    let content = std::str::from_utf8(tag_and_content.strip_prefix(GAP_TAG)?).ok()?;
    let mut words = content.split(' ');
    let dropped_bytes =
        words.next()?.parse().ok().filter(|count| (1..=GAP_BYTES_MAX).contains(count))?;
    let word = words.next()?;
    let reason = GapReason::ALL.into_iter().find(|reason| reason.word() == word)?;
    // It is there twice, so that one wrong digit does not move every cursor after it.
    (words.next()?.parse() == Ok(dropped_bytes)).then_some(())?;
    Some(Gap { dropped_bytes, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gap_record_is_read_back_and_moves_the_cursor_by_what_was_dropped() {
        for reason in GapReason::ALL {
            let gap = Gap { dropped_bytes: 8_388_608, reason };
            let mut bytes = Vec::new();
            Stamp::now().push_gap(&gap, &mut bytes);
            let record = Records::new(&bytes, 5).next().unwrap().unwrap();
            assert_eq!((record.tag, record.next), (Tag::Gap(gap), 8_388_613));
            assert_eq!(format!("\"{}\"", reason.word()), serde_json::to_string(&reason).unwrap());
        }
    }

    #[test]
    fn lines_that_are_no_records_are_refused_with_a_reason() {
        let time = "2026-11-24T05:30:26.123456789Z";
        for bad in [
            String::new(),
            "hello".into(),
            format!("{time} stdout F"),
            format!("{time} stdin  F x"),
            format!("{time} stdout P "),
            format!("{time} stdout X x"),
            format!("{time} stderr F:gap 0 torn"),
            format!("{time} stderr F:gap 18446744073709551616 torn"),
            format!("{time} stderr F:gap 18446744073709551610 torn 18446744073709551610 bytes"),
            format!("{time} stderr F:gap 7 boredom"),
            format!("{time} stderr F:gap 7 torn 8 bytes dropped"),
            format!("{} stdout F x", time.replace('T', " ")),
            "\0".repeat(80),
        ] {
            let line = format!("{bad}\n");
            assert!(Records::new(line.as_bytes(), 0).next().unwrap().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>, cursor: u64) {
            for record in Records::new(&bytes, cursor) {
                let _ = record.map_err(|error| error.to_string());
            }
        }
    }
}
