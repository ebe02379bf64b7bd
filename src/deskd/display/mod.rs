//! The display: one thread that owns the X11 connections.
//!
//! It looks (socket table, setup handshakes), proves shared memory, follows the server and its
//! windows, and reports [`DisplayEvent`]s; it decides nothing about tasks.

pub mod attribution;
mod cookie;
pub mod handshake;
mod listen;
mod look;
pub mod name;
pub mod proof;
mod pulse;
mod questions;
mod request;
mod stream;
mod thread;
pub mod windows;
mod xauthority;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use deskd_core::display::DisplayStatus;
use deskd_core::window::{CloseOutcome, WindowEvent, WindowId};

pub use pulse::Pulse;
pub use questions::DisplayQuestions;

pub use cookie::{find as find_cookie, write_xauthority};
pub use stream::ServerStream;
pub use xauthority::{COOKIE_BYTES_MAX, Cookie, NotACookie, Servers, to_xauthority_file};

use request::{Request, RequestSender};
use thread::Worker;

/// Where X servers put their sockets.
const SOCKET_DIR: &str = "/tmp/.X11-unix";
/// Its last part.
const SOCKET_DIR_NAME: &str = ".X11-unix";

/// What to look at and how long to wait.
#[derive(Debug, Clone)]
pub struct DisplayConfig {
    /// Such as `:0` (also `:0.0`, `unix:0`).
    pub display: String,
    /// `XAUTHORITY`, else `~/.Xauthority`.
    pub xauthority: Option<PathBuf>,
    /// `XAUTH_KEY`: the cookie's hexadecimal digits; wins over the file.
    pub xauth_key: Option<Secret>,
    /// Whether TCP 6000 + N is wanted (its handshake is made; else it is only looked up).
    pub tcp: bool,
    /// Limit of one handshake.
    pub handshake_timeout: Duration,
    /// A server that does not answer a round trip for this long hangs.
    pub hang_timeout: Duration,
}

impl DisplayConfig {
    /// The cookie that `XAUTH_KEY` is, if it is set.
    #[must_use]
    pub fn key(&self) -> Option<Result<Cookie, NotACookie>> {
        self.xauth_key.as_ref().map(|key| Cookie::from_hex(&key.0))
    }
}

/// A value that must never be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What the thread reports, in order.
#[derive(Debug, Clone)]
pub enum DisplayEvent {
    /// The whole status, whenever it is different from the one before.
    Status(Box<DisplayStatus>),
    /// A window event. After a new server epoch all known windows are gone without Destroyed.
    Window(WindowEvent),
}

/// Talks to the thread. Dropping it ends the thread, once what it does at that moment is over.
#[derive(Debug)]
pub struct DisplayHandle {
    requests: Arc<RequestSender>,
    pulse: Arc<Pulse>,
}

impl DisplayHandle {
    /// A handle, and the thread that is to be started; `sink` is called on it and must not block.
    ///
    /// Fails when `config.display` is not a display of this pod.
    pub fn new(
        config: DisplayConfig,
        sink: impl Fn(DisplayEvent) + Send + 'static,
    ) -> std::io::Result<(Self, DisplayThread)> {
        let number = name::parse(&config.display)
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
        let (requests, receiver) = request::channel()?;
        let pulse = Arc::new(Pulse::new(&config));
        let worker = Worker::new(config, number, receiver, Box::new(sink), pulse.clone());
        Ok((Self { requests: Arc::new(requests), pulse }, DisplayThread(worker)))
    }

    /// Whether the thread still looks.
    #[must_use]
    pub fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }

    /// For others to ask.
    #[must_use]
    pub fn questions(&self) -> DisplayQuestions {
        DisplayQuestions(Arc::downgrade(&self.requests))
    }

    /// Asks the windows to close; `done` is called on the thread with one outcome per window.
    ///
    /// While the server hangs nothing can be asked: every outcome is `Unsupported`.
    pub fn close_windows(
        &self,
        windows: Vec<WindowId>,
        done: impl FnOnce(Vec<(WindowId, CloseOutcome)>) + Send + 'static,
    ) {
        self.requests.send(Request::Close { windows, done: Box::new(done) });
    }

    /// Looks at everything again now; `done` is called when the status is up to date.
    pub fn look(&self, done: impl FnOnce(DisplayStatus) + Send + 'static) {
        self.requests.send(Request::Look { done: Box::new(done) });
    }
}

/// The thread before it runs.
pub struct DisplayThread(Worker);

impl std::fmt::Debug for DisplayThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DisplayThread")
    }
}

impl DisplayThread {
    /// Looks from now on.
    pub fn start(self) -> std::io::Result<()> {
        std::thread::Builder::new().name("display".into()).spawn(move || self.0.run())?;
        Ok(())
    }
}

/// One full look without a thread: what `deskd probe` prints.
#[must_use]
pub fn probe(config: &DisplayConfig) -> DisplayStatus {
    match name::parse(&config.display) {
        Ok(number) => {
            let mut status = look::look(config, number).status;
            status.server_epoch = u64::from(status.answers());
            status
        }
        Err(error) => {
            let mut status = DisplayStatus::unknown(&config.display, 0);
            status.notes.push(error.to_string());
            status
        }
    }
}
