//! The daemon's end of the connection to a place's keeper: it connects, proves who it is and has the
//! keeper prove the same, and does so again whenever the connection ends. A keeper in another pod comes
//! by itself (`port`).
//!
//! Output takes a way of its own: what the keeper gives away is handed to the log store here, so that
//! a flood waits, and nobody who asks for a stop does.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::port::Met;
use crate::engine::keeper::{FrameError, LogQueue, frame};
use deskd_core::id::TaskId;
use deskd_core::task::UnixMs;
use deskd_core::wire::channel::{Channel, Forged, Opener, Sealer};
use deskd_core::wire::frame::Decoder;
use deskd_core::wire::proof::{Bytes, Key};
use deskd_core::wire::{FromKeeper, PLACES_SINCE, TaskRecord, ToKeeper, VERSION, VERSION_OLDEST};

/// Most time from the connection to the keeper's proof: a busy machine, not a network.
const PROOF_TIME_MAX: Duration = Duration::from_secs(5);
/// Between two attempts while the container is being started.
const PAUSE_SOON: Duration = Duration::from_millis(10);
/// For how long it is that.
const SOON: Duration = Duration::from_secs(10);
/// Between two attempts after that.
const PAUSE_LATER: Duration = Duration::from_millis(500);
/// Messages that wait for the keeper's socket.
const QUEUE_MAX: usize = 1024;
/// Bytes of one read.
const READ_BYTES: usize = 16 << 10;

/// What is told of a place.
#[derive(Debug)]
pub enum News {
    /// Its keeper answers, started then, and has these tasks.
    Up(mpsc::Sender<ToKeeper>, UnixMs, Vec<TaskRecord>),
    /// It said something, but what is about output.
    Said(FromKeeper),
    /// It gave a task's last output away, which ends here.
    Given(TaskId, u64),
    /// The connection ended.
    Down,
    /// Its keeper is of another release: there will be no connection.
    OtherVersion,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The keeper is not there, or went away.
    #[error("the connection ended")]
    Io(#[from] io::Error),
    /// Who answered does not have the key.
    #[error("somebody who is not this place's keeper answers in its name")]
    NoKeeper,
    /// It did not answer in time.
    #[error("its keeper does not answer")]
    Silent,
    /// It is of another release.
    #[error("its keeper speaks version {0} of the messages, and this deskd {VERSION}")]
    Version(u32),
    /// Somebody on the way changed something.
    #[error(transparent)]
    Forged(#[from] Forged),
    /// Its keeper has connected anew.
    #[error("a newer connection takes its place")]
    Newer,
    /// Not a message.
    #[error("its keeper sent something that is not a message")]
    Malformed(#[from] FrameError),
    /// The engine ended.
    #[error("nobody listens")]
    NobodyListens,
}

/// Connects to the keeper with this key.
///
/// # Errors
/// It is not there, does not answer, or is not the keeper.
pub async fn dial(key: &Key) -> Result<UnixStream, LinkError> {
    let mut own = Bytes::default();
    getrandom::fill(&mut own).map_err(io::Error::other)?;
    let prove = async {
        let mut stream = UnixStream::connect(format!("\0{}", key.socket_name())).await?;
        let (mut challenge, mut proof) = (Bytes::default(), Bytes::default());
        stream.read_exact(&mut challenge).await?;
        stream.write_all(&key.answer(&challenge, &own)).await?;
        stream.read_exact(&mut proof).await?;
        if key.is_keepers(&challenge, &own, &proof) { Ok(stream) } else { Err(LinkError::NoKeeper) }
    };
    tokio::time::timeout(PROOF_TIME_MAX, prove).await.unwrap_or(Err(LinkError::Silent))
}

/// Keeps the place connected until nobody listens any more. Ends with the task that runs it.
pub async fn run<T: From<(TaskId, News)>>(
    id: TaskId,
    key: Key,
    logs: LogQueue,
    told: mpsc::Sender<T>,
) {
    let mut since = Instant::now();
    let mut last = String::new();
    loop {
        let error = match dial(&key).await {
            Ok(stream) => {
                let (read, write) = stream.into_split();
                let error = serve(read, write, None, &id, (&logs, &told)).await;
                if told.send((id.clone(), News::Down).into()).await.is_err() {
                    return;
                }
                if matches!(error, LinkError::Version(_)) {
                    tracing::warn!(place = %id, "{error}");
                    // The engine is gone when nobody listens.
                    let _ = told.send((id.clone(), News::OtherVersion).into()).await;
                    return;
                }
                since = Instant::now();
                error
            }
            Err(error) => error,
        };
        let said = error.to_string();
        if !matches!(error, LinkError::Io(_)) && said != last {
            tracing::warn!(place = %id, "{said}");
            last = said;
        }
        let soon = since.elapsed() < SOON;
        tokio::time::sleep(if soon { PAUSE_SOON } else { PAUSE_LATER }).await;
    }
}

/// The same for a keeper that comes by itself.
pub async fn run_far<T: From<(TaskId, News)>>(
    id: TaskId,
    mut met: mpsc::Receiver<Met>,
    logs: LogQueue,
    told: mpsc::Sender<T>,
) {
    let mut newer = None;
    loop {
        let next = match newer.take() {
            Some(newer) => Some(newer),
            None => met.recv().await,
        };
        let Some(Met { stream, channel }) = next else { return };
        let (read, write) = stream.into_split();
        let error = tokio::select! {
            error = serve(read, write, Some(channel), &id, (&logs, &told)) => error,
            // Of two the later counts: the earlier may be one of which nobody saw the end.
            Some(later) = met.recv() => {
                newer = Some(later);
                LinkError::Newer
            }
        };
        if told.send((id.clone(), News::Down).into()).await.is_err() {
            return;
        }
        match error {
            LinkError::Io(error) => tracing::debug!(place = %id, "{error}"),
            LinkError::Version(_) => {
                tracing::warn!(place = %id, "{error}");
                // The engine is gone when nobody listens.
                let _ = told.send((id.clone(), News::OtherVersion).into()).await;
                return;
            }
            error => tracing::warn!(place = %id, "{error}"),
        }
    }
}

async fn serve<T: From<(TaskId, News)>>(
    read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    channel: Option<Channel>,
    id: &TaskId,
    (logs, told): (&LogQueue, &mpsc::Sender<T>),
) -> LinkError {
    let (mut sealer, opener) = match channel {
        Some(Channel { sealer, opener }) => (Some(sealer), Some(opener)),
        None => (None, None),
    };
    let oldest = PLACES_SINCE.max(VERSION_OLDEST);
    let hello = ToKeeper::Hello { version: VERSION, oldest: Some(oldest) };
    if let Err(error) = say(&mut write, &mut sealer, &hello).await {
        return error;
    }
    let (queue, messages) = mpsc::channel(QUEUE_MAX);
    let records = Vec::new();
    let mut hearing =
        Hearing { id, logs, told, opener, queue: Some(queue), records, keeper_since: 0 };
    tokio::select! {
        Err(error) = hearing.hear(read) => error,
        Err(error) = tell(write, sealer, messages) => error,
    }
}

/// What arrives.
struct Hearing<'a, T> {
    id: &'a TaskId,
    logs: &'a LogQueue,
    told: &'a mpsc::Sender<T>,
    /// Over a network.
    opener: Option<Opener>,
    /// Handed over with the welcome.
    queue: Option<mpsc::Sender<ToKeeper>>,
    /// Of a welcome that is not complete.
    records: Vec<TaskRecord>,
    /// When the keeper started, as it said.
    keeper_since: UnixMs,
}

impl<T: From<(TaskId, News)>> Hearing<'_, T> {
    async fn take_records(&mut self, tasks: Vec<TaskRecord>, more: bool) -> Result<(), LinkError> {
        self.records.extend(tasks);
        let Some(queue) = self.queue.take_if(|_| !more) else { return Ok(()) };
        let records = std::mem::take(&mut self.records);
        self.tell(News::Up(queue, self.keeper_since, records)).await
    }

    async fn hear(
        &mut self,
        mut read: impl AsyncRead + Unpin,
    ) -> Result<std::convert::Infallible, LinkError> {
        let mut decoder = Decoder::default();
        let mut bytes = vec![0; READ_BYTES];
        loop {
            match read.read(&mut bytes).await? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                count => match &mut self.opener {
                    None => decoder.push(&bytes[..count]),
                    Some(opener) => {
                        let mut plain = Vec::with_capacity(count);
                        opener.open(&bytes[..count], &mut plain)?;
                        decoder.push(&plain);
                    }
                },
            }
            while let Some(message) = decoder.take::<FromKeeper>()? {
                self.take(message).await?;
            }
        }
    }

    async fn take(&mut self, message: FromKeeper) -> Result<(), LinkError> {
        match message {
            FromKeeper::Welcome { tasks, more, started_at, .. } => {
                self.keeper_since = started_at;
                self.take_records(tasks, more).await
            }
            FromKeeper::MoreTasks { tasks, more } => self.take_records(tasks, more).await,
            FromKeeper::VersionRefused { version } => Err(LinkError::Version(version)),
            FromKeeper::LogRecords { task, from, next, records, over } => {
                // Before the log store answers.
                if over {
                    self.tell(News::Given(task.clone(), next)).await?;
                }
                match self.logs.store(task, from, next, records).await {
                    true => Ok(()),
                    false => Err(LinkError::NobodyListens),
                }
            }
            message => self.tell(News::Said(message)).await,
        }
    }

    async fn tell(&self, news: News) -> Result<(), LinkError> {
        let told = self.told.send((self.id.clone(), news).into()).await;
        told.map_err(|_| LinkError::NobodyListens)
    }
}

async fn tell(
    mut write: impl AsyncWrite + Unpin,
    mut sealer: Option<Sealer>,
    mut messages: mpsc::Receiver<ToKeeper>,
) -> Result<std::convert::Infallible, LinkError> {
    while let Some(message) = messages.recv().await {
        say(&mut write, &mut sealer, &message).await?;
    }
    Err(LinkError::NobodyListens)
}

async fn say(
    write: &mut (impl AsyncWrite + Unpin),
    sealer: &mut Option<Sealer>,
    message: &ToKeeper,
) -> Result<(), LinkError> {
    let plain = frame(message)?;
    let Some(sealer) = sealer else { return Ok(write.write_all(&plain).await?) };
    let mut sealed = Vec::with_capacity(plain.len());
    sealer.seal(&plain, &mut sealed)?;
    Ok(write.write_all(&sealed).await?)
}
