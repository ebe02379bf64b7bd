//! Reads rules from TOML: every mistake at once, each with its line.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::text;
use crate::why::pattern;
use crate::why::rule::{Confidence, Rule, Weight};
use crate::why::scan::WINDOW_BYTES;

/// Rules of one file, at most.
const RULES_MAX: usize = 1000;
/// Bytes of a guess's word: few lines are looked at.
const GUESS_BYTES: usize = 3;

/// A mistake in a file of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// The rules of a file.
///
/// # Errors
///
/// Every mistake in it.
pub fn read(file: &str) -> Result<Vec<Rule>, Vec<Problem>> {
    let mut problems = Problems { file, all: Vec::new() };
    let (document, errors) = DeTable::parse_recoverable(file);
    for error in &errors {
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        problems.add(error.span(), format!("is not TOML: {message}"));
    }
    let mut rules = Vec::new();
    let mut ids = BTreeSet::new();
    for (key, value) in document.into_inner() {
        match value.get_ref() {
            DeValue::Array(items) if key.get_ref() == "rule" => {
                for item in items.iter().take(RULES_MAX) {
                    rules.extend(problems.rule(item, &mut ids));
                }
                if items.len() > RULES_MAX {
                    let what = format!("{} rules in one file, at most {RULES_MAX}", items.len());
                    problems.add(Some(value.span()), what);
                }
            }
            _ => {
                let what = format!("`{}` is not known here: write [[rule]]", key.get_ref());
                problems.add(Some(key.span()), what);
            }
        }
    }
    problems.all.sort_by_key(|problem| problem.line);
    if problems.all.is_empty() { Ok(rules) } else { Err(problems.all) }
}

struct Problems<'t> {
    file: &'t str,
    all: Vec<Problem>,
}

impl Problems<'_> {
    fn add(&mut self, span: Option<Range<usize>>, what: String) {
        let at = span.map_or(0, |span| span.start).min(self.file.len());
        let line = memchr::memchr_iter(b'\n', &self.file.as_bytes()[..at]).count() + 1;
        self.all.push(Problem { line, what });
    }

    fn rule(&mut self, item: &Spanned<DeValue<'_>>, ids: &mut BTreeSet<String>) -> Option<Rule> {
        let mut rule = match Rule::deserialize(item.clone().into_deserializer()) {
            Ok(rule) => rule,
            Err(error) => {
                let span = error.span().unwrap_or_else(|| item.span());
                self.add(Some(span), error.message().to_owned());
                return None;
            }
        };
        if let Some(text) = text(rule.cause) {
            rule.inherit(text);
        }
        let before = self.all.len();
        self.check(&rule, item);
        if !ids.insert(rule.id.clone()) {
            self.add(key(item, "id"), format!("a second rule is called `{}`", rule.id));
        }
        (self.all.len() == before).then_some(rule)
    }

    fn check(&mut self, rule: &Rule, item: &Spanned<DeValue<'_>>) {
        let mut must = |is: bool, at: &str, what: String| {
            if !is {
                self.add(key(item, at), what);
            }
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let named = !rule.id.is_empty() && rule.id.chars().all(plain);
        must(named, "id", format!("`{}`: a name has small letters, digits and `-`", rule.id));
        let asks = !(rule.patterns.is_empty() && rule.needs.is_empty());
        must(asks, "id", "it would always fire: give it `patterns` or `needs`".into());
        let guess = rule.weight == Weight::Guess;
        let least = if guess { GUESS_BYTES } else { WINDOW_BYTES };
        for pattern in &rule.patterns {
            let what =
                format!("the pattern `{pattern}` needs a literal piece of at least {least} bytes");
            must(pattern::anchor(pattern).len() >= least, "patterns", what);
        }
        let honest = !guess || rule.confidence == Confidence::Possible;
        must(honest, "confidence", "a guess is `possible`".into());
        must(
            !rule.source.is_empty(),
            "source",
            "say which program writes it, or who says so".into(),
        );
        let shown = rule.patterns.is_empty() || !rule.fires.is_empty();
        must(shown, "patterns", "give a line on which it must fire (`fires`)".into());
        for line in &rule.fires {
            must(rule.matches(line.as_bytes()), "fires", format!("it does not fire on: {line}"));
        }
        for line in &rule.silent {
            must(!rule.matches(line.as_bytes()), "silent", format!("it fires on: {line}"));
        }
    }
}

/// Where a key of a rule is, else the rule itself.
fn key(item: &Spanned<DeValue<'_>>, name: &str) -> Option<Range<usize>> {
    let DeValue::Table(table) = item.get_ref() else { return Some(item.span()) };
    let found = table.iter().find(|(key, _)| key.get_ref() == name);
    Some(found.map_or_else(|| item.span(), |(key, _)| key.span()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let file = r#"
[[rule]]
id = "Bad Name"
cause = "out_of_cheese"
source = "me"

[[rule]]
id = "short"
cause = "crashed"
patterns = ["*boom*"]
source = ""
fires = ["boom"]
silent = ["kaboom"]

[[rule]]
id = "short"
cause = "crashed"
needs = ["failed", { signal = 11 }, "lucky"]
source = "me"

[[rules]]
"#;
        let problems = read(file).unwrap_err();
        let told = |line: usize, words: &str| {
            let found = problems.iter().any(|it| it.line == line && it.what.contains(words));
            assert!(found, "line {line}, {words}: {problems:#?}");
        };
        told(4, "out_of_cheese");
        told(10, "at least 8 bytes");
        told(11, "say which program");
        told(13, "it fires on: kaboom");
        told(18, "lucky");
        told(21, "`rules` is not known");
        assert_eq!(problems.len(), 6, "{problems:#?}");
        assert!(read("[[rule").unwrap_err()[0].to_string().starts_with("line 1: is not TOML"));
    }

    #[test]
    fn a_rule_without_words_of_its_own_has_those_of_its_cause() {
        let file =
            "[[rule]]\nid = \"a\"\ncause = \"node_lost\"\nneeds = [\"ended\"]\nsource = \"me\"\n";
        let rule = &read(file).unwrap()[0];
        let text = text(crate::why::Cause::NodeLost).unwrap();
        assert_eq!((&rule.sentence, &rule.advice), (&text.sentence, &text.advice));
    }
}
