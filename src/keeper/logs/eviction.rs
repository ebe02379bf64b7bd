//! What is dropped when the store is full: whole oldest segments, first of logs left by an earlier
//! keeper, then of the task that takes most.
//!
//! What was dropped of a log is always `[0, first segment)`, so one gap record in a file of its
//! own says it, and it is replaced at every drop. That file is only for the reason and for agents:
//! the count is in the segments' names, so nothing is lost when the disk is too full to write it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::record::{Gap, GapReason, Stamp};
use super::segment;
use super::writer::LogStore;
use crate::files;

impl LogStore {
    /// Drops what is in the way of `bytes` more in the log `key`. Where nothing can be dropped the
    /// limits give way by one batch.
    pub(super) fn make_room(&mut self, key: u32, bytes: u64) {
        while self.logs.get(&key).is_some_and(|log| {
            log.stored_bytes() + bytes > self.limits.task_bytes && !log.segments.is_empty()
        }) {
            if !self.drop_oldest(key, GapReason::TaskLimit) {
                break;
            }
        }
        while self.total_bytes + bytes > self.limits.total_bytes {
            let droppable = self.logs.iter().filter(|(_, log)| !log.segments.is_empty());
            let Some(victim) = droppable
                .max_by_key(|(_, log)| (!log.known, log.stored_bytes()))
                .map(|(key, _)| *key)
            else {
                break;
            };
            if !self.drop_oldest(victim, GapReason::TotalLimit) {
                break;
            }
        }
    }

    /// Drops the oldest segment of a log; false when it cannot be.
    fn drop_oldest(&mut self, key: u32, reason: GapReason) -> bool {
        let Some(log) = self.logs.get_mut(&key) else { return false };
        let dir = self.dir.join(log.task.as_str());
        let [oldest, rest @ ..] = log.segments.as_slice() else { return false };
        let oldest = *oldest;
        let dropped_bytes = match rest {
            [next, ..] => next.start,
            // Nobody knows the task any more: nobody will ask what was in its last segment.
            [] if !log.known => {
                let removed = fs::remove_dir_all(&dir).is_ok();
                if removed {
                    self.forget(key);
                }
                return removed;
            }
            [] if oldest.bytes == 0 || !log.loaded => return false,
            [] => log.end,
        };
        let before = log.stored_bytes();
        match write_dropped(&dir, &Gap { dropped_bytes, reason }) {
            Ok(bytes) => log.dropped_file_bytes = bytes,
            // Only a name keeps the end of this log.
            Err(_) if log.segments.len() == 1 => return false,
            Err(_) => {}
        }
        let removed = match fs::remove_file(segment::path(&dir, oldest.start)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => false,
            _ => {
                log.segments.remove(0);
                if log.segments.is_empty() {
                    log.file = None;
                }
                true
            }
        };
        self.total_bytes = self.total_bytes - before + log.stored_bytes();
        removed
    }
}

/// Replaces the record of what was dropped; returns its size.
fn write_dropped(dir: &Path, gap: &Gap) -> io::Result<u64> {
    let mut record = Vec::new();
    Stamp::now().push_gap(gap, &mut record);
    let temporary = segment::dropped_temporary(dir);
    files::clear(&temporary)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(&record);
    let renamed = written.and_then(|()| files::replace(&temporary, &segment::dropped_path(dir)));
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed.map(|()| record.len() as u64)
}
