//! Somebody on the way between two sides: hears everything, cuts, and changes bytes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// Passes on what goes to `address`, and keeps it.
pub(crate) struct Wiretap {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What each connection's caller said, and was told.
    heard: Mutex<Vec<[Vec<u8>; 2]>>,
    open: Mutex<Vec<TcpStream>>,
    /// The next piece to the caller gets a wrong bit.
    flip: AtomicBool,
}

impl Wiretap {
    pub(crate) fn before(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let there = shared.clone();
        std::thread::spawn(move || {
            while let Ok((caller, _)) = listener.accept() {
                let Ok(called) = TcpStream::connect(to) else { continue };
                let number = {
                    let mut heard = there.heard.lock().unwrap();
                    heard.push(Default::default());
                    heard.len() - 1
                };
                for (side, from, to) in [(0, &caller, &called), (1, &called, &caller)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    there.open.lock().unwrap().push(from.try_clone().unwrap());
                    let there = there.clone();
                    std::thread::spawn(move || there.pass_on((number, side), from, to));
                }
            }
        });
        Self { address, shared }
    }

    /// How many came so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.heard.lock().unwrap().len()
    }

    /// What a connection's caller said, and was told.
    pub(crate) fn heard(&self, connection: usize) -> [Vec<u8>; 2] {
        self.shared.heard.lock().unwrap()[connection].clone()
    }

    pub(crate) fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// A bit of what the caller is told next is wrong.
    pub(crate) fn flip_one(&self) {
        self.shared.flip.store(true, SeqCst);
    }

    pub(crate) fn has_flipped(&self) -> bool {
        !self.shared.flip.load(SeqCst)
    }
}

impl Shared {
    fn pass_on(&self, (number, side): (usize, usize), mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            self.heard.lock().unwrap()[number][side].extend_from_slice(&bytes[..count]);
            if side == 1 && self.flip.swap(false, SeqCst) {
                bytes[count - 1] ^= 1;
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}
