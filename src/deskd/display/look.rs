//! One full look: socket table, handshakes, shared memory proof.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use x11rb::connection::Connection;

use super::handshake::{Address, Handshake, ServerConnection, connect};
use super::listen;
use super::xauthority::Cookie;
use super::{DisplayConfig, cookie, proof};
use deskd_core::display::{
    DisplayStatus, EndpointState, ServerInfo, TcpEndpoint, UnixEndpoint, X11_TCP_PORT_BASE,
};
use deskd_core::shm::{ShmVerdict, ShmVerdicts};

/// A server that dies in the middle of a look is looked at once more, to say how it is now.
const ATTEMPTS_MAX: usize = 2;

/// The result: the status (without the server epoch, which only the thread knows) and, when the
/// server answers, the connection that was used.
pub(super) struct Looked {
    pub(super) status: DisplayStatus,
    pub(super) connection: Option<Box<ServerConnection>>,
}

/// Looks at everything.
pub(super) fn look(config: &DisplayConfig, number: u16) -> Looked {
    let (cookie, note) = cookie::find(config, number);
    let mut status = DisplayStatus::unknown(&config.display, number);
    status.notes.extend(note);
    status.cookie_file = cookie::file(config, number, cookie.as_ref());
    let mut connection = None;
    for _ in 0..ATTEMPTS_MAX {
        let (endpoint, answering) = unix(config, number, cookie.as_ref());
        status.unix = endpoint;
        let Some(answering) = answering else { break };
        status.shm = proof::prove(&answering, config.hang_timeout);
        if status.shm.sysv != ShmVerdict::Unreachable && status.shm.fd != ShmVerdict::Unreachable {
            status.server = Some(server_info(&answering));
            connection = Some(answering);
            break;
        }
        // It answered the setup and then fell silent: hanging, unless the next attempt shows more.
        status.unix.state = EndpointState::Hanging;
        status.shm = ShmVerdicts::unreachable();
    }
    // Last, while the connection is open: a server without `-noreset` starts over when its only
    // client leaves.
    status.tcp = tcp(config, number, cookie.as_ref());
    Looked { status, connection }
}

/// The status right after the server was lost, without waiting for anything.
pub(super) fn lost(before: &DisplayStatus, number: u16) -> DisplayStatus {
    let mut status = DisplayStatus::unknown(&before.display, number);
    let (path, abstract_socket) = listen::unix(number);
    let state = match path || abstract_socket {
        true => EndpointState::Unchecked,
        false => EndpointState::NotListening,
    };
    status.unix = UnixEndpoint { path, abstract_socket, state };
    status.server_epoch = before.server_epoch;
    status
}

fn unix(
    config: &DisplayConfig,
    number: u16,
    cookie: Option<&Cookie>,
) -> (UnixEndpoint, Option<Box<ServerConnection>>) {
    let path = listen::socket_path(number);
    let attempt = |address: Address| connect(&address, cookie, config.handshake_timeout);
    // The file first, as applications do; it may be missing here when another container made it.
    let by_path = attempt(Address::Path(path.clone()));
    let (listens, abstract_socket) = listen::unix(number);
    let mut endpoint =
        UnixEndpoint { path: listens, abstract_socket, state: EndpointState::Answering };
    let path_failure = match by_path {
        Handshake::Answering(connection) => {
            endpoint.path = true;
            return (endpoint, Some(connection));
        }
        Handshake::Failed(state @ EndpointState::Hanging) => {
            endpoint.state = state;
            return (endpoint, None);
        }
        Handshake::Failed(state) => state,
    };
    // The table may show the socket of a file that is not in this mount namespace.
    endpoint.path &= path_failure != EndpointState::NotListening;
    match attempt(Address::Abstract(path)) {
        Handshake::Answering(connection) => {
            endpoint.abstract_socket = true;
            (endpoint, Some(connection))
        }
        Handshake::Failed(EndpointState::NotListening) => {
            endpoint.state = path_failure;
            (endpoint, None)
        }
        Handshake::Failed(state) => {
            endpoint.state = state;
            (endpoint, None)
        }
    }
}

fn tcp(config: &DisplayConfig, number: u16, cookie: Option<&Cookie>) -> TcpEndpoint {
    let (ipv4, ipv6) = listen::tcp(number);
    let port = X11_TCP_PORT_BASE + number;
    let loopback =
        [(ipv4, IpAddr::V4(Ipv4Addr::LOCALHOST)), (ipv6, IpAddr::V6(Ipv6Addr::LOCALHOST))];
    let mut state = EndpointState::NotListening;
    for (listens, address) in loopback {
        if !listens || state.answers() {
            continue;
        }
        if !config.tcp {
            state = EndpointState::Unchecked;
            break;
        }
        let address = Address::Tcp(SocketAddr::new(address, port));
        state = match connect(&address, cookie, config.handshake_timeout) {
            Handshake::Answering(_) => EndpointState::Answering,
            Handshake::Failed(failure) => failure,
        };
    }
    TcpEndpoint { port, ipv4, ipv6, state }
}

fn server_info(connection: &ServerConnection) -> ServerInfo {
    let setup = connection.setup();
    let screen = setup.roots.first();
    ServerInfo {
        vendor: String::from_utf8_lossy(&setup.vendor).into_owned(),
        release: setup.release_number,
        width_px: screen.map_or(0, |screen| screen.width_in_pixels),
        height_px: screen.map_or(0, |screen| screen.height_in_pixels),
    }
}
