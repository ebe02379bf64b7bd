//! A rule: words of a program, what the evidence must say too, and what it means.

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::fact::Fact;

/// A rule. All of its fields are constants: the table is data.
#[derive(Debug)]
pub struct Rule {
    /// Its stable name.
    pub name: &'static str,
    /// What it means when it fires.
    pub cause: Cause,
    /// Patterns (see `pattern.rs`), any of which must be on a line of the log or of what the
    /// cluster said. None: the evidence alone makes it fire.
    pub any: &'static [&'static str],
    /// Whose words they are.
    pub speaker: Speaker,
    /// Words that must not be on that line.
    pub never: &'static [&'static str],
    /// Patterns any of which must be on a line near it, if there are any ([`NEAR_LINES`]).
    pub near: &'static [&'static str],
    /// What kind of words they are.
    pub weight: Weight,
    /// Facts that must be known to hold.
    pub needs: &'static [Fact],
    /// Facts that must not be known to hold.
    pub unless: &'static [Fact],
    /// How sure it makes.
    pub confidence: Confidence,
    /// For the user; `{1}` is what the first star of the pattern stood for.
    pub sentence: &'static str,
    /// For the integrator: what to change, and where.
    pub advice: &'static str,
    /// What deskd could do.
    pub offer: Offer,
    /// Which program and version writes it, or which document says so.
    pub source: &'static str,
}

/// Lines before and after a line that are near it.
pub const NEAR_LINES: usize = 8;

/// Whose words a pattern is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// A program's, or anybody's.
    Anybody,
    /// The cluster's: a program whose log has them speaks of something else (a browser that meets a
    /// `401 Unauthorized`). They count in what the cluster said, and in a text of which nobody knows
    /// how it came to be, such as the output of `kubectl describe`.
    Cluster,
}

/// What a program means when it writes such words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Counts always: deskd's own record, and words that no program writes that runs well.
    Always,
    /// It ends after them, whatever its exit code says (a pipeline's is its last command's): with
    /// code 0 they must be among the last lines.
    LastWords,
    /// The same, of whose end nothing but a line tells: with code 0 it must be the very last.
    LastLine,
    /// It cannot do something. Counts unless the program worked well ([`Fact::WorkedWell`]).
    Complaint,
    /// Many write it and run well. Counts only for a program that is known to have failed, and did
    /// not begin well ([`Fact::BeganWell`]).
    Noise,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Nothing.
    Nothing,
    /// Run it where it shares memory with the X server.
    SharedMemory,
    /// The same, or the switch of its toolkit that does without.
    ShmSwitch,
    /// Chromium without `/dev/shm`.
    DisableDevShm,
    /// More memory.
    MoreMemory,
    /// Less of what no node has.
    LessOf,
    /// Its program instead of the image's own command.
    RunProgram,
}

/// A rule with nothing but its own: the table's rows name what they change.
pub(super) const BLANK: Rule = Rule {
    name: "",
    cause: Cause::Crashed,
    any: &[],
    speaker: Speaker::Anybody,
    never: &[],
    near: &[],
    weight: Weight::Complaint,
    needs: &[],
    unless: &[],
    confidence: Confidence::Likely,
    sentence: "",
    advice: "",
    offer: Offer::Nothing,
    source: "",
};
