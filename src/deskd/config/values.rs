//! Values written as text: sizes, durations, addresses, masks. Each parser says what is wrong and
//! what to write instead; where the value stands is the caller's business.

use std::net::SocketAddr;
use std::time::Duration;

use deskd_core::duration::{self, DurationError, number_and_unit};

/// What is wrong with a value, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The end of a sentence that begins with the key.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Complaint {
    /// From its two parts.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// Units of sizes, in bytes.
const SIZE_UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// `8 MiB` -> bytes.
pub fn size(text: &str) -> Result<u64, Complaint> {
    let bad = |what: String| {
        Complaint::new(
            what,
            "write a whole number and a unit (B, KiB, MiB, GiB), such as \"8 MiB\"",
        )
    };
    let (number, unit) =
        number_and_unit(text).ok_or_else(|| bad(format!("is not a size: `{text}`")))?;
    let factor = SIZE_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| *factor)
        .ok_or_else(|| bad(format!("has the unknown unit `{unit}`")))?;
    number.checked_mul(factor).ok_or_else(|| bad(format!("is too large: `{text}`")))
}

/// `10s`, `500ms` -> duration of at most [`super::DURATION_S_MAX`].
pub fn duration(text: &str) -> Result<Duration, Complaint> {
    let what = match duration::parse(text) {
        Ok(time) if time.as_secs() <= super::DURATION_S_MAX => return Ok(time),
        Ok(_) | Err(DurationError::TooLong) => {
            let what = format!("is longer than a day: `{text}`");
            return Err(Complaint::new(what, "write a shorter time, such as \"10s\""));
        }
        Err(DurationError::Malformed) => format!("is not a duration: `{text}`"),
        Err(DurationError::Unit(unit)) => format!("has the unknown unit `{unit}`"),
    };
    let remedy = "write a whole number and a unit (ms, s, m, h), such as \"10s\" or \"500ms\"";
    Err(Complaint::new(what, remedy))
}

/// Kubernetes counts in whole seconds; none is none.
pub fn whole_seconds_or_none(text: &str) -> Result<u32, Complaint> {
    let time = duration(text)?;
    if time.subsec_millis() != 0 {
        let what = format!("must be a whole number of seconds: `{text}`");
        return Err(Complaint::new(what, "write it with a unit, such as \"30s\""));
    }
    Ok(u32::try_from(time.as_secs()).unwrap_or(u32::MAX))
}

/// `127.0.0.1:29791`, or `none`.
pub fn listen(text: &str) -> Result<Option<SocketAddr>, Complaint> {
    if text == "none" {
        return Ok(None);
    }
    if let Ok(address) = text.parse() {
        return Ok(Some(address));
    }
    let remedy = if text.parse::<std::net::IpAddr>().is_ok() {
        format!("add the port: \"{}\"", with_port(text))
    } else if let Some(port) = text.strip_prefix(':') {
        format!(
            "add the address: \"0.0.0.0:{port}\" for every interface, \"127.0.0.1:{port}\" for \
         this pod only"
        )
    } else if let Some(port) = text.strip_prefix("localhost:") {
        format!("use the numeric address: \"127.0.0.1:{port}\"")
    } else {
        "write ADDRESS:PORT with a numeric address, such as \"127.0.0.1:29791\", or \"none\"".into()
    };
    Err(Complaint::new(format!("is not an address to listen on: `{text}`"), remedy))
}

fn with_port(ip: &str) -> String {
    let port = super::LISTEN_PORT_DEFAULT;
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// `0o022` or `022` -> mask.
pub fn umask(text: &str) -> Result<u32, Complaint> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mask| *mask <= 0o777 && !digits.starts_with('+'))
        .ok_or_else(|| {
            Complaint::new(
                format!("is not a file mode mask: `{text}`"),
                "write three octal digits, such as \"0o022\"",
            )
        })
}

/// `:0`, `:0.0`, `unix:0`, `host:0` -> itself.
pub fn display(text: &str) -> Result<String, Complaint> {
    let number_ok = text.rsplit_once(':').is_some_and(|(_, number)| {
        let (number, screen) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        digits(screen)
            && digits(number)
            && number.parse::<u16>().is_ok_and(|n| n <= DISPLAY_NUMBER_MAX)
    });
    if number_ok {
        Ok(text.to_owned())
    } else {
        Err(Complaint::new(
            format!("is not an X display: `{text}`"),
            "write a colon and the display number, such as \":0\"",
        ))
    }
}

/// Largest display number: its TCP port 6000 + N must be a port.
const DISPLAY_NUMBER_MAX: u16 = u16::MAX - 6000;

/// A host name as it stands in a `Host` header, without port.
pub fn host(text: &str) -> Result<String, Complaint> {
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(Complaint::new(
            format!("has `{text}`, which is not a host name"),
            "write the name alone, without scheme and path, such as \"desktop.example.org\"",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_and_durations_need_a_whole_number_and_a_known_unit() {
        assert_eq!(size("8 MiB"), Ok(8 << 20));
        assert_eq!(size("0B"), Ok(0));
        assert_eq!(size("1kB"), Ok(1000));
        for bad in ["", "8", "MiB", "8 mib", "1.5 GiB", "-1 B", "99999999999 GiB", "8 MiB x"] {
            assert!(size(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2 m"), Ok(Duration::from_secs(120)));
        for bad in ["", "10", "s", "1.5s", "-1s", "10 sec", "99999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_listen_address_that_lacks_a_part_is_answered_with_the_whole() {
        assert_eq!(listen("none"), Ok(None));
        assert!(listen("[::]:29791").is_ok_and(|a| a.is_some()));
        assert!(listen(":80").unwrap_err().remedy.contains("0.0.0.0:80"));
        assert!(listen("localhost:80").unwrap_err().remedy.contains("127.0.0.1:80"));
        assert!(listen("::1").unwrap_err().remedy.contains("[::1]:29791"));
        assert!(listen("desktop.example.org:80").is_err());
    }

    #[test]
    fn masks_are_octal_and_displays_are_numbers() {
        assert_eq!(umask("0o022"), Ok(0o022));
        assert_eq!(umask("77"), Ok(0o77));
        for bad in ["", "0o", "8", "1000", "+22", "0x12"] {
            assert!(umask(bad).is_err(), "{bad:?} was accepted");
        }
        for good in [":0", ":0.0", "unix:3", "10.0.0.7:12"] {
            assert!(display(good).is_ok(), "{good:?} was refused");
        }
        for bad in ["", "0", ":", ":x", ":0.", ":99999", ":+1"] {
            assert!(display(bad).is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn no_text_makes_a_parser_panic(text in ".*") {
            let _ = (size(&text), duration(&text), listen(&text), umask(&text), display(&text), host(&text));
        }
    }
}
