//! Starting a process.
//!
//! `clone(CLONE_VM | CLONE_VFORK)`: the child borrows the keeper's memory until it executes its
//! program, so a start costs the same however much memory there is, and a step that fails is known
//! at once with its errno. `posix_spawn` and `std::process::Command` were not enough: neither can
//! set umask, limits, nice value and `oom_score_adj`, and `Command`'s `pre_exec` forks, whose cost
//! grows with memory (measured: 0.25 ms at 0 MB, 20 ms at 256 MB).
//!
//! Everything is prepared before ([`Command`], pure); the child only makes system calls
//! ([`child`]); a failure is then explained by looking at the file ([`reason`]).
//!
//! The price: while the child looks for its program, its caller waits. So the keeper starts only the
//! daemon and starters itself; the programs begin in [starters](starter), side by side.

mod board;
mod child;
mod command;
mod oom_score;
mod order;
mod path;
mod reason;
mod serve;
pub mod starter;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::Mode;
use nix::unistd::pipe2;

pub use board::SLOTS;
pub use command::Command;
pub use serve::serve as serve_starter;

use crate::procfs;
use board::Slot;
use child::{Failure, Inherited, Step};
use deskd_core::wire::SpawnError;

/// Stack of a child between clone and exec, in bytes.
const CHILD_STACK_BYTES: usize = 32 << 10;

/// Descriptors that stay free for looking at `/proc`, logs and the daemon's connection.
const DESCRIPTORS_FREE_MIN: u64 = 32;
/// What EAGAIN means where a process is to be made.
const NO_MORE_PROCESSES: &str = "there are as many processes and threads as there may be (kubelet's podPidsLimit, or \
                                 RLIMIT_NPROC): end some, or have the limit raised";

/// The pipes of a program's output: the keeper's ends do not block.
#[derive(Debug)]
pub struct Pipes {
    /// What it writes to standard output, and to standard error.
    pub read: [OwnedFd; 2],
    /// The program's ends of both.
    pub write: [OwnedFd; 2],
}

/// What every start needs, made once.
#[derive(Debug)]
pub struct Spawner {
    null: OwnedFd,
    stack: Vec<u8>,
    inherited: Inherited,
}

impl Spawner {
    /// Prepares, and raises the keeper's own limit of open files to what is allowed: it holds
    /// a few per task. The processes it starts get the limit as it was.
    pub fn new() -> Result<Self, Errno> {
        let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
        let open_files = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, open_files.1, open_files.1)?;
        // Without /proc (which the keeper does not accept) all are taken for ignored: slower, right.
        let ignored_signals = procfs::ignored_signals().unwrap_or(u64::MAX);
        let inherited = Inherited { open_files, ignored_signals };
        Ok(Self { null, stack: vec![0; CHILD_STACK_BYTES], inherited })
    }

    /// Pipes for a program's output.
    pub fn pipes(&self) -> Result<Pipes, SpawnError> {
        let (stdout, stdout_write) = output_pipe()?;
        let (stderr, stderr_write) = output_pipe()?;
        // The lowest free number is given out, so this says how many are in use.
        if stderr_write.as_raw_fd().unsigned_abs() as u64 + DESCRIPTORS_FREE_MIN
            > self.inherited.open_files.1
        {
            return Err(setup("create a pipe for its output".to_owned(), Errno::EMFILE));
        }
        Ok(Pipes { read: [stdout, stderr], write: [stdout_write, stderr_write] })
    }

    /// Starts `command` with the keeper's own output, with `stdin` or nothing to read, and with
    /// `more` as descriptors 3 and following. Waits until it runs.
    pub fn start_uncaptured(
        &mut self,
        command: &Command,
        stdin: Option<BorrowedFd<'_>>,
        more: &[BorrowedFd<'_>],
    ) -> Result<u32, SpawnError> {
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let stdin = stdin.unwrap_or(self.null.as_fd()).as_raw_fd();
        let mut files = vec![stdin, stdout.as_fd().as_raw_fd(), stderr.as_fd().as_raw_fd()];
        files.extend(more.iter().map(AsRawFd::as_raw_fd));
        let (none, stack, slot) = (CloneFlags::empty(), &mut self.stack, Slot::default());
        let started = child::start(command, &files, self.inherited, none, stack, &slot);
        started.map_err(|failure| explain(command, failure))
    }
}

fn output_pipe() -> Result<(OwnedFd, OwnedFd), SpawnError> {
    // O_NONBLOCK is a property of each end's description: the application's end stays blocking.
    let made = pipe2(OFlag::O_CLOEXEC).and_then(|(read, write)| {
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((read, write))
    });
    made.map_err(|errno| setup("create a pipe for its output".to_owned(), errno))
}

fn setup(step: String, errno: Errno) -> SpawnError {
    let reason = match errno {
        // clone(2): of a user (RLIMIT_NPROC), of a control group (pids.max), or of the machine.
        Errno::EAGAIN => NO_MORE_PROCESSES,
        errno => errno.desc(),
    };
    SpawnError::Setup { step, errno: errno as i32, reason: reason.to_owned() }
}

fn oom_score_failed(score: i32, error: &io::Error) -> SpawnError {
    let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
    setup(format!("set oom_score_adj to {score}"), errno)
}

fn explain(command: &Command, failure: Failure) -> SpawnError {
    let errno = Errno::from_raw(failure.errno);
    let step = match failure.step {
        Step::Clone => "create a process".to_owned(),
        Step::Session => "start a session".to_owned(),
        Step::Stdio => "connect its standard input and output".to_owned(),
        Step::Directory => {
            let cwd = command.cwd.as_deref().unwrap_or(c"/");
            format!("change to directory {}", cwd.to_string_lossy())
        }
        Step::Nice => format!("set its nice value to {}", command.nice.unwrap_or(0)),
        Step::Limit => match command.limits.get(failure.index) {
            Some(limit) => format!("limit {} to {}", limit.what, limit.value),
            None => "set a limit".to_owned(),
        },
        Step::Wall => "hide deskd's files from it".to_owned(),
        Step::Exec => return reason::of_exec(command, failure.index, errno),
    };
    setup(step, errno)
}
