//! `oom_score_adj` of a process that is started: the keeper has it for that moment, since a child gets
//! its parent's. The child cannot set it: what is in `/proc` of a process that others may not read
//! (the keeper, and a child that still shares its memory) belongs to root. So the keeper's own file is
//! opened before that, if there is a before: a keeper whose program its user cannot read never owns that
//! file, and gives a child its score as soon as the child runs its program, which then owns its own.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use nix::poll::poll;

use crate::procfs;

/// Longest content, in bytes: a sign, four digits, a newline.
const TEXT_BYTES_MAX: usize = 8;

/// Longest time for the rest of execve(2), in which the keeper waits: nearly all of it on a busy machine.
const EXECUTING_MS_MAX: u64 = 500;
/// Between two tries.
const PAUSE_MS: u8 = 1;

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

/// Gives a process that executes its program a score. One that has ended already needs none.
///
/// The parent of a vfork goes on a moment before its child owns its own files in `/proc`: what is refused is tried again.
/// A program that its user cannot read never owns them, and the last refusal is returned.
pub(super) fn set(pid: u32, score: i32) -> io::Result<()> {
    let path = format!("/proc/{pid}/oom_score_adj");
    let start = Instant::now();
    loop {
        let written = std::fs::write(&path, score.to_string());
        if !procfs::read_stat(pid).is_some_and(|stat| stat.is_alive()) {
            return Ok(());
        }
        let refused = matches!(&written, Err(error) if error.kind() == ErrorKind::PermissionDenied);
        if !refused || start.elapsed() > Duration::from_millis(EXECUTING_MS_MAX) {
            return written;
        }
        poll(&mut [], PAUSE_MS)?;
    }
}
