//! `oom_score_adj` of a process that is started: the keeper has it for that moment, since a child gets
//! its parent's. The child cannot set it: what is in `/proc` of a process that others may not read
//! (the keeper, and a child that still shares its memory) belongs to root. So the keeper's own file is
//! opened before that.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;

/// Longest content, in bytes: a sign, four digits, a newline.
const TEXT_BYTES_MAX: usize = 8;

/// The keeper's own score.
#[derive(Debug)]
pub(super) struct OomScore(File);

impl OomScore {
    /// Opens it; later it may not be opened any more.
    pub(super) fn open() -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open("/proc/self/oom_score_adj").map(Self)
    }

    /// Does `start` with the score `score`. Lowering it below what the keeper was started with needs a
    /// capability (`CAP_SYS_RESOURCE`, proc_pid_oom_score_adj(5)); going back to that does not.
    pub(super) fn during<R>(&self, score: i32, start: impl FnOnce() -> R) -> io::Result<R> {
        let mut own = [0; TEXT_BYTES_MAX];
        let read = self.0.read_at(&mut own, 0)?;
        self.0.write_at(score.to_string().as_bytes(), 0)?;
        let started = start();
        self.0.write_at(&own[..read], 0)?;
        Ok(started)
    }
}
