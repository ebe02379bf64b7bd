//! The languages that there are texts in, and which of them somebody wants.

/// Languages of an `Accept-Language` that are looked at; browsers send at most ten.
const WANTED_MAX: usize = 32;

/// A language that every text exists in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// In which texts are written.
    #[default]
    English,
    /// `de`
    German,
    /// `es`
    Spanish,
    /// `fr`
    French,
    /// `zh`, in simplified characters.
    Chinese,
}

impl Language {
    /// All of them, in the order of the catalogue's columns.
    pub const ALL: [Self; 5] =
        [Self::English, Self::German, Self::Spanish, Self::French, Self::Chinese];

    /// Its tag (BCP 47): `de`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::Spanish => "es",
            Self::French => "fr",
            Self::Chinese => "zh",
        }
    }

    /// The one of a tag, whatever its region or script: `de-CH`.
    #[must_use]
    pub fn tagged(tag: &str) -> Option<Self> {
        let language = tag.trim().split(['-', '_']).next()?;
        Self::ALL.into_iter().find(|it| it.tag().eq_ignore_ascii_case(language))
    }

    /// The one that an `Accept-Language` (RFC 9110, 12.5.4) wants most; English if it wants none of
    /// them.
    #[must_use]
    pub fn accepted(header: &str) -> Self {
        let mut best = (0.0, Self::English);
        for wish in header.split(',').take(WANTED_MAX) {
            let (tag, weight) = wish.split_once(';').unwrap_or((wish, "q=1"));
            let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok());
            if let (Some(language), Some(weight)) = (Self::tagged(tag), weight)
                && weight > best.0
            {
                best = (weight, language);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_that_is_wanted_most_and_exists_is_taken() {
        let check = |header, wanted| assert_eq!(Language::accepted(header), wanted, "{header}");
        check("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", Language::French);
        check("it, nl;q=0.9, es-419;q=0.3", Language::Spanish);
        check("en-GB,de;q=0.9", Language::English);
        check("de;q=0.2, ZH-hans-cn;q=0.4", Language::Chinese);
        check("fr;q=0, de;q=0.1", Language::German);
        for odd in ["", "it", "*", ";;;,,,", "fr;q=many", "fr;q=-1", "fr;q=NaN", "franglais"] {
            check(odd, Language::English);
        }
    }
}
