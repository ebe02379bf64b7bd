//! The starter: the process in which programs behind the wall begin.
//!
//! Who is to signal its neighbours and nobody else must be in one Landlock domain with them, and a
//! domain is entered by inheritance alone. So one small process is in it and starts them all; the
//! keeper stays their parent (`CLONE_PARENT`). Programs can signal the starter too: one that is
//! stopped is continued, one that was killed is started anew, with a domain of its own.
//!
//! It holds nothing that is worth anything: a request arrives with its pipes, as one [frame], and the
//! answer is a pid or an error.

use std::ffi::{CStr, OsStr};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::prctl::{set_dumpable, set_name};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::command::Inner;
use super::{Command, Spawner, setup};
use crate::wall::{self, Rulesets};
use crate::{procfs, tree};
use deskd_core::wire::frame::{self, Decoder};
use deskd_core::wire::{SpawnError, SpawnRequest};

/// The options with which the keeper's program is a starter, for programs from which files are hidden
/// and for others; its socket is descriptor 0.
const OPTIONS: [&CStr; 2] = [c"--starter-files", c"--starter"];
/// Its name in `ps`.
const NAME: &CStr = c"deskd-starter";
/// What becomes standard input, output and error.
const FILES: usize = 3;
/// Until the starter is continued, if somebody stopped it.
const CONTINUE_MS: u64 = 100;
/// Until a start is given up: a program on a file system that hangs, or a starter that is stopped
/// again and again.
const START_MS_MAX: u64 = 30_000;
/// Looks at what a starter that was killed left, until everything of it has died.
const LOOKS_MAX: usize = 1000;
/// Bytes of one read.
const READ_BYTES: usize = 16 << 10;

/// One start.
#[derive(Serialize, Deserialize)]
struct Order {
    request: SpawnRequest,
    tag: u64,
}

/// What the starter says of it: first that it begins, so that one that was killed before is known to
/// have started nothing.
#[derive(Serialize, Deserialize)]
enum Answer {
    Received,
    Outcome(Result<u32, SpawnError>),
}

/// The keeper's end.
#[derive(Debug)]
pub(super) struct Starter {
    pid: u32,
    files: bool,
    socket: UnixStream,
}

impl Starter {
    /// Starts one, for programs from which files are hidden, or others.
    pub(super) fn begin(spawner: &mut Spawner, files: bool) -> Result<Self, SpawnError> {
        let failed = |error: io::Error| not_started(&error);
        let (socket, theirs) = UnixStream::pair().map_err(failed)?;
        socket.set_read_timeout(Some(Duration::from_millis(CONTINUE_MS))).map_err(failed)?;
        socket.set_write_timeout(Some(Duration::from_millis(START_MS_MAX))).map_err(failed)?;
        let [of_files, of_none] = OPTIONS;
        let option = if files { of_files } else { of_none };
        let command = Command::of_file(c"/proc/self/exe", &[NAME, option])?;
        let pid = spawner.start_uncaptured(&command, Some(theirs.as_fd()), &[])?;
        Ok(Self { pid, files, socket })
    }

    /// Whether it is for programs from which files are hidden.
    pub(super) fn hides_files(&self) -> bool {
        self.files
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Has it start a program. An error of the socket before the request was sent whole means that
    /// nothing was started.
    pub(super) fn start(
        &mut self,
        request: SpawnRequest,
        tag: u64,
        files: &[RawFd],
    ) -> Result<Result<u32, SpawnError>, NoAnswer> {
        let mut bytes = Vec::new();
        if let Err(error) = frame::encode(&Order { request, tag }, &mut bytes) {
            return Ok(Err(SpawnError::Invalid(error.to_string())));
        }
        let rights = [ControlMessage::ScmRights(files)];
        let (fd, part) = (self.socket.as_raw_fd(), [IoSlice::new(&bytes)]);
        let sent = sendmsg::<()>(fd, &part, &rights, MsgFlags::MSG_NOSIGNAL, None)
            .map_err(|_| NoAnswer::NothingStarted)?;
        self.socket.write_all(&bytes[sent..]).map_err(|_| NoAnswer::NothingStarted)?;
        let mut received = false;
        self.answer(&mut received).map_err(|error| match received {
            true => NoAnswer::Unknown(error),
            false => NoAnswer::NothingStarted,
        })
    }

    /// Waits for the outcome; `received` says whether the starter got as far as to begin.
    fn answer(&mut self, received: &mut bool) -> io::Result<Result<u32, SpawnError>> {
        let (mut decoder, mut bytes) = (Decoder::default(), [0; 512]);
        let until = Instant::now() + Duration::from_millis(START_MS_MAX);
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => decoder.push(&bytes[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => {
                    self.signal(Signal::SIGCONT);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            while let Some(answer) = decoder.take().map_err(io::Error::other)? {
                *received = true;
                if let Answer::Outcome(outcome) = answer {
                    return Ok(outcome);
                }
            }
            if Instant::now() > until {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }

    /// Ends a starter that began a start and did not say what became of it: the program that it
    /// started may have killed it. The main process of the run with this tag, if there is one.
    pub(super) fn end_with(&self, tag: u64) -> Option<u32> {
        self.signal(Signal::SIGKILL);
        let own = std::process::id();
        let name = NAME.to_string_lossy();
        for _ in 0..LOOKS_MAX {
            let all = procfs::pids().ok()?.into_iter().filter_map(procfs::read_stat);
            let (begun, others): (Vec<_>, Vec<_>) =
                all.filter(|it| it.ppid == own).partition(|it| it.comm == name && it.is_alive());
            if begun.is_empty() {
                // Nothing was reaped meanwhile, so that the first one is there, dead or alive.
                let of_run = others.into_iter().filter(|it| tree::is_marked(it.pid, tag));
                return of_run.min_by_key(|it| (it.start_ticks, it.pid)).map(|it| it.pid);
            }
            // What has not become its program yet shall not become it unseen.
            for process in begun {
                let _ = kill(Pid::from_raw(process.pid.cast_signed()), Signal::SIGKILL);
            }
        }
        None
    }

    /// It is the keeper's child and not reaped, so the pid is surely its own.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid.cast_signed()), signal);
    }
}

/// Why a starter did not answer.
pub(super) enum NoAnswer {
    /// It did not get the request.
    NothingStarted,
    /// It got it; whether a program runs is not known.
    Unknown(io::Error),
}

pub(super) fn not_started(error: &io::Error) -> SpawnError {
    let errno = error.raw_os_error().map_or(Errno::ETIMEDOUT, Errno::from_raw);
    setup("start it behind deskd's wall".to_owned(), errno)
}

/// Whether `option` makes the keeper's program a starter, and one for programs from which files are
/// hidden.
#[must_use]
pub fn option(option: &OsStr) -> Option<bool> {
    let [of_files, of_none] = OPTIONS.map(|it| it.to_bytes() == option.as_bytes());
    (of_files || of_none).then_some(of_files)
}

/// The starter's life: ends with the keeper's end of the socket.
///
/// # Errors
/// It cannot be what it has to be; the keeper's next request fails.
pub fn serve(files: bool) -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Before the next but one line, after which it may not open its own oom_score_adj.
    let mut spawner = Spawner::new()?;
    wall::enter_shared(files)?;
    set_name(NAME)?;
    set_dumpable(false)?;
    let mut rulesets = Rulesets::default();
    let (mut decoder, mut received) = (Decoder::default(), Vec::new());
    while receive(&socket, &mut decoder, &mut received)? {
        while let Some(order) = decoder.take::<Order>().map_err(io::Error::other)? {
            let given: Vec<OwnedFd> = std::mem::take(&mut received);
            say(&socket, &Answer::Received)?;
            let outcome = start(&mut spawner, &mut rulesets, &order, &given);
            say(&socket, &Answer::Outcome(outcome))?;
        }
    }
    Ok(())
}

fn say(mut socket: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut bytes = Vec::new();
    frame::encode(answer, &mut bytes).map_err(io::Error::other)?;
    socket.write_all(&bytes)
}

fn start(
    spawner: &mut Spawner,
    rulesets: &mut Rulesets,
    order: &Order,
    files: &[OwnedFd],
) -> Result<u32, SpawnError> {
    let mut command = Command::of_request(&order.request, order.tag)?;
    let hidden = order.request.wall.as_ref().map(|wall| rulesets.of(wall)).transpose();
    let ruleset = hidden.map_err(|error| not_started(&error))?.flatten();
    command.wall = Some(Inner { ruleset });
    let files: Vec<RawFd> = files.iter().map(|file| file.as_raw_fd()).collect();
    spawner.start(&command, &files, CloneFlags::CLONE_PARENT)
}

/// Reads once, with the descriptors that came along; false at the end.
fn receive(
    socket: &UnixStream,
    decoder: &mut Decoder,
    files: &mut Vec<OwnedFd>,
) -> io::Result<bool> {
    let mut bytes = [0; READ_BYTES];
    let mut space = cmsg_space!([RawFd; FILES]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let mut part = [IoSliceMut::new(&mut bytes)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut part, Some(&mut space), flags)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            files.extend(fds.into_iter().map(own));
        }
    }
    let count = message.bytes;
    decoder.push(&bytes[..count]);
    Ok(count > 0)
}

/// A descriptor that has just been received is nobody else's.
#[expect(unsafe_code, reason = "nix hands received descriptors over as numbers")]
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for this process, and nothing else knows the number.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
