//! The first meeting of a keeper in a pod of its own with its daemon, and what it does if there is none.
//!
//! A network policy may bar the way. Then the container does what it would do without a keeper: this
//! process becomes its program, whose output kubelet keeps. So a launch never depends on the network.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::image::Image;
use crate::link::Connection;
use crate::signal::is_from_outside;
use crate::way::Way;
use crate::{KeeperError, tried};
use deskd_core::exit::Exit;
use deskd_core::wire::proof::Key;
use deskd_core::wire::{SpawnRequest, TASK_VARIABLE};

/// How a first meeting went.
#[derive(Debug)]
pub enum Met {
    /// The daemon is there.
    Daemon(Box<(Way, Connection)>),
    /// It is not, and there is a program that does not wait for it.
    Nobody,
    /// Its container was asked to end.
    Ended,
}

/// Connects, and waits at most `patience`.
///
/// # Errors
/// There are no descriptors, or signals cannot be received.
pub fn meet(key: Key, to: SocketAddr, patience: Duration) -> Result<Met, KeeperError> {
    let began = Instant::now();
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTERM);
    mask.add(Signal::SIGINT);
    mask.thread_block().map_err(tried("block signals"))?;
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let signals = SignalFd::with_flags(&mask, flags)
        .map_err(tried("receive signals through a descriptor"))?;
    let mut way = Way::new(key, to, began).map_err(KeeperError::Link)?;
    loop {
        let now = Instant::now();
        if let Some(connection) = way.round(now) {
            return Ok(Met::Daemon(Box::new((way, connection))));
        }
        let end = began + patience;
        if now >= end {
            tracing::warn!("{}: its program starts without a keeper", way.trouble());
            return Ok(Met::Nobody);
        }
        let next = way.next_at().map_or(end, |at| at.min(end));
        // Rounded up: waking before the time would mean waking twice.
        let wait = next.saturating_duration_since(now) + Duration::from_micros(999);
        let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO);
        let mut fds = [
            PollFd::new(way.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, wait) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(tried("wait for events")(errno)),
        }
        if let Ok(Some(signal)) = signals.read_signal()
            // Of its own namespace nobody may end it.
            && is_from_outside(&signal)
        {
            return Ok(Met::Ended);
        }
    }
}

/// Becomes the program that was to be the first one here. Returns only if that cannot be.
#[must_use]
pub fn become_program(first: SpawnRequest) -> Exit {
    let task = first.id.task.to_string();
    let request = Image::of_process().add_to(first);
    let Some((program, arguments)) = request.argv.split_first() else { return Exit::Usage };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(request.env).env(TASK_VARIABLE, task);
    command.current_dir(request.cwd.as_deref().unwrap_or("/"));
    // The signal mask and SIGPIPE become what programs expect.
    let error = command.exec();
    tracing::error!("cannot execute `{program}`: {error}");
    Exit::Internal
}
