//! From the batch to the file: segments, and what happens when a disk does not take them.
//!
//! A record is never changed once it is in a file. A torn one (a full disk) is cut off and its
//! place is not used again: the log goes on in a new segment, so that readers in other processes
//! can trust every byte up to the last newline.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::record::{GapReason, Records, Stamp};
use super::repair::repair;
use super::segment;
use super::writer::{Log, LogStore, Segment};
use crate::files::{self, Links};

impl LogStore {
    /// Makes the log ready for records: it is repaired, and the gap record it is owed is written.
    pub(super) fn recover(&mut self, key: u32) -> bool {
        if !self.load(key) {
            return false;
        }
        let Some(log) = self.logs.get_mut(&key) else { return false };
        let Some(gap) = log.lost.take() else { return true };
        Stamp::now().push_gap(&gap, &mut self.batch.bytes);
        self.batch.output = gap.dropped_bytes;
        let written = self.flush(key);
        if let (false, Some(log)) = (written, self.logs.get_mut(&key)) {
            log.lost = Some(gap);
        }
        written
    }

    fn load(&mut self, key: u32) -> bool {
        let Some(log) = self.logs.get(&key) else { return false };
        if log.loaded {
            return true;
        }
        let dir = self.dir.join(log.task.as_str());
        let loaded = self.with_descriptors(|store| {
            let Some(log) = store.logs.get_mut(&key) else { return Ok(()) };
            store.total_bytes -= log.stored_bytes();
            let repaired = files::make_dir(&dir).and_then(|is_new| {
                if is_new {
                    log.begin();
                    return Ok(());
                }
                repair(&dir, log, &mut store.batch.bytes)
            });
            store.total_bytes += log.stored_bytes();
            store.batch.bytes.clear();
            repaired
        });
        match &loaded {
            Ok(()) => self.succeed(key),
            Err(error) => self.fail(key, &dir, error),
        }
        loaded.is_ok()
    }

    /// Writes the batch to the end of the log; what cannot be written is counted as lost.
    pub(super) fn flush(&mut self, key: u32) -> bool {
        if self.batch.bytes.is_empty() {
            return true;
        }
        self.make_room(key, self.batch.bytes.len() as u64);
        let Some(log) = self.logs.get(&key) else { return false };
        let dir = self.dir.join(log.task.as_str());
        let (kept, failure) = match self.ready(key, &dir) {
            Ok(()) => self.write(key),
            Err(error) => (0, Some(error)),
        };
        let output = match failure {
            None => self.batch.output,
            Some(_) => output_of(&self.batch.bytes[..kept]),
        };
        let lost = self.batch.output - output;
        self.batch.bytes.clear();
        self.batch.output = 0;
        self.total_bytes += kept as u64;
        let Some(log) = self.logs.get_mut(&key) else { return false };
        log.end = log.end.saturating_add(output);
        log.lose(lost, GapReason::WriteFailed);
        let Some(error) = failure else {
            self.succeed(key);
            return true;
        };
        let path = log.segments.last().map_or(dir.clone(), |last| segment::path(&dir, last.start));
        self.fail(key, &path, &error);
        false
    }

    /// Opens the segment the next record belongs to.
    fn ready(&mut self, key: u32, dir: &Path) -> io::Result<()> {
        self.with_descriptors(|store| {
            store.logs.get_mut(&key).map_or(Ok(()), |log| open_segment(dir, log))
        })
    }

    /// Does `attempt`, and once more when there were no descriptors left: then the files of all
    /// logs are closed, and opened again when they are needed.
    fn with_descriptors(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        match attempt(self) {
            Err(error) if is_out_of_descriptors(&error) => {
                self.logs.values_mut().for_each(|log| log.file = None);
                attempt(self)
            }
            other => other,
        }
    }

    /// Writes the batch. Returns the bytes of whole records that are in the file.
    fn write(&mut self, key: u32) -> (usize, Option<io::Error>) {
        let Some(log) = self.logs.get_mut(&key) else { return (0, None) };
        let (Some(file), Some(segment)) = (&log.file, log.segments.last_mut()) else {
            return (0, None);
        };
        let (written, failure) = self.disk.write_all(file, &self.batch.bytes, segment.bytes);
        // Content has no newline: the last one ends a whole record.
        let kept = memchr::memrchr(b'\n', &self.batch.bytes[..written]).map_or(0, |at| at + 1);
        segment.bytes += kept as u64;
        if written > kept {
            // Readers do not mind a torn piece at the end, agents may.
            let _ = file.set_len(segment.bytes);
            // A reader may be reading the torn bytes: their place is not used again.
            log.sealed = true;
            log.file = None;
        }
        (kept, failure)
    }

    fn succeed(&mut self, key: u32) {
        if let Some(log) = self.logs.get_mut(&key).filter(|log| log.failing) {
            log.failing = false;
            self.settle();
        }
    }

    fn fail(&mut self, key: u32, path: &Path, error: &io::Error) {
        if let Some(log) = self.logs.get_mut(&key) {
            log.failing = true;
        }
        // The first stands for all: of a full disk each write of each task would tell something new.
        self.trouble.get_or_insert_with(|| {
            let path = path.display();
            format!(
                "cannot write the log {path}: {error}; output is dropped, and the dropped bytes are \
                 counted"
            )
        });
    }

    pub(super) fn settle(&mut self) {
        if !self.logs.values().any(|log| log.failing) {
            self.trouble = None;
        }
    }
}

fn output_of(records: &[u8]) -> u64 {
    Records::new(records, 0).map_while(Result::ok).last().map_or(0, |record| record.next)
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    errno == Some(nix::libc::EMFILE) || errno == Some(nix::libc::ENFILE)
}

/// Makes `log.file` the segment that the next record belongs to.
fn open_segment(dir: &Path, log: &mut Log) -> io::Result<()> {
    if let (Some(file), Some(segment)) = (&log.file, log.segments.last()) {
        if file.metadata()?.len() == segment.bytes {
            return Ok(());
        }
        // Somebody changed it: what follows goes where it can be found.
        log.sealed = true;
        log.file = None;
    }
    if let Some(segment) = log.segments.last().filter(|_| !log.sealed) {
        let path = segment::path(dir, segment.start);
        match files::open_with(OpenOptions::new().write(true), &path, Links::Refuse) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Something else is there now: it makes room for a new segment, here or later.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                files::set_aside(&path, &error)?;
            }
            opened => {
                let file = opened?;
                if file.metadata()?.len() == segment.bytes {
                    log.file = Some(file);
                    return Ok(());
                }
                log.sealed = true;
            }
        }
    }
    let path = segment::path(dir, log.end);
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let file = match create() {
        // The directory was removed under us.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            files::make_dir(dir)?;
            create()?
        }
        // Without a whole record: the log would end later. A new file, because a reader may have
        // seen the torn bytes of the old one.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            files::clear(&path)?;
            create()?
        }
        created => created?,
    };
    log.segments.retain(|segment| segment.start != log.end);
    log.segments.push(Segment { start: log.end, bytes: 0 });
    log.file = Some(file);
    log.sealed = false;
    Ok(())
}
