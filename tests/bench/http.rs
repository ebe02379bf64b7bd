//! The one HTTP/1.1 client that all subjects are measured with: blocking, keep-alive, over a unix
//! socket, no allocation that matters. Only what the subjects answer with: Content-Length, chunked,
//! and WebSocket frames (RFC 9112, RFC 6455).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::fifo::readable;
use crate::os::now_ns;

/// Longest wait for an answer, seconds.
const ANSWER_S_MAX: u64 = 30;
/// Bytes asked for in one read.
const READ_BYTES: usize = 256 << 10;

/// A keep-alive connection.
pub struct Http {
    stream: UnixStream,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
}

/// An answer.
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Head, as received.
    pub head: String,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let body_head = if body.is_empty() && method == "GET" {
        String::new()
    } else {
        format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n")
    };
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{body_head}\r\n{body}").into_bytes()
}

impl Http {
    /// Connects.
    pub fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("cannot connect to {}", path.display()))?;
        stream.set_read_timeout(Some(Duration::from_secs(ANSWER_S_MAX)))?;
        Ok(Self { stream, buffer: Vec::new(), scratch: vec![0; READ_BYTES] })
    }

    /// Sends bytes made by [`request`].
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// One request with a JSON body, and its answer.
    pub fn json(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        self.send(&request(method, path, "application/json", body))?;
        self.answer()
    }

    /// One request without a body.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        self.json("GET", path, "")
    }

    fn more(&mut self) -> Result<usize> {
        let read = self.stream.read(&mut self.scratch)?;
        self.buffer.extend_from_slice(self.scratch.get(..read).unwrap_or_default());
        Ok(read)
    }

    fn head(&mut self) -> Result<(u16, String)> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                let head = String::from_utf8_lossy(&head).into_owned();
                let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
                return Ok((status.context("no status in the answer")?, head));
            }
            if self.more()? == 0 {
                bail!("the connection ended before an answer");
            }
        }
    }

    /// Reads the answer to the oldest request not yet answered.
    pub fn answer(&mut self) -> Result<Answer> {
        let (status, head) = self.head()?;
        let mut body = Vec::new();
        if header(&head, "transfer-encoding").is_some() {
            let mut chunks = Chunks::default();
            while !chunks.ended {
                chunks.decode(&mut self.buffer, &mut body)?;
                if !chunks.ended && self.more()? == 0 {
                    bail!("the connection ended inside a chunked body");
                }
            }
        } else {
            let length = header(&head, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
            while self.buffer.len() < length {
                if self.more()? == 0 {
                    bail!("the connection ended inside a body");
                }
            }
            body = self.buffer.drain(..length).collect();
        }
        Ok(Answer { status, head, body })
    }

    /// Sends a GET and turns the connection into the stream of its answer's body. The head is read
    /// with the first piece of the body: Pebble sends neither before there is something to say.
    pub fn stream(mut self, path: &str) -> Result<Body> {
        self.send(&request("GET", path, "", ""))?;
        Ok(Body { http: self, framing: Framing::Head, text: Vec::new() })
    }

    /// Turns the connection into a WebSocket.
    pub fn websocket(mut self, path: &str) -> Result<Body> {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.send(head.as_bytes())?;
        let (status, _) = self.head()?;
        if status != 101 {
            bail!("{path} answered {status} to a WebSocket upgrade");
        }
        Ok(Body { http: self, framing: Framing::WebSocket, text: Vec::new() })
    }
}

/// Where `needle` is in `hay`.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(hay, needle)
}

/// Decoder of the chunked transfer coding.
#[derive(Default)]
struct Chunks {
    left: usize,
    tail: bool,
    ended: bool,
}

impl Chunks {
    /// Moves what is decodable from `raw` to `out`.
    fn decode(&mut self, raw: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
        let mut at = 0;
        loop {
            let rest = raw.get(at..).unwrap_or_default();
            if self.left > 0 {
                let take = self.left.min(rest.len());
                out.extend_from_slice(rest.get(..take).unwrap_or_default());
                self.left -= take;
                self.tail = self.left == 0;
                at += take;
                if self.left > 0 {
                    break;
                }
            } else if self.tail {
                if rest.len() < 2 {
                    break;
                }
                at += 2;
                self.tail = false;
            } else {
                let Some(end) = find(rest, b"\r\n") else { break };
                let digits = String::from_utf8_lossy(rest.get(..end).unwrap_or_default());
                let size = digits.split(';').next().unwrap_or_default().trim();
                self.left = usize::from_str_radix(size, 16).context("bad chunk size")?;
                at += end + 2;
                if self.left == 0 {
                    self.ended = true;
                    at = (at + 2).min(raw.len());
                    break;
                }
            }
        }
        raw.drain(..at);
        Ok(())
    }
}

enum Framing {
    Head,
    Plain,
    Chunked(Chunks),
    WebSocket,
}

/// A body that goes on.
pub struct Body {
    http: Http,
    framing: Framing,
    text: Vec<u8>,
}

impl Body {
    /// Waits for more; the time at which it arrived, or nothing after `limit_ms` or at the end.
    /// What arrived is appended to the text that [`Body::take_lines`] reads.
    pub fn wait(&mut self, limit_ms: u64) -> Result<Option<u64>> {
        if !readable(&self.http.stream, limit_ms) || self.http.more()? == 0 {
            return Ok(None);
        }
        let at = now_ns();
        if matches!(self.framing, Framing::Head) {
            let (status, head) = self.http.head()?;
            if status != 200 {
                bail!("a stream answered {status}");
            }
            self.framing = match header(&head, "transfer-encoding") {
                Some(_) => Framing::Chunked(Chunks::default()),
                None => Framing::Plain,
            };
        }
        match &mut self.framing {
            Framing::Head => {}
            Framing::Plain => self.text.append(&mut self.http.buffer),
            Framing::Chunked(chunks) => chunks.decode(&mut self.http.buffer, &mut self.text)?,
            Framing::WebSocket => frames(&mut self.http.buffer, &mut self.text),
        }
        Ok(Some(at))
    }

    /// Hands over every whole line that has arrived, without its newline.
    pub fn take_lines(&mut self, line: &mut dyn FnMut(&[u8])) {
        let Some(end) = memchr::memrchr(b'\n', &self.text) else { return };
        for piece in self.text.get(..end).unwrap_or_default().split(|&b| b == b'\n') {
            line(piece);
        }
        self.text.drain(..=end);
    }

    /// The socket, for poll(2).
    pub fn socket(&self) -> &UnixStream {
        &self.http.stream
    }
}

/// Decodes whole server frames (never masked): each payload, with a newline after it.
fn frames(raw: &mut Vec<u8>, out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&[first, second]) = raw.get(at..at + 2) {
        let wide = match second & 127 {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(size) = raw.get(at + 2..at + 2 + wide) else { break };
        let long = size.iter().fold(0usize, |n, &b| n << 8 | usize::from(b));
        let length = if wide == 0 { usize::from(second & 127) } else { long };
        let Some(payload) = raw.get(at + 2 + wide..at + 2 + wide + length) else { break };
        // 0: continuation, 1: text, 2: binary; the rest is control.
        if first & 15 <= 2 {
            out.extend_from_slice(payload);
            out.push(b'\n');
        }
        at += 2 + wide + length;
    }
    raw.drain(..at);
}
