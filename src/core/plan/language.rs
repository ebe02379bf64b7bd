//! The language of a program's messages: English where nobody asks for another one, because what a
//! program writes when it fails is read by rules (`why`), and by whoever searches for it.
//!
//! The rest of the locale stays as it is: encoding, sorting, numbers and dates come from `LANG`.

use std::collections::BTreeMap;

use crate::env_var::{EnvSource, EnvVar};
use crate::text;
use crate::text::Text;

/// The category of messages: locale(7).
const MESSAGES: &str = "LC_MESSAGES";
/// The locale of English messages that every C library has: one that an image lacks would make
/// setlocale(3) refuse `LANG` as well.
const ENGLISH: &str = "C";
/// What wins over the category, or names the language by itself: whoever sets it asked for it.
const ASKED: [&str; 3] = ["LC_ALL", MESSAGES, "LANGUAGE"];

/// The variable, and what is to be said, of a program that gets these and has those of its image.
pub(super) fn of_messages(
    env: &BTreeMap<String, EnvVar>,
    image: &BTreeMap<String, String>,
) -> (Option<EnvVar>, Option<Text>) {
    let value = |name: &str| {
        let given = env.get(name).map(|var| var.value.as_str());
        given.or_else(|| image.get(name).map(String::as_str)).filter(|value| !value.is_empty())
    };
    let Some(language) = value("LC_ALL").or_else(|| value("LANG")).filter(|it| !is_english(it))
    else {
        return (None, None);
    };
    match ASKED.iter().find(|name| value(name).is_some()) {
        None => (Some(EnvVar::new(MESSAGES, ENGLISH, EnvSource::Plan)), None),
        Some(&"LC_ALL") => {
            let note = text!(
                "its messages are in the language of LC_ALL={language}, which deskd leaves as it is: \
                 it explains failures best in English",
                language
            );
            (None, Some(note))
        }
        Some(_) => (None, None),
    }
}

/// `C`, `POSIX`, `en_GB.UTF-8`: locale(7), `language[_territory][.codeset][@modifier]`.
fn is_english(locale: &str) -> bool {
    let language = locale.split(['_', '.', '@']).next().unwrap_or_default();
    matches!(language, "C" | "POSIX" | "en")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is added to these, and whether something is said.
    #[track_caller]
    fn check(given: &[(&str, &str)], image: &[(&str, &str)], expected: Option<&str>, said: bool) {
        let var = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), EnvVar::new(*name, *value, EnvSource::Deskd))
        };
        let env = given.iter().map(var).collect();
        let image = image.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let (added, note) = of_messages(&env, &image);
        assert_eq!(added.as_ref().map(|var| var.value.as_str()), expected, "{given:?} {image:?}");
        assert_eq!(note.is_some(), said, "{note:?}");
    }

    #[test]
    fn messages_are_english_unless_somebody_asks_for_a_language() {
        check(&[("LANG", "de_DE.UTF-8")], &[], Some("C"), false);
        check(&[], &[("LANG", "fr_FR")], Some("C"), false);
        check(&[("LANG", "de_DE.UTF-8"), ("LC_MESSAGES", "de_DE.UTF-8")], &[], None, false);
        check(&[("LANG", "de_DE.UTF-8"), ("LANGUAGE", "de")], &[], None, false);
        check(&[("LANG", "de_DE.UTF-8")], &[("LC_ALL", "de_DE.UTF-8")], None, true);
    }

    #[test]
    fn what_is_english_already_gets_nothing() {
        for english in ["C", "C.UTF-8", "POSIX", "en_US.UTF-8", "en"] {
            check(&[("LANG", english)], &[], None, false);
        }
        check(&[], &[], None, false);
        check(&[("LANG", "de_DE"), ("LC_ALL", "C.UTF-8")], &[], None, false);
        check(&[("LANG", "")], &[], None, false);
    }
}
