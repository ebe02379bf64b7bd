//! A starter's life: threads that each take a request, start its program, and answer.
//!
//! All of them wait for the same socket, and the kernel wakes one. There is always one that waits,
//! until there are as many as may be: a program on a file system that hangs holds up nobody. What is
//! idle for long goes, and with the last thread the process; it ends with the keeper's end of the
//! socket too.

use std::io::{self, ErrorKind, IoSliceMut, Read as _, Seek as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use nix::cmsg_space;
use nix::sched::CloneFlags;
use nix::sys::prctl::{set_dumpable, set_name};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, recvmsg, send, setsockopt, sockopt::ReceiveTimeout,
};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;

use super::board::{Board, Slot};
use super::command::Inner;
use super::oom_score::{self, OomScore};
use super::order::{self, Answer, Order};
use super::starter::{BOARD_FD, FILES_FD, Kind, MESSAGE_BYTES_MAX, NAME, SOCKET_FD, not_started};
use super::{CHILD_STACK_BYTES, Command, Spawner, child, explain, oom_score_failed};
use crate::clock::monotonic_ns;
use crate::inherited;
use crate::wall::{self, Rulesets};
use deskd_core::wire::SpawnError;

/// Threads at most: more start no sooner, unless a file system hangs.
const THREADS_MAX: usize = 16;
/// Stack of a thread, in bytes.
const THREAD_STACK_BYTES: usize = 256 << 10;
/// A thread that was asked for nothing for so long goes.
const IDLE_S: i64 = 30;
/// Descriptors of one request: standard output and error, and a memory file with a long one.
const FILES_MAX: usize = 3;
/// By their numbers.
const FILES: std::ops::Range<RawFd> = FILES_FD..FILES_FD + FILES_MAX as RawFd;

/// What the threads share.
struct Pool {
    socket: OwnedFd,
    board: Board,
    /// Of the request that could not send its own.
    inherited: Mutex<Vec<OwnedFd>>,
    spawner: Spawner,
    /// Absent: it cannot be opened, and processes get theirs when they run.
    oom_score: Option<OomScore>,
    rulesets: Mutex<Rulesets>,
    threads: AtomicUsize,
    idle: AtomicUsize,
}

/// Serves until the keeper's end of the socket is closed, or nothing is asked for.
///
/// # Errors
/// It cannot be what it has to be; the keeper starts another, or says so.
pub fn serve(kind: Kind) -> io::Result<()> {
    let socket = inherited::owned(SOCKET_FD)?;
    let board = inherited::owned(BOARD_FD)?;
    // Before anything else is opened, which would get their numbers.
    let inherited = Mutex::new(FILES.map_while(|fd| inherited::owned(fd).ok()).collect());
    let board = Board::map(board)?;
    let spawner = Spawner::new()?;
    // Before this process is not dumpable, after which it may not open its own.
    let oom_score = OomScore::open().ok();
    if kind != Kind::Plain {
        wall::enter_shared(kind == Kind::Hidden)?;
    }
    set_name(NAME)?;
    set_dumpable(false)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(IDLE_S, 0))?;
    let (rulesets, threads, idle) = (Mutex::default(), AtomicUsize::new(1), AtomicUsize::new(0));
    let pool = Pool { socket, board, inherited, spawner, oom_score, rulesets, threads, idle };
    work(&Arc::new(pool), true);
    Ok(())
}

enum Next {
    Order(Box<Order>, Vec<OwnedFd>),
    Nothing,
    End,
}

/// The life of a thread. The first one is the process.
fn work(pool: &Arc<Pool>, is_first: bool) {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut stack = vec![0; CHILD_STACK_BYTES];
    loop {
        pool.idle.fetch_add(1, SeqCst);
        let next = pool.receive(&mut bytes);
        let is_last_idle = pool.idle.fetch_sub(1, SeqCst) == 1;
        match next {
            Next::End => return,
            Next::Nothing if is_first && pool.threads.load(SeqCst) == 1 => return,
            Next::Nothing if is_first || is_last_idle => {}
            Next::Nothing => {
                pool.threads.fetch_sub(1, SeqCst);
                return;
            }
            Next::Order(order, files) => {
                if is_last_idle {
                    pool.add_thread();
                }
                pool.carry_out(&order, &files, &mut stack);
            }
        }
    }
}

impl Pool {
    fn add_thread(self: &Arc<Self>) {
        if self.threads.fetch_add(1, SeqCst) < THREADS_MAX {
            let pool = self.clone();
            let new = std::thread::Builder::new().stack_size(THREAD_STACK_BYTES);
            if new.spawn(move || work(&pool, false)).is_ok() {
                return;
            }
        }
        // What is asked for waits until a thread is free.
        self.threads.fetch_sub(1, SeqCst);
    }

    /// The next request.
    fn receive(&self, bytes: &mut [u8]) -> Next {
        match self.receive_message(bytes) {
            Ok(next) => next,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Next::Nothing
            }
            // The keeper is gone, or is not what this is a part of.
            Err(_) => Next::End,
        }
    }

    fn receive_message(&self, bytes: &mut [u8]) -> io::Result<Next> {
        let mut space = cmsg_space!([RawFd; FILES_MAX]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let mut part = [IoSliceMut::new(bytes)];
        let message = recvmsg::<()>(self.socket.as_raw_fd(), &mut part, Some(&mut space), flags)?;
        let mut files = Vec::with_capacity(FILES_MAX);
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control {
                files.extend(fds.into_iter().map(own));
            }
        }
        let count = message.bytes;
        if count == 0 {
            return Ok(Next::End);
        }
        if files.is_empty() {
            let mut inherited = self.inherited.lock().unwrap_or_else(PoisonError::into_inner);
            files = std::mem::take(&mut *inherited);
        }
        let order = match order::is_in_file(&bytes[..count]) {
            true => order::decode(&read_whole(files.pop().ok_or(ErrorKind::InvalidData)?)?)?,
            false => order::decode(&bytes[..count])?,
        };
        Ok(Next::Order(Box::new(order), files))
    }

    fn carry_out(&self, order: &Order, files: &[OwnedFd], stack: &mut [u8]) {
        let Some(slot) = self.board.slot(order.slot) else { return };
        let begun = monotonic_ns();
        let outcome = self.start(order, files, stack, slot);
        let answer = Answer { slot: order.slot, begun, executed: monotonic_ns(), outcome };
        if let Ok(bytes) = answer.encode() {
            // Nobody is there to be told when the keeper is gone.
            let _ = send(self.socket.as_raw_fd(), &bytes, MsgFlags::MSG_NOSIGNAL);
        }
    }

    fn start(
        &self,
        order: &Order,
        files: &[OwnedFd],
        stack: &mut [u8],
        slot: &Slot,
    ) -> Result<u32, SpawnError> {
        let mut command = Command::of_request(&order.request, order.tag)?;
        let ruleset = match &order.request.wall {
            Some(wall) => {
                let mut rulesets = self.rulesets.lock().unwrap_or_else(PoisonError::into_inner);
                Some(rulesets.of(wall).map_err(|error| not_started(&error))?)
            }
            None => None,
        };
        command.wall = ruleset
            .as_ref()
            .map(|ruleset| Inner { ruleset: ruleset.as_ref().map(|it| it.as_raw_fd()) });
        let null = self.spawner.null.as_raw_fd();
        let files: Vec<RawFd> =
            std::iter::once(null).chain(files.iter().map(|file| file.as_raw_fd())).collect();
        let inherited = self.spawner.inherited;
        let parent = CloneFlags::CLONE_PARENT;
        let mut start = || child::start(&command, &files, inherited, parent, stack, slot);
        let score = command.oom_score_adj;
        let failed = |error: io::Error| oom_score_failed(score.unwrap_or(0), &error);
        let started = match &self.oom_score {
            Some(own) => own.during(score, start).map_err(failed)?,
            None => start(),
        };
        let pid = started.map_err(|failure| explain(&command, failure))?;
        if let (None, Some(score)) = (&self.oom_score, score)
            && let Err(error) = oom_score::set(pid, score)
        {
            // Its parent takes it away.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
            return Err(failed(error));
        }
        Ok(pid)
    }
}

fn read_whole(file: OwnedFd) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::from(file);
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A descriptor that has just been received is nobody else's.
#[expect(unsafe_code, reason = "nix hands received descriptors over as numbers")]
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for this process, and nothing else knows the number.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
