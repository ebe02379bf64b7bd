//! The local engine: the daemon's end of the connection to the keeper.
//!
//! The keeper owns the processes, so this is a queue, a socket and a frame format. The socket is
//! inherited from the keeper. When the connection ends the daemon ends too: the keeper is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::stream::Stream;
use deskd_core::id::TaskId;
pub use deskd_core::wire::frame::FrameError;
use deskd_core::wire::frame::{Decoder, encode};
use deskd_core::wire::{FromKeeper, LogLine, MESSAGE_BYTES_MAX, ToKeeper, VERSION, VERSION_OLDEST};
use deskd_keeper::{DAEMON_LINK_FD, inherited};

/// Messages waiting for the keeper's socket.
pub const KEEPER_QUEUE_MAX: usize = 4096;
/// Bytes of those messages: a launch with its environment has a few thousand, the largest as many as a message may.
const KEEPER_QUEUE_BYTES_MAX: usize = 16 * MESSAGE_BYTES_MAX;
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
    #[error("cannot use the connection to the keeper: only `deskd run` starts `deskd daemon`")]
    NotInherited(#[source] std::io::Error),
    /// The connection broke.
    #[error("the connection to the keeper ended")]
    Io(#[from] std::io::Error),
    /// The keeper closed it.
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
#[derive(Debug)]
pub struct LocalEngine {
    socket: Arc<Socket>,
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

/// The connection, which two write to.
#[derive(Debug)]
struct Socket {
    stream: Stream,
    /// What was taken from a queue is not written to its end yet.
    writing: AtomicBool,
}

/// An encoded message, or several.
pub type Frame = Vec<u8>;

/// Messages in the queue, and their share of the bytes that may be there.
#[derive(Debug)]
struct Queued {
    frame: Frame,
    _room: OwnedSemaphorePermit,
}

/// Encodes a message; fails when it is larger than the keeper takes.
pub fn frame(message: &ToKeeper) -> Result<Frame, FrameError> {
    let mut bytes = Vec::new();
    encode(message, &mut bytes)?;
    Ok(bytes)
}

/// The other side of the queues, to be given to [`run`].
#[derive(Debug)]
pub struct LocalQueue {
    socket: Arc<Socket>,
    messages: mpsc::Receiver<Queued>,
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

    /// Queues what the keeper of a place gave away: the keeper answers up to where it is stored.
    pub async fn store(&self, task: TaskId, from: u64, next: u64, records: Vec<u8>) -> bool {
        self.send(&ToKeeper::StoreRecords { task, from, next, records }).await
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
    /// An engine on the connection to the keeper, the way for containers' output, and the queues that
    /// [`run`] empties.
    #[must_use]
    pub fn new(stream: Stream) -> (Self, LogQueue, LocalQueue) {
        let (queue, messages) = mpsc::channel(KEEPER_QUEUE_MAX);
        let (log_queue, logs) = mpsc::channel(LOG_QUEUE_MAX);
        let room = Arc::new(Semaphore::new(KEEPER_QUEUE_BYTES_MAX));
        let socket = Arc::new(Socket { stream, writing: AtomicBool::new(false) });
        let local = LocalQueue { socket: socket.clone(), messages, logs };
        (Self { socket, queue, room }, LogQueue { queue: log_queue }, local)
    }

    /// Sends messages, and queues what the socket does not take at once; false when the keeper is away or
    /// does not keep up. Must be called on the thread that [`run`] runs on.
    #[must_use]
    pub fn send(&self, mut frame: Frame) -> bool {
        let nothing_waits = self.queue.capacity() == self.queue.max_capacity();
        if nothing_waits && !self.socket.writing.load(SeqCst) {
            // What is wrong with the socket, whoever empties the queue will say.
            let written = self.socket.stream.try_write(&frame).unwrap_or(0);
            frame.drain(..written);
        }
        if frame.is_empty() {
            return true;
        }
        let bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(bytes);
        room.is_ok_and(|_room| self.queue.try_send(Queued { frame, _room }).is_ok())
    }
}

/// Takes the connection that the keeper handed down, and says hello. Its answer arrives as the first message of [`run`].
pub async fn inherited() -> Result<Stream, LinkError> {
    let taken = inherited::socket(DAEMON_LINK_FD).map_err(LinkError::NotInherited)?;
    let stream = Stream::new(taken)?;
    stream
        .write_all(&frame(&ToKeeper::Hello { version: VERSION, oldest: Some(VERSION_OLDEST) })?)
        .await?;
    Ok(stream)
}

/// Carries messages both ways until the connection ends.
pub async fn run<T: From<FromKeeper>>(mut queue: LocalQueue, heard: mpsc::Sender<T>) -> LinkError {
    let socket = queue.socket.clone();
    tokio::select! {
        error = hear(&socket.stream, heard) => error,
        error = tell(&socket, &mut queue) => error,
    }
}

async fn hear<T: From<FromKeeper>>(stream: &Stream, heard: mpsc::Sender<T>) -> LinkError {
    let mut decoder = Decoder::default();
    let mut bytes = vec![0; READ_BYTES];
    loop {
        match stream.read(&mut bytes).await {
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

async fn tell(socket: &Socket, queue: &mut LocalQueue) -> LinkError {
    let mut bytes = Vec::new();
    loop {
        // Requests before output: a stop does not wait behind a flood.
        let frame = tokio::select! {
            biased;
            Some(queued) = queue.messages.recv() => queued.frame,
            Some(frame) = queue.logs.recv() => frame,
            else => return std::future::pending().await,
        };
        bytes.clear();
        let mut next = Some(frame);
        while let Some(frame) = next {
            bytes.extend_from_slice(&frame);
            let more = bytes.len() < BATCH_BYTES_MAX;
            next =
                if more { queue.messages.try_recv().ok().map(|queued| queued.frame) } else { None };
        }
        socket.writing.store(true, SeqCst);
        if let Err(error) = socket.stream.write_all(&bytes).await {
            return error.into();
        }
        socket.writing.store(false, SeqCst);
        bytes.shrink_to(BATCH_BYTES_MAX);
    }
}
