//! The text of `pods/log` (with `follow` and `timestamps`) to lines of the log store, each exactly
//! once however often the stream breaks. Pure.
//!
//! `sinceTime` has seconds and kubelet compares whole lines with it, so a stream that is resumed
//! begins with lines that were stored already. Within one daemon they are counted: kubelet sends the
//! same lines again, in the same order. After a restart of the daemon the log store says where it
//! ends ([`LogMark`]).

use crate::engine::kubernetes::LogMark;
use deskd_core::wire::LogLine;

/// Bytes of a line that are handed on before its end is there.
pub const PIECE_BYTES_MAX: usize = 32 << 10;
/// Longest timestamp: `2026-11-24T05:30:26.123456789+01:00 `.
const TIME_BYTES_MAX: usize = 40;

/// What is known about where the output goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Position {
    /// Everything is new.
    Start,
    /// After what an earlier daemon stored.
    Mark(LogMark),
    /// After what was handed on here.
    Counted {
        /// The latest second a line had.
        second: i64,
        /// Complete lines of that second, or later, which were handed on.
        lines: u64,
        /// Bytes of the next one that were.
        partial: u64,
        /// Time of the latest line.
        latest: String,
    },
}

/// Reads one stream after the other.
#[derive(Debug)]
pub struct Lines {
    position: Position,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    /// Its time, once that was read; the bytes are then its content.
    time: Option<String>,
    /// What is left to be skipped of this stream.
    skip: Skip,
    /// No line of this stream was complete yet.
    first: bool,
    /// Bytes of the current line that were handled already.
    handled: u64,
    /// Text that is not a line of the application: kubelet's own words.
    words: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Skip {
    Nothing,
    Mark { time: String, lines: u32, partial: u64 },
    Count { lines: u64, partial: u64, latest: String },
}

impl Lines {
    /// From a mark of the log store on.
    #[must_use]
    pub fn new(mark: LogMark) -> Self {
        let position = if mark.time.is_empty() { Position::Start } else { Position::Mark(mark) };
        Self {
            position,
            rest: Vec::new(),
            time: None,
            skip: Skip::Nothing,
            first: true,
            handled: 0,
            words: None,
        }
    }

    /// A stream begins: what to ask for as `sinceTime`.
    pub fn begin(&mut self) -> Option<String> {
        self.rest.clear();
        self.time = None;
        self.first = true;
        self.handled = 0;
        self.words = None;
        let (second, skip) = match &self.position {
            Position::Start => (None, Skip::Nothing),
            Position::Mark(LogMark { time, lines_at_time, partial_bytes }) => {
                let (lines, partial) = (*lines_at_time, *partial_bytes);
                (second_of(time), Skip::Mark { time: time.clone(), lines, partial })
            }
            Position::Counted { second, lines, partial, latest } => {
                let (lines, partial, latest) = (*lines, *partial, latest.clone());
                (Some(*second), Skip::Count { lines, partial, latest })
            }
        };
        self.skip = skip;
        let since = jiff::Timestamp::from_second(second?).ok()?;
        Some(since.to_string())
    }

    /// Bytes of the stream.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<LogLine>) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.rest.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.take_time();
            self.piece(true, out);
        }
        self.rest.extend_from_slice(bytes);
        self.take_time();
        if self.rest.len() >= PIECE_BYTES_MAX {
            self.piece(false, out);
        }
    }

    /// No more will ever come: what has no end of line is a line as well.
    pub fn finish(&mut self, out: &mut Vec<LogLine>) {
        self.take_time();
        if self.time.is_some() && !self.rest.is_empty() {
            self.piece(false, out);
        }
    }

    /// What kubelet said instead of lines, if anything.
    pub fn words(&mut self) -> Option<String> {
        self.words.take()
    }

    /// The line's time, once it is there.
    fn take_time(&mut self) {
        if self.time.is_some() {
            return;
        }
        let head = &self.rest[..self.rest.len().min(TIME_BYTES_MAX)];
        let Some(space) = memchr::memchr(b' ', head) else { return };
        let time = std::str::from_utf8(&self.rest[..space]).ok().and_then(utc);
        if let Some(time) = time {
            self.time = Some(time);
            self.rest.drain(..=space);
        }
    }

    /// A line, or a piece of it.
    fn piece(&mut self, ends_line: bool, out: &mut Vec<LogLine>) {
        let bytes = std::mem::take(&mut self.rest);
        let first = std::mem::take(&mut self.first);
        let time = if ends_line { self.time.take() } else { self.time.clone() };
        let Some(time) = time else {
            // The end of a line that began before `sinceTime` was stored with its beginning.
            let resumed = first && self.skip != Skip::Nothing;
            if !resumed && !bytes.is_empty() {
                self.words = Some(String::from_utf8_lossy(&bytes).into_owned());
            }
            return;
        };
        let before = self.handled;
        self.handled = if ends_line { 0 } else { before + bytes.len() as u64 };
        let skipped = self.skipped(&time, ends_line, before, bytes.len() as u64);
        let Some(skipped) = skipped else { return };
        let bytes = match usize::try_from(skipped) {
            Ok(0) => bytes,
            Ok(count) => bytes[count.min(bytes.len())..].to_vec(),
            Err(_) => Vec::new(),
        };
        // Only the rest of a piece that was stored: its end of line may be news.
        if bytes.is_empty() && skipped > 0 && !ends_line {
            return;
        }
        self.count(&time, ends_line, self.handled);
        out.push(LogLine { time, ends_line, bytes });
    }

    /// How many bytes of a piece that begins `before` bytes into its line are not new; nothing when
    /// the whole line is not.
    fn skipped(&mut self, time: &str, ends_line: bool, before: u64, len: u64) -> Option<u64> {
        match &mut self.skip {
            Skip::Nothing => Some(0),
            Skip::Mark { time: mark, lines, partial } => {
                // Texts of the same length and zone: their order is that of the times.
                if time < mark.as_str() {
                    return None;
                }
                if time > mark.as_str() {
                    self.skip = Skip::Nothing;
                    return Some(0);
                }
                if *lines > 0 {
                    *lines -= u32::from(ends_line);
                    if *lines == 0 && *partial == 0 {
                        self.skip = Skip::Nothing;
                    }
                    return None;
                }
                Some(self.skip_partial(ends_line, before, len))
            }
            Skip::Count { lines, partial, latest } => {
                if time > latest.as_str() {
                    self.skip = Skip::Nothing;
                    return Some(0);
                }
                if *lines > 0 {
                    *lines -= u64::from(ends_line);
                    if *lines == 0 && *partial == 0 {
                        self.skip = Skip::Nothing;
                    }
                    return None;
                }
                Some(self.skip_partial(ends_line, before, len))
            }
        }
    }

    /// The line whose beginning is stored.
    fn skip_partial(&mut self, ends_line: bool, before: u64, len: u64) -> u64 {
        let (Skip::Mark { partial, .. } | Skip::Count { partial, .. }) = &self.skip else {
            return 0;
        };
        let skipped = partial.saturating_sub(before).min(len);
        if ends_line || before + len > *partial {
            self.skip = Skip::Nothing;
        }
        skipped
    }

    /// A piece was handed on, which ends `partial_now` bytes into its line (0: with it).
    fn count(&mut self, time: &str, ends_line: bool, partial_now: u64) {
        let now = second_of(time).unwrap_or(0);
        match &mut self.position {
            // What came before in the mark's second was not counted, so the mark moves on until
            // the next second begins.
            Position::Mark(mark) if second_of(&mark.time).is_some_and(|second| now <= second) => {
                let before = if mark.time == time { mark.lines_at_time } else { 0 };
                *mark = LogMark {
                    time: time.to_owned(),
                    lines_at_time: before + u32::from(ends_line),
                    partial_bytes: partial_now,
                };
            }
            Position::Start | Position::Mark(_) => {
                self.position = Position::Counted {
                    second: now,
                    lines: u64::from(ends_line),
                    partial: partial_now,
                    latest: time.to_owned(),
                };
            }
            Position::Counted { second, lines, partial, latest } => {
                *partial = partial_now;
                if now > *second {
                    (*second, *lines) = (now, 0);
                }
                if now == *second {
                    *lines += u64::from(ends_line);
                }
                if time > latest.as_str() {
                    time.clone_into(latest);
                }
            }
        }
    }
}

fn second_of(time: &str) -> Option<i64> {
    let time: jiff::Timestamp = time.parse().ok()?;
    Some(time.as_second())
}

/// `2026-11-24T06:30:26.1+01:00` to `2026-11-24T05:30:26.100000000Z`: always 30 bytes.
fn utc(text: &str) -> Option<String> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(format!("{time:.9}"))
}

#[cfg(test)]
mod tests;
