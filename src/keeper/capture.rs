//! The read ends of the applications' pipes.
//!
//! They live in an epoll instance of their own, nested in the keeper's: control messages are
//! looked at before every round of reading, and a round reads a bounded amount, so neither a
//! command nor another pipe waits long for one that never dries up. epoll itself hands out ready
//! descriptors in turn. One [buffer](round) serves all.
//!
//! Not here: what a byte means; it goes to the sink as it came.

mod round;

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::table::TaskKey;
use crate::logs::Stream;
use round::ROUND_BYTES;
pub use round::{Left, Round};

/// Pipes read in one round.
const ROUND_PIPES_MAX: usize = 16;
/// Bytes read in one round.
const ROUND_BYTES_MAX: usize = 512 << 10;
/// Capacity given to a pipe whose writer fills it: fewer switches between writer and keeper.
const PIPE_BYTES_MAX: usize = 1 << 20;
/// Full reads in a row after which a pipe is enlarged.
const FULL_READS: u32 = 4;

/// How far a pipe is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Less came than could.
    MostLikelyEmpty,
    /// Nothing came. Less comes than could where the user's pipes hold so much already (pipe(7)) that the
    /// round's own is small.
    Empty,
}

/// An open pipe.
#[derive(Debug)]
struct Pipe {
    fd: OwnedFd,
    task: TaskKey,
    stream: Stream,
    full_reads: u32,
    enlarged: bool,
}

/// Where captured bytes go.
pub trait Sink {
    /// Where the log of a task ends now.
    fn end(&mut self, task: TaskKey) -> u64;
    /// Bytes of a task's stream, in order.
    fn bytes(&mut self, task: TaskKey, stream: Stream, bytes: &[u8]);
    /// The last writer of the pipe is gone.
    fn closed(&mut self, task: TaskKey);
}

/// All open pipes.
#[derive(Debug)]
pub struct Capture {
    epoll: Epoll,
    pipes: HashMap<u64, Pipe>,
    next_token: u64,
    round: Round,
}

impl Capture {
    /// No pipes yet.
    pub fn new(round: Round) -> nix::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            pipes: HashMap::new(),
            next_token: 0,
            round,
        })
    }

    /// What is under way from a pipe to a log.
    pub fn under_way(&mut self) -> &mut Round {
        &mut self.round
    }

    /// Captures a pipe from now on.
    pub fn add(&mut self, fd: OwnedFd, task: TaskKey, stream: Stream) -> nix::Result<()> {
        self.next_token += 1;
        let token = self.next_token;
        self.epoll.add(&fd, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        self.pipes.insert(token, Pipe { fd, task, stream, full_reads: 0, enlarged: false });
        Ok(())
    }

    /// Reads what is there, within the round's bounds.
    pub fn round(&mut self, sink: &mut impl Sink) -> nix::Result<()> {
        let mut events = [EpollEvent::empty(); ROUND_PIPES_MAX];
        let ready = self.epoll.wait(&mut events, EpollTimeout::ZERO)?;
        let bytes_each = ROUND_BYTES_MAX / ready.max(1);
        for event in &events[..ready] {
            self.read(event.data(), bytes_each, Until::MostLikelyEmpty, sink);
        }
        Ok(())
    }

    /// Reads everything that was in a task's pipes when this was called: no pipe holds more than
    /// the most a pipe can be enlarged to, and what is written meanwhile can wait.
    pub fn drain(&mut self, task: TaskKey, sink: &mut impl Sink) {
        let of_task = self.pipes.iter().filter(|(_, pipe)| pipe.task == task);
        let tokens: Vec<u64> = of_task.map(|(token, _)| *token).collect();
        for token in tokens {
            self.read(token, PIPE_BYTES_MAX, Until::Empty, sink);
        }
    }

    /// A task's open pipes: of standard output, and of standard error.
    #[must_use]
    pub fn of_task(&self, task: TaskKey) -> [Option<BorrowedFd<'_>>; 2] {
        let of = |stream| {
            let mut pipes = self.pipes.values();
            Some(pipes.find(|pipe| pipe.task == task && pipe.stream == stream)?.fd.as_fd())
        };
        [of(Stream::Stdout), of(Stream::Stderr)]
    }

    /// Closes a task's pipes.
    pub fn close(&mut self, task: TaskKey) {
        self.pipes.retain(|_, pipe| pipe.task != task);
    }

    /// Reads at least `bytes_max` bytes if there are so many, and less than one buffer more.
    fn read(&mut self, token: u64, bytes_max: usize, until: Until, sink: &mut impl Sink) {
        let Some(pipe) = self.pipes.get_mut(&token) else { return };
        let mut total = 0;
        while total < bytes_max {
            let end = sink.end(pipe.task);
            match self.round.take(&pipe.fd, pipe.task, pipe.stream, end) {
                Ok([]) => return self.closed(token, sink),
                Ok(bytes) => {
                    sink.bytes(pipe.task, pipe.stream, bytes);
                    let bytes = bytes.len();
                    pipe.note_read(bytes);
                    total += bytes;
                    if bytes < ROUND_BYTES && until == Until::MostLikelyEmpty {
                        // epoll says so if it is not. EOF is seen next time.
                        break;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(_) => return self.closed(token, sink),
            }
        }
    }

    fn closed(&mut self, token: u64, sink: &mut impl Sink) {
        if let Some(pipe) = self.pipes.remove(&token) {
            sink.closed(pipe.task);
        }
    }
}

impl Pipe {
    fn note_read(&mut self, bytes: usize) {
        self.full_reads = if bytes == ROUND_BYTES { self.full_reads + 1 } else { 0 };
        if self.full_reads >= FULL_READS && !self.enlarged {
            self.enlarged = true;
            // Refused when the user's pipes hold too much already (pipe(7)): nothing is lost.
            let _ = rustix::pipe::fcntl_setpipe_size(&self.fd, PIPE_BYTES_MAX);
        }
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[derive(Default)]
    struct Seen(Vec<u8>);

    impl Sink for Seen {
        fn end(&mut self, _: TaskKey) -> u64 {
            self.0.len() as u64
        }

        fn bytes(&mut self, _: TaskKey, _: Stream, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }

        fn closed(&mut self, _: TaskKey) {}
    }

    #[test]
    fn all_that_is_in_a_pipe_is_taken_at_the_end_however_small_pipes_may_be() {
        let round = Round::create().unwrap();
        // As where the user has more than `pipe-user-pages-soft` pages in pipes.
        rustix::pipe::fcntl_setpipe_size(round.fds()[1], 1).unwrap();
        let mut capture = Capture::new(round).unwrap();
        let (read, mut write) = std::io::pipe().unwrap();
        let text = [b'x'; 60_000];
        write.write_all(&text).unwrap();
        capture.add(read.into(), TaskKey(1), Stream::Stdout).unwrap();
        let mut seen = Seen::default();
        capture.drain(TaskKey(1), &mut seen);
        assert_eq!(seen.0.len(), text.len());
    }
}
