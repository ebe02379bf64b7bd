//! A way from this machine into a cluster, for a browser: a port of 127.0.0.1 that leads to an
//! address inside.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use super::http::{Door, connect_in};

/// Leads to `door`, which is inside a network namespace. Ends with the test binary: accepting cannot
/// be interrupted.
pub(crate) fn forward(door: &Door) -> SocketAddr {
    let Door::TcpIn(namespace, address) = door.clone() else { panic!("{door:?} is no way in") };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = connect_in(&namespace, address) else { continue };
            let (client_back, server_back) = (client.try_clone(), server.try_clone());
            std::thread::spawn(move || carry(client, server));
            std::thread::spawn(move || carry(server_back.unwrap(), client_back.unwrap()));
        }
    });
    here
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
