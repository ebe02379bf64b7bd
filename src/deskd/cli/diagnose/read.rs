//! Reads a log: a file, standard input, or a directory with the segments of one; of a long one its
//! start and its end. Container runtimes' files (CRI logging format, deskd's own too) are turned
//! into what the program wrote.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;
use deskd_core::exit::Exit;
use deskd_core::why::Log;

/// Bytes kept of a log's start.
const START_BYTES_MAX: usize = 16 << 20;
/// Bytes kept of a log's end.
const END_BYTES_MAX: usize = 48 << 20;
/// Bytes read at once.
const PIECE_BYTES: usize = 64 << 10;

/// A log's start and end.
#[derive(Debug, Default)]
pub struct Kept {
    start: Vec<u8>,
    end: Vec<u8>,
}

impl Kept {
    /// For the diagnosis.
    #[must_use]
    pub fn view(&self) -> Log<'_> {
        Log { start: &self.start, end: &self.end }
    }

    /// All of it, if it was kept whole.
    #[must_use]
    pub fn whole(&self) -> Option<&[u8]> {
        self.end.is_empty().then_some(&self.start)
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = START_BYTES_MAX.saturating_sub(self.start.len()).min(bytes.len());
        self.start.extend_from_slice(&bytes[..room]);
        self.end.extend_from_slice(&bytes[room..]);
        if self.end.len() > 2 * END_BYTES_MAX {
            self.end.drain(..self.end.len() - END_BYTES_MAX);
        }
    }

    fn read_file(&mut self, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        self.start.reserve(bytes.min(START_BYTES_MAX.saturating_sub(self.start.len())));
        self.read(&mut file)
    }

    fn read(&mut self, from: &mut impl Read) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match from.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(length) => self.push(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Without what a container runtime put before each line.
    fn plain(self) -> Self {
        if self.end.is_empty() && !is_cri(&self.start) {
            return self;
        }
        // The end may begin in the middle of a line, which then stays as it is.
        Self { start: plain(&self.start).into_owned(), end: plain(&self.end).into_owned() }
    }
}

/// Reads the log; `-` is standard input.
pub fn log(path: &Path) -> Result<Kept, Failure> {
    let doing = format!("read the log {}", path.display());
    let mut kept = Kept::default();
    let result = if path == Path::new("-") {
        kept.read(&mut io::stdin().lock())
    } else {
        segments(path).and_then(|files| files.iter().try_for_each(|file| kept.read_file(file)))
    };
    result.map(|()| kept.plain()).map_err(|error| unreadable(&doing, &error))
}

/// A failure with the exit code that fits.
pub fn unreadable(doing: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::new(Exit::NotFound, doing, error),
        _ => Failure::io(doing, error),
    }
}

/// The file, or the files in the directory in the order of their names: segments are named by
/// their offset.
fn segments(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries: Result<Vec<_>, _> = std::fs::read_dir(path)?.collect();
    let mut files: Vec<_> =
        entries?.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

fn is_cri(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').next().is_some_and(|line| content(line).is_some())
}

/// What the program wrote. Lines that are no records stay as they are.
fn plain(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.split(|byte| *byte == b'\n').take(2).any(|line| content(line).is_some()) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        match content(bare) {
            Some((text, true)) => {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
            Some((text, false)) => out.extend_from_slice(text),
            None => out.extend_from_slice(line),
        }
    }
    Cow::Owned(out)
}

/// The content of a CRI record, and whether it ends a line:
/// `<RFC 3339> stdout|stderr P|F[:tag] <content>` (kubelet, `pkg/kubelet/kuberuntime/logs`).
fn content(line: &[u8]) -> Option<(&[u8], bool)> {
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let time = fields.next()?;
    let stream = fields.next()?;
    let tag = fields.next()?;
    let text = fields.next().unwrap_or_default();
    let dated = time.len() >= 20 && time[4] == b'-' && time[10] == b'T';
    if !dated || !matches!(stream, b"stdout" | b"stderr") {
        return None;
    }
    match tag {
        b"P" => Some((text, false)),
        b"F" => Some((text, true)),
        // A gap record of deskd: nothing that the program wrote.
        tag if tag.starts_with(b"F:") => Some((b"", false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_runtimes_records_become_what_the_program_wrote() {
        let log = b"2026-11-24T05:30:26.1Z stderr P can\n2026-11-24T05:30:26.2Z stderr F not\n\
            2026-11-24T05:30:26.3Z stdout F:gap 5 bytes dropped\ntorn\n\
            2026-11-24T05:30:26.4Z stdout F \n";
        assert_eq!(&*plain(log), b"cannot\ntorn\n\n");
        assert_eq!(&*plain(b"plain stderr F text\nmore"), b"plain stderr F text\nmore");
    }

    #[test]
    fn of_a_long_log_the_start_and_the_end_are_kept() {
        let mut kept = Kept::default();
        kept.push(&vec![b'a'; START_BYTES_MAX]);
        for _ in 0..3 {
            kept.push(&vec![b'b'; END_BYTES_MAX]);
        }
        kept.push(b"last");
        assert_eq!(kept.start.len(), START_BYTES_MAX);
        assert!(kept.end.len() <= 2 * END_BYTES_MAX && kept.end.ends_with(b"last"));
    }
}
