//! `oom_score_adj` of a process that is started: the starter has it for that moment, since a child gets
//! that of the process that makes it. The child cannot set it: what is in `/proc` of a process that others may not read
//! (the starter, and a child that still shares its memory) belongs to root. So the starter's own file is
//! opened before that, if there is a before: a starter whose program its user cannot read never owns that
//! file, and gives a child its score as soon as the child runs its program, which then owns its own.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::poll;

use crate::procfs;

/// Longest content, in bytes: a sign, four digits, a newline.
const TEXT_BYTES_MAX: usize = 8;

/// Longest time for the rest of execve(2), in which its starter waits: nearly all of it on a busy machine.
const EXECUTING_MS_MAX: u64 = 500;
/// Between two tries.
const PAUSE_MS: u8 = 1;

/// The starter's own score.
#[derive(Debug)]
pub(super) struct OomScore {
    file: File,
    /// What it was started with, which a child gets that is to have none of its own.
    original: Vec<u8>,
    in_use: Mutex<InUse>,
    free: Condvar,
}

#[derive(Debug, Default)]
struct InUse {
    /// What it is now; absent: as it was.
    score: Option<i32>,
    /// Starts that need it to stay so.
    starts: usize,
}

impl OomScore {
    /// Opens it; later it may not be opened any more.
    pub(super) fn open() -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open("/proc/self/oom_score_adj")?;
        let mut original = vec![0; TEXT_BYTES_MAX];
        let read = file.read_at(&mut original, 0)?;
        original.truncate(read);
        Ok(Self { file, original, in_use: Mutex::default(), free: Condvar::new() })
    }

    /// Does `start` with the score `score`, side by side with others that have the same; it stays so
    /// until another is needed. Lowering it below what the keeper was started with needs a
    /// capability (`CAP_SYS_RESOURCE`, proc_pid_oom_score_adj(5)); going back to that does not.
    pub(super) fn during<R>(&self, score: Option<i32>, start: impl FnOnce() -> R) -> io::Result<R> {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        while in_use.starts > 0 && in_use.score != score {
            in_use = self.free.wait(in_use).unwrap_or_else(PoisonError::into_inner);
        }
        if in_use.score != score {
            match score {
                Some(score) => self.file.write_at(score.to_string().as_bytes(), 0)?,
                None => self.file.write_at(&self.original, 0)?,
            };
            in_use.score = score;
        }
        in_use.starts += 1;
        drop(in_use);
        let started = start();
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner).starts -= 1;
        self.free.notify_all();
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
