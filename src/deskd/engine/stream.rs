//! A connection to the keeper that wakes its thread for what arrives, and for nothing else.
//!
//! The kernel reports room to whoever wrote each time the peer has read (`unix_write_space`), and a stream of tokio's always
//! waits for that too: each message would wake its thread once more, beside a keeper that has work to do. Here room is
//! waited for where there is none.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The daemon's end, to be used by the thread of the runtime in which it was made.
#[derive(Debug)]
pub struct Stream(AsyncFd<UnixStream>);

impl Stream {
    /// Of a connected socket. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// As fcntl(2) and epoll_ctl(2).
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        registered(socket, Interest::READABLE).map(Self)
    }

    /// Reads what is there as soon as something is; 0: the other end was closed.
    ///
    /// # Errors
    /// As read(2).
    pub async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            let Ok(read) = ready.try_io(|socket| socket.get_ref().read(bytes)) else { continue };
            // Less than there was room for is all that was there.
            if matches!(read, Ok(count) if 0 < count && count < bytes.len()) {
                ready.clear_ready();
            }
            return read;
        }
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// As write(2); `WouldBlock` where there is none.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_ref().write(bytes)
    }

    /// Writes everything, and waits for room as often as it takes.
    ///
    /// # Errors
    /// As write(2).
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.room().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until there is room, with a descriptor of its own: epoll has one interest for each.
    async fn room(&self) -> io::Result<()> {
        let socket = self.0.get_ref().try_clone()?;
        registered(socket, Interest::WRITABLE)?.writable().await?.retain_ready();
        Ok(())
    }
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe, for types that do not keep their descriptor: this one does"
)]
fn registered(socket: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    AsyncFd::with_interest(socket, interest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_room_for_arrives_whole_and_the_end_is_seen() {
        let sent: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let (near, far) = UnixStream::pair().expect("two sockets");
            let near = Stream::new(near).expect("a stream");
            let far = Stream::new(far).expect("a stream");
            let mut received = Vec::new();
            let write = async {
                near.write_all(&sent).await.expect("a reader");
                drop(near);
            };
            let read = async {
                let mut bytes = vec![0; 100_000];
                loop {
                    match far.read(&mut bytes).await.expect("a writer") {
                        0 => return,
                        count => received.extend_from_slice(&bytes[..count]),
                    }
                }
            };
            tokio::join!(write, read);
            assert!(received == sent);
        });
    }
}
