//! Versions of the messages: keeper and daemon are replaced one after the other, so each speaks to the release before.

#[cfg(doc)]
use super::FromKeeper;

/// Version of these messages: 4 since a keeper tells why SIGHUP changed nothing.
pub const VERSION: u32 = 4;
/// Oldest version that is spoken: one back, so that keeper and daemon can be replaced one after the other.
pub const VERSION_OLDEST: u32 = VERSION - 1;
/// First version with [`FromKeeper::ReloadRefused`].
pub const REFUSAL_SINCE: u32 = 4;
/// First version that keepers of places speak.
pub const PLACES_SINCE: u32 = 3;

/// The newest version that both sides speak, given what the other side does.
#[must_use]
pub fn agreed(version: u32, oldest: Option<u32>) -> Option<u32> {
    let both = version.min(VERSION);
    (both >= VERSION_OLDEST && both >= oldest.unwrap_or(version)).then_some(both)
}

#[cfg(test)]
mod tests {
    use super::super::ToKeeper;
    use super::*;

    #[test]
    fn one_version_back_is_spoken_and_no_more() {
        assert_eq!(agreed(VERSION, Some(VERSION_OLDEST)), Some(VERSION));
        // A release before versions were agreed on, and one after this.
        assert_eq!(agreed(VERSION_OLDEST, None), Some(VERSION_OLDEST));
        assert_eq!(agreed(VERSION + 1, Some(VERSION)), Some(VERSION));
        assert_eq!(agreed(VERSION + 1, None), None);
        assert_eq!(agreed(VERSION + 2, Some(VERSION + 1)), None);
        assert_eq!(agreed(VERSION_OLDEST - 1, None), None);
    }

    #[test]
    fn a_hello_of_version_1_is_understood() {
        let hello: ToKeeper = serde_json::from_str(r#"{"hello":{"version":1}}"#).unwrap();
        assert_eq!(hello, ToKeeper::Hello { version: 1, oldest: None });
    }
}
