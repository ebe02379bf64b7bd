//! The local engine: the daemon's end of the connection to the keeper.
//!
//! The keeper owns the processes, so this is a queue, a socket and a frame format. When the
//! connection ends the daemon ends too: the keeper is gone, or another daemon took over.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use crate::domain::plan::LocalPlan;
use crate::keeper::wire::{FromKeeper, MESSAGE_BYTES_MAX, RunId, SpawnRequest, ToKeeper, VERSION};

/// Messages waiting for the keeper's socket.
pub const KEEPER_QUEUE_MAX: usize = 4096;
/// Bytes gathered into one write.
const BATCH_BYTES_MAX: usize = 64 << 10;

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
    /// Longer than [`MESSAGE_BYTES_MAX`].
    #[error("the keeper announced a message of {0} bytes, more than the limit")]
    TooLong(usize),
    /// The driver ended.
    #[error("nobody listens to the keeper any more")]
    NobodyListens,
    /// Not a message of this version.
    #[error("the keeper sent something that is not a message")]
    Malformed(#[from] serde_json::Error),
}

/// The sending side.
#[derive(Debug, Clone)]
pub struct LocalEngine {
    queue: mpsc::Sender<ToKeeper>,
}

/// The other side of the queue, to be given to [`run`].
pub type LocalQueue = mpsc::Receiver<ToKeeper>;

impl LocalEngine {
    /// An engine and the queue that [`run`] empties.
    #[must_use]
    pub fn new() -> (Self, LocalQueue) {
        let (queue, receiver) = mpsc::channel(KEEPER_QUEUE_MAX);
        (Self { queue }, receiver)
    }

    /// Queues a message; false when the keeper is away or does not keep up.
    #[must_use]
    pub fn send(&self, message: ToKeeper) -> bool {
        self.queue.try_send(message).is_ok()
    }
}

/// The request that carries `plan` out as run `id`.
#[must_use]
pub fn spawn_request(id: RunId, plan: LocalPlan, meta: String) -> SpawnRequest {
    let LocalPlan { argv, env, program } = plan;
    SpawnRequest {
        id,
        argv,
        env,
        cwd: program.cwd,
        umask: program.umask,
        rlimits: program.rlimits,
        nice: program.nice,
        oom_score_adj: program.oom_score_adj,
        meta,
    }
}

/// Connects and says hello. The keeper's answer arrives as the first message of [`run`].
pub async fn connect(socket: &Path) -> Result<UnixStream, LinkError> {
    let connected = UnixStream::connect(socket).await;
    let mut stream =
        connected.map_err(|source| LinkError::Connect { path: socket.to_owned(), source })?;
    let mut bytes = Vec::new();
    encode(&ToKeeper::Hello { version: VERSION }, &mut bytes)?;
    stream.write_all(&bytes).await?;
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

async fn hear<T: From<FromKeeper>>(read: OwnedReadHalf, heard: mpsc::Sender<T>) -> LinkError {
    let mut read = tokio::io::BufReader::new(read);
    let mut bytes = Vec::new();
    loop {
        match receive(&mut read, &mut bytes).await {
            Ok(message) => {
                if heard.send(message.into()).await.is_err() {
                    return LinkError::NobodyListens;
                }
            }
            Err(error) => return error,
        }
    }
}

async fn receive(
    read: &mut tokio::io::BufReader<OwnedReadHalf>,
    bytes: &mut Vec<u8>,
) -> Result<FromKeeper, LinkError> {
    let length = read.read_u32_le().await? as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(LinkError::TooLong(length));
    }
    bytes.clear();
    bytes.resize(length, 0);
    read.read_exact(bytes).await?;
    let message = serde_json::from_slice(bytes)?;
    bytes.shrink_to(BATCH_BYTES_MAX);
    Ok(message)
}

async fn tell(mut write: OwnedWriteHalf, queue: &mut LocalQueue) -> LinkError {
    let mut bytes = Vec::new();
    while let Some(message) = queue.recv().await {
        bytes.clear();
        let mut next = Some(message);
        while let Some(message) = next {
            if let Err(error) = encode(&message, &mut bytes) {
                return error.into();
            }
            next = if bytes.len() < BATCH_BYTES_MAX { queue.try_recv().ok() } else { None };
        }
        if let Err(error) = write.write_all(&bytes).await {
            return error.into();
        }
        bytes.shrink_to(BATCH_BYTES_MAX);
    }
    std::future::pending().await
}

fn encode(message: &ToKeeper, bytes: &mut Vec<u8>) -> serde_json::Result<()> {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut *bytes, message)?;
    let length = u32::try_from(bytes.len() - start - 4).unwrap_or(u32::MAX);
    bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}
