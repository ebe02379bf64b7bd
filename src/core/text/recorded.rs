//! How the journal keeps what a text was made from. Elsewhere a text is written as its English.

use serde::{Deserialize, Serialize};

use super::{Made, Text};

/// A text with what it was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Recorded {
    /// Other people's words.
    Plain(String),
    /// From a template.
    Filled {
        /// It.
        template: String,
        /// Its values by name.
        values: Vec<(String, Recorded)>,
    },
    /// One after the other.
    Joined {
        /// Between them.
        separator: String,
        /// They.
        items: Vec<Recorded>,
    },
    /// With a capital letter.
    Capitalized {
        /// Without.
        text: Box<Recorded>,
    },
}

impl From<&Text> for Recorded {
    fn from(text: &Text) -> Self {
        match text.made.as_deref() {
            None => Self::Filled { template: text.english.clone(), values: Vec::new() },
            Some(Made::Words) => Self::Plain(text.english.clone()),
            Some(Made::Filled { template, values }) => Self::Filled {
                template: template.to_string(),
                values: values.iter().map(|(name, it)| (name.to_string(), it.into())).collect(),
            },
            Some(Made::Joined { separator, items }) => Self::Joined {
                separator: separator.to_string(),
                items: items.iter().map(Self::from).collect(),
            },
            Some(Made::Capitalized(text)) => Self::Capitalized { text: Box::new(Self::from(text)) },
        }
    }
}

impl From<Recorded> for Text {
    fn from(recorded: Recorded) -> Self {
        match recorded {
            Recorded::Plain(words) => Self::words(words),
            Recorded::Filled { template, values } => {
                let values = values.into_iter().map(|(name, it)| (name.into(), it.into()));
                Self::filled(template, values.collect())
            }
            Recorded::Joined { separator, items } => {
                let items: Vec<Self> = items.into_iter().map(Self::from).collect();
                let parts: Vec<&str> = items.iter().map(Self::as_str).collect();
                let english = parts.join(&separator);
                let made = Made::Joined { separator: separator.into(), items };
                Self { english, made: Some(Box::new(made)) }
            }
            Recorded::Capitalized { text } => Self::from(*text).capitalized(),
        }
    }
}

impl Text {
    /// What it was made from, where that says more than the text itself.
    #[must_use]
    pub fn recorded(&self) -> Option<Recorded> {
        let told = matches!(self.made.as_deref(), None | Some(Made::Words));
        (!told).then(|| self.into())
    }
}
