//! What the subjects with an HTTP interface share: a connection and a follower over a stream.

use anyhow::Result;

use crate::http::Body;
use crate::subject::Follow;

/// How the lines of a stream carry the program's lines.
pub type Decode = fn(&[u8], &mut dyn FnMut(&[u8]));

/// A follower over an HTTP stream or WebSocket.
pub struct WebFollow {
    body: Body,
    decode: Decode,
}

impl WebFollow {
    /// Over `body`, whose lines `decode` turns into the program's.
    pub fn new(body: Body, decode: Decode) -> Self {
        Self { body, decode }
    }
}

impl Follow for WebFollow {
    fn wait(&mut self, limit_ms: u64) -> Result<Option<u64>> {
        self.body.wait(limit_ms)
    }

    fn take_lines(&mut self, line: &mut dyn FnMut(&[u8])) {
        let decode = self.decode;
        self.body.take_lines(&mut |raw| decode(raw, line));
    }

    fn body(&mut self) -> Option<&mut Body> {
        Some(&mut self.body)
    }
}

/// JSON objects one a line, with the program's line in `message` (Pebble, process-compose).
pub fn message_lines(raw: &[u8], line: &mut dyn FnMut(&[u8])) {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    if let Ok(entry) = serde_json::from_slice::<Message>(raw) {
        line(entry.message.trim_end_matches('\n').as_bytes());
    }
}
