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
//! The price: while the child looks for its program, the keeper waits. A program on a file system
//! that hangs hangs the keeper.

mod child;
mod command;
mod elf;
mod oom_score;
mod path;
mod reason;
mod starter;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, pipe2};

pub use command::Command;
pub use starter::{option as starter_option, serve as serve_starter};

use crate::procfs;
use child::{Failure, Inherited, Step};
use deskd_core::wire::{SpawnError, SpawnRequest};
use oom_score::OomScore;
use starter::{NoAnswer, Starter};

/// Stack of a child between clone and exec, in bytes.
const CHILD_STACK_BYTES: usize = 32 << 10;

/// Starters tried for one start: one may be dead already.
const STARTERS_MAX: usize = 2;

/// Descriptors that stay free for looking at `/proc`, logs and the daemon's connection.
const DESCRIPTORS_FREE_MIN: u64 = 32;

/// A process that runs its program, and the read ends of its pipes.
#[derive(Debug)]
pub struct Started {
    /// Its pid, session and process group.
    pub pid: u32,
    /// What it writes to standard output; non-blocking.
    pub stdout: OwnedFd,
    /// What it writes to standard error; non-blocking.
    pub stderr: OwnedFd,
}

/// What every start needs, made once.
#[derive(Debug)]
pub struct Spawner {
    null: OwnedFd,
    stack: Vec<u8>,
    inherited: Inherited,
    /// Absent: it cannot be opened, and processes get theirs when they run.
    oom_score: Option<OomScore>,
    /// Absent: no program behind the wall was started yet, or it was killed.
    starter: Option<Starter>,
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
        let oom_score = OomScore::open().ok();
        let stack = vec![0; CHILD_STACK_BYTES];
        Ok(Self { null, stack, inherited, oom_score, starter: None })
    }

    /// The process in which programs behind the wall begin, while there is one.
    #[must_use]
    pub fn starter(&self) -> Option<u32> {
        self.starter.as_ref().map(Starter::pid)
    }

    /// Takes note that `pid` was reaped; true if it was the starter.
    pub fn reaped(&mut self, pid: u32) -> bool {
        self.starter.take_if(|starter| starter.pid() == pid).is_some()
    }

    /// Starts what `request` says, with pipes for its output; its processes will bear `tag`.
    pub fn start_captured(
        &mut self,
        request: &SpawnRequest,
        tag: u64,
    ) -> Result<Started, SpawnError> {
        let (stdout, stdout_write) = output_pipe()?;
        let (stderr, stderr_write) = output_pipe()?;
        // The lowest free number is given out, so this says how many are in use.
        if stderr_write.as_raw_fd().unsigned_abs() as u64 + DESCRIPTORS_FREE_MIN
            > self.inherited.open_files.1
        {
            return Err(setup("create a pipe for its output".to_owned(), Errno::EMFILE));
        }
        let files = [self.null.as_raw_fd(), stdout_write.as_raw_fd(), stderr_write.as_raw_fd()];
        let pid = if request.wall.is_some() {
            self.start_walled(request, tag, &files)?
        } else {
            let command = Command::of_request(request, tag)?;
            self.start(&command, &files, CloneFlags::empty())?
        };
        Ok(Started { pid, stdout, stderr })
    }

    /// Through the starter: a new one if the last was killed meanwhile.
    fn start_walled(
        &mut self,
        request: &SpawnRequest,
        tag: u64,
        files: &[RawFd],
    ) -> Result<u32, SpawnError> {
        let hides = request.wall.as_ref().is_some_and(|wall| !wall.hidden.is_empty());
        for _ in 0..STARTERS_MAX {
            // One of the other kind ends when its socket is closed.
            let fits = self.starter.take().filter(|starter| starter.hides_files() == hides);
            let mut starter = match fits {
                Some(starter) => starter,
                None => Starter::begin(self, hides)?,
            };
            // What only the daemon needs stays here.
            let request = SpawnRequest { meta: String::new(), ..request.clone() };
            match starter.start(request, tag, files) {
                Ok(outcome) => {
                    self.starter = Some(starter);
                    return outcome;
                }
                Err(NoAnswer::NothingStarted) => starter.signal(Signal::SIGKILL),
                Err(NoAnswer::Unknown(error)) => {
                    let started = starter.end_with(tag);
                    return started.ok_or_else(|| starter::not_started(&error));
                }
            }
        }
        Err(starter::not_started(&io::ErrorKind::TimedOut.into()))
    }

    /// Starts `command` with the keeper's own output, with `stdin` or nothing to read, and with
    /// `more` as descriptors 3 and following.
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
        self.start(command, &files, CloneFlags::empty())
    }

    fn start(
        &mut self,
        command: &Command,
        files: &[RawFd],
        parent: CloneFlags,
    ) -> Result<u32, SpawnError> {
        let stack = &mut self.stack;
        let mut start = || child::start(command, files, self.inherited, parent, stack);
        let started = match (command.oom_score_adj, &self.oom_score) {
            (None, _) => start(),
            (Some(score), Some(own)) => {
                own.during(score, start).map_err(|error| oom_score_failed(score, &error))?
            }
            (Some(score), None) => {
                let started = start();
                if let Ok(pid) = started
                    && let Err(error) = oom_score::set(pid, score)
                {
                    kill_new(pid);
                    return Err(oom_score_failed(score, &error));
                }
                started
            }
        };
        started.map_err(|failure| explain(command, failure))
    }
}

fn output_pipe() -> Result<(OwnedFd, OwnedFd), SpawnError> {
    // O_NONBLOCK is a property of each end's description: the application's end stays blocking.
    let made = pipe2(OFlag::O_CLOEXEC).and_then(|(read, write)| {
        nix::fcntl::fcntl(&read, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((read, write))
    });
    made.map_err(|errno| setup("create a pipe for its output".to_owned(), errno))
}

fn setup(step: String, errno: Errno) -> SpawnError {
    SpawnError::Setup { step, errno: errno as i32, reason: errno.desc().to_owned() }
}

/// Takes away a process that is not to run after all, before anybody sees it.
fn kill_new(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed());
    let _ = kill(pid, Signal::SIGKILL);
    let _ = waitpid(pid, None);
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
