//! A daemon's end of the way to a keeper in another pod.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use deskd_core::wire::channel::{Channel, GREETING_BYTES, Half};
use deskd_core::wire::proof::Key;
use deskd_core::wire::{ToKeeper, VERSION};

use super::keeper::{Client, Welcome};
use super::place::new_key;
use super::wait;

/// Where a keeper connects to.
pub(crate) struct Far {
    pub(crate) listener: TcpListener,
    pub(crate) key: Key,
}

/// The way to one keeper; it is cut with this.
pub(crate) struct Cut(TcpStream);

impl Far {
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener, key: new_key() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next that connects.
    pub(crate) fn accept(&self) -> TcpStream {
        let stream = wait::until("somebody connects", || self.listener.accept().ok()).0;
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        stream
    }

    /// Proves to be the daemon with `key` to who just connected.
    pub(crate) fn prove(mut stream: &TcpStream, key: &Key) -> io::Result<Channel> {
        let (half, mut greeting) = (Half::new(rand()), [0; GREETING_BYTES]);
        stream.write_all(half.public())?;
        stream.read_exact(&mut greeting)?;
        let (proof, channel) = half.admit(key, &greeting).expect("the keeper with this key");
        stream.write_all(&proof)?;
        Ok(channel)
    }

    /// Waits for the keeper, and says hello.
    pub(crate) fn connect(&self) -> (Client, Welcome, Cut) {
        let stream = self.accept();
        let channel = Self::prove(&stream, &self.key).unwrap();
        let cut = Cut(stream.try_clone().unwrap());
        let mut client = Client::over(pump(stream, channel));
        client.send(&ToKeeper::Hello { version: VERSION, oldest: None });
        let welcome = client.welcome();
        (client, welcome, cut)
    }
}

impl Cut {
    pub(crate) fn cut(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

fn rand() -> [u8; 32] {
    let mut random = [0; 32];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
    random
}

/// A stream of what the channel carries. Its threads end with either end.
fn pump(stream: TcpStream, channel: Channel) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let Channel { mut sealer, mut opener } = channel;
    let (mut read, mut write) = (stream.try_clone().unwrap(), stream);
    read.set_read_timeout(None).unwrap();
    write.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
    let (mut from, mut to) = (theirs.try_clone().unwrap(), theirs);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let mut sealed = Vec::new();
            sealer.seal(&bytes[..count], &mut sealed).unwrap();
            if write.write_all(&sealed).is_err() {
                break;
            }
        }
        let _ = write.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = read.read(&mut bytes) {
            let mut plain = Vec::new();
            if opener.open(&bytes[..count], &mut plain).is_err() || to.write_all(&plain).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
    ours
}
