//! A fake daemon: a unix socket with scripted answers, for what a real one does too rarely or too
//! late for a test (dying in the middle of an answer, refusing). It is not deskd.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET /v1/tasks`.
    pub line: String,
    headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// The connection, to be answered on.
pub struct Answer(UnixStream);

impl Answer {
    /// A whole answer with a JSON body.
    pub fn json(&mut self, status: &str, body: &str) {
        self.whole(status, "", body.as_bytes());
    }

    /// A whole answer.
    pub fn whole(&mut self, status: &str, headers: &str, body: &[u8]) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n");
        // A client that went away is what some tests are about.
        let _ = self.0.write_all(head.as_bytes()).and_then(|()| self.0.write_all(body));
    }

    /// The head of an answer that goes on.
    pub fn begin(&mut self) {
        self.0.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    }

    /// A piece of it.
    pub fn chunk(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(format!("{:x}\r\n", bytes.len()).as_bytes())?;
        self.0.write_all(bytes)?;
        self.0.write_all(b"\r\n")
    }

    /// Its proper end; dropping without it breaks the connection.
    pub fn end(&mut self) {
        self.0.write_all(b"0\r\n\r\n").unwrap();
    }

    /// Blocks until the client closes the connection.
    pub fn wait_for_hangup(&mut self) {
        let _ = self.0.read(&mut [0; 1]);
    }
}

/// The fake. Its thread ends with the test's process.
pub struct Fake {
    dir: tempfile::TempDir,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Fake {
    /// Serves one request per connection, each on a thread of its own; `answer` gets the number of
    /// requests before it.
    pub fn new(answer: impl Fn(usize, &Request, &mut Answer) + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("deskd.sock")).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (seen.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, log, answer) = (stream.unwrap(), log.clone(), answer.clone());
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    let number = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        log.len() - 1
                    };
                    answer(number, &request, &mut Answer(stream));
                });
            }
        });
        Self { dir, seen }
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("deskd.sock")
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn read(stream: &UnixStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim_end().is_empty() {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let headers: Vec<(String, String)> = head
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let line = head.first()?.trim_end_matches(" HTTP/1.1").to_owned();
    let mut request = Request { line, headers, body: String::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}
