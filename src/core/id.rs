//! Identifiers: application ids and task ids.

use serde::{Deserialize, Serialize};

/// Longest id, in bytes: a DNS-1123 label, so that an id can name a Kubernetes object.
pub const ID_BYTES_MAX: usize = 63;
/// Hexadecimal digits that make a task id unique (as in abcdesktop's pod names).
pub const TASK_SUFFIX_DIGITS: usize = 5;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty text.
    #[error("an id must not be empty")]
    Empty,
    /// Longer than [`ID_BYTES_MAX`].
    #[error("`{0}` is longer than 63 characters")]
    TooLong(String),
    /// A character outside `a-z 0-9 -`, or a `-` at an end.
    #[error("`{0}` may contain only a-z, 0-9 and `-`, and may not begin or end with `-`")]
    Characters(String),
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(IdError::TooLong(text.to_owned()));
    }
    let inner = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !inner || text.starts_with('-') || text.ends_with('-') {
        return Err(IdError::Characters(text.to_owned()));
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.as_str().to_owned()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// Names an application: a DNS-1123 label, at most 63 bytes, such as `gnome-2048`.
    AppId
);
id!(
    /// Names a task: `<app>-<5 hex digits>`, a DNS-1123 label. Also the name of its log directory.
    TaskId
);

impl AppId {
    /// The id that is nearest to a text: its letters in lower case and its digits, `-` for the rest.
    #[must_use]
    pub fn like(text: &str) -> Self {
        let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let text: String = text.chars().map(legal).take(ID_BYTES_MAX).collect();
        match text.trim_matches('-') {
            "" => Self("app".into()),
            text => Self(text.into()),
        }
    }
}

impl TaskId {
    /// The task id for `app` with the low 20 bits of `unique` as its suffix.
    #[must_use]
    pub fn new(app: &AppId, unique: u32) -> Self {
        let room = ID_BYTES_MAX - TASK_SUFFIX_DIGITS - 1;
        let stem = &app.as_str()[..app.as_str().len().min(room)];
        Self(format!("{}-{:05x}", stem.trim_end_matches('-'), unique & 0xf_ffff).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_kubernetes_would_refuse() {
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "../x", &"a".repeat(64)] {
            assert!(bad.parse::<AppId>().is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn a_task_id_is_itself_a_valid_id(app in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", n: u32) {
            let app: AppId = app.parse().unwrap();
            let id = TaskId::new(&app, n);
            prop_assert!(id.as_str().parse::<TaskId>().is_ok());
        }

        #[test]
        fn every_text_has_an_id_like_it_and_an_id_is_its_own(text in ".{0,90}", id in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?") {
            prop_assert!(AppId::like(&text).as_str().parse::<AppId>().is_ok());
            let like = AppId::like(&id);
            prop_assert_eq!(like.as_str(), &id);
        }
    }
}
