//! Log records as lines of JSON, beside those of deskd's own log: pure.

use serde::Serialize;

use deskd_core::id::{AppId, TaskId};
use deskd_keeper::logs::{Chunk, Gap, Record, Records, Stream, Tag};

/// Longest text of one line; a longer line is split, as kubelet splits it.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// One line. `timestamp`, `target` and `message` are the words of deskd's own log.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: &'a str,
    target: &'static str,
    task: &'a TaskId,
    app: &'a AppId,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<Stream>,
    message: &'a str,
    /// The line goes on in the next one of this task and stream.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    /// What is missing here.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<&'a Gap>,
}

/// What was made of a chunk.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) lines: u64,
    pub(super) lost_bytes: u64,
}

/// Makes lines of one task's records; keeps what of a line came so far.
pub(super) struct Encoder<'t> {
    task: &'t TaskId,
    app: &'t AppId,
    /// The open line of standard output and that of standard error, with its first record's time.
    open: [(Vec<u8>, String); 2],
    counted: Counted,
}

impl<'t> Encoder<'t> {
    pub(super) fn new(task: &'t TaskId, app: &'t AppId) -> Self {
        Self { task, app, open: Default::default(), counted: Counted::default() }
    }

    /// Appends the lines of `stored`, the whole records of `chunk`.
    pub(super) fn encode(&mut self, stored: &[u8], chunk: &Chunk, out: &mut Vec<u8>) {
        if let Some(gap) = &chunk.gap {
            self.gap(gap, "", out);
        }
        for record in Records::new(stored, chunk.from) {
            match record {
                Ok(record) => self.record(&record, out),
                Err(error) => {
                    // The reader skips damage with a gap: a record that cannot be read is a bug.
                    tracing::warn!(task = %self.task, %error, "a log record could not be read");
                    break;
                }
            }
        }
    }

    /// What was made since this was asked last.
    pub(super) fn counted(&mut self) -> Counted {
        std::mem::take(&mut self.counted)
    }

    /// Appends what has no end.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.close(stream, false, out);
        }
    }

    fn record(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        if let Tag::Gap(gap) = &record.tag {
            self.finish(out);
            return self.gap(gap, record.time, out);
        }
        let (text, time) = &mut self.open[usize::from(record.stream == Stream::Stderr)];
        if text.is_empty() {
            record.time.clone_into(time);
        }
        text.extend_from_slice(record.content);
        let full = record.tag == Tag::Full;
        if full && text.is_empty() {
            self.counted.lines += 1;
            return self.write(record.time, Some(record.stream), "", false, None, out);
        }
        while self.open[usize::from(record.stream == Stream::Stderr)].0.len() > TEXT_BYTES_MAX {
            self.close(record.stream, true, out);
        }
        if full {
            self.close(record.stream, false, out);
        }
    }

    /// Writes what is open of a stream: all of it, or as much as fits into one line.
    fn close(&mut self, stream: Stream, partial: bool, out: &mut Vec<u8>) {
        let (text, time) = &mut self.open[usize::from(stream == Stream::Stderr)];
        if text.is_empty() {
            return;
        }
        let rest = match partial {
            true => text.split_off(split_at(text)),
            false => Vec::new(),
        };
        let text = std::mem::replace(text, rest);
        let time = time.clone();
        self.counted.lines += 1;
        self.write(&time, Some(stream), &String::from_utf8_lossy(&text), partial, None, out);
    }

    fn gap(&mut self, gap: &Gap, time: &str, out: &mut Vec<u8>) {
        self.counted.lost_bytes += gap.dropped_bytes;
        let message = format!("{} bytes of output are missing here", gap.dropped_bytes);
        self.write(time, None, &message, false, Some(gap), out);
    }

    fn write(
        &self,
        timestamp: &str,
        stream: Option<Stream>,
        message: &str,
        partial: bool,
        gap: Option<&Gap>,
        out: &mut Vec<u8>,
    ) {
        let (task, app, target) = (self.task, self.app, "application");
        let line = Line { timestamp, target, task, app, stream, message, partial, gap };
        // Writing to a Vec cannot fail, and the value has no map.
        let _ = serde_json::to_writer(&mut *out, &line);
        out.push(b'\n');
    }
}

/// Where a long text is cut: at most [`TEXT_BYTES_MAX`], not within a character if that can be told.
fn split_at(text: &[u8]) -> usize {
    let is_continuation = |byte: u8| byte & 0xC0 == 0x80;
    let most = TEXT_BYTES_MAX.min(text.len());
    let least = most.saturating_sub(3);
    let starts = (least..=most).rev();
    let mut starts = starts.filter(|at| text.get(*at).is_none_or(|byte| !is_continuation(*byte)));
    starts.next().unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn lines(stored: &str, gap: Option<Gap>) -> (Vec<Value>, Counted) {
        let (task, app) = ("x-00001".parse().unwrap(), "x".parse().unwrap());
        let mut encoder = Encoder::new(&task, &app);
        let mut out = Vec::new();
        let chunk = Chunk { from: 0, next: 1, gap };
        encoder.encode(stored.as_bytes(), &chunk, &mut out);
        encoder.finish(&mut out);
        let counted = encoder.counted();
        let text = String::from_utf8(out).unwrap();
        (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), counted)
    }

    const T: &str = "2026-11-24T05:30:26.123456789Z";

    #[test]
    fn a_line_is_one_object_with_the_time_it_began() {
        let later = "2026-11-24T05:30:27.123456789Z";
        let stored = format!(
            "{T} stdout P one \n{T} stderr F oops\n{later} stdout F line\n{T} stdout F \n{T} stdout P no end\n"
        );
        let (lines, counted) = lines(&stored, None);
        let told: Vec<_> = lines
            .iter()
            .map(|line| (line["stream"].as_str().unwrap(), line["message"].as_str().unwrap()))
            .collect();
        let expected =
            [("stderr", "oops"), ("stdout", "one line"), ("stdout", ""), ("stdout", "no end")];
        assert_eq!(told, expected);
        assert_eq!(
            lines[1],
            json!({ "timestamp": T, "target": "application", "task": "x-00001",
            "app": "x", "stream": "stdout", "message": "one line" })
        );
        assert_eq!(counted, Counted { lines: 4, lost_bytes: 0 });
    }

    #[test]
    fn what_is_missing_is_told_and_counted() {
        let stored = format!("{T} stderr F:gap 42 task_limit 42 bytes dropped: x\n");
        let gap = Gap { dropped_bytes: 7, reason: deskd_keeper::logs::GapReason::TotalLimit };
        let (lines, counted) = lines(&stored, Some(gap));
        assert_eq!(lines[0]["gap"], json!({ "dropped_bytes": 7, "reason": "total_limit" }));
        assert_eq!(lines[1]["gap"]["reason"], "task_limit");
        assert_eq!(counted, Counted { lines: 0, lost_bytes: 49 });
    }

    #[test]
    fn a_long_line_comes_in_pieces_that_end_between_characters() {
        let long = "\u{e9}".repeat(TEXT_BYTES_MAX);
        let (lines, _) = lines(&format!("{T} stdout F a{long}\n"), None);
        assert_eq!(lines.len(), 3);
        assert!(lines[0]["partial"] == true && lines[2].get("partial").is_none());
        let whole: String = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(whole, format!("a{long}"));
    }
}
