//! Durations as people write them in configuration files, labels and commands: a whole number and
//! a unit, such as `10s` or `500ms`.

use std::time::Duration;

/// Units, in milliseconds.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DurationError {
    /// Not a whole number followed by a unit.
    Malformed,
    /// A unit other than `ms`, `s`, `m` and `h`.
    Unit(String),
    /// More milliseconds than 64 bits hold.
    TooLong,
}

/// `10s`, `500 ms` -> duration.
///
/// # Errors
/// What is wrong with the text.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let (number, unit) = number_and_unit(text).ok_or(DurationError::Malformed)?;
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let factor = factor.ok_or_else(|| DurationError::Unit(unit.to_owned()))?;
    number.checked_mul(factor).map(Duration::from_millis).ok_or(DurationError::TooLong)
}

/// A whole number and the unit after it; nothing where one of the two is missing.
#[must_use]
pub fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    (!unit.is_empty()).then_some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_known_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse(" 2 m "), Ok(Duration::from_secs(120)));
        assert_eq!(parse("0h"), Ok(Duration::ZERO));
        for malformed in ["", "10", "s", "-1s"] {
            assert_eq!(parse(malformed), Err(DurationError::Malformed), "{malformed:?}");
        }
        for unit in ["1.5s", "10 sec", "1d", "1S"] {
            assert!(matches!(parse(unit), Err(DurationError::Unit(_))), "{unit:?}");
        }
        assert_eq!(parse("99999999999999999h"), Err(DurationError::TooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn every_number_of_milliseconds_is_read_back(ms in any::<u64>()) {
            prop_assert_eq!(parse(&format!("{ms}ms")), Ok(Duration::from_millis(ms)));
        }

        #[test]
        fn no_text_panics(text in "[0-9]{0,25}.*") {
            let _ = parse(&text);
        }
    }
}
