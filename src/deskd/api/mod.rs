//! The HTTP door: routes, wire types, streams, admission, metrics, and the Tasks panel.
//!
//! ```text
//!  unix socket (peer uid) --+                      +-- health, metrics: open, from the snapshot
//!                           +-- listen -- router --+-- /v1: guard -- handlers -- supervisor::Handle
//!  TCP (bearer | cookie) ---+                      +-- panel: pages and modules in the binary
//! ```
//!
//! `docs/api.md` is the contract, `docs/openapi.json` the document (a test keeps it true). This room
//! decides nothing about tasks: it asks [`Handle`] and puts the answer into the words of HTTP.
//!
//! **Invariant**: no handler holds on to the supervisor. Reads come from the newest snapshot, logs
//! from files, and a slow client waits in its own connection.

mod activity;
mod app_input;
mod apps;
mod composer;
mod configuration;
mod connection;
mod desktop;
mod encode;
mod error;
mod events;
mod extract;
mod fan_out;
mod guard;
mod hold;
mod icons;
mod launches;
pub mod limits;
mod listen;
mod log_stream;
mod log_text;
mod metrics;
mod panel;
mod peers;
mod prefix;
mod probes;
mod pulls;
mod refusals;
mod router;
mod session;
mod sse;
mod state;
mod streams;
mod tasks;
mod token;
mod usage;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use apps::shown_plan;
pub use configuration::{RunningConfiguration, RunningDisplay};
pub use desktop::PanelLogin;
pub use encode::LogLine;
pub use error::ErrorBody;
pub use events::Everything;
pub use launches::SERVER_TIMING;
pub use limits::Limits;
pub use pulls::PullAsked;
pub use router::openapi_json;
pub(crate) use token::hex;
pub use token::{Token, TokenError};
pub use usage::TaskUsage;

use crate::config::{ActivityConfig, ComposerConfig, Panel};
use crate::forward;
use crate::supervisor::Handle;
use crate::traces;
use deskd_core::app::access::Identity;

/// What the API needs to know.
#[derive(Debug)]
pub struct ApiConfig {
    /// Path of the unix socket.
    pub socket: PathBuf,
    /// The TCP door, if there is one: bound, listening, non-blocking.
    pub listener: Option<std::net::TcpListener>,
    /// The bearer token.
    pub token: Token,
    /// What the daemon runs with.
    pub configuration: RunningConfiguration,
    /// Applications' output goes to standard output too.
    pub forward: bool,
    /// Sends the stages of launches to a collector.
    pub traces: Option<traces::Exporter>,
    /// What counts as use of the desktop.
    pub activity: ActivityConfig,
    /// abcdesktop's own calls; absent: they are not answered.
    pub composer: Option<ComposerConfig>,
    /// How browsers reach the panel.
    pub panel: Panel,
    /// Who uses this desktop: applications denied to them are left out of lists.
    pub identity: Identity,
    /// Limits.
    pub limits: Limits,
}

/// Why the doors did not open.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The unix socket.
    #[error("cannot bind the unix socket {path}")]
    Unix {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What should be the TCP door is no listening socket.
    #[error("cannot use the listening socket")]
    Tcp(#[source] io::Error),
    /// The kernel gave no random bytes.
    #[error("no random bytes for request ids: {0}")]
    Random(getrandom::Error),
}

/// Bound and ready to run.
#[derive(Debug)]
pub struct Api {
    unix: UnixListener,
    socket_file: listen::SocketFile,
    tcp: Option<TcpListener>,
    /// The TCP address, with its real port.
    tcp_address: Option<SocketAddr>,
    state: state::ApiState,
}

/// Does all that can fail. Must be called within a tokio runtime; `stop` ends [`Api::run`] and every
/// open stream.
pub fn build(
    handle: Handle,
    config: ApiConfig,
    stop: CancellationToken,
) -> Result<Api, BuildError> {
    let tcp = config
        .listener
        .map(|listener| Ok((listener.local_addr()?, TcpListener::from_std(listener)?)))
        .transpose()
        .map_err(BuildError::Tcp)?;
    let (tcp_address, tcp) = tcp.unzip();
    let (unix, socket_file) = listen::bind_unix(&config.socket)
        .map_err(|source| BuildError::Unix { path: config.socket.clone(), source })?;
    let state = Arc::new(state::Shared {
        handle,
        sessions: session::Sessions::new(&config.token),
        token: config.token,
        configuration: RunningConfiguration { listen: tcp_address, ..config.configuration },
        activity: activity::Watch::new(config.activity),
        composer: config.composer.map(composer::Composer::new),
        panel: config.panel,
        identity: config.identity,
        panel_url: tcp_address.map(panel_url),
        limits: config.limits,
        counters: metrics::Counters::default(),
        forward: config.forward.then(forward::Counts::default),
        traces: config.traces,
        feeds: fan_out::Feeds::default(),
        usage: usage::Usage::default(),
        held: state::Held::default(),
        stop,
        own_uid: nix::unistd::geteuid().as_raw(),
        streams: streams::Streams::new(&config.limits),
        request_prefix: token::random_hex(4).map_err(BuildError::Random)?,
        request_number: 1.into(),
    });
    Ok(Api { unix, socket_file, tcp, tcp_address, state })
}

impl Api {
    /// The TCP address, with the port that was really bound.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp_address
    }

    /// Serves until the stop, then gives open connections a bounded time to end.
    pub async fn run(self) {
        let Self { unix, socket_file, tcp, state, .. } = self;
        let stop = state.stop.clone();
        let server = listen::Server {
            router: router::router(state.clone()),
            path: state.panel.path.clone(),
            limits: state.limits,
            stop: stop.clone(),
            open: TaskTracker::new(),
            accepted: Arc::default(),
            peers: listen::Doors::new(&state.limits),
        };
        let forwarding = state
            .forward
            .clone()
            .map(|counts| tokio::spawn(forward::run(state.handle.clone(), counts, stop.clone())));
        let tracing = state
            .traces
            .clone()
            .map(|exporter| tokio::spawn(exporter.run(state.handle.clone(), stop.clone())));
        let watching = tokio::spawn(activity::from_start(state.clone()));
        let counting = tokio::spawn(state.counters.clone().watch(state.handle.watch()));
        let tcp_server = server.clone();
        let tcp = async move {
            match tcp {
                Some(listener) => tcp_server.tcp(listener).await,
                None => stop.cancelled().await,
            }
        };
        tokio::join!(server.clone().unix(unix), tcp);
        drop(socket_file);
        server.drain().await;
        counting.abort();
        watching.abort();
        forwarding.into_iter().chain(tracing).for_each(|task| task.abort());
    }
}

/// The panel's address for a browser on this machine.
fn panel_url(bound: SocketAddr) -> String {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, bound.port()))
}
