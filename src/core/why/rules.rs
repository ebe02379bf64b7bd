//! The rules: data in `rules/*.toml`, and an operator's own. Nothing is read before the first
//! diagnosis. To add one: `docs/diagnosis.md`.

mod read;

use std::sync::{LazyLock, OnceLock};

use super::cause::Cause;
use super::rule::{Offer, Rule};
use super::scan::Scanner;
pub use read::{Problem, read};

/// What a cause means in words: where no rule says it better.
const CAUSES: &str = include_str!("rules/causes.toml");

/// The families, in the order of the table.
pub const FAMILIES: [(&str, &str); 26] = [
    ("shm", include_str!("rules/shm.toml")),
    ("display", include_str!("rules/display.toml")),
    ("toolkits", include_str!("rules/toolkits.toml")),
    ("limits", include_str!("rules/limits.toml")),
    ("conflicts", include_str!("rules/conflicts.toml")),
    ("installed", include_str!("rules/installed.toml")),
    ("gpu", include_str!("rules/gpu.toml")),
    ("chromium", include_str!("rules/chromium.toml")),
    ("gl", include_str!("rules/gl.toml")),
    ("entry_point", include_str!("rules/entry_point.toml")),
    ("starting", include_str!("rules/starting.toml")),
    ("not_found", include_str!("rules/not_found.toml")),
    ("not_executable", include_str!("rules/not_executable.toml")),
    ("supervisors", include_str!("rules/supervisors.toml")),
    ("ending", include_str!("rules/ending.toml")),
    ("time", include_str!("rules/time.toml")),
    ("files", include_str!("rules/files.toml")),
    ("home", include_str!("rules/home.toml")),
    ("permissions", include_str!("rules/permissions.toml")),
    ("memory", include_str!("rules/memory.toml")),
    ("images", include_str!("rules/images.toml")),
    ("kubernetes", include_str!("rules/kubernetes.toml")),
    ("volumes", include_str!("rules/volumes.toml")),
    ("scheduling", include_str!("rules/scheduling.toml")),
    ("reported", include_str!("rules/reported.toml")),
    ("guesses", include_str!("rules/guesses.toml")),
];

/// What a cause means for the user, what to change and where, and what deskd could do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CauseText {
    /// Which.
    pub id: Cause,
    /// In one sentence, for a table of causes.
    pub meaning: String,
    /// For the user.
    pub sentence: String,
    /// For the integrator.
    pub advice: String,
    /// What deskd could do.
    #[serde(default)]
    pub offer: Offer,
}

#[derive(serde::Deserialize)]
struct Causes {
    cause: Vec<CauseText>,
}

static TEXTS: LazyLock<Vec<CauseText>> =
    LazyLock::new(|| toml::from_str::<Causes>(CAUSES).map_or_else(|_| Vec::new(), |it| it.cause));
static BUILT_IN: LazyLock<Rules> = LazyLock::new(|| Rules::with(Vec::new()));

/// The words of a cause. Every cause has them (tested).
#[must_use]
pub fn text(cause: Cause) -> Option<&'static CauseText> {
    TEXTS.iter().find(|text| text.id == cause)
}

/// What to change for a cause, and where.
#[must_use]
pub fn advice(cause: Cause) -> &'static str {
    text(cause).map_or("", |text| text.advice.as_str())
}

/// Rules that a text is judged by.
#[derive(Debug)]
pub struct Rules {
    all: Vec<Rule>,
    scanner: Scanner,
}

impl Rules {
    /// deskd's own.
    #[must_use]
    pub fn built_in() -> &'static Self {
        &BUILT_IN
    }

    /// deskd's own behind those of an operator, which come first among equals.
    #[must_use]
    pub fn with(mut all: Vec<Rule>) -> Self {
        // What cannot be read is no rule; that all of them can be is tested.
        all.extend(FAMILIES.iter().flat_map(|(_, text)| read(text).unwrap_or_default()));
        Self::of(all)
    }

    /// These alone.
    #[must_use]
    pub fn of(all: Vec<Rule>) -> Self {
        let scanner = Scanner::new(&all);
        Self { all, scanner }
    }

    /// All of them, in the order of the table.
    pub fn all(&self) -> impl Iterator<Item = &Rule> {
        self.all.iter()
    }

    pub(super) fn get(&self, place: usize) -> &Rule {
        &self.all[place]
    }

    pub(super) fn scanner(&self) -> &Scanner {
        &self.scanner
    }
}

/// An operator's rules, and deskd's own behind them once somebody asks.
#[derive(Debug, Default)]
pub struct LazyRules {
    own: Vec<Rule>,
    all: OnceLock<Rules>,
}

impl LazyRules {
    /// Of these; nothing else is read yet.
    #[must_use]
    pub fn new(own: Vec<Rule>) -> Self {
        Self { own, all: OnceLock::new() }
    }

    /// All of them.
    pub fn get(&self) -> &Rules {
        match self.own.is_empty() {
            true => Rules::built_in(),
            false => self.all.get_or_init(|| Rules::with(self.own.clone())),
        }
    }
}
