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
        let text = String::from_utf8_lossy(record.content);
        let text = text.trim();
        if text.is_empty() || matches!(record.tag, Tag::Gap(_)) {
            continue;
        }
        let line: String = text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
        if record.stream == Stream::Stderr {
            error = Some(line);
        } else {
            any = Some(line);
        }
    }
    error.or(any)
}
