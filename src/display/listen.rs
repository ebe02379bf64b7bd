//! Who listens for this display, from the socket tables of deskd's network namespace.
//!
//! A table that cannot be read says nothing: the handshake decides. A unix socket may also work
//! when the table does not show it (a shared `/tmp/.X11-unix` of another network namespace).

use std::fs::File;
use std::io::Read;

use crate::domain::display::X11_TCP_PORT_BASE;
use crate::procfs::sockets::{tcp_listeners, unix_listeners};

/// A line has about 150 bytes; a pod with more than 100,000 sockets is cut off there.
const TABLE_BYTES_MAX: u64 = 16 << 20;

/// What listens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Listening {
    pub(super) ipv4: bool,
    pub(super) ipv6: bool,
    pub(super) path: bool,
    pub(super) abstract_socket: bool,
}

/// `/tmp/.X11-unix/XN`, the name of both unix sockets.
pub(super) fn socket_path(number: u16) -> String {
    format!("{}/X{number}", super::SOCKET_DIR)
}

/// Reads the tables.
pub(super) fn look(number: u16) -> Listening {
    let port = X11_TCP_PORT_BASE + number;
    let path = socket_path(number);
    let unix = table("unix");
    Listening {
        ipv4: tcp_listeners(&table("tcp")).any(|listener| listener == port),
        ipv6: tcp_listeners(&table("tcp6")).any(|listener| listener == port),
        path: unix_listeners(&unix).any(|name| name == path),
        abstract_socket: unix_listeners(&unix)
            .any(|name| name.strip_prefix('@') == Some(path.as_str())),
    }
}

fn table(name: &str) -> String {
    let mut bytes = Vec::new();
    // `/proc/net` follows the thread that reads it; a failure leaves what was read, maybe nothing.
    let _ = File::open(format!("/proc/net/{name}"))
        .and_then(|file| file.take(TABLE_BYTES_MAX).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
