//! The X11 setup handshake over one way to the server, within a time limit.
//!
//! Says what the way does ([`EndpointState`]) and, when the server answers, hands the connection
//! on. It looks at no socket table and proves nothing.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use x11rb::connection::RequestConnection as _;
use x11rb::errors::{ConnectError, ConnectionError};
use x11rb::protocol::{res, screensaver, shm};
use x11rb::rust_connection::{DefaultStream, RustConnection};

use super::stream::ServerStream;
use super::xauthority::{COOKIE_PROTOCOL, Cookie};
use deskd_core::display::EndpointState;

/// A connection to the server whose every wait is limited; see [`ServerStream::begin`].
pub type ServerConnection = RustConnection<ServerStream>;

/// The server's reason for refusing may be any text; this much of it is kept.
const REASON_CHARS_MAX: usize = 256;

/// Of a server that hangs up each time.
const NO_REASON: &str = "it ended the connection without a reason";
/// Of something else than an X server; what was wrong with its answer follows.
const NOT_X11: &str = "it does not speak X11";

/// One way to an X server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A unix socket by path.
    Path(String),
    /// A unix socket by abstract name (without the leading NUL or `@`).
    Abstract(String),
    /// TCP.
    Tcp(SocketAddr),
}

/// What became of a handshake.
#[derive(Debug)]
pub enum Handshake {
    /// The server answers.
    Answering(Box<ServerConnection>),
    /// It does not; never [`EndpointState::Answering`].
    Failed(EndpointState),
}

/// A dying server closes connections before its listening socket, so a connection that is closed
/// without a word is made again: the second one waits for the end in the backlog, the third one
/// finds nobody. A server that hangs up on us does so each time.
const ATTEMPTS_MAX: usize = 3;

/// Connects and makes the handshake; both together take at most `limit`.
#[must_use]
pub fn connect(address: &Address, cookie: Option<&Cookie>, limit: Duration) -> Handshake {
    let deadline = Instant::now() + limit;
    for _ in 0..ATTEMPTS_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(handshake) = attempt(address, cookie, left) {
            return handshake;
        }
    }
    Handshake::Failed(EndpointState::Refused(NO_REASON.into()))
}

/// Nothing when the connection was closed without a word.
fn attempt(address: &Address, cookie: Option<&Cookie>, limit: Duration) -> Option<Handshake> {
    let deadline = Instant::now() + limit;
    let stream = match open(address, limit) {
        Ok(stream) => stream,
        Err(error) => return Some(Handshake::Failed(connect_failure(&error))),
    };
    let stream = ServerStream::new(stream, deadline.saturating_duration_since(Instant::now()));
    let (name, data) = match cookie {
        Some(cookie) => (COOKIE_PROTOCOL.to_vec(), cookie.bytes().to_vec()),
        None => (Vec::new(), Vec::new()),
    };
    match RustConnection::connect_to_stream_with_auth_info(stream, 0, name, data) {
        Ok(connection) => {
            connection.stream().expect_packets();
            Some(Handshake::Answering(Box::new(connection)))
        }
        Err(error) => setup_failure(&error).map(Handshake::Failed),
    }
}

/// Asks for every extension that deskd uses, in one round trip. To be called before anything that the server
/// may refuse is asked: x11rb 0.14 never returns if a question for an extension is answered with an error (it
/// holds the lock on what it knows of extensions while it waits, and takes it to read an error), so until
/// then errors end the connection.
pub(super) fn learn_extensions(connection: &ServerConnection) -> Result<(), ConnectionError> {
    let names = [shm::X11_EXTENSION_NAME, res::X11_EXTENSION_NAME, screensaver::X11_EXTENSION_NAME];
    names.into_iter().try_for_each(|name| connection.prefetch_extension_information(name))?;
    for name in names {
        connection.extension_information(name)?;
    }
    connection.stream().expect_errors();
    Ok(())
}

/// Whether somebody listens there, by connecting and leaving without a word: some microseconds.
pub(super) fn listens(address: &Address) -> bool {
    let attempt = || -> io::Result<()> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let address = match address {
            Address::Path(path) => SocketAddrUnix::new(path.as_str())?,
            Address::Abstract(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
            Address::Tcp(_) => return Err(ErrorKind::Unsupported.into()),
        };
        Ok(rustix::net::connect(&socket, &address)?)
    };
    attempt().map_or_else(
        |error| !matches!(connect_failure(&error), EndpointState::NotListening),
        |()| true,
    )
}

/// `SO_SNDTIMEO` limits connect for both families (`socket(7)`); a unix socket whose backlog is
/// full cannot be polled for room, so this is the only way to wait for one.
fn open(address: &Address, limit: Duration) -> io::Result<DefaultStream> {
    let family = match address {
        Address::Path(_) | Address::Abstract(_) => AddressFamily::UNIX,
        Address::Tcp(SocketAddr::V4(_)) => AddressFamily::INET,
        Address::Tcp(SocketAddr::V6(_)) => AddressFamily::INET6,
    };
    let socket: OwnedFd =
        rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // A timeout of zero would mean none.
    set_socket_timeout(&socket, Timeout::Send, Some(limit.max(Duration::from_millis(1))))?;
    match address {
        Address::Path(path) => rustix::net::connect(&socket, &SocketAddrUnix::new(path.as_str())?)?,
        Address::Abstract(name) => {
            rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
        }
        Address::Tcp(address) => {
            rustix::net::connect(&socket, address)?;
            return Ok(DefaultStream::from_tcp_stream(TcpStream::from(socket))?.0);
        }
    }
    Ok(DefaultStream::from_unix_stream(UnixStream::from(socket))?.0)
}

fn connect_failure(error: &io::Error) -> EndpointState {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        // AGAIN: unix, the backlog stayed full; INPROGRESS, TIMEDOUT: TCP, nobody answered the SYN.
        Some(Errno::AGAIN | Errno::INPROGRESS | Errno::TIMEDOUT) => EndpointState::Hanging,
        Some(Errno::ACCESS | Errno::PERM) => EndpointState::Refused(format!("{error}")),
        _ => EndpointState::NotListening,
    }
}

/// Nothing when the connection was closed without an answer.
fn setup_failure(error: &ConnectError) -> Option<EndpointState> {
    Some(match error {
        ConnectError::SetupFailed(failed) => EndpointState::Refused(reason(&failed.reason)),
        ConnectError::SetupAuthenticate(more) => EndpointState::Refused(reason(&more.reason)),
        ConnectError::IoError(error) if error.kind() == ErrorKind::TimedOut => {
            EndpointState::Hanging
        }
        ConnectError::IoError(_) => return None,
        other => EndpointState::Refused(format!("{NOT_X11}: {other}")),
    })
}

/// The server's text: no control characters, limited, without the padding.
fn reason(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .trim_end_matches(['\0', '\n'])
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(REASON_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(150);

    /// What a handshake with a listener that behaves as `serve` says shows.
    fn against(serve: impl FnOnce(UnixListener) + Send + 'static) -> EndpointState {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("X0");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || serve(listener));
        let address = Address::Path(path.to_str().unwrap().to_owned());
        let state = match connect(&address, None, SHORT) {
            Handshake::Answering(_) => EndpointState::Answering,
            Handshake::Failed(state) => state,
        };
        server.join().unwrap();
        state
    }

    fn hold(mut stream: UnixStream) {
        let _ = stream.read_to_end(&mut Vec::new());
    }

    /// The greeting of a server with one screen, and the error that answers the first request after it.
    fn greeting_and_error() -> Vec<u8> {
        let mut bytes = vec![0; 8 + 32 + 40 + 32];
        bytes[0] = 1;
        bytes[2] = 11;
        bytes[6] = 18;
        // The mask of resource ids, the longest request, the number of screens.
        bytes[16..20].fill(0x1f);
        bytes[26..28].fill(0xff);
        bytes[28] = 1;
        bytes[82] = 1;
        bytes
    }

    #[test]
    fn an_error_in_place_of_an_extension_ends_the_connection() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("X0");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 12]).unwrap();
            stream.write_all(&greeting_and_error()).unwrap();
            hold(stream);
        });
        let (done, learned) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let address = Address::Path(path.to_str().unwrap().to_owned());
            let Handshake::Answering(connection) = connect(&address, None, SHORT * 100) else {
                panic!("not let in");
            };
            done.send(learn_extensions(&connection).is_err()).unwrap();
        });
        let learned = learned.recv_timeout(Duration::from_secs(60));
        assert_eq!(learned, Ok(true), "it waits for ever");
    }

    #[test]
    fn nobody_there_is_not_listening() {
        for address in [
            Address::Path("/nonexistent/X0".into()),
            Address::Abstract("/nonexistent/deskd-test".into()),
            Address::Tcp(([127, 0, 0, 1], 1).into()),
        ] {
            let shown = connect(&address, None, SHORT);
            let expected = matches!(shown, Handshake::Failed(EndpointState::NotListening));
            assert!(expected, "{address:?}: {shown:?}");
        }
    }

    #[test]
    fn a_server_that_accepts_and_says_nothing_hangs() {
        assert_eq!(against(|l| hold(l.accept().unwrap().0)), EndpointState::Hanging);
    }

    #[test]
    fn a_server_that_never_accepts_hangs_even_when_its_backlog_is_full() {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        let name = format!("deskd-backlog-{}", std::process::id());
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
        rustix::net::bind(&socket, &address).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let mut held = Vec::new();
        while let Ok(stream) = open(&Address::Abstract(name.clone()), Duration::from_millis(20)) {
            held.push(stream);
        }
        let shown = connect(&Address::Abstract(name), None, SHORT);
        assert!(matches!(shown, Handshake::Failed(EndpointState::Hanging)), "{shown:?}");
    }

    #[test]
    fn half_an_answer_hangs_and_so_does_a_slow_one() {
        assert_eq!(
            against(|listener| {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(&[1, 0, 11, 0, 0, 0, 255, 255, 7, 7]).unwrap();
                hold(stream);
            }),
            EndpointState::Hanging
        );
        assert_eq!(
            against(|listener| {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                // One byte each 20 ms: progress, but never an answer within the limit.
                while stream.write_all(&[1]).is_ok() && !matches!(stream.read(&mut [0; 64]), Ok(0))
                {
                }
            }),
            EndpointState::Hanging
        );
    }

    #[test]
    fn a_refusal_carries_the_servers_own_reason() {
        let state = against(|listener| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 12]).unwrap();
            stream.write_all(b"\0\x0b\x0b\0\0\0\x03\0bad\tcookie\n\0").unwrap();
            hold(stream);
        });
        assert_eq!(state, EndpointState::Refused("bad cookie".into()));
    }

    #[test]
    fn hanging_up_is_told_apart_from_dying() {
        let state = against(|listener| {
            (0..ATTEMPTS_MAX).for_each(|_| drop(listener.accept().unwrap()));
        });
        assert_eq!(state, EndpointState::Refused(NO_REASON.into()));
        let state = against(|listener| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 12]).unwrap();
            drop(listener);
        });
        assert_eq!(state, EndpointState::NotListening);
    }

    #[test]
    fn garbage_is_not_x11() {
        let state = against(|listener| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"SSH-2.\x01\0").unwrap();
            stream.write_all(b"xxxx").unwrap();
            hold(stream);
        });
        let EndpointState::Refused(reason) = state else { panic!("{state:?}") };
        assert!(reason.starts_with(NOT_X11), "{reason}");
    }
}
