//! Who listens for this display in deskd's network namespace.
//!
//! A table that cannot be read says nothing: the handshake decides. A unix socket may also work
//! when the table does not show it (a shared `/tmp/.X11-unix` of another network namespace).

use std::fs::File;
use std::io::Read;

use deskd_core::display::X11_TCP_PORT_BASE;
use deskd_keeper::procfs::sockets::unix_listeners;

use crate::listeners;

/// A line has about 150 bytes; a pod with more than 100,000 sockets is cut off there.
const TABLE_BYTES_MAX: u64 = 16 << 20;

/// What a pod's table fits into.
const TABLE_BYTES_USUAL: usize = 64 << 10;

/// `/tmp/.X11-unix/XN`, the name of both unix sockets.
pub(super) fn socket_path(number: u16) -> String {
    format!("{}/X{number}", super::SOCKET_DIR)
}

/// Whether the socket file and the abstract socket listen.
pub(super) fn unix(number: u16) -> (bool, bool) {
    let path = socket_path(number);
    let table = table("unix");
    let abstract_socket =
        unix_listeners(&table).any(|name| name.strip_prefix('@') == Some(path.as_str()));
    (unix_listeners(&table).any(|name| name == path), abstract_socket)
}

/// Whether an IPv4 and an IPv6 address listen.
pub(super) fn tcp(number: u16) -> (bool, bool) {
    listeners::tcp(X11_TCP_PORT_BASE + number).into()
}

fn table(name: &str) -> String {
    let mut bytes = Vec::with_capacity(TABLE_BYTES_USUAL);
    // `/proc/net` follows the thread that reads it; a failure leaves what was read, maybe nothing.
    let _ = File::open(format!("/proc/net/{name}"))
        .and_then(|file| file.take(TABLE_BYTES_MAX).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
