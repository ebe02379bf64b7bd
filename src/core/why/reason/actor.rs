//! Who asked for something.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;
use crate::text::Text;

/// Who asked for a stop or a remedy. JSON has the words of its `Display`; whatever else stands there
/// is the name of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A person, by this name.
    User(String),
    /// deskd, by itself.
    Deskd,
    /// deskd, since it is shut down.
    Shutdown,
    /// Whoever deleted the pod that deskd had not made: the API does not say more.
    PodDeleter,
    /// The node, or Kubernetes.
    Node,
}

/// A user of whom nothing more is known.
const A_USER: &str = "a user";

impl Actor {
    /// Those with words of their own.
    const NAMED: [Self; 4] = [Self::Deskd, Self::Shutdown, Self::PodDeleter, Self::Node];

    /// A user whose name nobody told.
    #[must_use]
    pub fn a_user() -> Self {
        Self::User(A_USER.to_owned())
    }

    /// Who it is.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::User(name) if name == A_USER => text!("a user"),
            Self::User(name) => Text::words(name),
            Self::Deskd => Text::words("deskd"),
            Self::Shutdown => text!("the shutdown"),
            Self::PodDeleter => text!("whoever deleted its pod"),
            Self::Node => text!("the node"),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

impl From<String> for Actor {
    fn from(words: String) -> Self {
        let named = Self::NAMED.into_iter().find(|actor| actor.to_string() == words);
        named.unwrap_or(Self::User(words))
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_read_as_it_is_written_and_other_words_are_a_user_s_name() {
        let anna = Actor::User("anna of the node".into());
        for actor in [Actor::a_user(), anna].into_iter().chain(Actor::NAMED) {
            let json = serde_json::to_string(&actor).unwrap();
            assert_eq!(serde_json::from_str::<Actor>(&json).unwrap(), actor, "{json}");
        }
    }
}
