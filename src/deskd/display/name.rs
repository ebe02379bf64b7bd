//! Display names: which display number `DISPLAY` means.
//!
//! deskd supervises the display of its own pod, so names with a host are refused: over TCP even
//! the own display loses shared memory, and another machine's display cannot be proved at all.

/// Largest display number whose TCP port (6000 + N) exists.
pub const DISPLAY_NUMBER_MAX: u16 = u16::MAX - deskd_core::display::X11_TCP_PORT_BASE;

/// Why a display name cannot be supervised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty or without a number.
    #[error("`{0}` is not a display name: it should look like `:0`")]
    Malformed(String),
    /// It names a host.
    #[error(
        "the display `{name}` names the host `{host}`; deskd supervises the display of its own \
         pod, such as `:0`"
    )]
    Remote {
        /// The whole name.
        name: String,
        /// The part before the colon.
        host: String,
    },
    /// The number has no TCP port.
    #[error("the display number in `{0}` is above {DISPLAY_NUMBER_MAX}")]
    NumberTooLarge(String),
}

/// The number in `:N`, `:N.S`, `unix:N` or `unix:N.S`.
pub fn parse(name: &str) -> Result<u16, NameError> {
    let malformed = || NameError::Malformed(name.to_owned());
    let (host, rest) = name.rsplit_once(':').ok_or_else(malformed)?;
    if !matches!(host, "" | "unix") {
        return Err(NameError::Remote { name: name.to_owned(), host: host.to_owned() });
    }
    let (number, screen) = rest.split_once('.').unwrap_or((rest, "0"));
    if !is_digits(number) || !is_digits(screen) {
        return Err(malformed());
    }
    match number.parse::<u16>() {
        Ok(number) if number <= DISPLAY_NUMBER_MAX => Ok(number),
        _ => Err(NameError::NumberTooLarge(name.to_owned())),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_displays_are_recognised_in_every_spelling() {
        for (name, number) in [(":0", 0), (":0.0", 0), ("unix:7", 7), ("unix:12.1", 12)] {
            assert_eq!(parse(name), Ok(number), "{name}");
        }
    }

    #[test]
    fn a_display_of_another_host_is_refused_with_the_host() {
        for name in ["10.0.0.1:0", "localhost:10.0", "[::1]:0", "tcp/unix:0"] {
            let error = parse(name).unwrap_err();
            assert!(matches!(&error, NameError::Remote { .. }), "{name}: {error}");
        }
    }

    #[test]
    fn nonsense_is_malformed() {
        for name in ["", "0", ":", ":x", ":0.", ":-1", ":0.0.0", ": 0", ":+1"] {
            assert!(matches!(parse(name), Err(NameError::Malformed(_))), "{name}");
        }
        assert!(matches!(parse(":59536"), Err(NameError::NumberTooLarge(_))));
        assert!(matches!(parse(":99999999999"), Err(NameError::NumberTooLarge(_))));
        assert_eq!(parse(":59535"), Ok(59535));
    }
}
