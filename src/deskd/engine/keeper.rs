//! The local engine: the daemon's end of the connection to the keeper.
//!
//! The keeper owns the processes, so this is a queue, a socket and a frame format. When the
//! connection ends the daemon ends too: the keeper is gone, or another daemon took over.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use deskd_core::id::TaskId;
pub use deskd_core::wire::frame::FrameError;
use deskd_core::wire::frame::{Decoder, encode};
use deskd_core::wire::{FromKeeper, LogLine, ToKeeper, VERSION};

/// Messages waiting for the keeper's socket.
pub const KEEPER_QUEUE_MAX: usize = 4096;
/// Batches of log lines waiting for the keeper's socket.
const LOG_QUEUE_MAX: usize = 8;
/// Bytes gathered into one write.
const BATCH_BYTES_MAX: usize = 64 << 10;
/// Bytes of one read.
const READ_BYTES: usize = 16 << 10;

/// Why the connection ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No keeper.
    #[error("cannot connect to the keeper at {path}: is `deskd run` running?")]
    Connect {
        /// The socket.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection to the keeper ended")]
    Io(#[from] std::io::Error),
    /// The keeper closed it: it ends, or another daemon took over.
    #[error("the keeper closed the connection")]
    Closed,
    /// The driver ended.
    #[error("nobody listens to the keeper any more")]
    NobodyListens,
    /// Not a message of this version.
    #[error("the keeper sent something that is not a message")]
    Malformed(#[from] FrameError),
}

/// The sending side.
#[derive(Debug, Clone)]
pub struct LocalEngine {
    queue: mpsc::Sender<Frame>,
}

/// An encoded message.
pub type Frame = Vec<u8>;

/// Encodes a message; fails when it is larger than the keeper takes.
pub fn frame(message: &ToKeeper) -> Result<Frame, FrameError> {
    let mut bytes = Vec::new();
    encode(message, &mut bytes)?;
    Ok(bytes)
}

/// The other side of the queues, to be given to [`run`].
#[derive(Debug)]
pub struct LocalQueue {
    messages: mpsc::Receiver<Frame>,
    logs: mpsc::Receiver<Frame>,
}

/// The way of containers' output into the log store, beside the driver: whoever brings it waits
/// while the keeper is busy.
#[derive(Debug, Clone)]
pub struct LogQueue {
    queue: mpsc::Sender<Frame>,
}

impl LogQueue {
    /// Queues lines, at most [`APPEND_BYTES_MAX`](deskd_core::wire::APPEND_BYTES_MAX) bytes of
    /// them; false when the connection to the keeper has ended.
    pub async fn append(&self, task: TaskId, lines: Vec<LogLine>) -> bool {
        self.send(&ToKeeper::AppendLog { task, lines }).await
    }

    /// Queues the end of a log: the keeper answers once everything before it is stored.
    pub async fn close(&self, task: TaskId) -> bool {
        self.send(&ToKeeper::CloseLog { task }).await
    }

    async fn send(&self, message: &ToKeeper) -> bool {
        match frame(message) {
            Ok(frame) => self.queue.send(frame).await.is_ok(),
            Err(error) => {
                tracing::error!(%error, "output of a container was not stored");
                true
            }
        }
    }
}

impl LocalEngine {
    /// An engine, the way for containers' output, and the queues that [`run`] empties.
    #[must_use]
    pub fn new() -> (Self, LogQueue, LocalQueue) {
        let (queue, messages) = mpsc::channel(KEEPER_QUEUE_MAX);
        let (log_queue, logs) = mpsc::channel(LOG_QUEUE_MAX);
        (Self { queue }, LogQueue { queue: log_queue }, LocalQueue { messages, logs })
    }

    /// Queues a message; false when the keeper is away or does not keep up.
    #[must_use]
    pub fn send(&self, frame: Frame) -> bool {
        self.queue.try_send(frame).is_ok()
    }
}

/// Connects and says hello. The keeper's answer arrives as the first message of [`run`].
pub async fn connect(socket: &Path) -> Result<UnixStream, LinkError> {
    let connected = UnixStream::connect(socket).await;
    let mut stream =
        connected.map_err(|source| LinkError::Connect { path: socket.to_owned(), source })?;
    stream.write_all(&frame(&ToKeeper::Hello { version: VERSION })?).await?;
    Ok(stream)
}

/// Carries messages both ways until the connection ends.
pub async fn run<T: From<FromKeeper>>(
    stream: UnixStream,
    mut queue: LocalQueue,
    heard: mpsc::Sender<T>,
) -> LinkError {
    let (read, write) = stream.into_split();
    tokio::select! {
        error = hear(read, heard) => error,
        error = tell(write, &mut queue) => error,
    }
}

async fn hear<T: From<FromKeeper>>(mut read: OwnedReadHalf, heard: mpsc::Sender<T>) -> LinkError {
    let mut decoder = Decoder::default();
    let mut bytes = vec![0; READ_BYTES];
    loop {
        match read.read(&mut bytes).await {
            Ok(0) => return LinkError::Closed,
            Ok(count) => decoder.push(&bytes[..count]),
            Err(error) => return error.into(),
        }
        loop {
            match decoder.take::<FromKeeper>() {
                Ok(Some(message)) => {
                    if heard.send(message.into()).await.is_err() {
                        return LinkError::NobodyListens;
                    }
                }
                Ok(None) => break,
                Err(error) => return error.into(),
            }
        }
    }
}

async fn tell(mut write: OwnedWriteHalf, queue: &mut LocalQueue) -> LinkError {
    let mut bytes = Vec::new();
    loop {
        // Requests before output: a stop does not wait behind a flood.
        let frame = tokio::select! {
            biased;
            Some(frame) = queue.messages.recv() => frame,
            Some(frame) = queue.logs.recv() => frame,
            else => return std::future::pending().await,
        };
        bytes.clear();
        let mut next = Some(frame);
        while let Some(frame) = next {
            bytes.extend_from_slice(&frame);
            let more = bytes.len() < BATCH_BYTES_MAX;
            next = if more { queue.messages.try_recv().ok() } else { None };
        }
        if let Err(error) = write.write_all(&bytes).await {
            return error.into();
        }
        bytes.shrink_to(BATCH_BYTES_MAX);
    }
}
