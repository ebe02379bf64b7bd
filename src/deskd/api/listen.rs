//! The two doors: binding, accepting, serving connections, and closing.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::libc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use super::connection::{Answering, Timed, Tracked};
use super::guard::{Peer, Reserved};
use super::limits::{DRAIN_MS_MAX, HEAD_BYTES_MAX, Limits};
use super::peers::{PeerKey, Peers, Place};
use super::prefix;
use crate::config::PathPrefix;
use deskd_keeper::files;
use deskd_keeper::seldom::Seldom;

/// Pause after accept(2) failed, for example because no file descriptor is left.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Connections that are cut when no file descriptor is left: one for the new connection, the others for deskd's own
/// files.
const CUTS_PER_SHORTAGE: usize = 4;

/// Connections accepted before those that are open get their turn.
const ACCEPTS_PER_TURN: u32 = 16;

/// Binds the unix socket in place of whatever is at `path`, mode 0600, without a moment at which
/// others could connect or nobody can: under another name first, then renamed.
pub(super) fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let part = path.with_extension(format!("part-{}", std::process::id()));
    files::clear(&part)?;
    let listener = UnixListener::bind(&part)?;
    let put = || {
        std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o600))?;
        files::replace(&part, path)?;
        Ok(std::fs::symlink_metadata(path)?.ino())
    };
    match put() {
        Ok(inode) => Ok((listener, SocketFile { path: path.to_owned(), inode })),
        Err(error) => {
            let _ = std::fs::remove_file(&part);
            Err(error)
        }
    }
}

/// The socket's file; removed at the end unless a successor replaced it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|it| it.ino() == self.inode);
        if ours {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What serving needs.
#[derive(Clone)]
pub(super) struct Server {
    pub router: Router,
    /// Where a proxy leaves its own path before deskd's.
    pub path: Option<PathPrefix>,
    pub limits: Limits,
    pub stop: CancellationToken,
    pub open: TaskTracker,
    /// Connections so far.
    pub accepted: Arc<AtomicU32>,
    /// Who is connected, at either door.
    pub peers: Doors,
}

/// The connections of both doors: descriptors are the process's.
#[derive(Debug, Clone)]
pub(super) struct Doors {
    unix: Arc<Peers>,
    tcp: Arc<Peers>,
    /// That descriptors are short.
    complaint: Arc<Seldom>,
}

impl Doors {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { unix: Peers::new(limits), tcp: Peers::new(limits), complaint: Arc::default() }
    }

    /// Cuts connections that wait for their peers, of the door with more of them; false: there are none.
    fn make_room(&self) -> bool {
        let mut cut = false;
        for _ in 0..CUTS_PER_SHORTAGE {
            let mut doors = [&self.unix, &self.tcp];
            doors.sort_by_key(|peers| std::cmp::Reverse(peers.waiting()));
            cut |= doors[0].cut_longest_waiting();
        }
        cut
    }

    /// A connection could not be accepted. Whether it may be tried again once others had their turn.
    fn refused(&self, error: &io::Error) -> bool {
        let is_short = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
        let again = is_short && self.make_room();
        if !is_short || self.complaint.is_due() {
            tracing::warn!(%error, connections_cut = again, "a connection could not be accepted");
        }
        again
    }
}

impl Server {
    /// Serves the unix socket until the stop.
    pub async fn unix(self, listener: UnixListener) {
        let peers = self.peers.unix.clone();
        while let Some((stream, _)) = self.accept(async || listener.accept().await).await {
            match stream.peer_cred() {
                Ok(peer) => {
                    let uid = peer.uid();
                    let place = peers.admit(PeerKey::Uid(uid));
                    self.serve(stream, Peer::Unix { uid }, place);
                }
                Err(error) => tracing::warn!(%error, "a peer has no credentials"),
            }
        }
    }

    /// Serves TCP until the stop.
    pub async fn tcp(self, listener: TcpListener) {
        let peers = self.peers.tcp.clone();
        while let Some((stream, remote)) = self.accept(async || listener.accept().await).await {
            // A log line goes out at once, not after the peer's delayed acknowledgement.
            let _ = stream.set_nodelay(true);
            let remote = remote.ip();
            self.serve(stream, Peer::Tcp { remote }, peers.admit(PeerKey::of(remote)));
        }
    }

    /// The next connection; nothing once the server stops. Connections are always taken: who waits
    /// in the kernel's backlog cannot be told from a probe behind him.
    async fn accept<S>(&self, accept: impl AsyncFn() -> io::Result<S>) -> Option<S> {
        let next = async {
            // Those that are open are served in between: a probe is answered before so many more
            // came that its place is needed.
            if self.accepted.fetch_add(1, Ordering::Relaxed).is_multiple_of(ACCEPTS_PER_TURN) {
                tokio::task::yield_now().await;
            }
            loop {
                match accept().await {
                    Ok(connection) => return connection,
                    // Those that were cut end in their own turn.
                    Err(error) if self.peers.refused(&error) => tokio::task::yield_now().await,
                    Err(_) => tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await,
                }
            }
        };
        tokio::select! {
            next = next => Some(next),
            () = self.stop.cancelled() => None,
        }
    }

    /// Without a place the connection is closed at once.
    fn serve<S>(&self, stream: S, peer: Peer, place: Option<Place>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Some(place) = place else { return };
        let (router, path) = (self.router.clone(), self.path.clone());
        let (stop, limits) = (self.stop.clone(), self.limits);
        let stopped = stop.clone().cancelled_owned();
        self.open.spawn(async move {
            let (activity, reserve) = (place.activity.clone(), place.reserve);
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let answering = Answering::begin(&activity);
                let mut request: Request = request.map(Body::new);
                request.extensions_mut().insert(peer);
                if reserve {
                    request.extensions_mut().insert(Reserved);
                }
                let stripped = prefix::strip(&mut request, path.as_ref());
                let mut router = router.clone();
                let has_its_turn = activity.was_waited_for();
                let stop = stop.clone();
                async move {
                    if !has_its_turn {
                        // Who sends many requests at once has one answered per turn.
                        tokio::task::yield_now().await;
                    }
                    let mut answer = match stripped {
                        Ok(()) => router.call(request).await?,
                        Err(answer) => *answer,
                    };
                    if stop.is_cancelled() {
                        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, Infallible>(answer.map(|body| Tracked::new(body, answering)))
                }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(limits.head_time);
            http.max_buf_size(HEAD_BYTES_MAX.max(8192)).half_close(false).keep_alive(!reserve);
            let stream = Timed::new(stream, limits.write_time, place.activity.clone());
            let connection = http.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = place.activity.cut() => Ok(()),
                () = stopped => {
                    // hyper closes one without a request at once, whatever is on its way.
                    let asked = poll_fn(|context| match connection.as_mut().poll(context) {
                        Poll::Pending if !place.activity.has_asked() => Poll::Pending,
                        polled => Poll::Ready(polled),
                    });
                    match tokio::time::timeout(limits.first_request_time, asked).await {
                        Ok(Poll::Ready(ended)) => ended,
                        _ => {
                            connection.as_mut().graceful_shutdown();
                            connection.await
                        }
                    }
                }
            };
            if let Err(error) = ended {
                tracing::trace!(%error, "a connection ended badly");
            }
        });
    }

    /// Waits until open connections have ended, a bounded time.
    pub async fn drain(&self) {
        self.open.close();
        let limit = Duration::from_millis(DRAIN_MS_MAX);
        if tokio::time::timeout(limit, self.open.wait()).await.is_err() {
            tracing::info!(open = self.open.len(), "connections were cut at the end");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// What is answered to bytes sent while the daemon stops, over a connection that was there before.
    async fn answer_after_the_stop(bytes: &str, limits: Limits) -> String {
        let server = Server {
            router: Router::new().route("/", axum::routing::get(async || "here")),
            path: None,
            limits,
            stop: CancellationToken::new(),
            open: TaskTracker::new(),
            accepted: Arc::default(),
            peers: Doors::new(&limits),
        };
        let (mut client, stream) = duplex(1024);
        let place = server.peers.unix.admit(PeerKey::Uid(0));
        server.serve(stream, Peer::Unix { uid: 0 }, place);
        tokio::task::yield_now().await;
        server.stop.cancel();
        tokio::task::yield_now().await;
        let mut answer = String::new();
        client.write_all(bytes.as_bytes()).await.expect("a connection");
        client.read_to_string(&mut answer).await.expect("an answer");
        server.drain().await;
        answer
    }

    #[test]
    fn what_is_on_its_way_at_the_stop_is_answered_and_silence_is_not_waited_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        let patient = Limits { first_request_time: Duration::from_secs(30), ..Limits::default() };
        let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let answer = runtime.block_on(answer_after_the_stop(request, patient));
        assert!(answer.ends_with("here") && answer.contains("connection: close"), "{answer}");
        let short = Limits { first_request_time: Duration::ZERO, ..Limits::default() };
        assert_eq!(runtime.block_on(answer_after_the_stop("", short)), "");
    }
}
