//! A text that patterns are looked for in: a part of the log, another reading of it, or what the cluster
//! said.

use super::diagnose::{PROOF_LINES_MAX, Place, Proof, facts};
use super::evidence::Evidence;
use super::fact::Fact;
use super::heard::{self, Progress};
use super::log::{self, Log};
use super::pattern;
use super::rule::{NEAR_LINES, Rule, Speaker};
use super::view::View;

/// A text that patterns are looked for in.
pub(super) struct Text<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) from: Origin,
    /// It is another reading of this text.
    pub(super) view: Option<(&'a View, &'a [u8])>,
    pub(super) progress: Progress,
}

#[derive(Clone, Copy)]
pub(super) enum Origin {
    Start,
    End,
    Field(&'static str),
}

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a [u8], from: Origin) -> Self {
        Self { bytes, from, view: None, progress: Progress::default() }
    }

    /// Whether the line at `at` may be of whom the rule is about.
    pub(super) fn is_spoken_by(&self, rule: &Rule, at: usize, anybody_speaks: bool) -> bool {
        let cluster = || {
            matches!(self.from, Origin::Field(_))
                || heard::is_engines(log::line_at(self.bytes, at).1)
        };
        match rule.speaker {
            Speaker::Anybody => true,
            Speaker::Cluster => anybody_speaks || cluster(),
            Speaker::Program => !cluster(),
        }
    }

    /// Whether the line at `at` may be what the program ended with: of a program that is not known
    /// to have failed, it must be among so many last lines.
    pub(super) fn ends_so(&self, at: usize, lines: usize, log: &Log<'_>, e: &Evidence) -> bool {
        if Fact::WorkedWell.holds(e) != Some(true) {
            return true;
        }
        match self.from {
            Origin::Field(_) => true,
            Origin::Start if !log.end.is_empty() => false,
            Origin::Start | Origin::End => self.is_late(at, lines),
        }
    }

    /// Whether the log ends in it, or it is no part of the log.
    pub(super) fn is_of_the_end(&self, log: &Log<'_>) -> bool {
        !matches!(self.from, Origin::Start) || log.end.is_empty()
    }

    /// Whether a program calls what it says at `at` a warning: it goes on.
    pub(super) fn is_warning(&self, at: usize, rule: &Rule) -> bool {
        let (from, _) = log::line_at(self.bytes, at);
        rule.speaker != Speaker::Cluster
            && !matches!(self.from, Origin::Field(_))
            && heard::is_warning(&self.bytes[from..at])
    }

    /// Whether it is in the part that the log ends with, from `since` on.
    pub(super) fn is_since(&self, at: usize, since: usize, log: &Log<'_>) -> bool {
        let at = self.view.map_or(at, |(view, _)| view.original(at).end);
        self.is_of_the_end(log) && at >= since
    }

    /// Whether it is among so many last lines of the text.
    pub(super) fn is_late(&self, at: usize, lines: usize) -> bool {
        let (text, at) = match self.view {
            Some((view, original)) => (original, view.original(at).start + 1),
            None => (self.bytes, at),
        };
        let text = text.trim_ascii_end();
        memchr::memrchr_iter(b'\n', text).nth(lines - 1).is_none_or(|end| at > end)
    }

    pub(super) fn proof(&self, rule: &Rule, at: usize, e: &Evidence) -> Vec<Proof> {
        let mut proof = self.lines(at);
        if let Some((from, _)) = self.near(at, &rule.near).filter(|_| !rule.near.is_empty()) {
            proof.extend(self.lines(from));
        }
        proof.extend(facts(rule, e));
        proof
    }

    /// The line at `at`, as it is in the log: of another reading, all that were joined.
    pub(super) fn lines(&self, at: usize) -> Vec<Proof> {
        let Some((view, original)) = self.view else { return vec![self.line(at)] };
        let text = Text::new(original, self.from);
        let range = view.original(at);
        let mut lines = Vec::new();
        let mut from = range.start;
        while from <= range.end && lines.len() < PROOF_LINES_MAX {
            lines.push(text.line(from));
            from += log::line_at(original, from).1.len() + 1;
        }
        lines
    }

    /// The places of its lines from `at` on.
    pub(super) fn lines_from(&self, at: usize) -> Vec<Place> {
        let text = self.bytes.trim_ascii_end();
        let ends = memchr::memchr_iter(b'\n', text.get(at..).unwrap_or_default());
        let starts = std::iter::once(at).chain(ends.map(|end| at + end + 1));
        starts.map(|start| self.line(start).place).collect()
    }

    pub(super) fn line(&self, at: usize) -> Proof {
        let (from, line) = log::line_at(self.bytes, at);
        let place = match self.from {
            Origin::Start => Place::Line(log::line_number(self.bytes, from)),
            Origin::End => Place::LineFromEnd(log::line_from_end(self.bytes, from)),
            Origin::Field(name) => Place::Evidence(name.into()),
        };
        Proof { place, text: log::shown(line, at - from).into_owned().into() }
    }

    /// A line near `at` that has one of the patterns: where it begins, and the line.
    pub(super) fn near(&self, at: usize, patterns: &[String]) -> Option<(usize, &'a [u8])> {
        let text = self.bytes;
        let wanted = |line: &[u8]| patterns.iter().any(|p| pattern::matches(p, line).is_some());
        let (from, line) = log::line_at(text, at);
        let (mut before, mut after) = (from, from + line.len());
        if wanted(line) {
            return Some((from, line));
        }
        for _ in 0..NEAR_LINES {
            if after < text.len() {
                let (from, line) = log::line_at(text, after + 1);
                if wanted(line) {
                    return Some((from, line));
                }
                after = from + line.len();
            }
            if before > 0 {
                let (from, line) = log::line_at(text, before - 1);
                if wanted(line) {
                    return Some((from, line));
                }
                before = from;
            }
        }
        None
    }
}
