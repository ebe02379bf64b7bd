//! The keeper's end of a starter: the process in which programs begin.
//!
//! A start makes its caller wait until the program has been executed, so that it is known at once why
//! it was not, and the keeper waits for nobody. So small processes start its programs, several side by
//! side ([`super::serve`]); the keeper stays their parent (`CLONE_PARENT`). One is for programs behind
//! the wall: who is to signal its neighbours and nobody else must be in one Landlock domain with them,
//! and a domain is entered by inheritance alone.
//!
//! A starter holds nothing that is worth anything: a request arrives with its pipes, as one message,
//! and the answer is a pid or an error. Programs can signal it: one that is stopped is continued, one
//! that was killed is started anew, with a domain of its own. What it had begun then is on the
//! [board](super::board). One that has nothing to do for a while ends by itself.
//!
//! How many descriptors may be on their way in messages is counted for all processes of a user together, in this pod
//! and in others of the node. So whoever sends many to himself keeps the keeper from sending any (ETOOMANYREFS). Then a
//! new starter inherits those of one request.

use std::ffi::{CStr, OsStr};
use std::io::{self, ErrorKind, IoSlice, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::Ordering::Relaxed;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair,
};
use nix::unistd::Pid;

use super::board::{Board, Progress, Slot};
use super::order::{self, Answer};
use super::{Command, Spawner, setup};
use crate::procfs;
use deskd_core::wire::{SpawnError, SpawnRequest, StartTimes};
use nix::errno::Errno;

/// Its name in `ps`.
pub(super) const NAME: &CStr = c"deskd-starter";
/// The descriptors that a starter finds: its socket, and the board.
pub(super) const SOCKET_FD: RawFd = 0;
pub(super) const BOARD_FD: RawFd = 3;
/// Descriptors that one request finds beside them, if it could not send its own.
pub(super) const FILES_FD: RawFd = 4;
/// A longer request is in a memory file that goes along: a message has to fit into the socket's buffer.
pub(super) const MESSAGE_BYTES_MAX: usize = 32 << 10;

/// What a starter is for. Programs of different kinds do not share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    /// Programs that have no wall.
    Plain,
    /// Programs behind the wall.
    Walled,
    /// Those from which files are hidden, too.
    Hidden,
}

/// All of them.
pub const KINDS: [Kind; 3] = [Kind::Plain, Kind::Walled, Kind::Hidden];

impl Kind {
    /// What starts this program.
    #[must_use]
    pub fn of(request: &SpawnRequest) -> Self {
        match &request.wall {
            None => Self::Plain,
            Some(wall) if wall.hidden.is_empty() => Self::Walled,
            Some(_) => Self::Hidden,
        }
    }

    /// The option with which the keeper's program is one.
    fn option(self) -> &'static CStr {
        match self {
            Self::Plain => c"--starter-plain",
            Self::Walled => c"--starter",
            Self::Hidden => c"--starter-files",
        }
    }

    /// Of the option, if it is one of them.
    #[must_use]
    pub fn of_option(option: &OsStr) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.option().to_bytes() == option.as_bytes())
    }
}

/// A request as a starter gets it.
#[derive(Debug)]
pub struct Parcel<'a> {
    slot: u32,
    message: Vec<u8>,
    output: [BorrowedFd<'a>; 2],
    /// With a longer request.
    file: Option<OwnedFd>,
}

impl<'a> Parcel<'a> {
    /// For a program whose processes will bear `tag`; `output` are the ends of pipes that become standard output and
    /// error.
    ///
    /// # Errors
    /// There is no memory file for a long one.
    pub fn pack(
        slot: u32,
        tag: u64,
        request: &SpawnRequest,
        output: [BorrowedFd<'a>; 2],
    ) -> io::Result<Self> {
        let message = order::encode(slot, tag, request);
        let (message, file) = match message.len() {
            ..=MESSAGE_BYTES_MAX => (message, None),
            _ => (order::in_file(slot), Some(in_memory(&message)?)),
        };
        Ok(Self { slot, message, output, file })
    }

    fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.output.into_iter().chain(self.file.as_ref().map(AsFd::as_fd))
    }
}

/// What a starter says of a start.
#[derive(Debug)]
pub struct Answered {
    /// Which.
    pub slot: u32,
    /// The pid of the process that runs its program.
    pub outcome: Result<u32, SpawnError>,
    /// When it was how far; when it was received, the keeper knows.
    pub times: StartTimes,
}

/// The keeper's end.
#[derive(Debug)]
pub struct Starter {
    pid: u32,
    socket: OwnedFd,
    board: Board,
}

impl Starter {
    /// Starts one, which inherits the descriptors of `first` if that is [to be handed over](Self::hand_over).
    pub fn begin(
        spawner: &mut Spawner,
        kind: Kind,
        first: Option<&Parcel<'_>>,
    ) -> Result<Self, SpawnError> {
        let failed = |error: io::Error| not_started(&error);
        let (socket, theirs) = pair().map_err(failed)?;
        let (board, file) = Board::create().map_err(failed)?;
        let command = Command::of_file(c"/proc/self/exe", &[NAME, kind.option()])?;
        let mut more = vec![file.as_fd()];
        more.extend(first.into_iter().flat_map(Parcel::files));
        let pid = spawner.start_uncaptured(&command, Some(theirs.as_fd()), &more)?;
        Ok(Self { pid, socket, board })
    }

    /// Its process, a child of the keeper.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks it to start a program.
    ///
    /// # Errors
    /// The socket's: nothing was asked for.
    pub fn ask(&self, parcel: &Parcel<'_>) -> io::Result<()> {
        let fds: Vec<RawFd> = parcel.files().map(|fd| fd.as_raw_fd()).collect();
        self.send(parcel, &[ControlMessage::ScmRights(&fds)])
    }

    /// The same, of a starter that began with its descriptors.
    ///
    /// # Errors
    /// The socket's: nothing was asked for.
    pub fn hand_over(&self, parcel: &Parcel<'_>) -> io::Result<()> {
        self.send(parcel, &[])
    }

    fn send(&self, parcel: &Parcel<'_>, rights: &[ControlMessage<'_>]) -> io::Result<()> {
        if let Some(slot) = self.board.slot(parcel.slot) {
            slot.clear();
        }
        let part = [IoSlice::new(&parcel.message)];
        sendmsg::<()>(self.socket.as_raw_fd(), &part, rights, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }

    /// An answer, if there is one.
    ///
    /// # Errors
    /// It is gone.
    pub fn answer(&self) -> io::Result<Option<Answered>> {
        // Most have a few bytes, and an error as many as it has.
        let (socket, length) = (self.socket.as_raw_fd(), MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC);
        let mut bytes = match recv(socket, &mut [0], length) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => vec![0; count],
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        recv(socket, &mut bytes, MsgFlags::empty())?;
        let Answer { slot, begun, executed, outcome } = Answer::decode(&bytes)?;
        let executing = self.board.slot(slot).map_or(0, |slot| slot.executing.load(Relaxed));
        let times = StartTimes { received: 0, begun, executing, executed };
        Ok(Some(Answered { slot, outcome, times }))
    }

    /// The process of a start, from the moment on at which there is one.
    #[must_use]
    pub fn process(&self, slot: u32) -> Option<u32> {
        match self.progress(slot) {
            Progress::NotBegun => None,
            Progress::Begun(pid) | Progress::Failed { pid, .. } => Some(pid),
        }
    }

    fn progress(&self, slot: u32) -> Progress {
        self.board.slot(slot).map_or(Progress::NotBegun, Slot::progress)
    }

    /// What is the case when it is gone. A process that was reaped was its program, or was killed before.
    #[must_use]
    pub fn lost(&self, slot: u32, reaped: bool) -> Lost {
        match self.progress(slot) {
            Progress::Failed { errno, .. } => Lost::Failed(errno),
            Progress::Begun(pid) if reaped || !is_starters(pid) => Lost::Runs(pid),
            Progress::Begun(pid) => {
                // Dead, or it hangs and shall not become its program unseen.
                let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
                Lost::NotBegun
            }
            Progress::NotBegun => Lost::NotBegun,
        }
    }

    /// Ends it (unless it was reaped), and what has not become its program yet of the processes that it was
    /// asked for.
    pub fn end(&self, slots: impl Iterator<Item = u32>, reaped: bool) {
        if !reaped {
            self.signal(Signal::SIGKILL);
        }
        for slot in slots {
            if let Progress::Begun(pid) = self.progress(slot)
                && is_starters(pid)
            {
                let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
            }
        }
    }

    /// It is the keeper's child and not reaped, so the pid is surely its own.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid.cast_signed()), signal);
    }
}

impl AsFd for Starter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What can be said of a start when its starter is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Nothing was started.
    NotBegun,
    /// Its program runs, or ran.
    Runs(u32),
    /// It could not be executed: errno.
    Failed(i32),
}

/// The keeper's end, which does not block, and the starter's, which does.
fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (own, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    fcntl(&own, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((own, theirs))
}

fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = memfd_create(c"deskd-start", MFdFlags::MFD_CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes)?;
    Ok(file.into())
}

/// Whether a process has not executed its program yet: it has the starter's name.
fn is_starters(pid: u32) -> bool {
    let name = NAME.to_string_lossy();
    procfs::read_stat(pid).is_some_and(|stat| stat.comm == name)
}

/// The starter could not be asked, or did not answer.
#[must_use]
pub fn not_started(error: &io::Error) -> SpawnError {
    let errno = error.raw_os_error().map_or(Errno::ETIMEDOUT, Errno::from_raw);
    setup("start it through deskd-starter".to_owned(), errno)
}
