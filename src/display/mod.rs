//! The display: one thread that owns the X11 connections.
//!
//! It looks (socket table, setup handshakes), proves shared memory, follows the server and its
//! windows, and reports [`DisplayEvent`]s; it decides nothing about tasks.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::display::DisplayStatus;
use crate::domain::window::{CloseOutcome, WindowEvent, WindowId};

/// What to look at and how long to wait.
#[derive(Debug, Clone)]
pub struct DisplayConfig {
    /// Such as `:0` (also `:0.0`, `unix:0`).
    pub display: String,
    /// `XAUTHORITY`, else `~/.Xauthority`.
    pub xauthority: Option<PathBuf>,
    /// `XAUTH_KEY`: the MIT-MAGIC-COOKIE-1 as 32 hex digits; wins over the file.
    pub xauth_key: Option<Secret>,
    /// Whether TCP 6000 + N is wanted (its handshake is made; else it is only looked up).
    pub tcp: bool,
    /// Limit of one handshake.
    pub handshake_timeout: Duration,
    /// A server that does not answer a round trip for this long hangs.
    pub hang_timeout: Duration,
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

/// Talks to the thread. Dropping it ends the thread.
#[derive(Debug)]
pub struct DisplayHandle {}

impl DisplayHandle {
    /// Starts the thread; `sink` is called on it and must not block.
    pub fn start(
        _config: DisplayConfig,
        _sink: impl Fn(DisplayEvent) + Send + 'static,
    ) -> std::io::Result<Self> {
        unimplemented!()
    }

    /// Asks the windows to close; `done` is called on the thread with one outcome per window.
    pub fn close_windows(
        &self,
        _windows: Vec<WindowId>,
        _done: impl FnOnce(Vec<(WindowId, CloseOutcome)>) + Send + 'static,
    ) {
        unimplemented!()
    }

    /// Looks at everything again now; `done` is called when the status is up to date.
    pub fn look(&self, _done: impl FnOnce(DisplayStatus) + Send + 'static) {
        unimplemented!()
    }
}

/// One full look without a thread: what `deskd probe` prints.
#[must_use]
pub fn probe(_config: &DisplayConfig) -> DisplayStatus {
    unimplemented!()
}
