//! The Xauthority file format (libXau, `Xauth(3)`): records of a big-endian family and four counted
//! strings: address, display number, authorization name, data.
//!
//! Pure: bytes in, values out. Nothing here is ever printed; [`Cookie`] hides itself.

/// The only authorization protocol deskd speaks.
pub const COOKIE_PROTOCOL: &[u8] = b"MIT-MAGIC-COOKIE-1";
/// Length of a MIT-MAGIC-COOKIE-1.
pub const COOKIE_BYTES: usize = 16;

const FAMILY_LOCAL: u16 = 256;
const FAMILY_WILD: u16 = 65535;

/// A MIT-MAGIC-COOKIE-1; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie([u8; COOKIE_BYTES]);

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Cookie {
    /// From exactly 32 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * COOKIE_BYTES {
            return None;
        }
        let mut bytes = [0; COOKIE_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        Some(Self(bytes))
    }

    /// The bytes that go to the server.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Why a file is not an Xauthority file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record at byte {at} is cut off")]
pub struct Truncated {
    /// Where the record starts.
    pub at: usize,
}

/// One record, borrowed from the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Address family: 256 local, 65535 any.
    pub family: u16,
    /// For the local family the host name.
    pub address: &'a [u8],
    /// The display number in decimal digits; empty means any.
    pub number: &'a [u8],
    /// Authorization protocol.
    pub protocol: &'a [u8],
    /// The secret.
    data: &'a [u8],
}

/// All records. A cut-off record ends the list and is reported beside what came before it.
#[must_use]
pub fn parse(file: &[u8]) -> (Vec<Entry<'_>>, Option<Truncated>) {
    let mut entries = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        match entry(rest) {
            Some((next, after)) => {
                entries.push(next);
                rest = after;
            }
            None => return (entries, Some(Truncated { at: file.len() - rest.len() })),
        }
    }
    (entries, None)
}

fn entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (family, rest) = number16(bytes)?;
    let (address, rest) = counted(rest)?;
    let (number, rest) = counted(rest)?;
    let (protocol, rest) = counted(rest)?;
    let (data, rest) = counted(rest)?;
    Some((Entry { family, address, number, protocol, data }, rest))
}

fn number16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*head), rest))
}

fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number16(bytes)?;
    rest.split_at_checked(usize::from(length))
}

/// The cookie libXau would give a local client of `number` on `host`: an entry for exactly this
/// host before a wild one, the first of equals.
#[must_use]
pub fn choose(entries: &[Entry<'_>], host: &[u8], number: u16) -> Option<Cookie> {
    let digits = number.to_string();
    let usable = |entry: &&Entry<'_>| {
        entry.protocol == COOKIE_PROTOCOL
            && (entry.number.is_empty() || entry.number == digits.as_bytes())
    };
    let exact = |entry: &&Entry<'_>| entry.family == FAMILY_LOCAL && entry.address == host;
    let wild = |entry: &&Entry<'_>| entry.family == FAMILY_WILD;
    let usable: Vec<_> = entries.iter().filter(usable).collect();
    let chosen =
        usable.iter().find(|entry| exact(entry)).or_else(|| usable.iter().find(|e| wild(e)))?;
    Some(Cookie(chosen.data.try_into().ok()?))
}

/// A file with one wild record: any host name, this display.
#[must_use]
pub fn to_xauthority_file(cookie: &Cookie, number: u16) -> Vec<u8> {
    let mut file = FAMILY_WILD.to_be_bytes().to_vec();
    let digits = number.to_string();
    for field in [&[], digits.as_bytes(), COOKIE_PROTOCOL, cookie.bytes()] {
        let length = u16::try_from(field.len()).unwrap_or(u16::MAX);
        file.extend_from_slice(&length.to_be_bytes());
        file.extend_from_slice(field);
    }
    file
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(family: u16, address: &[u8], number: &[u8], protocol: &[u8], data: &[u8]) -> Vec<u8> {
        let mut bytes = family.to_be_bytes().to_vec();
        for field in [address, number, protocol, data] {
            bytes.extend_from_slice(&u16::try_from(field.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(field);
        }
        bytes
    }

    fn cookie(fill: u8) -> Cookie {
        Cookie([fill; COOKIE_BYTES])
    }

    #[test]
    fn the_entry_of_this_host_wins_over_a_wild_one_and_other_displays_are_ignored() {
        let file = [
            record(FAMILY_WILD, b"", b"", COOKIE_PROTOCOL, &[1; 16]),
            record(FAMILY_LOCAL, b"pod", b"1", COOKIE_PROTOCOL, &[2; 16]),
            record(FAMILY_LOCAL, b"other", b"0", COOKIE_PROTOCOL, &[3; 16]),
            record(FAMILY_LOCAL, b"pod", b"0", b"XDM-AUTHORIZATION-1", &[4; 16]),
            record(FAMILY_LOCAL, b"pod", b"0", COOKIE_PROTOCOL, &[5; 16]),
        ]
        .concat();
        let (entries, truncated) = parse(&file);
        assert_eq!((entries.len(), truncated), (5, None));
        assert_eq!(choose(&entries, b"pod", 0), Some(cookie(5)));
        assert_eq!(choose(&entries, b"pod", 1), Some(cookie(2)));
        assert_eq!(choose(&entries, b"elsewhere", 1), Some(cookie(1)));
    }

    #[test]
    fn no_entry_for_the_display_gives_no_cookie() {
        let file = record(FAMILY_LOCAL, b"pod", b"1", COOKIE_PROTOCOL, &[2; 16]);
        assert_eq!(choose(&parse(&file).0, b"pod", 0), None);
    }

    #[test]
    fn a_cookie_of_the_wrong_length_is_not_used() {
        let file = record(FAMILY_WILD, b"", b"0", COOKIE_PROTOCOL, &[2; 15]);
        assert_eq!(choose(&parse(&file).0, b"pod", 0), None);
    }

    #[test]
    fn records_before_a_cut_off_one_are_kept() {
        let mut file = record(FAMILY_WILD, b"", b"0", COOKIE_PROTOCOL, &[2; 16]);
        let at = file.len();
        file.extend_from_slice(&record(FAMILY_WILD, b"", b"1", COOKIE_PROTOCOL, &[3; 16]));
        file.truncate(file.len() - 1);
        let (entries, truncated) = parse(&file);
        assert_eq!((entries.len(), truncated), (1, Some(Truncated { at })));
    }

    #[test]
    fn hex_keys_are_32_digits() {
        assert_eq!(Cookie::from_hex(&"0F".repeat(16)), Some(cookie(15)));
        for wrong in ["", "0f", &"0g".repeat(16), &"0f".repeat(17), &"é".repeat(16)] {
            assert_eq!(Cookie::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_cookie_is_never_printed() {
        assert_eq!(format!("{:?}", cookie(0xab)), "[redacted]");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (entries, _) = parse(&bytes);
            let _ = choose(&entries, b"pod", 0);
        }

        #[test]
        fn a_written_file_gives_the_cookie_back_on_any_host(
            bytes in any::<[u8; COOKIE_BYTES]>(), number in any::<u16>(), host in ".*"
        ) {
            let file = to_xauthority_file(&Cookie(bytes), number);
            let (entries, truncated) = parse(&file);
            prop_assert_eq!(truncated, None);
            prop_assert_eq!(choose(&entries, host.as_bytes(), number), Some(Cookie(bytes)));
        }
    }
}
