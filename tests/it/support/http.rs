//! A small blocking HTTP/1.1 client for the unix socket and TCP, and the reader of event streams.
//! Deliberately simple: one connection per request, so that nothing of one test leaks into another.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// A read that takes longer fails the test.
const READ_S_MAX: u64 = 60;

/// Where a request goes.
#[derive(Debug, Clone)]
pub enum Door {
    Unix(PathBuf),
    Tcp(SocketAddr),
    /// TCP from inside a network namespace (`/proc/PID/ns/net`), as of a cluster.
    TcpIn(PathBuf, SocketAddr),
}

trait Connection: Read + Write + Send {}
impl<T: Read + Write + Send> Connection for T {}

/// A request in the making.
#[derive(Debug, Clone)]
pub struct Ask {
    door: Door,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Ask {
    pub fn new(door: &Door, method: &str, path: &str) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self { door: door.clone(), method, path, headers: Vec::new(), body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.raw("application/json", body.to_string().as_bytes())
    }

    pub fn raw(mut self, kind: &str, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.header("content-type", kind)
    }

    /// Sends it and reads the whole answer.
    pub fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.path);
        self.try_send().unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    pub fn try_send(self) -> std::io::Result<Answer> {
        let (mut answer, mut body) = self.open()?;
        body.read_to_end(&mut answer.body)?;
        Ok(answer)
    }

    /// Sends it and reads events from the answer.
    pub fn events(self) -> Events {
        let what = self.path.clone();
        self.try_events().unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    pub fn try_events(self) -> std::io::Result<Events> {
        let (mut answer, mut body) = self.open()?;
        if answer.status != 200 {
            body.read_to_end(&mut answer.body)?;
            return Err(std::io::Error::other(format!("{} {}", answer.status, answer.text())));
        }
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        Ok(Events { lines: BufReader::new(body) })
    }

    fn open(self) -> std::io::Result<(Answer, Body)> {
        let limit = Some(Duration::from_secs(READ_S_MAX));
        let (mut connection, host): (Box<dyn Connection>, String) = match &self.door {
            Door::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(limit)?;
                (Box::new(stream), "localhost".into())
            }
            Door::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(limit)?;
                (Box::new(stream), address.to_string())
            }
            Door::TcpIn(namespace, address) => {
                let stream = connect_in(namespace, *address)?;
                stream.set_read_timeout(limit)?;
                (Box::new(stream), address.to_string())
            }
        };
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", self.method, self.path);
        let given = |name: &str| self.headers.iter().any(|(known, _)| known == name);
        if !given("host") {
            head += &format!("host: {host}\r\n");
        }
        if !self.body.is_empty() || self.method != "GET" {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        connection.write_all(format!("{head}\r\n").as_bytes())?;
        // A server that refuses a body early closes: its answer is what counts.
        let _ = connection.write_all(&self.body);
        read_head(BufReader::new(connection))
    }
}

/// A socket belongs to the namespace of the thread that made it, for good.
pub(super) fn connect_in(namespace: &Path, address: SocketAddr) -> std::io::Result<TcpStream> {
    let namespace = std::fs::File::open(namespace)?;
    let connecting = std::thread::spawn(move || {
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)?;
        TcpStream::connect(address)
    });
    connecting.join().expect("a connecting thread")
}

fn read_head(mut reader: BufReader<Box<dyn Connection>>) -> std::io::Result<(Answer, Body)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other(format!("no answer: {line:?}")))?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let answer = Answer { status, headers, body: Vec::new() };
    let left = match (answer.header("content-length"), answer.header("transfer-encoding")) {
        (Some(length), _) => Left::Fixed(length.parse().expect("a length")),
        (None, Some(_)) => Left::Chunk(0),
        (None, None) => Left::Fixed(if status == 204 || status == 304 { 0 } else { u64::MAX }),
    };
    Ok((answer, Body { reader, left }))
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The JSON of an answer that must have this status.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The stable code of a refusal that must have this status; its id must be in the header too.
    pub fn refusal(&self, status: u16) -> String {
        let body = self.expect(status);
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"), "{body}");
        assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        body["code"].as_str().expect("a code").to_owned()
    }
}

enum Left {
    /// Of the body.
    Fixed(u64),
    /// Of this chunk.
    Chunk(u64),
}

struct Body {
    reader: BufReader<Box<dyn Connection>>,
    left: Left,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Left::Chunk(0) = self.left {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            let Ok(length) = u64::from_str_radix(line.trim(), 16) else {
                return Err(std::io::Error::other("the answer was cut short"));
            };
            self.left = if length == 0 { Left::Fixed(0) } else { Left::Chunk(length) };
        }
        let (Left::Fixed(left) | Left::Chunk(left)) = &mut self.left;
        let room = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            // Asking the reader would wait for bytes of a connection that stays open.
            return Ok(0);
        }
        let count = self.reader.read(&mut buffer[..room])?;
        *left -= count as u64;
        if matches!(self.left, Left::Chunk(0)) {
            self.reader.read_line(&mut String::new())?;
        }
        Ok(count)
    }
}

/// An open event stream.
pub struct Events {
    lines: BufReader<Body>,
}

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

impl Events {
    /// The next event; nothing when the stream ended.
    pub fn next(&mut self) -> Option<Event> {
        let mut event = Event { name: String::new(), id: None, data: Value::Null };
        loop {
            let mut line = String::new();
            match self.lines.read_line(&mut line) {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
            let line = line.trim_end_matches('\n');
            if let Some(name) = line.strip_prefix("event: ") {
                event.name = name.to_owned();
            } else if let Some(id) = line.strip_prefix("id: ") {
                event.id = Some(id.to_owned());
            } else if let Some(data) = line.strip_prefix("data: ") {
                event.data = serde_json::from_str(data).expect("JSON data");
            } else if line.is_empty() && !event.name.is_empty() {
                return Some(event);
            }
        }
    }

    /// Skips to an event.
    pub fn until(&mut self, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        loop {
            let event = self.next().expect("the stream goes on");
            if wanted(&event) {
                return event;
            }
        }
    }
}
