//! The Xauthority file format (libXau, `Xauth(3)`): records of a big-endian family and four counted
//! strings: address, display number, authorization name, data.
//!
//! Pure: bytes in, values out. Nothing here is ever printed; [`Cookie`] hides itself.

use std::net::IpAddr;

/// The only authorization protocol deskd speaks.
pub const COOKIE_PROTOCOL: &[u8] = b"MIT-MAGIC-COOKIE-1";
/// Longest cookie, in bytes. `mcookie` and X servers make 16, abcdesktop 15; an X server takes what its
/// `-auth` file has (`os/mitauth.c` of the X.Org server). Measured with Xvnc: 1, 15, 16 and 1024 work.
pub const COOKIE_BYTES_MAX: usize = 1024;

/// `FamilyInternet` and `FamilyInternet6` of `X.h`: the address is that of the server.
const FAMILY_INTERNET: u16 = 0;
const FAMILY_INTERNET6: u16 = 6;
/// `FamilyLocal` and `FamilyWild` of `Xauth.h`: a host name, and any address.
const FAMILY_LOCAL: u16 = 256;
const FAMILY_WILD: u16 = 65535;

/// A MIT-MAGIC-COOKIE-1, 1 to [`COOKIE_BYTES_MAX`] bytes; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie(Vec<u8>);

/// Why a text is no cookie. The text is never repeated: it may be a secret with a typing error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotACookie {
    /// A byte is two digits.
    #[error("it has {0} hexadecimal digits, and a cookie has an even number of them")]
    Odd(usize),
    /// Something else than digits.
    #[error("its character {0} is no hexadecimal digit")]
    NotHex(usize),
    /// Nothing, or too much.
    #[error("it has {0} bytes, and a cookie has 1 to {COOKIE_BYTES_MAX}")]
    Length(usize),
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Cookie {
    /// From its hexadecimal digits, as `XAUTH_KEY` and `xauth list` have them; blanks around them do
    /// not matter.
    ///
    /// # Errors
    /// Why the text is none.
    pub fn from_hex(text: &str) -> Result<Self, NotACookie> {
        let digits: Result<Vec<u8>, _> = text
            .trim()
            .chars()
            .enumerate()
            .map(|(at, c)| {
                let digit = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit.ok_or(NotACookie::NotHex(at + 1))
            })
            .collect();
        let digits = digits?;
        if digits.len() % 2 != 0 {
            return Err(NotACookie::Odd(digits.len()));
        }
        Self::new(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
    }

    /// From its bytes.
    fn new(bytes: Vec<u8>) -> Result<Self, NotACookie> {
        match bytes.len() {
            1..=COOKIE_BYTES_MAX => Ok(Self(bytes)),
            length => Err(NotACookie::Length(length)),
        }
    }

    /// Its hexadecimal digits, as `XAUTH_KEY` takes them.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
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
    Cookie::new(chosen.data.to_vec()).ok()
}

/// Where the server of a display can be, for the records of a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Servers<'a> {
    /// The host name that local clients look for.
    pub host: Option<&'a str>,
    /// The address that clients in other pods look for.
    pub address: Option<IpAddr>,
}

/// A file with a record for each way to the display that is known, which `xauth list` shows as
/// `HOST/unix:N` and `ADDRESS:N`, and one for any other (libXau takes it under every host name).
#[must_use]
pub fn to_xauthority_file(cookie: &Cookie, number: u16, servers: Servers<'_>) -> Vec<u8> {
    let mut file = Vec::new();
    let digits = number.to_string();
    let mut record = |family: u16, address: &[u8]| {
        file.extend_from_slice(&family.to_be_bytes());
        for field in [address, digits.as_bytes(), COOKIE_PROTOCOL, cookie.bytes()] {
            let length = u16::try_from(field.len()).unwrap_or(u16::MAX);
            file.extend_from_slice(&length.to_be_bytes());
            file.extend_from_slice(field);
        }
    };
    if let Some(host) = servers.host {
        record(FAMILY_LOCAL, host.as_bytes());
    }
    match servers.address {
        Some(IpAddr::V4(address)) => record(FAMILY_INTERNET, &address.octets()),
        Some(IpAddr::V6(address)) => record(FAMILY_INTERNET6, &address.octets()),
        None => {}
    }
    record(FAMILY_WILD, &[]);
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
        Cookie(vec![fill; 16])
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
    fn a_cookie_is_bytes_of_any_length_but_none() {
        for length in [1, 15, 300] {
            let file = record(FAMILY_WILD, b"", b"0", COOKIE_PROTOCOL, &vec![2; length]);
            assert_eq!(choose(&parse(&file).0, b"pod", 0), Some(Cookie(vec![2; length])));
        }
        for length in [0, COOKIE_BYTES_MAX + 1] {
            let file = record(FAMILY_WILD, b"", b"0", COOKIE_PROTOCOL, &vec![2; length]);
            assert_eq!(choose(&parse(&file).0, b"pod", 0), None);
        }
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
    fn hexadecimal_digits_are_a_cookie_in_pairs() {
        assert_eq!(Cookie::from_hex(&"0F".repeat(16)), Ok(cookie(15)));
        assert_eq!(
            Cookie::from_hex(&format!(" {}\n", "a4".repeat(15))),
            Ok(Cookie(vec![0xa4; 15]))
        );
        for (wrong, why) in [
            ("", NotACookie::Length(0)),
            ("0f0", NotACookie::Odd(3)),
            ("0f0g", NotACookie::NotHex(4)),
            ("éé", NotACookie::NotHex(1)),
            (&"0f".repeat(COOKIE_BYTES_MAX + 1), NotACookie::Length(COOKIE_BYTES_MAX + 1)),
        ] {
            assert_eq!(Cookie::from_hex(wrong), Err(why), "{wrong}");
        }
    }

    #[test]
    fn a_file_has_a_record_for_each_way_to_the_display() {
        let address = Some("10.88.0.48".parse().unwrap());
        let servers = Servers { host: Some("anna"), address };
        let file = to_xauthority_file(&cookie(7), 0, servers);
        let (entries, _) = parse(&file);
        let ways: Vec<_> = entries.iter().map(|entry| (entry.family, entry.address)).collect();
        let local: (u16, &[u8]) = (FAMILY_LOCAL, b"anna");
        assert_eq!(ways, [local, (FAMILY_INTERNET, &[10, 88, 0, 48]), (FAMILY_WILD, b"")]);
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
            bytes in proptest::collection::vec(any::<u8>(), 1..COOKIE_BYTES_MAX),
            number in any::<u16>(), host in ".*", own in prop::option::of(".*")
        ) {
            let cookie = Cookie(bytes);
            let servers = Servers { host: own.as_deref(), address: None };
            let file = to_xauthority_file(&cookie, number, servers);
            let (entries, truncated) = parse(&file);
            prop_assert_eq!(truncated, None);
            prop_assert_eq!(choose(&entries, host.as_bytes(), number), Some(cookie.clone()));
            prop_assert_eq!(Cookie::from_hex(&cookie.hex()), Ok(cookie));
        }
    }
}
