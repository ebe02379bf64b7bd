//! How far a container's output is stored: read back from the log, whose records have kubelet's
//! times.

use std::path::Path;

use deskd_core::id::TaskId;
use deskd_core::port::LogMark;
use deskd_keeper::logs::{LogReader, Record, Records, Tag};

/// Records looked at: more than a container writes within one nanosecond.
const RECORDS: u64 = 256;
/// Bytes read for them.
const READ_BYTES_MAX: usize = 1 << 20;

/// Nothing when there is no log, or none that can be read: the stream then begins anew.
pub(super) fn log_mark(state_dir: &Path, task: &TaskId) -> LogMark {
    let mut bytes = Vec::new();
    let read = LogReader::open(&state_dir.join("logs"), task).and_then(|mut log| {
        let from = log.tail(RECORDS)?;
        log.read(from, READ_BYTES_MAX, &mut bytes)
    });
    match read {
        Ok(chunk) => mark(Records::new(&bytes, chunk.from).map_while(Result::ok)),
        Err(_) => LogMark::default(),
    }
}

fn mark<'a>(records: impl Iterator<Item = Record<'a>>) -> LogMark {
    let mut mark = LogMark::default();
    for record in records {
        if matches!(record.tag, Tag::Gap(_)) {
            continue;
        }
        if record.time != mark.time {
            mark = LogMark { time: record.time.to_owned(), ..LogMark::default() };
        }
        match record.tag {
            Tag::Partial => mark.partial_bytes += record.content.len() as u64,
            _ => (mark.lines_at_time, mark.partial_bytes) = (mark.lines_at_time + 1, 0),
        }
    }
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> LogMark {
        mark(Records::new(text.as_bytes(), 0).map(Result::unwrap))
    }

    #[test]
    fn a_mark_is_the_last_time_and_what_was_stored_with_it() {
        const A: &str = "2026-11-24T05:30:26.123456789Z";
        const B: &str = "2026-11-24T05:30:26.123456790Z";
        assert_eq!(of(""), LogMark::default());
        let text = format!("{A} stdout F one\n{B} stdout F two\n{B} stdout F three\n");
        let mark = LogMark { time: B.into(), lines_at_time: 2, partial_bytes: 0 };
        assert_eq!(of(&text), mark);
        let text = format!("{text}{B} stdout P abc\n{B} stdout P de\n");
        assert_eq!(of(&text), LogMark { partial_bytes: 5, ..mark });
        let text = format!("{text}{B} stdout F f\n");
        assert_eq!(of(&text).lines_at_time, 3);
    }
}
