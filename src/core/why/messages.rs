//! What glibc, bash, coreutils, GLib and GTK say in other languages, and musl in other words, put into
//! English as glibc has it: rules know that message only.
//!
//! The table is made from the catalogues of those packages by `messages/generate.py`.

use std::ops::Range;
use std::sync::LazyLock;

use super::cause::Cause;
use super::log;
use super::pattern;
use super::rule::{Confidence, Rule, Speaker, Weight};
use super::rules::Rules;

/// Lines of a pattern, a tab, and the English message.
const MESSAGES: &str = include_str!("messages/messages.tsv");

/// The table as rules, since those can be looked for: the sentence is the English message.
static TABLE: LazyLock<Rules> =
    LazyLock::new(|| Rules::of(MESSAGES.lines().filter_map(message).collect()));

fn message(line: &str) -> Option<Rule> {
    let (pattern, english) = line.split_once('\t')?;
    Some(Rule {
        id: String::new(),
        cause: Cause::Crashed,
        patterns: vec![pattern.to_owned()],
        speaker: Speaker::Anybody,
        never: Vec::new(),
        near: Vec::new(),
        not_near: Vec::new(),
        weight: Weight::Always,
        last_lines: None,
        needs: Vec::new(),
        unless: Vec::new(),
        confidence: Confidence::Possible,
        sentence: english.to_owned(),
        advice: String::new(),
        offer: None,
        source: String::new(),
        fires: Vec::new(),
        silent: Vec::new(),
    })
}

/// The text with the messages in English, line by line; nothing where there is none.
#[must_use]
pub(super) fn in_english(text: &[u8]) -> Option<Vec<u8>> {
    let hits = TABLE.scanner().scan(text, &TABLE).into_iter();
    let mut found: Vec<_> =
        hits.map(|hit| (log::line_at(text, hit.at), TABLE.get(hit.rule))).collect();
    if found.is_empty() {
        return None;
    }
    // Of one line the message with most words first: the table is sorted so.
    found.sort_by_key(|((from, _), rule)| (*from, std::cmp::Reverse(rule.patterns[0].len())));
    let mut english = Vec::with_capacity(text.len());
    let mut done = 0;
    for same_line in found.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
        let (from, line) = same_line[0].0;
        let mut line = line.to_vec();
        for (_, rule) in same_line {
            replace(&mut line, rule);
        }
        english.extend_from_slice(&text[done..from]);
        english.extend_from_slice(&line);
        done = from + same_line[0].0.1.len();
    }
    english.extend_from_slice(&text[done..]);
    Some(english)
}

/// The message in the line, if it is still there, by its English one.
fn replace(line: &mut Vec<u8>, rule: &Rule) {
    let pattern = &rule.patterns[0];
    let Some(captures) = pattern::matches(pattern, line) else { return };
    let Some(span) = span(pattern, line) else { return };
    let mut english = rule.sentence.clone();
    for (number, capture) in captures.iter().enumerate() {
        english = english.replace(&format!("{{{}}}", number + 1), capture);
    }
    line.splice(span, english.into_bytes());
}

/// What of the line the pattern stands for.
fn span(pattern: &str, line: &[u8]) -> Option<Range<usize>> {
    let mut pieces = pattern::pieces(pattern);
    let first = pieces.next()?.as_bytes();
    let start = pattern::find(line, first)?;
    let mut end = start + first.len();
    for piece in pieces {
        end += pattern::find(&line[end..], piece.as_bytes())? + piece.len();
    }
    let start = if pattern.starts_with('*') { 0 } else { start };
    Some(start..if pattern.ends_with('*') { line.len() } else { end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(said: &str, english: &str) {
        let told = in_english(said.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        assert_eq!(told.as_deref(), Some(english));
    }

    #[test]
    fn a_message_of_another_language_becomes_the_english_one() {
        check("bash: foo: Keine Berechtigung\nx", "bash: foo: Permission denied\nx");
        check("bash: foo: commande introuvable", "bash: foo: command not found");
        check("cp: 设备上没有空间", "cp: No space left on device");
        check("Speicherzugriffsfehler", "Segmentation fault");
        check("bind: Address in use", "bind: Address already in use");
        assert_eq!(in_english(b"plain English: Permission denied"), None);
    }

    #[test]
    fn what_a_star_stands_for_is_kept() {
        check(
            "mkdir: das Verzeichnis \"/srv/x\" kann nicht angelegt werden: Keine Berechtigung",
            "mkdir: cannot create directory /srv/x: Permission denied",
        );
    }

    #[test]
    fn every_line_of_the_table_is_a_message() {
        assert!(MESSAGES.lines().count() > 400);
        assert!(MESSAGES.lines().all(|line| message(line).is_some()));
    }
}
