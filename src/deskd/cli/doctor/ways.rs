//! Every way to the X server, with what shared memory does on each: the matrix of which
//! `display::probe` looks at one row.

use std::net::{SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::examined::Way;
use crate::display::handshake::{Address, Handshake, connect};
use crate::display::name::DISPLAY_NUMBER_MAX;
use crate::display::{Cookie, DisplayConfig, proof};
use deskd_core::display::{EndpointState, X11_TCP_PORT_BASE};
use deskd_core::shm::ShmVerdicts;

/// The host and the number of a display name with a host: `10.0.0.5:0`, `[fd00::5]:0.0`.
pub fn remote(display: &str) -> Option<(&str, u16)> {
    let (host, rest) = display.rsplit_once(':')?;
    let number = rest.split('.').next()?.parse().ok()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!matches!(host, "" | "unix") && number <= DISPLAY_NUMBER_MAX).then_some((host, number))
}

/// Whether it is an address of this pod: only those can be bound.
pub fn is_own(host: &str) -> bool {
    let address = (host, 0).to_socket_addrs().ok().and_then(|mut all| all.next());
    address.is_some_and(|address| UdpSocket::bind(address).is_ok())
}

/// To the X server of another pod.
pub fn to_remote(
    config: &DisplayConfig,
    cookie: Option<&Cookie>,
    (host, number): (&str, u16),
) -> Way {
    let port = X11_TCP_PORT_BASE + number;
    let name = format!("{host} port {port}");
    let found = (host, port).to_socket_addrs().map(|mut all| all.next());
    match found {
        Ok(Some(address)) => to(config, cookie, name, &Address::Tcp(address)),
        Ok(None) => failed(name, "the name has no address".into()),
        Err(error) => failed(name, error.to_string()),
    }
}

fn failed(name: String, why: String) -> Way {
    Way { name, state: EndpointState::Refused(why), shm: ShmVerdicts::unreachable() }
}

/// To the X server of this pod, besides its socket file.
pub fn to_own(config: &DisplayConfig, cookie: Option<&Cookie>, number: u16) -> Vec<Way> {
    let socket = socket(number);
    let loopback = SocketAddr::from(([127, 0, 0, 1], X11_TCP_PORT_BASE + number));
    let ways = [
        (format!("abstract socket @{socket}"), Address::Abstract(socket)),
        (format!("TCP {loopback}"), Address::Tcp(loopback)),
    ];
    ways.into_iter().map(|(name, address)| to(config, cookie, name, &address)).collect()
}

fn to(config: &DisplayConfig, cookie: Option<&Cookie>, name: String, address: &Address) -> Way {
    match connect(address, cookie, config.handshake_timeout) {
        Handshake::Answering(connection) => {
            let shm = proof::prove(&connection, config.hang_timeout);
            Way { name, state: EndpointState::Answering, shm }
        }
        Handshake::Failed(state) => Way { name, state, shm: ShmVerdicts::unreachable() },
    }
}

/// Whose process listens on the socket file, as this user namespace numbers it.
pub fn server_uid(number: u16) -> Option<u32> {
    let stream = UnixStream::connect(socket(number)).ok()?;
    Some(getsockopt(&stream, PeerCredentials).ok()?.uid())
}

fn socket(number: u16) -> String {
    format!("/tmp/.X11-unix/X{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_with_a_host_is_another_pods() {
        assert_eq!(remote("10.0.0.5:0"), Some(("10.0.0.5", 0)));
        assert_eq!(remote("[fd00::5]:1.0"), Some(("fd00::5", 1)));
        for own in [":0", "unix:0.0", "", ":", "host", "host:x", "host:65000"] {
            assert_eq!(remote(own), None, "{own}");
        }
    }
}
