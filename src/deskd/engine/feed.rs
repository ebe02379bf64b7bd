//! Word of logs that grew, from the keeper to the followers on the thread that serves them: a line wakes no other thread
//! of the daemon on its way.
//!
//! A connection of its own, inherited like the first one. An older keeper has none, and tells the driver instead.

use std::io;
use std::os::unix::net::UnixStream;

use tokio::task::yield_now;

use super::stream::Stream;
use deskd_core::id::TaskId;
use deskd_core::wire::frame::{Decoder, FrameError, encode};
use deskd_core::wire::{FromKeeper, ToKeeper, VERSION, VERSION_OLDEST};
use deskd_keeper::{DAEMON_FEED_FD, inherited};

/// Bytes of one read: some hundred messages.
const READ_BYTES: usize = 16 << 10;

/// Why it ended.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The keeper is gone, or closed it.
    #[error("the connection to the keeper for logs ended")]
    Io(#[from] io::Error),
    /// Not a message.
    #[error("the keeper sent something about logs that is not a message")]
    Malformed(#[from] FrameError),
}

/// The connection that the keeper handed down; nothing if it is an older one. To be called before anything else is
/// opened, which would get its number.
#[must_use]
pub fn inherited() -> Option<UnixStream> {
    inherited::socket(DAEMON_FEED_FD).ok()
}

/// Hands on what the keeper tells until the connection ends; `advanced` says what to ask next.
pub async fn run(
    stream: UnixStream,
    advanced: impl Fn(TaskId, u64) -> Option<ToKeeper>,
) -> FeedError {
    match carry(stream, advanced).await {
        Ok(()) => io::Error::from(io::ErrorKind::UnexpectedEof).into(),
        Err(error) => error,
    }
}

async fn carry(
    stream: UnixStream,
    advanced: impl Fn(TaskId, u64) -> Option<ToKeeper>,
) -> Result<(), FeedError> {
    let stream = Stream::new(stream)?;
    let mut decoder = Decoder::default();
    let mut bytes = vec![0; READ_BYTES];
    let mut next = Vec::new();
    encode(&ToKeeper::Hello { version: VERSION, oldest: Some(VERSION_OLDEST) }, &mut next)?;
    loop {
        stream.write_all(&next).await?;
        next.clear();
        match stream.read(&mut bytes).await? {
            0 => return Ok(()),
            count => decoder.push(&bytes[..count]),
        }
        while let Some(message) = decoder.take::<FromKeeper>()? {
            if let FromKeeper::LogAdvanced { task, end } = message
                && let Some(ask) = advanced(task, end)
            {
                encode(&ask, &mut next)?;
            }
        }
        // The followers first: what they wait for is there, and the next word may take its time.
        yield_now().await;
    }
}
