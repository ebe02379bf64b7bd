//! The thread that writes to standard output. It blocks as long as whoever reads there takes; nobody
//! waits for it but those who fill its queue.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::mpsc;

/// Starts it; it ends with the last sender, or when nobody can read any more, which closes the queue.
pub(super) fn start(mut chunks: mpsc::Receiver<Vec<u8>>) -> std::io::Result<()> {
    // Not Rust's own: that one has a buffer, and a lock that others would wait for.
    let mut stdout = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    std::thread::Builder::new().name("forward".into()).spawn(move || {
        while let Some(chunk) = chunks.blocking_recv() {
            if let Err(error) = write(&mut stdout, &chunk) {
                tracing::error!("applications' output is not forwarded any more: {error}");
                return;
            }
        }
    })?;
    Ok(())
}

/// All of it, also where whoever made the descriptor wants nobody to block on it.
fn write(stdout: &mut File, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match stdout.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(stdout, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
