//! The two doors: binding, accepting, serving connections, and closing.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use super::guard::Peer;
use super::limits::{DRAIN_MS_MAX, HEAD_BYTES_MAX, Limits};

/// Pause after accept(2) failed, for example because no file descriptor is left.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Binds the unix socket in place of whatever is at `path`, mode 0600, without a moment at which
/// others could connect or nobody can: under another name first, then renamed.
pub(super) fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let part = path.with_extension(format!("part-{}", std::process::id()));
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&part)?;
    let put = || {
        std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&part, path)?;
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
    pub limits: Limits,
    pub stop: CancellationToken,
    pub open: TaskTracker,
}

impl Server {
    /// Serves the unix socket until the stop.
    pub async fn unix(self, listener: UnixListener) {
        let room = Arc::new(Semaphore::new(self.limits.connections));
        loop {
            let accepted = self.accept(&room, async || Ok(listener.accept().await?.0)).await;
            let Some((stream, permit)) = accepted else { return };
            match stream.peer_cred() {
                Ok(peer) => self.serve(stream, Peer::Unix { uid: peer.uid() }, permit),
                Err(error) => tracing::warn!(%error, "a peer has no credentials"),
            }
        }
    }

    /// Serves TCP until the stop.
    pub async fn tcp(self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(self.limits.connections));
        loop {
            let accepted = self.accept(&room, async || Ok(listener.accept().await?.0)).await;
            let Some((stream, permit)) = accepted else { return };
            // A log line goes out at once, not after the peer's delayed acknowledgement.
            let _ = stream.set_nodelay(true);
            if let Ok(local) = stream.local_addr() {
                self.serve(stream, Peer::Tcp { local }, permit);
            }
        }
    }

    /// The next connection and its place; nothing once the server stops. Without a place, further
    /// connections wait in the kernel's backlog.
    async fn accept<S>(
        &self,
        room: &Arc<Semaphore>,
        accept: impl AsyncFn() -> io::Result<S>,
    ) -> Option<(S, tokio::sync::OwnedSemaphorePermit)> {
        let next = async {
            let permit = room.clone().acquire_owned().await.ok()?;
            loop {
                match accept().await {
                    Ok(stream) => return Some((stream, permit)),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                    }
                }
            }
        };
        tokio::select! {
            next = next => next,
            () = self.stop.cancelled() => None,
        }
    }

    fn serve<S>(&self, stream: S, peer: Peer, permit: tokio::sync::OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (router, stop, limits) = (self.router.clone(), self.stop.clone(), self.limits);
        self.open.spawn(async move {
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let mut request: Request = request.map(Body::new);
                request.extensions_mut().insert(peer);
                let mut router = router.clone();
                async move { router.call(request).await }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(limits.head_time);
            http.max_buf_size(HEAD_BYTES_MAX.max(8192)).half_close(false);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::trace!(%error, "a connection ended badly");
            }
            drop(permit);
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
