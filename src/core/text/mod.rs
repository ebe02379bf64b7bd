//! Sentences for people as values: an English template with named values, so that whoever shows one
//! can show it in another language.
//!
//! ```text
//!  text!("the node {node} evicted its pod", node) --> Text --> as it is: English (command line, journal,
//!                                                      |       log, and an API request without a wish)
//!                                                      +-----> in_language(French): the catalogue's
//! ```
//!
//! The English text is the key, as in gettext: there is no second name for a sentence, and one whose
//! English changes has no translation until somebody looks at it again (`tests/it/catalogue.rs`
//! fails). One file per language, in gettext's format: `fr.po` and its neighbours.

mod catalogue;
mod language;
mod localized;
mod recorded;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use catalogue::{Entry, entries, translation};
pub use language::Language;
pub use recorded::Recorded;

/// A sentence, or a part of one. It reads as its English; two are equal when they read equally.
#[derive(Clone, Default)]
pub struct Text {
    english: String,
    made: Option<Box<Made>>,
}

/// What a text was made from; without it the text is translated as a whole.
#[derive(Clone)]
enum Made {
    /// Other people's words, or a name: no translation is looked for.
    Words,
    /// A template whose `{name}` stand for these.
    Filled { template: Cow<'static, str>, values: Vec<(Cow<'static, str>, Text)> },
    /// One after the other.
    Joined { separator: Cow<'static, str>, items: Vec<Text> },
    /// With a capital letter, as at the start of a sentence.
    Capitalized(Text),
}

/// A [`Text`] from a template and the values of its `{name}`s, each a variable of that name or
/// `name = value`. Without values, a plain string is a text too.
#[macro_export]
macro_rules! text {
    ($template:literal $(, $name:ident $(= $value:expr)?)* $(,)?) => {
        $crate::text::Text::filled(
            $template,
            vec![$((stringify!($name).into(), $crate::text!(@value $name $(, $value)?))),*],
        )
    };
    (@value $name:ident) => { $crate::text!(@value $name, $name) };
    (@value $name:ident, $value:expr) => {{
        #[allow(unused_imports, reason = "whether it is needed depends on the value")]
        use $crate::text::Shown as _;
        $crate::text::Value(&$value).text()
    }};
}

impl Text {
    /// Other people's words, or a name: the same in every language.
    #[must_use]
    pub fn words(words: impl Into<String>) -> Self {
        Self { english: words.into(), made: Some(Box::new(Made::Words)) }
    }

    /// From a template and values; see [`text!`](crate::text!).
    #[must_use]
    pub fn filled(
        template: impl Into<Cow<'static, str>>,
        values: Vec<(Cow<'static, str>, Self)>,
    ) -> Self {
        let template = template.into();
        let english = fill(&template, &values, |value| Cow::Borrowed(&value.english));
        let made = (!values.is_empty()).then(|| Box::new(Made::Filled { template, values }));
        Self { english, made }
    }

    /// One after the other.
    #[must_use]
    pub fn joined(items: impl IntoIterator<Item = Self>, separator: &'static str) -> Self {
        let items: Vec<Self> = items.into_iter().collect();
        let parts: Vec<&str> = items.iter().map(|item| item.english.as_str()).collect();
        let english = parts.join(separator);
        Self { english, made: Some(Box::new(Made::Joined { separator: separator.into(), items })) }
    }

    /// With a capital letter, as at the start of a sentence.
    #[must_use]
    pub fn capitalized(self) -> Self {
        Self { english: capitalized(&self.english), made: Some(Box::new(Made::Capitalized(self))) }
    }

    /// The English text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.english
    }

    /// The text in a language; in English where there is no translation, as for other people's words.
    #[must_use]
    pub fn in_language(&self, language: Language) -> Cow<'_, str> {
        if language == Language::English {
            return Cow::Borrowed(&self.english);
        }
        let found = match self.made.as_deref() {
            None => return translation(&self.english, language).unwrap_or(&self.english).into(),
            Some(Made::Words) => return Cow::Borrowed(&self.english),
            Some(Made::Filled { template, values }) => {
                let translated = translation(template, language).unwrap_or(template);
                fill(translated, values, |value| value.in_language(language))
            }
            Some(Made::Joined { separator, items }) => {
                let parts: Vec<_> = items.iter().map(|item| item.in_language(language)).collect();
                parts.join(separator)
            }
            Some(Made::Capitalized(text)) => capitalized(&text.in_language(language)),
        };
        Cow::Owned(found)
    }

    /// Puts the text in a language in its place. It is not translated a second time.
    pub fn translate(&mut self, language: Language) {
        let text = self.in_language(language).into_owned();
        *self = Self::words(text);
    }
}

/// Something with texts in it that people read.
pub trait Localized: Clone {
    /// Calls `each` with every text.
    fn texts(&mut self, each: &mut dyn FnMut(&mut Text));

    /// It with its texts in a language.
    fn in_language(&self, language: Language) -> Cow<'_, Self> {
        if language == Language::English {
            return Cow::Borrowed(self);
        }
        let mut translated = self.clone();
        translated.texts(&mut |text| text.translate(language));
        Cow::Owned(translated)
    }
}

/// The template with each `{name}` replaced by its value. Braces of values are left alone, and so are
/// those of the template that name nothing.
fn fill<'v>(
    template: &str,
    values: &'v [(Cow<'static, str>, Text)],
    shown: impl Fn(&'v Text) -> Cow<'v, str>,
) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        let name = rest[1..].split('}').next().unwrap_or_default();
        match values.iter().find(|(known, _)| known == name) {
            Some((_, value)) => {
                filled.push_str(&shown(value));
                rest = &rest[name.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.english
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.english)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.english, f)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.english == other.english
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.english.cmp(&other.english)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.english == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.english == *other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        self.english == *other
    }
}

impl From<String> for Text {
    fn from(words: String) -> Self {
        Self::words(words)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.english
    }
}

impl From<&Self> for Text {
    fn from(text: &Self) -> Self {
        text.clone()
    }
}

/// A value of a template, as [`text!`](crate::text!) takes it: a text stays one, and of anything else its
/// `Display` is taken.
#[derive(Debug)]
pub struct Value<'v, T>(pub &'v T);

impl Value<'_, Text> {
    /// It.
    #[must_use]
    pub fn text(&self) -> Text {
        self.0.clone()
    }
}

impl Value<'_, &Text> {
    /// It.
    #[must_use]
    pub fn text(&self) -> Text {
        (*self.0).clone()
    }
}

/// What any other value is shown as.
pub trait Shown {
    /// Its words.
    fn text(&self) -> Text;
}

impl<T: fmt::Display> Shown for Value<'_, T> {
    fn text(&self) -> Text {
        Text::words(self.0.to_string())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.english)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // A sentence without values is found in the catalogue as it is.
        String::deserialize(from).map(|english| Self { english, made: None })
    }
}

impl utoipa::PartialSchema for Text {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some(
                "For people, in the language of `Accept-Language`: en, de, es, fr, zh.",
            ))
            .into()
    }
}

impl utoipa::ToSchema for Text {}

#[cfg(test)]
mod tests;
