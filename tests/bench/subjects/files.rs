//! Following and reading log files: what s6 and runit offer (their `current` and archives), and how
//! the files of supervisord and process-compose are counted.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::fifo::readable;
use crate::os::now_ns;
use crate::subject::Follow;

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// `tail -F` as GNU tail does it: inotify on the file, then read what is new.
pub struct FileFollow {
    inotify: Inotify,
    file: File,
    text: Vec<u8>,
    scratch: Vec<u8>,
    /// Bytes of decoration (timestamp) before each line.
    prefix: usize,
}

impl FileFollow {
    /// From the file's end on.
    pub fn open(path: &Path, prefix: usize) -> Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(path, AddWatchFlags::IN_MODIFY)?;
        let mut file = File::open(path).with_context(|| path.display().to_string())?;
        file.seek(SeekFrom::End(0))?;
        let scratch = vec![0; READ_BYTES];
        Ok(Self { inotify, file, text: Vec::new(), scratch, prefix })
    }
}

impl Follow for FileFollow {
    fn wait(&mut self, limit_ms: u64) -> Result<Option<u64>> {
        let end = now_ns() + limit_ms * 1_000_000;
        loop {
            let read = self.file.read(&mut self.scratch)?;
            if read > 0 {
                self.text.extend_from_slice(self.scratch.get(..read).unwrap_or_default());
                return Ok(Some(now_ns()));
            }
            let left_ms = end.saturating_sub(now_ns()).div_ceil(1_000_000);
            if left_ms == 0 || !readable(&self.inotify, left_ms) {
                return Ok(None);
            }
            let _ = self.inotify.read_events();
        }
    }

    fn take_lines(&mut self, line: &mut dyn FnMut(&[u8])) {
        let Some(end) = memchr::memrchr(b'\n', &self.text) else { return };
        for piece in self.text.get(..end).unwrap_or_default().split(|&b| b == b'\n') {
            line(piece.get(self.prefix..).unwrap_or_default());
        }
        self.text.drain(..=end);
    }
}

/// Every line of `files`, one after the other, without the `prefix` bytes of decoration.
pub fn each_line(files: &[PathBuf], prefix: usize, line: &mut dyn FnMut(&[u8])) -> Result<()> {
    let mut text = Vec::new();
    let mut scratch = vec![0; READ_BYTES];
    for path in files {
        let mut file = File::open(path).with_context(|| path.display().to_string())?;
        loop {
            let read = file.read(&mut scratch)?;
            if read == 0 {
                break;
            }
            text.extend_from_slice(scratch.get(..read).unwrap_or_default());
            let Some(end) = memchr::memrchr(b'\n', &text) else { continue };
            let mut from = 0;
            for to in memchr::memchr_iter(b'\n', text.get(..=end).unwrap_or_default()) {
                line(text.get((from + prefix).min(to)..to).unwrap_or_default());
                from = to + 1;
            }
            text.drain(..=end);
        }
    }
    if !text.is_empty() {
        line(text.get(prefix..).unwrap_or_default());
    }
    Ok(())
}

/// The archives (`@...`) of an s6-log or svlogd directory, oldest first, then `current`.
pub fn archives(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"@"))
        })
        .collect();
    files.sort();
    files.push(dir.join("current"));
    Ok(files)
}
