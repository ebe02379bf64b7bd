//! The daemon's TCP socket, bound before there is a daemon.
//!
//! kubelet asks for the first time as soon as the container runs, and takes a refused connection for
//! a failed probe. So the keeper listens before anything else that takes time, and while no daemon
//! runs, at the start or after a crash, the kernel keeps what connects. The keeper itself never
//! accepts a connection.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::KeeperError;

/// Connections the kernel keeps waiting.
const BACKLOG: i32 = 1024;

/// Listens on `address`; what a keeper that was just killed left behind does not keep it out
/// (`SO_REUSEADDR`).
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, KeeperError> {
    listen_on(address).map_err(|source| KeeperError::Listen { address, source })
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // Again, since the standard library asks for room for 128.
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
