//! The daemon's TCP socket, bound before there is a daemon.
//!
//! kubelet asks for the first time as soon as the container runs, and takes a refused connection for
//! a failed probe. So the keeper listens before anything else that takes time, and while no daemon
//! runs, at the start or after a crash, the kernel keeps what connects. The keeper itself never
//! accepts a connection.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::poll;
use rustix::net::sockopt;

use super::KeeperError;
use super::standby::{LOOK_MS, SUCCESSION_MS_MAX};

/// Connections the kernel keeps waiting.
const BACKLOG: i32 = 1024;
/// How long nothing comes before the kernel asks whether the other side is there.
const IDLE: Duration = Duration::from_secs(15);
/// Between two such questions.
const ASKED_AGAIN: Duration = Duration::from_secs(5);
/// How long the other side's kernel may not answer before a connection ends.
const SILENT_MS_MAX: u32 = 30_000;

/// Listens on `address`. What a keeper that was just killed left behind does not keep it out: neither its
/// connections (`SO_REUSEADDR`) nor its daemon, which lets go of the lock before the address where the kernel
/// closes them in this order.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, KeeperError> {
    let start = Instant::now();
    loop {
        match listen_on(address) {
            Err(error)
                if error.kind() == ErrorKind::AddrInUse
                    && start.elapsed() < Duration::from_millis(SUCCESSION_MS_MAX) =>
            {
                let _ = poll(&mut [], LOOK_MS);
            }
            listens => return listens.map_err(|source| KeeperError::Listen { address, source }),
        }
    }
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // Again, since the standard library asks for room for 128.
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Has the kernel notice that the other side of a connection is gone without a word. No process wakes
/// up for that.
///
/// # Errors
/// It is no TCP socket.
pub fn notice_silence(socket: impl AsFd) -> io::Result<()> {
    let socket = socket.as_fd();
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, IDLE)?;
    sockopt::set_tcp_keepintvl(socket, ASKED_AGAIN)?;
    Ok(sockopt::set_tcp_user_timeout(socket, SILENT_MS_MAX)?)
}
