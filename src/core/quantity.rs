//! Quantities as Kubernetes writes them: `500m`, `1.5Gi`, `2e3`. Parsing and comparing only: what
//! is sent to the API server is the text that somebody wrote, which it then normalizes itself.
//!
//! The grammar is that of `k8s.io/apimachinery/pkg/api/resource` (quantity.go), without a minus
//! sign: the API server refuses negative requests and limits.

use std::str::FromStr;

/// Parts of one unit that are told apart; finer ones are rounded up, as Kubernetes does.
const NANOS_PER_UNIT: u128 = 1_000_000_000;
/// 10 to this is [`NANOS_PER_UNIT`].
const NANO_DIGITS: i64 = 9;
/// Largest quantity, in units: larger ones are taken for it, as Kubernetes does.
const UNITS_MAX: u128 = (1 << 63) - 1;
/// Longest text taken for a quantity, in bytes (the exact form of the largest has 29 digits).
const TEXT_BYTES_MAX: usize = 64;

/// An amount of something, exact to a billionth of its unit (a core, a byte, a device).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity {
    nanos: u128,
}

/// Why a text is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Nothing in front of the suffix.
    #[error("has no number")]
    NoNumber,
    /// A minus sign.
    #[error("is negative")]
    Negative,
    /// A suffix that Kubernetes does not know.
    #[error("has a unit that is none of m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei")]
    Suffix,
    /// Longer than any real one.
    #[error("is longer than {TEXT_BYTES_MAX} characters")]
    TooLong,
}

/// What the suffix multiplies by: 2 to `binary` times 10 to `decimal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    binary: u32,
    decimal: i64,
}

impl Quantity {
    /// The largest one there is.
    pub const LARGEST: Self = Self { nanos: UNITS_MAX * NANOS_PER_UNIT };

    /// Reads one.
    ///
    /// # Errors
    /// What of the grammar it breaks.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(QuantityError::TooLong);
        }
        if text.starts_with('-') {
            return Err(QuantityError::Negative);
        }
        let text = text.strip_prefix('+').unwrap_or(text);
        let (whole, rest) = digits(text);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(QuantityError::NoNumber);
        }
        let scale = scale(suffix).ok_or(QuantityError::Suffix)?;
        Ok(Self { nanos: nanos(whole, fraction, scale).min(Self::LARGEST.nanos) })
    }

    /// Whole units, rounded up: bytes of memory, GPUs.
    #[must_use]
    pub fn units(self) -> u128 {
        self.nanos.div_ceil(NANOS_PER_UNIT)
    }

    /// Thousandths, rounded up: of a core.
    #[must_use]
    pub fn millis(self) -> u128 {
        self.nanos.div_ceil(NANOS_PER_UNIT / 1000)
    }

    /// Both together; at most the largest.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        let nanos = self.nanos.saturating_add(other.nanos);
        Self { nanos: nanos.min(UNITS_MAX * NANOS_PER_UNIT) }
    }

    /// Whether it has no fraction: extended resources such as GPUs are counted.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.nanos.is_multiple_of(NANOS_PER_UNIT)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// The leading decimal digits and what follows.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn scale(suffix: &str) -> Option<Scale> {
    let (binary, decimal) = match suffix {
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "" => (0, 0),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        // Rust's integers take the same forms as Go's `ParseInt`: digits after at most one sign.
        _ => (0, suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?.into()),
    };
    Some(Scale { binary, decimal })
}

/// The number times its scale in billionths, rounded up; too large ones are `u128::MAX`.
fn nanos(whole: &str, fraction: &str, scale: Scale) -> u128 {
    let mut exponent = scale.decimal + NANO_DIGITS;
    let mut number: u128 = 0;
    let mut inexact = false;
    let fraction_digits = fraction.bytes().map(|digit| (digit, true));
    for (digit, below_one) in whole.bytes().map(|digit| (digit, false)).chain(fraction_digits) {
        let digit = u128::from(digit - b'0');
        // Digits that the factor of a binary suffix leaves no room for only round up.
        if number < u128::MAX >> (scale.binary + 5) {
            number = number * 10 + digit;
            exponent -= i64::from(below_one);
        } else {
            inexact |= digit > 0;
            exponent += i64::from(!below_one);
        }
    }
    number <<= scale.binary;
    let power = u32::try_from(exponent.unsigned_abs()).ok().and_then(|n| 10u128.checked_pow(n));
    match (number, exponent >= 0, power) {
        (0, ..) => u128::from(inexact),
        (_, true, Some(power)) => number.saturating_mul(power),
        (_, true, None) => u128::MAX,
        (_, false, Some(power)) => {
            number / power + u128::from(inexact || !number.is_multiple_of(power))
        }
        (_, false, None) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Quantity {
        Quantity::parse(text).unwrap_or_else(|error| panic!("{text:?} {error}"))
    }

    #[test]
    fn every_suffix_of_kubernetes_multiplies_by_what_it_says() {
        let table: [(&str, u128); 24] = [
            ("0", 0),
            ("0.", 0),
            (".5", 500_000_000),
            ("1", NANOS_PER_UNIT),
            ("+1", NANOS_PER_UNIT),
            ("001.50", 1_500_000_000),
            ("1n", 1),
            ("1u", 1_000),
            ("1m", 1_000_000),
            ("500m", 500_000_000),
            ("1k", 1_000 * NANOS_PER_UNIT),
            ("1M", 1_000_000 * NANOS_PER_UNIT),
            ("1G", 1_000_000_000 * NANOS_PER_UNIT),
            ("1T", 1_000_000_000_000 * NANOS_PER_UNIT),
            ("1P", 1_000_000_000_000_000 * NANOS_PER_UNIT),
            ("1E", 1_000_000_000_000_000_000 * NANOS_PER_UNIT),
            ("1Ki", NANOS_PER_UNIT << 10),
            ("1.5Mi", (NANOS_PER_UNIT << 20) + (NANOS_PER_UNIT << 19)),
            ("1Gi", NANOS_PER_UNIT << 30),
            ("1Ti", NANOS_PER_UNIT << 40),
            ("1Pi", NANOS_PER_UNIT << 50),
            ("1Ei", NANOS_PER_UNIT << 60),
            ("1e3", 1_000 * NANOS_PER_UNIT),
            ("2.5E-3", 2_500_000),
        ];
        for (text, nanos) in table {
            assert_eq!(parse(text), Quantity { nanos }, "{text:?}");
        }
        assert_eq!(parse("1e+3"), parse("1k"));
    }

    #[test]
    fn what_is_finer_than_a_billionth_is_rounded_up_and_what_is_too_large_is_capped() {
        let nano = Quantity { nanos: 1 };
        for tiny in ["0.1n", "1e-30", "1e-2147483648", "0.0000000001"] {
            assert_eq!(parse(tiny), nano, "{tiny:?}");
        }
        let most = Quantity { nanos: UNITS_MAX * NANOS_PER_UNIT };
        for huge in ["8Ei", "10E", "1e30", "1e2147483647", "9223372036854775807", "99999999999Ei"] {
            assert_eq!(parse(huge), most, "{huge:?}");
        }
        assert!(parse("9223372036854775806.999999999") < most);
        assert_eq!(parse(&"9".repeat(TEXT_BYTES_MAX)), most);
        assert_eq!(parse("0e999"), Quantity::default());
    }

    #[test]
    fn what_the_grammar_does_not_have_is_refused() {
        use QuantityError::{Negative, NoNumber, Suffix, TooLong};
        // The invalid ones of Kubernetes' own quantity_test.go, and what people write by mistake.
        for (text, error) in [
            ("1.1.M", Suffix),
            ("1+1.0M", Suffix),
            ("0.1mi", Suffix),
            ("0.1am", Suffix),
            ("aoeu", NoNumber),
            (".5i", Suffix),
            ("1i", Suffix),
            ("3.01e-", Suffix),
            ("1e1.5", Suffix),
            ("1e", Suffix),
            ("1K", Suffix),
            ("1ki", Suffix),
            ("1GB", Suffix),
            ("1GiB", Suffix),
            ("1 Gi", Suffix),
            (" 1", NoNumber),
            ("1 ", Suffix),
            ("", NoNumber),
            (".", NoNumber),
            ("+", NoNumber),
            ("Ki", NoNumber),
            ("-1", Negative),
            ("1e99999999999", Suffix),
            ("٣", NoNumber),
        ] {
            assert_eq!(Quantity::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(Quantity::parse(&"1".repeat(TEXT_BYTES_MAX + 1)), Err(TooLong));
    }

    #[test]
    fn quantities_of_different_forms_compare_by_amount() {
        assert_eq!(parse("1000m"), parse("1"));
        assert_eq!(parse("1024Mi"), parse("1Gi"));
        assert!(parse("1G") < parse("1Gi"));
        assert!(parse("100m") < parse("0.11"));
        assert_eq!(parse("1.5Gi").units(), 3 << 29);
        assert_eq!((parse("1100u").millis(), parse("0.1").units()), (2, 1));
        assert!(parse("2").is_whole() && parse("1e3").is_whole() && !parse("1500m").is_whole());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn no_text_panics(text in ".*", number in r"[0-9]{0,40}\.?[0-9]{0,20}[a-zA-Z]{0,2}-?[0-9]{0,12}") {
            let _ = (Quantity::parse(&text), Quantity::parse(&number));
        }

        #[test]
        fn millis_and_bytes_are_exact(millis in 0u64.., kib in 0u64..1 << 50) {
            prop_assert_eq!(parse(&format!("{millis}m")).millis(), u128::from(millis));
            prop_assert_eq!(parse(&format!("{kib}Ki")).units(), u128::from(kib) << 10);
            let fraction = format!("{}.{:03}", millis / 1000, millis % 1000);
            prop_assert_eq!(parse(&fraction), parse(&format!("{millis}m")));
        }
    }
}
