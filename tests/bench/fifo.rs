//! The FIFO over which the probe program reports the time of its first instruction.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use crate::os::now_ns;

/// Bytes of one record, as `probe.c` writes it.
const RECORD_BYTES: usize = 16;

/// One report of a probe.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Its process.
    pub pid: i32,
    /// The tag it was given.
    pub tag: u32,
    /// CLOCK_MONOTONIC, nanoseconds.
    pub ns: u64,
}

/// The driver's end; held open for reading and writing, so that it never ends.
pub struct Fifo {
    path: PathBuf,
    file: File,
}

/// Waits until `file` can be read; false after `limit_ms`.
pub fn readable(file: impl AsFd, limit_ms: u64) -> bool {
    let end = now_ns() + limit_ms * 1_000_000;
    loop {
        let left_ms = end.saturating_sub(now_ns()).div_ceil(1_000_000);
        let timeout = PollTimeout::try_from(left_ms).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(_) if left_ms == 0 => return false,
            Err(_) => {}
        }
    }
}

impl Fifo {
    /// Makes it.
    pub fn create(path: &Path) -> Result<Self> {
        let _ = std::fs::remove_file(path);
        nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o600)).context("mkfifo")?;
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Where it is.
    pub fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// Writes a byte into it, for a program that reads.
    pub fn put(&mut self, byte: u8) -> Result<()> {
        Ok(self.file.write_all(&[byte])?)
    }

    /// The next report, within `limit_ms`.
    pub fn next(&mut self, limit_ms: u64) -> Result<Report> {
        if !readable(&self.file, limit_ms) {
            bail!("no program reported within {limit_ms} ms");
        }
        let mut record = [0; RECORD_BYTES];
        self.file.read_exact(&mut record)?;
        let word =
            |at: usize| record.iter().skip(at).take(4).rev().fold(0, |n, &b| n << 8 | u64::from(b));
        Ok(Report { pid: word(0) as i32, tag: word(4) as u32, ns: word(12) << 32 | word(8) })
    }

    /// The next report of `tag`; reports of others (late ones) are passed over.
    pub fn next_of(&mut self, tag: u32, limit_ms: u64) -> Result<Report> {
        let end = now_ns() + limit_ms * 1_000_000;
        loop {
            let left_ms = end.saturating_sub(now_ns()).div_ceil(1_000_000);
            let report = self.next(left_ms)?;
            if report.tag == tag {
                return Ok(report);
            }
        }
    }

    /// Throws away what is waiting.
    pub fn drain(&mut self) {
        while readable(&self.file, 0) && self.next(0).is_ok() {}
    }
}
