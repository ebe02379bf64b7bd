//! A range of a task's log as text: the bytes the application wrote.
//!
//! Where bytes were dropped, one line in brackets says so; nothing is missing silently.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use futures_util::stream;
use serde::Deserialize;

use super::error::{ApiError, ErrorBody};
use super::extract::{Path, Query, task_id};
use super::guard::Peer;
use super::limits::{CHUNK_BYTES_MAX, RANGE_BYTES_MAX};
use super::state::{ApiState, Shared};
use super::streams::StreamPermit;
use deskd_keeper::logs::{Gap, GapReason, LogReader, Records, Stream, Tag};

/// Cursor of the first record of the answer.
pub const LOG_FROM: HeaderName = HeaderName::from_static("deskd-log-from");
/// Cursor to read on from.
pub const LOG_NEXT: HeaderName = HeaderName::from_static("deskd-log-next");
/// Where the log ended when it was asked.
pub const LOG_END: HeaderName = HeaderName::from_static("deskd-log-end");
/// Bytes of output dropped at the beginning of the range.
pub const LOG_GAP: HeaderName = HeaderName::from_static("deskd-log-gap");

/// Longest output that is answered as one text, in stored bytes.
const WHOLE_BYTES_MAX: u64 = 16 << 20;
/// Lines of a longer one.
const WHOLE_LINES_MAX: u64 = 10_000;

/// Which part, and how.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TextQuery {
    /// Cursor to begin at.
    from: Option<u64>,
    /// Begin with the last lines, this many.
    tail: Option<u64>,
    /// Stop after about this many bytes (at least one record, at most 8 MiB); absent: everything
    /// up to the end at this moment.
    bytes_max: Option<usize>,
    /// Only `stdout` or `stderr`.
    stream: Option<Stream>,
    /// Begin each line with its time.
    timestamps: Option<bool>,
}

/// A task's output, byte for byte.
#[utoipa::path(get, path = "/v1/tasks/{id}/log", tag = "logs",
    params(("id" = String, Path, description = "Task"), TextQuery),
    responses((status = 200, description = "The output", body = String, content_type = "text/plain",
               headers(("deskd-log-from" = u64, description = "Cursor of the first record"),
                       ("deskd-log-next" = u64, description = "Cursor to read on from"),
                       ("deskd-log-end" = u64, description = "Where the log ended"),
                       ("deskd-log-gap" = u64, description = "Bytes dropped at the beginning; absent: none"))),
              (status = 404, description = "Unknown task", body = ErrorBody),
              (status = 416, description = "The cursor is not one of this log", body = ErrorBody)))]
pub async fn log_text(
    State(state): State<ApiState>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Query(query): Query<TextQuery>,
) -> Result<Response, ApiError> {
    let task = task_id(&id)?;
    let permit = state.stream_permit(peer)?;
    let mut reader = state.handle.log_reader(&task)?;
    let bounds = reader.bounds()?;
    let from = match (query.from, query.tail) {
        (Some(cursor), _) => {
            // Beyond the end there is nothing to read, but the cursor must be refused.
            reader.read(cursor, 1, &mut Vec::new())?;
            cursor
        }
        (None, Some(lines)) => reader.tail(lines)?,
        (None, None) => bounds.first,
    };
    let mut text = Text {
        reader,
        cursor: from,
        until: bounds.end,
        left: query.bytes_max.unwrap_or(usize::MAX),
        format: Format {
            stream: query.stream,
            timestamps: query.timestamps == Some(true),
            at_start: true,
        },
        scratch: Vec::new(),
    };
    let mut first = Vec::new();
    let start = text.read(&mut first)?;
    let mut next = bounds.end;
    if let Some(bytes_max) = query.bytes_max {
        text.left = text.left.min(RANGE_BYTES_MAX.saturating_sub(bytes_max - text.left));
        while text.read(&mut first)?.more {}
        next = text.cursor;
        text.left = 0;
    }
    let download = Download { state, text, first: Some(first.into()), _permit: permit };
    let body = Body::from_stream(stream::try_unfold(download, Download::next));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(LOG_FROM, start.from.into());
    headers.insert(LOG_NEXT, next.into());
    headers.insert(LOG_END, bounds.end.into());
    if start.dropped_bytes > 0 {
        headers.insert(LOG_GAP, start.dropped_bytes.into());
    }
    Ok(response)
}

/// The last [`WHOLE_BYTES_MAX`] of an output, which begins with a whole line, as one text.
pub async fn whole(mut reader: LogReader) -> Result<String, ApiError> {
    let bounds = reader.bounds()?;
    let mut out = Vec::new();
    let is_long = bounds.end.saturating_sub(bounds.first) > WHOLE_BYTES_MAX;
    let from = if is_long { reader.tail(WHOLE_LINES_MAX)? } else { bounds.first };
    if is_long {
        out.extend_from_slice(b"[deskd: only the end of a long log; `deskd logs` has all]\n");
    }
    let format = Format { stream: None, timestamps: false, at_start: true };
    let scratch = Vec::new();
    let left = usize::try_from(WHOLE_BYTES_MAX).unwrap_or(usize::MAX);
    let mut text = Text { reader, cursor: from, until: bounds.end, left, format, scratch };
    while text.read(&mut out)?.more {
        // Others get their turn between two chunks.
        tokio::task::yield_now().await;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

struct Download {
    state: Arc<Shared>,
    text: Text,
    first: Option<Bytes>,
    _permit: StreamPermit,
}

impl Download {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, ApiError> {
        if let Some(first) = self.first.take() {
            return Ok(Some((first, self)));
        }
        // Others get their turn between two chunks, however fast this reader is.
        tokio::task::yield_now().await;
        let mut out = Vec::new();
        while out.is_empty() {
            // An error here cuts the body short, which clients of a chunked body notice.
            if self.state.stop.is_cancelled() {
                return Err(ApiError::ShuttingDown);
            }
            if !self.text.read(&mut out)?.more && out.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some((out.into(), self)))
    }
}

/// What the first read found.
struct Start {
    from: u64,
    dropped_bytes: u64,
    more: bool,
}

struct Text {
    reader: LogReader,
    cursor: u64,
    until: u64,
    /// Stored bytes that may still be read.
    left: usize,
    format: Format,
    scratch: Vec<u8>,
}

impl Text {
    /// Appends the text of the next chunk.
    fn read(&mut self, out: &mut Vec<u8>) -> Result<Start, ApiError> {
        let mut start = Start { from: self.cursor, dropped_bytes: 0, more: false };
        if self.cursor >= self.until || self.left == 0 {
            return Ok(start);
        }
        self.scratch.clear();
        let bytes_max = CHUNK_BYTES_MAX.min(self.left);
        let chunk = self.reader.read(self.cursor, bytes_max, &mut self.scratch)?;
        start.from = chunk.from;
        start.more = chunk.next > self.cursor;
        self.cursor = chunk.next;
        if let Some(gap) = &chunk.gap {
            start.dropped_bytes += gap.dropped_bytes;
            self.format.gap(gap, out);
        }
        let mut leading = true;
        for record in Records::new(&self.scratch, chunk.from) {
            let record = record.map_err(|error| ApiError::Log {
                kind: super::error::LogErrorKind::Io,
                message: error.to_string(),
            })?;
            if record.cursor >= self.until {
                // Written since this answer began: the next one's.
                self.cursor = record.cursor;
                break;
            }
            if let (Tag::Gap(gap), true) = (&record.tag, leading) {
                start.dropped_bytes += gap.dropped_bytes;
            }
            leading &= matches!(record.tag, Tag::Gap(_));
            self.format.record(&record, out);
        }
        self.left = self.left.saturating_sub(self.scratch.len());
        Ok(start)
    }
}

struct Format {
    stream: Option<Stream>,
    timestamps: bool,
    /// The text so far ends with a newline.
    at_start: bool,
}

impl Format {
    fn record(&mut self, record: &deskd_keeper::logs::Record<'_>, out: &mut Vec<u8>) {
        if let Tag::Gap(gap) = &record.tag {
            return self.gap(gap, out);
        }
        if self.stream.is_some_and(|stream| stream != record.stream) {
            return;
        }
        if self.timestamps && self.at_start {
            out.extend_from_slice(record.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(record.content);
        self.at_start = record.tag == Tag::Full;
        if self.at_start {
            out.push(b'\n');
        }
    }

    fn gap(&mut self, gap: &Gap, out: &mut Vec<u8>) {
        if !self.at_start {
            out.push(b'\n');
        }
        let why = match gap.reason {
            GapReason::TaskLimit => "the limit of this task's log",
            GapReason::TotalLimit => "the limit of all logs together",
            GapReason::WriteFailed => "the log could not be written",
            GapReason::Torn => "a crash tore the log",
            GapReason::Damaged => "the log's file was damaged",
        };
        let line = format!("[deskd: {} bytes are missing here: {why}]\n", gap.dropped_bytes);
        out.extend_from_slice(line.as_bytes());
        self.at_start = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &str, stream: Option<Stream>, timestamps: bool) -> String {
        let mut format = Format { stream, timestamps, at_start: true };
        let mut out = Vec::new();
        for record in Records::new(bytes.as_bytes(), 0) {
            format.record(&record.unwrap(), &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    const STORED: &str = "2026-11-24T05:30:26.123456789Z stdout P one \n\
        2026-11-24T05:30:26.223456789Z stdout F line\n\
        2026-11-24T05:30:26.323456789Z stderr F oops\n\
        2026-11-24T05:30:26.423456789Z stdout P no end\n";

    #[test]
    fn the_text_is_what_was_written() {
        assert_eq!(text(STORED, None, false), "one line\noops\nno end");
        assert_eq!(text(STORED, Some(Stream::Stderr), false), "oops\n");
    }

    #[test]
    fn each_line_begins_with_its_time_when_asked() {
        assert_eq!(
            text(STORED, Some(Stream::Stdout), true),
            "2026-11-24T05:30:26.123456789Z one line\n2026-11-24T05:30:26.423456789Z no end"
        );
    }

    #[test]
    fn a_gap_is_a_line_of_its_own() {
        let stored = format!(
            "{STORED}2026-11-24T05:30:27.000000000Z stderr F:gap 42 task_limit 42 bytes dropped: x\n"
        );
        assert!(text(&stored, None, false).ends_with(
            "no end\n[deskd: 42 bytes are missing here: the limit of this task's log]\n"
        ));
    }
}
