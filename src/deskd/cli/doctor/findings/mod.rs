//! From what was examined to findings: pure.

mod configuration;
mod display;
mod host;
mod kubernetes;
mod versions;

#[cfg(test)]
mod tests;

use serde::Serialize;

use super::examined::Examined;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub topic: &'static str,
    /// Whether it is well.
    pub state: State,
    /// How it is, in one sentence.
    pub sentence: String,
    /// What to change, and where; empty where nothing needs to be.
    pub change: String,
    /// The command that shows it.
    pub command: String,
}

/// Whether it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Works,
    /// Some applications may miss something.
    Remark,
    /// It is not.
    Wrong,
}

/// All of them, in the order in which one depends on another.
#[must_use]
pub fn findings(examined: &Examined) -> Vec<Finding> {
    let mut all = vec![configuration::finding(examined)];
    all.extend(versions::finding(examined));
    all.extend(display::findings(examined));
    all.extend(host::findings(examined));
    all.extend(kubernetes::findings(examined));
    all
}

fn finding(
    topic: &'static str,
    state: State,
    sentence: impl Into<String>,
    change: impl Into<String>,
    command: impl Into<String>,
) -> Finding {
    let change = if state == State::Works { String::new() } else { change.into() };
    Finding { topic, state, sentence: sentence.into(), change, command: command.into() }
}

fn works(yes: bool) -> State {
    if yes { State::Works } else { State::Wrong }
}

/// Wrong for everybody, or of importance for some alone.
fn works_or_remark(yes: bool) -> State {
    if yes { State::Works } else { State::Remark }
}
