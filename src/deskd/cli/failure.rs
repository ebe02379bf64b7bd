//! Why a command failed, as it is told: `deskd: cannot X: why`, a remedy, and an exit code.

use std::io;

use super::safe::Safe;
use deskd_core::exit::Exit;

/// A failed command.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    exit: Exit,
    message: String,
    remedy: Option<String>,
    broken_pipe: bool,
}

impl Failure {
    /// `cannot {doing}: {why}`.
    pub fn new(exit: Exit, doing: &str, why: impl std::fmt::Display) -> Self {
        let message = format!("cannot {doing}: {why}");
        Self { exit, message, remedy: None, broken_pipe: false }
    }

    /// The text as it is, without `deskd: cannot`: reports that speak for themselves.
    pub fn report(exit: Exit, text: String) -> Self {
        Self { exit, message: text, remedy: None, broken_pipe: false }
    }

    /// An I/O error of this process.
    pub fn io(doing: &str, error: &io::Error) -> Self {
        let broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { broken_pipe, ..Self::new(Exit::Internal, doing, error) }
    }

    /// With what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether the reader of our output went away.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }

    /// Tells on stderr.
    pub fn print(&self) {
        complain(&self.text());
    }

    /// What is told, with the remedy.
    pub fn text(&self) -> String {
        let mut text = self.message.trim_end().to_owned();
        if text.starts_with("cannot ") {
            text.insert_str(0, "deskd: ");
        }
        if let Some(remedy) = &self.remedy {
            text.push_str("\n    remedy: ");
            text.push_str(remedy);
        }
        text.push('\n');
        text
    }
}

/// A text that speaks for itself, on stderr.
pub fn complain(text: &str) {
    use io::Write as _;
    // Nothing helps when stderr is gone too; the exit code remains.
    let _ = io::stderr().write_all(Safe::from(text).shown().as_bytes());
}

/// A word on stderr that is no failure: a lost connection, a wait.
pub fn note(text: &str) {
    use io::Write as _;
    let _ = writeln!(io::stderr(), "deskd: {}", Safe::from(text).shown());
}
