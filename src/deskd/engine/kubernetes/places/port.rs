//! Where keepers in application pods reach the daemon. Whoever connects has to prove first that it is
//! the keeper of a place (`deskd_core::wire::channel`); until then it hears nothing but random bytes,
//! has a moment, and takes no room from anybody who has proved it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::visitors::Visitors;
use deskd_core::wire::channel::{Channel, GREETING_BYTES, Half, Name, name_of};
use deskd_core::wire::proof::{Bytes, Key};
use deskd_keeper::seldom::Seldom;

/// From a connection to the keeper's proof.
const PROOF_TIME_MAX: Duration = Duration::from_secs(5);
/// After a connection could not be taken: there are no descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Proved connections of one place that wait for its link; the newest counts.
const MET_MAX: usize = 4;

/// A connection whose other end is a place's keeper.
#[derive(Debug)]
pub struct Met {
    /// To it.
    pub stream: TcpStream,
    /// What is on it.
    pub channel: Channel,
}

/// The places whose keepers are let in.
#[derive(Debug, Clone, Default)]
pub struct Port {
    known: Arc<Mutex<HashMap<Name, Known>>>,
    complaints: Arc<Complaints>,
}

#[derive(Debug, Default)]
struct Complaints {
    /// No connection can be taken.
    shortage: Seldom,
    /// Somebody names a place without having its key.
    stranger: Seldom,
}

#[derive(Debug)]
struct Known {
    key: Key,
    link: mpsc::Sender<Met>,
}

impl Port {
    /// Takes what connects to `listener`, as one of `workers`.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn open(listener: std::net::TcpListener, workers: &mut JoinSet<()>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (listener, port) = (TcpListener::from_std(listener)?, Self::default());
        workers.spawn(port.clone().listen(listener));
        Ok(port)
    }

    /// Lets the keeper with this key in. Its connections arrive until they are not wanted any more.
    pub fn expect(&self, key: &Key) -> mpsc::Receiver<Met> {
        let (link, met) = mpsc::channel(MET_MAX);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| !known.link.is_closed());
        known.insert(key.name(), Known { key: key.clone(), link });
        met
    }

    fn known(&self, name: Name) -> Option<(Key, mpsc::Sender<Met>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { key, link } = known.get(&name).filter(|known| !known.link.is_closed())?;
        Some((key.clone(), link.clone()))
    }

    async fn listen(self, listener: TcpListener) {
        let (mut visitors, mut ways) = (Visitors::default(), HashMap::<u64, AbortHandle>::new());
        let mut proofs: JoinSet<u64> = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let (number, goes) = visitors.arrive(peer.ip());
                        if let Some(way) = goes.and_then(|goes| ways.remove(&goes)) {
                            way.abort();
                        }
                        let port = self.clone();
                        let way = proofs.spawn(async move {
                            let proof = port.meet(stream);
                            // A stranger is told nothing.
                            let _ = tokio::time::timeout(PROOF_TIME_MAX, proof).await;
                            number
                        });
                        ways.insert(number, way);
                    }
                    Err(error) => {
                        if self.complaints.shortage.is_due() {
                            tracing::warn!("cannot take a connection of a place: {error}");
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(done) = proofs.join_next() => if let Ok(number) = done {
                    visitors.leave(number);
                    ways.remove(&number);
                },
            }
        }
    }

    async fn meet(&self, mut stream: TcpStream) -> io::Result<()> {
        deskd_keeper::notice_silence(&stream)?;
        let (mut random, mut greeting) = (Bytes::default(), [0; GREETING_BYTES]);
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let half = Half::new(random);
        stream.write_all(half.public()).await?;
        stream.read_exact(&mut greeting).await?;
        let Some((key, link)) = self.known(name_of(&greeting)) else {
            tracing::debug!("somebody names a place that there is not");
            return Ok(());
        };
        let Some((proof, channel)) = half.admit(&key, &greeting) else {
            if self.complaints.stranger.is_due() {
                tracing::warn!("somebody who does not have a place's key names that place");
            }
            return Ok(());
        };
        stream.write_all(&proof).await?;
        // One that does not get through comes again.
        let _ = link.try_send(Met { stream, channel });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream as Stream};

    /// Most time that anything may take: for hangs.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A port with a place, and what its link is given.
    fn port(key: &Key) -> (SocketAddr, std::sync::mpsc::Receiver<Stream>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ((told, heard), key) = (std::sync::mpsc::channel(), key.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut workers = JoinSet::new();
                let mut met = Port::open(listener, &mut workers).unwrap().expect(&key);
                while let Some(Met { stream, .. }) = met.recv().await {
                    let stream = stream.into_std().unwrap();
                    stream.set_nonblocking(false).unwrap();
                    if told.send(stream).is_err() {
                        return;
                    }
                }
            });
        });
        (address, heard)
    }

    fn dial(address: SocketAddr) -> Stream {
        let stream = Stream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn prove(mut stream: &Stream, key: &Key) -> io::Result<Channel> {
        let (half, mut challenge, mut proof) =
            (Half::new([9; 32]), Bytes::default(), Bytes::default());
        stream.read_exact(&mut challenge)?;
        stream.write_all(&half.greeting(key, &challenge))?;
        stream.read_exact(&mut proof)?;
        half.trust(key, &challenge, &proof).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    #[test]
    fn however_many_say_nothing_a_keeper_comes_in_and_stays_and_they_are_cut() {
        let key = Key::new([7; 32]);
        let (address, met) = port(&key);
        let silent: Vec<_> = (0..300).map(|_| dial(address)).collect();
        let first = dial(address);
        prove(&first, &key).unwrap();
        let mut proved = met.recv_timeout(PATIENCE).unwrap();
        let more: Vec<_> = (0..300).map(|_| dial(address)).collect();
        for mut stream in silent.into_iter().chain(more) {
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard);
            assert!(heard.len() <= 32, "random bytes alone");
        }
        // The one that proved who it is was not.
        let mut said = [0; 5];
        (&first).write_all(b"hello").unwrap();
        proved.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"hello");
        prove(&dial(address), &key).unwrap();
    }

    #[test]
    fn who_has_another_key_or_names_nothing_is_not_let_in() {
        let key = Key::new([7; 32]);
        let (address, met) = port(&key);
        let stranger = Key::new([8; 32]);
        assert!(prove(&dial(address), &stranger).is_err());
        // The name is no secret.
        let mut stream = dial(address);
        let mut challenge = Bytes::default();
        stream.read_exact(&mut challenge).unwrap();
        let mut greeting = Half::new([9; 32]).greeting(&stranger, &challenge);
        greeting[..16].copy_from_slice(&key.name());
        stream.write_all(&greeting).unwrap();
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        assert_eq!(heard, b"");
        assert!(met.try_recv().is_err());
    }
}
