//! A rule: words of a program, what the evidence must say too, and what it means.

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::fact::Fact;
use super::pattern;
use super::rules::CauseText;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its stable name.
    pub id: String,
    /// What it means when it fires.
    pub cause: Cause,
    /// Patterns (see `pattern.rs`), any of which must be on a line of the log or of what the
    /// cluster said. None: the evidence alone makes it fire.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// Whose words they are.
    #[serde(default)]
    pub speaker: Speaker,
    /// Patterns that must not be on that line.
    #[serde(default)]
    pub never: Vec<String>,
    /// Patterns any of which must be on a line near it, if there are any ([`NEAR_LINES`]).
    #[serde(default)]
    pub near: Vec<String>,
    /// Patterns none of which may be on a line near it: they say that it followed from something
    /// else (an X server that its wrapper stops loses its programs).
    #[serde(default)]
    pub not_near: Vec<String>,
    /// What kind of words they are.
    #[serde(default)]
    pub weight: Weight,
    /// They count only among so many last lines: what a program does without is the cause of nothing
    /// that it goes on after. Absent: wherever they are.
    pub last_lines: Option<usize>,
    /// Facts that must be known to hold.
    #[serde(default)]
    pub needs: Vec<Fact>,
    /// Facts that must not be known to hold.
    #[serde(default)]
    pub unless: Vec<Fact>,
    /// How sure it makes.
    #[serde(default = "likely")]
    pub confidence: Confidence,
    /// For the user; `{1}` is what the first star of the pattern stood for. Empty: the cause's.
    #[serde(default)]
    pub sentence: String,
    /// For the integrator: what to change, and where. Empty: the cause's.
    #[serde(default)]
    pub advice: String,
    /// What deskd could do; absent: the cause's.
    pub offer: Option<Offer>,
    /// Which program and version writes it, or which document says so.
    pub source: String,
    /// Lines on which it must fire.
    #[serde(default)]
    pub fires: Vec<String>,
    /// Lines on which it must not.
    #[serde(default)]
    pub silent: Vec<String>,
}

fn likely() -> Confidence {
    Confidence::Likely
}

impl Rule {
    /// Takes from its cause what it does not say itself.
    pub(super) fn inherit(&mut self, text: &CauseText) {
        if self.sentence.is_empty() {
            self.sentence.clone_from(&text.sentence);
        }
        if self.advice.is_empty() {
            self.advice.clone_from(&text.advice);
        }
        self.offer = self.offer.or(Some(text.offer));
    }

    /// Whether one of its patterns is on the line, and nothing that must not be.
    #[must_use]
    pub fn matches(&self, line: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| pattern::matches(pattern, line).is_some())
            && !self.is_excluded(line)
    }

    /// Whether the line has what must not be on it.
    #[must_use]
    pub fn is_excluded(&self, line: &[u8]) -> bool {
        self.never.iter().any(|pattern| pattern::matches(pattern, line).is_some())
    }
}

/// Lines before and after a line that are near it.
pub const NEAR_LINES: usize = 8;

/// Whose words a pattern is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// A program's, or anybody's.
    #[default]
    Anybody,
    /// The cluster's: a program whose log has them speaks of something else (a browser that meets a
    /// `401 Unauthorized`). They count in what the cluster said, and in a text of which nobody knows
    /// how it came to be, such as the output of `kubectl describe`.
    Cluster,
    /// A program's: an engine or kubelet that says the same speaks of its own files (`crun: open
    /// /home/...: Permission denied`).
    Program,
}

/// What a program means when it writes such words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Counts always: deskd's own record, and words that no program writes that runs well.
    Always,
    /// It ends after them, whatever its exit code says (a pipeline's is its last command's): with
    /// code 0 they must be among the last lines.
    LastWords,
    /// The same, of whose end nothing but a line tells: with code 0 it must be the very last.
    LastLine,
    #[default]
    /// It cannot do something. Counts unless the program worked well ([`Fact::WorkedWell`]).
    Complaint,
    /// Many write it and run well. Counts only for a program that is known to have failed, and did
    /// not begin well ([`Fact::BeganWell`]).
    Noise,
    /// What a complaint is about: looked for in the last complaints of what failed, when nothing else is
    /// told. Never more than possible; its words may be short.
    Guess,
}

/// How sure a diagnosis is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It may be.
    Possible,
    /// It most often is.
    Likely,
    /// It says so itself.
    Certain,
}

impl Confidence {
    /// For people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

/// What deskd could do; whether it can here, `remedy.rs` decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offer {
    /// Nothing.
    #[default]
    Nothing,
    /// Run it where it shares memory with the X server.
    SharedMemory,
    /// The same, or the switch of its toolkit that does without.
    ShmSwitch,
    /// Chromium without `/dev/shm`.
    DisableDevShm,
    /// Chromium without the GPU.
    DisableGpu,
    /// An AppImage without FUSE.
    ExtractAppImage,
    /// More memory.
    MoreMemory,
    /// Less of what no node has.
    LessOf,
    /// Its program instead of the image's own command.
    RunProgram,
}
