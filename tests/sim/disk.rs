//! The journal on a disk that may be full, and that a crash may tear at any byte.

use deskd_core::run::journal::{Line, Remembered, replay};

use crate::rng::Rng;

/// Lines after which the journal is rewritten.
const LINES_MAX: usize = 60;

#[derive(Debug, Default)]
pub struct Disk {
    lines: Vec<Line<'static>>,
    /// Of a line that was torn; the next one begins behind a newline.
    torn: Vec<u8>,
    pub full: bool,
    /// It was full: the daemon of now writes everything again once it can.
    lost: bool,
}

impl Disk {
    /// Appends all lines, or none when the disk is full; whether it did.
    pub fn append(&mut self, lines: Vec<Line<'static>>) -> bool {
        if self.full {
            self.lost |= !lines.is_empty();
            return lines.is_empty();
        }
        self.lines.extend(lines);
        true
    }

    /// A crash while lines were being written.
    pub fn tear(&mut self, lines: Vec<Line<'static>>, rng: &mut Rng) {
        if self.full {
            return;
        }
        let whole = rng.below(lines.len() + 1);
        let mut rest = lines.into_iter();
        self.lines.extend(rest.by_ref().take(whole));
        let Some(next) = rest.next() else { return };
        let mut bytes = Vec::new();
        next.write(&mut bytes);
        // A line without its newline alone would be whole.
        bytes.truncate(rng.below(bytes.len() - 1));
        self.torn = bytes;
    }

    /// By another daemon, which does not know what was lost.
    pub fn opened(&mut self) {
        self.lost = false;
    }

    pub fn wants_rewrite(&self) -> bool {
        (self.lost || self.lines.len() > LINES_MAX) && !self.full
    }

    pub fn rewrite(&mut self, lines: Vec<Line<'static>>) {
        self.lines = lines;
        self.lost = false;
        self.torn.clear();
    }

    /// As the next daemon reads it.
    pub fn read(&self) -> Remembered {
        let mut bytes = Vec::new();
        self.lines.iter().for_each(|line| line.write(&mut bytes));
        bytes.extend(&self.torn);
        replay(&bytes)
    }
}
