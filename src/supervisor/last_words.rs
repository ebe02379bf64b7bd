//! The last line a failed task wrote: the first thing a person looks for.

use std::path::Path;

use crate::domain::id::TaskId;
use crate::logs::{LogReader, Records, Stream, Tag};

/// Records looked at.
const RECORDS: u64 = 10;
/// Bytes read for them.
const READ_BYTES_MAX: usize = 16 << 10;
/// Characters shown.
const SHOWN_CHARS_MAX: usize = 200;

/// The last non-empty line, from standard error if there is one.
pub(super) fn last_words(state_dir: &Path, task: &TaskId) -> Option<String> {
    let mut reader = LogReader::open(&state_dir.join("logs"), task).ok()?;
    let from = reader.tail(RECORDS).ok()?;
    let mut bytes = Vec::new();
    let chunk = reader.read(from, READ_BYTES_MAX, &mut bytes).ok()?;
    let (mut any, mut error) = (None, None);
    for record in Records::new(&bytes, chunk.from).map_while(Result::ok) {
        let text = plain(&String::from_utf8_lossy(record.content));
        let text = text.trim();
        if text.is_empty() || matches!(record.tag, Tag::Gap(_)) {
            continue;
        }
        let line: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        if record.stream == Stream::Stderr {
            error = Some(line);
        } else {
            any = Some(line);
        }
    }
    error.or(any)
}

/// Without control characters and terminal sequences (ECMA-48: `ESC [ ... final byte`).
fn plain(text: &str) -> String {
    let mut chars = text.chars().peekable();
    let mut plain = String::new();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            chars.by_ref().find(|char| ('\u{40}'..='\u{7e}').contains(char));
        } else if !char.is_control() {
            plain.push(char);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn colours_are_not_words() {
        assert_eq!(plain("\u{1b}[1;33mwarning\u{1b}[0m: a\tb\u{7}\u{1b}[2"), "warning: ab");
    }
}
