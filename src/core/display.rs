//! What is known about the X display.

use serde::{Deserialize, Serialize};

use super::shm::ShmVerdicts;

/// First TCP port of the X protocol: display N listens on 6000 + N.
pub const X11_TCP_PORT_BASE: u16 = 6000;

/// What one way to the X server does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", tag = "state", content = "reason")]
pub enum EndpointState {
    /// Not looked at: this way is not wanted (TCP without `X11LISTEN=tcp`), or not yet.
    Unchecked,
    /// Nothing listens there.
    NotListening,
    /// The server answered the setup with a refusal; the text is the server's own.
    Refused(String),
    /// It accepts and does not answer within the time limit.
    Hanging,
    /// The setup handshake succeeded.
    Answering,
}

impl EndpointState {
    /// Whether clients can use this way.
    #[must_use]
    pub fn answers(&self) -> bool {
        matches!(self, Self::Answering)
    }
}

/// TCP 6000 + N.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TcpEndpoint {
    /// 6000 + display number.
    pub port: u16,
    /// Somebody listens on an IPv4 address (socket table of this network namespace).
    pub ipv4: bool,
    /// Somebody listens on an IPv6 address.
    pub ipv6: bool,
    /// What the handshake showed.
    #[serde(flatten)]
    pub state: EndpointState,
}

/// `/tmp/.X11-unix/XN` and the abstract socket of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UnixEndpoint {
    /// The socket file is listening.
    pub path: bool,
    /// The abstract socket is listening.
    pub abstract_socket: bool,
    /// What the handshake showed, on whichever of the two there is.
    #[serde(flatten)]
    pub state: EndpointState,
}

/// What the server said of itself in the setup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServerInfo {
    /// Vendor string, such as `The X.Org Foundation`.
    pub vendor: String,
    /// Vendor release number.
    pub release: u32,
    /// Screen width in pixels.
    pub width_px: u16,
    /// Screen height in pixels.
    pub height_px: u16,
}

/// Everything known about the display, replaced as a whole at each look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DisplayStatus {
    /// The display as applications name it, such as `:0`.
    pub display: String,
    /// Unix and abstract socket.
    pub unix: UnixEndpoint,
    /// TCP.
    pub tcp: TcpEndpoint,
    /// The MIT-SHM proofs.
    pub shm: ShmVerdicts,
    /// The file with the display's cookie: `XAUTHORITY`, else `~/.Xauthority`; absent: it has none, or
    /// another one than `XAUTH_KEY` says.
    #[serde(default)]
    pub cookie_file: Option<String>,
    /// The answering server.
    pub server: Option<ServerInfo>,
    /// Counts servers seen: 1 for the first, one more each time a new server process answers.
    pub server_epoch: u64,
    /// Anything the person who reads this must know (for example a missing cookie file).
    pub notes: Vec<String>,
}

impl DisplayStatus {
    /// Nothing looked at yet.
    #[must_use]
    pub fn unknown(display: &str, number: u16) -> Self {
        Self {
            display: display.to_owned(),
            unix: UnixEndpoint {
                path: false,
                abstract_socket: false,
                state: EndpointState::Unchecked,
            },
            tcp: TcpEndpoint {
                port: X11_TCP_PORT_BASE + number,
                ipv4: false,
                ipv6: false,
                state: EndpointState::Unchecked,
            },
            shm: ShmVerdicts::unreachable(),
            cookie_file: None,
            server: None,
            server_epoch: 0,
            notes: Vec::new(),
        }
    }

    /// Whether local applications can draw.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.unix.state.answers()
    }
}
