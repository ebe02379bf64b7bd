//! Server-sent events as bytes, and the response that carries them.
//!
//! axum's own `Sse` builds each event for one client; here an encoded chunk is shared by all
//! followers of a log, so the bytes are made by hand (WHATWG HTML, section 9.2).

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use futures_util::stream::{Stream, StreamExt as _};
use serde::Serialize;

/// A comment: keeps the connection alive and tells a dead peer from an idle one.
pub const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");
/// First bytes of every stream: how long an `EventSource` waits before it reconnects.
pub const HELLO: Bytes = Bytes::from_static(b"retry: 1000\n\n");

/// Appends one event; `data` is written as JSON, which has no line ends.
pub fn event(out: &mut Vec<u8>, name: &str, id: Option<&str>, data: &impl Serialize) {
    if let Some(id) = id {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id.as_bytes());
        out.push(b'\n');
    }
    begin(out, name);
    let start = out.len();
    if let Err(error) = serde_json::to_writer(&mut *out, data) {
        // Only a map with keys that are no strings can fail, and there is none.
        tracing::error!(%error, name, "an event could not be written");
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
    out.extend_from_slice(b"\n\n");
}

/// Appends an event up to its data.
pub fn begin(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
}

/// The response that sends what `stream` yields.
pub fn response(stream: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(stream.map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Reverse proxies (nginx) must not collect events.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_four_lines_whatever_its_data_says() {
        let mut out = Vec::new();
        event(&mut out, "task", Some("7-1"), &"a\nb\rc");
        assert_eq!(out, b"id: 7-1\nevent: task\ndata: \"a\\nb\\rc\"\n\n");
    }
}
