//! What the daemon holds for the case that its keeper is killed: duplicates of the read ends of all
//! pipes, a pidfd of each main process, and the lock of the state directory.
//!
//! While it does, no program gets SIGPIPE, no other keeper takes the directory, and nothing that was
//! written is gone. The daemon of a keeper that died becomes the keeper itself: it executes the
//! keeper's program, which inherits everything ([`Estate`]). So nobody else can pose as the new one.
//!
//! The keeper sends one message per task that begins or is gone, over a pair of sockets of their own;
//! descriptors go along. Both are this program's; a daemon of another release that does not know the
//! pair leaves it alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

use crate::table::TaskKey;
use crate::{inherited, link};
use deskd_core::task::UnixMs;
use deskd_core::wire::{RunEnd, RunId};

/// The descriptor that the socket is in the daemon.
pub const CUSTODY_FD: RawFd = 6;
/// Longest message, in bytes. The daemon has a meta that is longer on record itself.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Longest meta that goes along, in bytes.
const META_BYTES_MAX: usize = 16 << 10;
/// Descriptors of one message.
const FILES_MAX: usize = 5;
/// Tasks held at most; what more there is has no other owner than the keeper.
pub const HELD_MAX: usize = 1000;

/// A run whose processes may live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its place in the keeper's table.
    pub key: u64,
    /// Which run.
    pub id: RunId,
    /// Its meta, or nothing.
    pub meta: String,
    /// Its main process.
    pub pid: u32,
    /// When it was spawned.
    pub spawned_at: UnixMs,
    /// What its processes bear.
    pub tag: u64,
    /// They cannot change that.
    pub pinned: bool,
    /// OOM kills that the keeper's control group had had when it was started.
    #[serde(default)]
    pub oom_kills: Option<u64>,
    /// How its main process ended, if it has: then there is no pidfd.
    pub end: Option<RunEnd>,
    /// It was asked to stop.
    pub stop_asked: bool,
    /// After the pidfd there is a descriptor of standard output, and of standard error.
    pub streams: [bool; 2],
}

/// To the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Note {
    /// First: with the lock, what is under way to a log, and the daemon's file if there is one.
    Keeper,
    /// With its descriptors.
    Hold(Held),
    /// Nothing of it is left.
    Release { key: u64 },
}

/// The keeper's end.
#[derive(Debug)]
pub struct Custody {
    socket: OwnedFd,
    /// What goes along with [`Note::Keeper`], until that is sent.
    own: Option<Vec<OwnedFd>>,
    dirty: BTreeSet<TaskKey>,
}

impl Custody {
    /// A pair: this end, and the other for the daemon to inherit. `known` are the tasks to be told of.
    ///
    /// # Errors
    /// The system's.
    pub fn pair(
        lock: BorrowedFd<'_>,
        round: [BorrowedFd<'_>; 3],
        file: Option<BorrowedFd<'_>>,
        known: BTreeSet<TaskKey>,
    ) -> io::Result<(Self, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (socket, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let fds = std::iter::once(lock).chain(round).chain(file);
        let own = fds.map(|fd| fd.try_clone_to_owned()).collect::<io::Result<Vec<_>>>()?;
        let mut custody = Self { socket, own: Some(own), dirty: known };
        // Not a condition for having a daemon.
        let _ = custody.introduce();
        Ok((custody, link::inheritable(other.as_fd())?))
    }

    /// A task began a run, or is gone.
    pub fn changed(&mut self, key: TaskKey) {
        self.dirty.insert(key);
    }

    /// Whether something is to be told.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The next task to be told of.
    #[must_use]
    pub fn next(&self) -> Option<TaskKey> {
        self.dirty.first().copied()
    }

    /// Gives the daemon what is the keeper's own, unless it has that. False: later.
    #[must_use]
    pub fn introduce(&mut self) -> bool {
        let Some(own) = self.own.take() else { return true };
        let fds: Vec<BorrowedFd<'_>> = own.iter().map(AsFd::as_fd).collect();
        if self.send(&Note::Keeper, &fds).is_err_and(|error| is_for_now(&error)) {
            self.own = Some(own);
            return false;
        }
        true
    }

    /// Tells of a task: `held` and its descriptors, or that it is gone. False: later.
    pub fn tell(&mut self, key: TaskKey, held: Option<(Held, Vec<BorrowedFd<'_>>)>) -> bool {
        let sent = match held {
            Some((mut held, fds)) => {
                if held.meta.len() > META_BYTES_MAX {
                    held.meta = String::new();
                }
                self.send(&Note::Hold(held), &fds)
            }
            None => self.send(&Note::Release { key: key.0 }, &[]),
        };
        if sent.is_err_and(|error| is_for_now(&error)) {
            return false;
        }
        // A daemon that does not listen holds nothing.
        self.dirty.remove(&key);
        true
    }

    fn send(&self, note: &Note, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(note)?;
        let fds: Vec<RawFd> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let rights = if fds.is_empty() { &[][..] } else { &rights };
        let part = [IoSlice::new(&bytes)];
        sendmsg::<()>(self.socket.as_raw_fd(), &part, rights, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }
}

/// The daemon has to read first, or there are too many descriptors on their way: those of all processes of a user count
/// together, so anybody's.
fn is_for_now(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(nix::libc::EAGAIN | nix::libc::ETOOMANYREFS))
}

/// What the daemon of a dead keeper has.
#[derive(Debug, Default)]
pub struct Estate {
    /// Of the state directory.
    pub lock: Option<OwnedFd>,
    /// What was under way to a log: [`crate::capture::Round`].
    pub round: Option<[OwnedFd; 3]>,
    /// What each daemon gets as its configuration.
    pub file: Option<OwnedFd>,
    /// Runs, with pidfd and pipes.
    pub held: BTreeMap<u64, (Held, Vec<OwnedFd>)>,
}

/// An estate as a file: descriptors by their numbers.
#[derive(Serialize, Deserialize)]
struct Will {
    lock: Option<RawFd>,
    round: Option<[RawFd; 3]>,
    held: Vec<(Held, Vec<RawFd>)>,
}

/// The socket that the keeper handed down. To be called before anything else is opened, which would get its number.
///
/// # Errors
/// There is none: the keeper is of an earlier release.
pub fn inherited_socket() -> io::Result<OwnedFd> {
    inherited::owned(CUSTODY_FD)
}

impl Estate {
    /// Takes what a keeper sends until it is dead, over the socket that it [handed down](inherited_socket). For a
    /// thread of its own.
    ///
    /// # Errors
    /// The socket's.
    pub fn collect(socket: &OwnedFd) -> io::Result<Self> {
        let mut estate = Self::default();
        let mut bytes = vec![0; MESSAGE_BYTES_MAX];
        while let Some((note, fds)) = receive(socket, &mut bytes)? {
            match note {
                Note::Keeper => {
                    let mut fds = fds.into_iter();
                    estate.lock = fds.next();
                    let round: Vec<OwnedFd> = fds.by_ref().take(3).collect();
                    estate.round = round.try_into().ok();
                    estate.file = fds.next();
                }
                Note::Hold(held) if estate.held.len() < HELD_MAX => {
                    estate.held.insert(held.key, (held, fds));
                }
                Note::Hold(_) => {}
                Note::Release { key } => drop(estate.held.remove(&key)),
            }
        }
        Ok(estate)
    }

    /// Whether there is anything for another keeper to take over.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock.is_none() || self.round.is_none() || self.held.is_empty()
    }

    /// Writes it down for a program that this process is about to execute, which inherits it all. The number of
    /// the descriptor that has the text.
    ///
    /// # Errors
    /// The system's.
    pub fn bequeath(&self) -> io::Result<RawFd> {
        let held = self.held.values();
        let will = Will {
            lock: self.lock.as_ref().map(std::os::fd::AsRawFd::as_raw_fd),
            round: self.round.as_ref().map(|fds| fds.each_ref().map(|fd| fd.as_raw_fd())),
            held: held
                .map(|(held, fds)| (held.clone(), fds.iter().map(|fd| fd.as_raw_fd()).collect()))
                .collect(),
        };
        let files = self.held.values().flat_map(|(_, fds)| fds);
        let round = self.round.as_ref().into_iter().flatten();
        for fd in files.chain(round).chain(&self.lock).chain(&self.file) {
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        let mut text = File::from(memfd_create(c"deskd-estate", MFdFlags::empty())?);
        serde_json::to_writer(&text, &will)?;
        text.flush()?;
        Ok(std::os::fd::IntoRawFd::into_raw_fd(text))
    }

    /// What was written down in `text`.
    ///
    /// # Errors
    /// It is none.
    pub fn inherit(mut text: File) -> io::Result<Self> {
        text.rewind()?;
        let mut bytes = Vec::new();
        text.read_to_end(&mut bytes)?;
        let will: Will = serde_json::from_slice(&bytes)?;
        let lock = will.lock.map(inherited::owned).transpose()?;
        let round = will
            .round
            .map(|fds| fds.into_iter().map(inherited::owned).collect::<io::Result<Vec<OwnedFd>>>());
        let round = round.transpose()?.and_then(|fds| fds.try_into().ok());
        let mut estate = Self { lock, round, ..Self::default() };
        for (held, fds) in will.held {
            let fds = fds.into_iter().map(inherited::owned).collect::<io::Result<Vec<_>>>()?;
            estate.held.insert(held.key, (held, fds));
        }
        Ok(estate)
    }
}

/// The next message; nothing at the end.
fn receive(socket: &OwnedFd, bytes: &mut [u8]) -> io::Result<Option<(Note, Vec<OwnedFd>)>> {
    let mut space = cmsg_space!([RawFd; FILES_MAX]);
    let mut part = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut part, Some(&mut space), flags) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            fds.extend(received.into_iter().map(own));
        }
    }
    let count = message.bytes;
    if count == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&bytes[..count])?, fds)))
}

/// A descriptor that has just been received is nobody else's.
#[expect(unsafe_code, reason = "nix hands received descriptors over as numbers")]
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for this process, and nothing else knows the number.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
