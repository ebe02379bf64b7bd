//! The socket tables `/proc/net/{tcp,tcp6,unix}` of a network namespace: who listens where.
//!
//! Pure parsers of text (proc_net_tcp in the kernel's documentation; unix: `proc_pid_net(5)`).
//! Lines that do not look as documented are skipped: a newer kernel may add some.

use std::net::IpAddr;

/// `TCP_ESTABLISHED` of the kernel's `tcp_states.h`.
const TCP_ESTABLISHED: &str = "01";
/// `TCP_LISTEN` of the kernel's `tcp_states.h`, as `/proc/net/tcp` prints it.
const TCP_LISTEN: &str = "0A";
/// `__SO_ACCEPTCON` of `net.h`: the socket listens.
const UNIX_ACCEPTCON: u32 = 1 << 16;
/// `SOCK_STREAM`.
const UNIX_STREAM: u32 = 1;

/// Ports on which an address of this table's family listens.
pub fn tcp_listeners(table: &str) -> impl Iterator<Item = u16> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (_, port) = fields.next()?.rsplit_once(':')?;
        let state = fields.nth(1)?;
        (state == TCP_LISTEN).then(|| u16::from_str_radix(port, 16).ok()).flatten()
    })
}

/// The own port and the other end's address of each established connection; an IPv4 address is one
/// in the table of IPv6 too.
pub fn tcp_connected(table: &str) -> impl Iterator<Item = (u16, IpAddr)> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (_, port) = fields.next()?.rsplit_once(':')?;
        let (address, _) = fields.next()?.rsplit_once(':')?;
        let address = address_of(address)?;
        let connected = fields.next()? == TCP_ESTABLISHED;
        connected.then(|| Some((u16::from_str_radix(port, 16).ok()?, address))).flatten()
    })
}

/// One word of 32 bits or four, each as this machine reads it from memory in network order.
fn address_of(digits: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = digits.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes())
    };
    match digits.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for (at, part) in octets.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Some(IpAddr::from(octets).to_canonical())
        }
        _ => None,
    }
}

/// Names of the listening stream sockets; abstract ones begin with `@`.
pub fn unix_listeners(table: &str) -> impl Iterator<Item = &str> {
    table.lines().skip(1).filter_map(|line| {
        // Num RefCount Protocol Flags Type St Inode Path; the path may hold spaces.
        let mut rest = line;
        let mut field = || {
            let text = rest.trim_start_matches(' ');
            let (word, after) = text.split_once(' ')?;
            rest = after;
            Some(word)
        };
        let flags =
            u32::from_str_radix(field().and(field()).and(field()).and(field())?, 16).ok()?;
        let kind = u32::from_str_radix(field()?, 16).ok()?;
        field().and(field())?;
        (flags & UNIX_ACCEPTCON != 0 && kind == UNIX_STREAM && !rest.is_empty()).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn listening_tcp_ports_are_found_and_connections_are_not() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1770 00000000:0000 0A 00000000:00000000 00:00000000 00000000  4096        0 1 1
   1: 0100007F:1771 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  4096        0 2 1
";
        assert_eq!(tcp_listeners(table).collect::<Vec<_>>(), [6000]);
        let table6 = "\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:1772 00000000000000000000000000000000:0000 0A 00000000:0 \
   00:00000000 00000000  4096        0 1 1
";
        assert_eq!(tcp_listeners(table6).collect::<Vec<_>>(), [6002]);
    }

    #[test]
    fn connections_are_found_with_the_other_ends_address_in_both_tables() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:17C1 00000000:0000 0A 00000000:00000000 00:00000000 00000000  4096        0 1 1
   1: 0100007F:17C1 4B53447F:9C40 01 00000000:00000000 00:00000000 00000000  4096        0 2 1
";
        let own = IpAddr::from([127, 68, 83, 75]);
        assert_eq!(tcp_connected(table).collect::<Vec<_>>(), [(6081, own)]);
        let table6 = "\
  sl  local_address                         remote_address                        st tx_queue
   0: 0000000000000000FFFF00000100007F:17C1 0000000000000000FFFF00004B53447F:9C40 01 00000000:0 \
   00:00000000 00000000  4096        0 1 1
";
        assert_eq!(tcp_connected(table6).collect::<Vec<_>>(), [(6081, own)]);
    }

    #[test]
    fn listening_unix_sockets_are_found_by_path_and_abstract_name() {
        let table = "\
Num       RefCount Protocol Flags    Type St Inode Path
ffff8881: 00000002 00000000 00010000 0001 01    23 /tmp/.X11-unix/X0
ffff8882: 00000002 00000000 00010000 0001 01    24 @/tmp/.X11-unix/X0
ffff8883: 00000003 00000000 00000000 0001 03    25 @/tmp/.X11-unix/X1
ffff8884: 00000002 00000000 00010000 0001 01    26
ffff8885: 00000002 00000000 00010000 0005 01    27 /run/seqpacket
ffff8886: 00000002 00000000 00010000 0001 01 28888 /a b
";
        assert_eq!(
            unix_listeners(table).collect::<Vec<_>>(),
            ["/tmp/.X11-unix/X0", "@/tmp/.X11-unix/X0", "/a b"]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn arbitrary_text_never_panics(text in "(?s).{0,400}", words in "([0-9A-F: \n@/]{0,30}){0,20}") {
            for table in [&text, &words] {
                tcp_listeners(table).count();
                tcp_connected(table).count();
                unix_listeners(table).count();
            }
        }
    }
}
