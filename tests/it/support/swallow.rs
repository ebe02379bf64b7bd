//! A way to a server on which answers can be lost: bytes go through in both directions, until the
//! answers are swallowed; then a connection ends as soon as the server says something.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The way; connections that are open end with the server's or the client's.
pub struct Swallow {
    port: u16,
    target: String,
    swallows: Arc<AtomicBool>,
}

impl Swallow {
    /// Before a server at `https://127.0.0.1:port`.
    pub fn before(url: &str) -> Self {
        let target = url.strip_prefix("https://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let swallows = Arc::<AtomicBool>::default();
        let (to, swallowing) = (target.clone(), swallows.clone());
        // Ends with the test binary: accepting cannot be interrupted.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&to) else { continue };
                let (client_back, server_back) = (client.try_clone(), server.try_clone());
                let swallowing = swallowing.clone();
                std::thread::spawn(move || carry(client, server, None));
                std::thread::spawn(move || {
                    carry(server_back.unwrap(), client_back.unwrap(), Some(&swallowing));
                });
            }
        });
        Self { port, target, swallows }
    }

    /// From now on answers are lost, or no longer.
    pub fn swallow(&self, on: bool) {
        self.swallows.store(on, Ordering::SeqCst);
    }

    /// The same file with this way in it.
    pub fn kubeconfig(&self, direct: &Path) -> PathBuf {
        let text = std::fs::read_to_string(direct).unwrap();
        let changed = text.replace(&self.target, &format!("127.0.0.1:{}", self.port));
        let path = direct.with_extension("swallow");
        std::fs::write(&path, changed).unwrap();
        path
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, swallows: Option<&AtomicBool>) {
    let mut bytes = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let lost = swallows.is_some_and(|swallows| swallows.load(Ordering::SeqCst));
        if lost || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
