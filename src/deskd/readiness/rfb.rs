//! The greeting of an RFB server (RFC 6143, 7.1.1), read without being taken for a client that
//! cannot log in.
//!
//! TigerVNC counts every connection from an address as a failed login until one from there succeeds
//! (`Blacklist::isBlackmarked`, `clearBlackmark`), and after a few turns the whole address away. So
//! deskd connects from an address that nobody else has: then it is only deskd that is turned away,
//! and even that is a greeting.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpSocket, UnixSocket};

use deskd_core::named_check::Found;

/// Where deskd's own connections come from: any address of 127.0.0.0/8 is this machine's.
pub const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 68, 83, 75);
/// `RFB 003.008\n`.
const GREETING_BYTES: usize = 12;

/// On a TCP port of this pod.
pub(super) async fn port(port: u16) -> Found {
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((OWN_ADDRESS, 0)))?;
        socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
    };
    found(connect.await).await
}

/// On a unix socket; `own` is the name that deskd's end has meanwhile.
pub(super) async fn socket(path: &Path, own: &Path) -> Found {
    let connect = async {
        // Left there by a daemon that was killed.
        let _ = std::fs::remove_file(own);
        let socket = UnixSocket::new_stream()?;
        socket.bind(own)?;
        socket.connect(path).await
    };
    let found = found(connect.await).await;
    let _ = std::fs::remove_file(own);
    found
}

async fn found<S: AsyncRead + Unpin>(connected: std::io::Result<S>) -> Found {
    use std::io::ErrorKind;
    let mut stream = match connected {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::NotFound => Found::Absent,
                _ => Found::Wrong(format!("cannot connect: {error}")),
            };
        }
    };
    let mut greeting = [0; GREETING_BYTES];
    match stream.read_exact(&mut greeting).await {
        Ok(_) => version(&greeting).map_or_else(
            || Found::Wrong("what listens there is no RFB server".to_owned()),
            |version| Found::Present(Some(version)),
        ),
        Err(error) => Found::Wrong(format!("it closed the connection without a greeting: {error}")),
    }
}

/// `RFB 3.8` of a greeting.
fn version(greeting: &[u8; GREETING_BYTES]) -> Option<String> {
    let text = std::str::from_utf8(greeting).ok()?.strip_prefix("RFB ")?.strip_suffix('\n')?;
    let (major, minor) = text.split_once('.')?;
    let number = |text: &str| match text.len() {
        3 => text.parse::<u16>().ok(),
        _ => None,
    };
    Some(format!("RFB {}.{}", number(major)?, number(minor)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_has_twelve_bytes_and_two_numbers() {
        assert_eq!(version(b"RFB 003.008\n").as_deref(), Some("RFB 3.8"));
        for bad in
            [b"RFB 003.008 ", b"RFB 3.0080.\n", b"SSH-2.0-Open", b"HTTP/1.1 400", b"RFB 00a.008\n"]
        {
            assert_eq!(version(bad), None, "{bad:?}");
        }
    }
}
