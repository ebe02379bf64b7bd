//! A log, as far as it is known: its start and its end, and lines in them.

use std::borrow::Cow;

/// Longest part of a line that is looked at, in bytes, before and after the words that matter.
pub const LINE_BYTES_MAX: usize = 4096;
/// Longest line that is shown, in bytes.
pub const SHOWN_BYTES_MAX: usize = 400;

/// What a program wrote. Without the beginnings that deskd's own files put before each line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log<'a> {
    /// Its start, or all of it.
    pub start: &'a [u8],
    /// Its end, when `start` is not all; empty otherwise.
    pub end: &'a [u8],
}

impl<'a> Log<'a> {
    /// A log that is known as a whole.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self { start: bytes, end: &[] }
    }

    /// The part that its last line is in.
    #[must_use]
    pub fn tail(&self) -> &'a [u8] {
        if self.end.is_empty() { self.start } else { self.end }
    }
}

/// The line around `at`, without its end; of a long one what is near `at`.
#[must_use]
pub(super) fn line_at(text: &[u8], at: usize) -> (usize, &[u8]) {
    let floor = at.saturating_sub(LINE_BYTES_MAX);
    let ceiling = text.len().min(at + LINE_BYTES_MAX);
    let from = memchr::memrchr(b'\n', &text[floor..at]).map_or(floor, |end| floor + end + 1);
    let to = memchr::memchr(b'\n', &text[at..ceiling]).map_or(ceiling, |end| at + end);
    (from, &text[from..to])
}

/// A line as it is shown: whole, or `SHOWN_BYTES_MAX` of it that have `at` in them.
#[must_use]
pub(super) fn shown(line: &[u8], at: usize) -> Cow<'_, str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let at = at.min(line.len());
    if line.len() <= SHOWN_BYTES_MAX {
        return String::from_utf8_lossy(line);
    }
    let mut from = at.saturating_sub(SHOWN_BYTES_MAX / 4).min(line.len() - SHOWN_BYTES_MAX);
    let mut to = from + SHOWN_BYTES_MAX;
    // Not in the middle of a character.
    while from > 0 && from < at && is_continuation(line[from]) {
        from += 1;
    }
    while to > from && to < line.len() && is_continuation(line[to]) {
        to -= 1;
    }
    String::from_utf8_lossy(&line[from..to])
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Number of the line at `at`, from 1.
#[must_use]
pub(super) fn line_number(text: &[u8], at: usize) -> u64 {
    memchr::memchr_iter(b'\n', &text[..at]).count() as u64 + 1
}

/// Number of the line at `at` counted from the last one, from 1.
#[must_use]
pub(super) fn line_from_end(text: &[u8], at: usize) -> u64 {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let rest = text.get(at..).unwrap_or_default();
    memchr::memchr_iter(b'\n', rest).count() as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_and_counted_from_both_ends() {
        let text = b"one\ntwo\nthree\n";
        assert_eq!(line_at(text, 5), (4, &b"two"[..]));
        assert_eq!((line_number(text, 5), line_from_end(text, 5)), (2, 2));
        assert_eq!((line_number(text, 9), line_from_end(text, 9)), (3, 1));
    }

    #[test]
    fn a_long_line_is_shown_around_what_matters() {
        let mut line = vec![b'x'; 3000];
        line.extend_from_slice("é needle".as_bytes());
        line.extend(std::iter::repeat_n(b'y', 3000));
        let text = shown(&line, 3003);
        assert!(text.len() <= SHOWN_BYTES_MAX && text.contains("needle"), "{text}");
    }
}
