//! What is wrong with a configuration: where, what, and what to do about it.

use std::path::{Path, PathBuf};

/// Where in a file something is, counted from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Position {
    /// The position of byte `offset` of `text`.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.bytes().filter(|&b| b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The configuration file.
    File(Position),
    /// An environment variable.
    Env(String),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the value came from.
    pub origin: Origin,
    /// The key, such as `app.xclock.command`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, as the end of a sentence that begins with the key.
    pub what: String,
    /// What to do, in the imperative.
    pub remedy: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigErrors {
    /// The file could not be read at all.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Everything that is wrong, in the order of the file, the environment last.
    #[error("{} in the configuration", count(problems.len()))]
    Invalid {
        /// The file, when there is one.
        path: Option<PathBuf>,
        /// At least one.
        problems: Vec<Problem>,
    },
}

impl ConfigErrors {
    /// The text for people: one problem per paragraph, `file:line:column` first so that editors
    /// and terminals can jump there.
    #[must_use]
    pub fn report(&self) -> String {
        match self {
            Self::Unreadable { path, source } => format!(
                "{}: cannot be read: {source}\n    remedy: check the path, or unset DESKD_CONFIG \
                 (deskd runs without a file too)\n",
                path.display()
            ),
            Self::Invalid { path, problems } => {
                problems.iter().map(|problem| problem.report(path.as_deref())).collect()
            }
        }
    }

    /// Whether there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }

    /// The problems; none when the file could not be read.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Invalid { problems, .. } => problems,
        }
    }
}

impl Problem {
    /// The text for people, two lines.
    #[must_use]
    pub fn report(&self, path: Option<&Path>) -> String {
        let place = match &self.origin {
            Origin::File(at) => {
                let file = path.map_or_else(|| "configuration".into(), |p| p.display().to_string());
                format!("{file}:{}:{}", at.line, at.column)
            }
            Origin::Env(name) => format!("environment variable {name}"),
        };
        let key = if self.key.is_empty() { String::new() } else { format!("`{}` ", self.key) };
        format!("{place}: {key}{}\n    remedy: {}\n", self.what, self.remedy)
    }
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".into() } else { format!("{problems} problems") }
}

/// Edits at most this many apart are suggested.
const SUGGESTION_DISTANCE_MAX: usize = 3;

/// The word of `known` that `word` was probably meant to be.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let limit = SUGGESTION_DISTANCE_MAX.min(word.chars().count().div_ceil(3));
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance: insertions, deletions, substitutions, swapped neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substitution = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitution.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_likely_typo_is_recognised_and_a_stranger_is_not() {
        let known = ["listen", "state_dir", "token_file"];
        assert_eq!(did_you_mean("lisetn", &known), Some("listen"));
        assert_eq!(did_you_mean("statedir", &known), Some("state_dir"));
        assert_eq!(did_you_mean("colour", &known), None);
        assert_eq!(did_you_mean("", &known), None);
    }

    #[test]
    fn positions_count_characters_from_one_and_survive_any_offset() {
        let text = "a = 1\nä = x";
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, text.len()), Position { line: 2, column: 6 });
        assert_eq!(Position::of(text, 7), Position { line: 2, column: 1 });
        assert_eq!(Position::of(text, 999).line, 2);
    }
}
