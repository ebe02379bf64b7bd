//! Who listens on a TCP port of deskd's network namespace.
//!
//! The kernel is asked for sockets that listen there alone (`sock_diag(7)`). `/proc/net/tcp` has the same, but to write it the
//! kernel walks its whole hash of connections, which takes milliseconds on a large machine: it is read only where netlink
//! cannot be had.

use std::fs::File;
use std::io::{self, Read as _};

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use deskd_keeper::procfs::sockets::tcp_listeners;

/// A line has about 150 bytes; a pod with more than 100,000 sockets is cut off there.
const TABLE_BYTES_MAX: u64 = 16 << 20;
/// What a pod's table fits into.
const TABLE_BYTES_USUAL: usize = 64 << 10;

/// The families, and their tables.
const FAMILIES: [(AddressFamily, &str); 2] =
    [(AddressFamily::INET, "/proc/net/tcp"), (AddressFamily::INET6, "/proc/net/tcp6")];

/// Of `<linux/sock_diag.h>`, `<linux/netlink.h>`, `<net/tcp_states.h>` and `<netinet/in.h>`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_DONE: u16 = 3;
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u8 = 10;
/// `struct nlmsghdr`, and with it `struct inet_diag_req_v2`.
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;
/// Where an answer has its state and its port: after the header, `struct inet_diag_msg`.
const STATE_AT: usize = HEADER_BYTES + 1;
const PORT_AT: usize = HEADER_BYTES + 4;
/// Of one read: the kernel writes no more into one, and each has some listeners.
const ANSWER_BYTES: usize = 32 << 10;
/// Reads of one answer: as many as the addresses of a port need.
const READS_MAX: usize = 64;
/// The answer is there when the question was sent; this is for a kernel that is broken.
const ANSWER_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(1);

/// Whether an IPv4 and an IPv6 address listen.
#[must_use]
pub fn tcp(port: u16) -> [bool; 2] {
    FAMILIES.map(|(family, table)| asked(family, port).unwrap_or_else(|_| read(table, port)))
}

/// Asks the kernel.
fn asked(family: AddressFamily, port: u16) -> io::Result<bool> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIME_MAX))?;
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &request(family, port), SendFlags::empty(), &kernel)?;
    let mut bytes = vec![0; ANSWER_BYTES];
    for _ in 0..READS_MAX {
        let (count, _) = rustix::net::recv(&socket, bytes.as_mut_slice(), RecvFlags::empty())?;
        match answer(&bytes[..count], port) {
            Some(found) => return found,
            None => continue,
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// For those that listen on `port`.
fn request(family: AddressFamily, port: u16) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    let length = u32::try_from(REQUEST_BYTES).unwrap_or_default();
    put(0, &length.to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    let family = u8::try_from(family.as_raw()).unwrap_or_default();
    put(HEADER_BYTES, &[family, IPPROTO_TCP]);
    put(HEADER_BYTES + 4, &(1_u32 << TCP_LISTEN).to_ne_bytes());
    put(HEADER_BYTES + 8, &port.to_be_bytes());
    bytes
}

/// What one read says: somebody listens, nobody does, the kernel refuses; nothing if more follows.
fn answer(mut bytes: &[u8], port: u16) -> Option<io::Result<bool>> {
    let invalid = || Some(Err(io::ErrorKind::InvalidData.into()));
    while !bytes.is_empty() {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return invalid() };
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        match kind {
            NLMSG_DONE => return Some(Ok(false)),
            SOCK_DIAG_BY_FAMILY => {
                let listens = bytes.get(STATE_AT) == Some(&TCP_LISTEN)
                    && bytes.get(PORT_AT..PORT_AT + 2) == Some(&port.to_be_bytes());
                if listens {
                    return Some(Ok(true));
                }
            }
            // NLMSG_ERROR, or nothing that was asked for.
            _ => return invalid(),
        }
        // Messages begin at multiples of four bytes.
        let Some(rest) = bytes.get(length.next_multiple_of(4)..).filter(|_| length >= HEADER_BYTES)
        else {
            return invalid();
        };
        bytes = rest;
    }
    None
}

/// Reads the table. One that cannot be read says that nobody listens: whoever connects finds out.
fn read(table: &str, port: u16) -> bool {
    // Each read walks the kernel's hash again, so there should be few.
    let mut bytes = Vec::with_capacity(TABLE_BYTES_USUAL);
    let _ = File::open(table).and_then(|file| file.take(TABLE_BYTES_MAX).read_to_end(&mut bytes));
    tcp_listeners(&String::from_utf8_lossy(&bytes)).any(|listener| listener == port)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn kernel_and_table_say_the_same_of_each_family() {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = four.local_addr().unwrap().port();
        let both = |port| {
            FAMILIES.map(|(family, table)| (asked(family, port).unwrap(), read(table, port)))
        };
        assert_eq!(both(port), [(true, true), (false, false)]);
        let six = TcpListener::bind("[::1]:0").unwrap();
        let six_port = six.local_addr().unwrap().port();
        assert_eq!(both(six_port), [(false, false), (true, true)]);
        drop(four);
        assert_eq!(both(port), [(false, false), (false, false)]);
    }

    #[test]
    fn an_answer_that_is_cut_off_or_a_refusal_is_none() {
        let done = [16, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(matches!(answer(&done, 1), Some(Ok(false))));
        assert!(matches!(answer(&done[..9], 1), Some(Err(_))));
        let mut refusal = done;
        refusal[4] = 2;
        assert!(matches!(answer(&refusal, 1), Some(Err(_))));
        let mut endless = done;
        (endless[0], endless[4]) = (0, 20);
        assert!(matches!(answer(&endless, 1), Some(Err(_))));
        assert!(answer(&[], 1).is_none());
    }
}
