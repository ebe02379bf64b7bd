//! An X server, or a wire to it, that says one wrong byte: the connection is made anew, and no server
//! that answers is said to hang.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use x11rb::connection::Connection;
use x11rb::protocol::xproto::{ConnectionExt as _, CreateWindowAux, WindowClass};

use crate::support::desk::Desk;
use crate::support::http::Ask;
use crate::support::xvnc::{PATIENCE, Xvnc, available, eventually, observer};

/// No byte is changed.
const NONE: usize = usize::MAX;
/// It said "hanging" for 45 s once.
const ANEW_MAX: Duration = Duration::from_secs(20);

/// A server between deskd and the real one.
struct Wire {
    path: PathBuf,
    number: u32,
    connections: Arc<AtomicUsize>,
    /// Which byte of the next packets from the server is changed.
    flip: Arc<AtomicUsize>,
}

impl Wire {
    fn to(server: &Xvnc) -> Self {
        let real = format!("/tmp/.X11-unix/X{}", server.number);
        let number = server.number as u32 + 4000;
        let path = PathBuf::from(format!("/tmp/.X11-unix/X{number}"));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a socket");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&path, mode).expect("chmod");
        let (connections, flip) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(NONE)));
        let (count, change) = (connections.clone(), flip.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = UnixStream::connect(&real) else { continue };
                count.fetch_add(1, Ordering::SeqCst);
                let none = Arc::new(AtomicUsize::new(NONE));
                carry(
                    client.try_clone().expect("a descriptor"),
                    server.try_clone().expect("a descriptor"),
                    none,
                );
                carry(server, client, change.clone());
            }
        });
        Self { path, number, connections, flip }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn carry(mut from: UnixStream, mut to: UnixStream, flip: Arc<AtomicUsize>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            let at = flip.load(Ordering::SeqCst);
            if at < length
                && flip.compare_exchange(at, NONE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            {
                bytes[at] ^= 0x2c;
            }
            if to.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}

#[test]
fn one_wrong_byte_from_the_server_makes_a_new_connection() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let wire = Wire::to(&server);
    let env = [("DISPLAY", format!(":{}", wire.number)), ("XAUTH_KEY", server.key.clone())];
    let desk = Desk::start_with("", None, &env);
    let ready = || Ask::new(&desk.unix(), "GET", "/readyz?exclude=shm").send();
    eventually("readiness", || (ready().status == 200).then_some(()));
    let client = observer(&server);
    let root = client.setup().roots[0].root;
    // Kind, a part of the number of the request, and of the length, of a packet.
    for at in [0, 2, 3, 4, 5] {
        let before = wire.connections.load(Ordering::SeqCst);
        wire.flip.store(at, Ordering::SeqCst);
        let begun = Instant::now();
        eventually("another connection", || {
            // What the server has to tell, so that the wrong byte is among it.
            client.stream().begin(PATIENCE);
            let id = client.generate_id().unwrap();
            let (class, aux) = (WindowClass::INPUT_OUTPUT, CreateWindowAux::new());
            client.create_window(0, id, root, 0, 0, 9, 9, 0, class, 0, &aux).unwrap();
            client.map_window(id).unwrap();
            client.get_input_focus().unwrap().reply().unwrap();
            let flipped = wire.flip.load(Ordering::SeqCst) == NONE;
            let anew = wire.connections.load(Ordering::SeqCst) > before;
            // Some wrong bytes are still a sound packet.
            (flipped && (anew || at > 3)).then_some(())
        });
        eventually("readiness", || (ready().status == 200).then_some(()));
        assert!(begun.elapsed() < ANEW_MAX, "byte {at}: {:?}", begun.elapsed());
    }
}
