//! When no rule fires: say so, and show the last lines that look like errors.

use super::diagnose::{Diagnosis, Place, Proof};
use super::evidence::Evidence;
use super::fact::Fact;
use super::log::{self, Log};
use super::pattern::find;
use super::rule::Confidence;
use crate::text;
use crate::text::Text;

/// Bytes of the log's end in which lines that look like errors are looked for.
const LOOK_BYTES_MAX: usize = 64 << 10;
/// Lines shown.
const LINES_MAX: usize = 5;
/// Lines shown when none looks like an error.
const LAST_LINES_MAX: usize = 3;

/// Words of lines that look like errors.
const ERROR_WORDS: [&str; 77] = [
    "doesn't exist",
    "does not exist",
    "enoent",
    "error",
    "fatal",
    "failed",
    "failure",
    "cannot",
    "can't",
    "could not",
    "couldn't",
    "unable to",
    "abort",
    "denied",
    "exception",
    "not found",
    "not permitted",
    "unknown command",
    "no such",
    "panic",
    "invalid",
    "missing",
    "traceback",
    "refused",
    "rejected",
    "forbidden",
    "violates",
    "unsupported",
    "not supported",
    "not available",
    "unavailable",
    "unexpected",
    "undefined",
    "mismatch",
    "does not match",
    "timed out",
    "too many",
    "not enough",
    "out of memory",
    "killed",
    "crashed",
    "assertion",
    "not initialized",
    "no provider",
    "no matching",
    "not detected",
    "no user exists",
    "unknown user",
    "unknown uid",
    "unknown id",
    "not owned by",
    "is owned by",
    "already in use",
    "already running",
    "already active",
    "not writable",
    "lacking the",
    "exhausted",
    "exceeded",
    "exceeds",
    "insufficient",
    "unreachable",
    "too old",
    "too low",
    "no usable",
    "not installed",
    "not loaded",
    "is locked",
    "don't exist",
    "do not exist",
    "evict",
    "did not start",
    "must be set",
    "no space",
    "is full",
    "deadline",
    "no gpu",
];

/// Words of lines that programs write which run well: shown only when nothing better is there.
pub(super) const NOISE_WORDS: [&str; 16] = [
    "dbus",
    "d-bus",
    "dconf",
    "at-spi",
    "atk-bridge",
    "accessibility",
    "fontconfig",
    "locale",
    "libegl warning",
    "mesa-loader",
    "vainfo",
    "vaapi",
    "gtk-module",
    "canberra",
    "pulse",
    "deprecat",
];

/// Whether it looks like an error, and not like what programs write that run well.
pub(super) fn is_telling(line: &[u8]) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| find(line, word.as_bytes()).is_some());
    has(&ERROR_WORDS) && !has(&NOISE_WORDS)
}

pub(super) fn diagnosis(log: &Log<'_>, e: &Evidence) -> Diagnosis {
    let well = Fact::RanWell.holds(e) == Some(true);
    let proof = if well { Vec::new() } else { last_errors(log) };
    Diagnosis {
        cause: None,
        rule: None,
        confidence: Confidence::Possible,
        sentence: sentence(e, well, !proof.is_empty()),
        advice: advice(well),
        proof,
        remedy: None,
        others: Vec::new(),
    }
}

fn sentence(e: &Evidence, well: bool, has_lines: bool) -> Text {
    if well {
        return text!("The program ran well: there is nothing to explain.");
    }
    let ended = match &e.exit {
        Some(exit) => text!("The program ended by {exit}, and", exit = exit.sentence()),
        None => text!("Nothing is known about how the program ended, and"),
    };
    let lines = if has_lines {
        text!("The last lines that look like errors, or else the last of all, are shown.")
    } else {
        text!("It wrote nothing.")
    };
    text!("{ended} no known cause fits. {lines}", ended, lines)
}

fn advice(well: bool) -> Text {
    if well {
        return Text::default();
    }
    text!(
        "Read the whole log, and start the program by hand in a terminal of the desktop. When you know the \
     cause, you can add a rule for it (`rules_directory`, docs/diagnosis.md)."
    )
}

fn last_errors(log: &Log<'_>) -> Vec<Proof> {
    let text = log.tail();
    let mut telling = Vec::new();
    let mut noisy = Vec::new();
    let mut last = Vec::new();
    let mut end = text.strip_suffix(b"\n").unwrap_or(text).len();
    let floor = text.len().saturating_sub(LOOK_BYTES_MAX);
    while telling.len() < LINES_MAX {
        let (from, line) = log::line_at(text, end);
        let has = |words: &[&str]| words.iter().any(|word| find(line, word.as_bytes()).is_some());
        if has(&ERROR_WORDS) {
            let lines = if has(&NOISE_WORDS) { &mut noisy } else { &mut telling };
            lines.push(proof(log, from, line));
        } else if last.len() < LAST_LINES_MAX && !line.trim_ascii().is_empty() {
            last.push(proof(log, from, line));
        }
        if from <= floor {
            break;
        }
        end = from - 1;
    }
    let mut lines = [telling, noisy, last].into_iter().find(|l| !l.is_empty()).unwrap_or_default();
    lines.truncate(LINES_MAX);
    lines.reverse();
    lines
}

fn proof(log: &Log<'_>, from: usize, line: &[u8]) -> Proof {
    let place = if log.end.is_empty() {
        Place::Line(log::line_number(log.start, from))
    } else {
        Place::LineFromEnd(log::line_from_end(log.end, from))
    };
    Proof { place, text: log::shown(line, 0).into_owned().into() }
}
