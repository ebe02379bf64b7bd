//! What a panic, an abort or an exception that nobody caught is about: that it ended the program says only that something
//! was wrong.

use super::cause::Cause;
use super::diagnose::{Diagnosis, OTHERS_MAX, Other};
use super::guess::{self, Guess};
use super::heard;
use super::log;
use super::pattern;
use super::rule::Confidence;
use super::rules::Rules;
use super::text::Text;

/// Lines from the end in which it is, above its frames.
const LINES_MAX: usize = 64;
/// What Rust writes before the place, and before 1.73 the words, of a panic.
const PANICKED: &[u8] = b"panicked at ";

/// Whether it says no more than that the program ended so.
pub(super) fn are_wanted(diagnosis: &Diagnosis, rules: &Rules) -> bool {
    diagnosis.cause == Some(Cause::Crashed)
        && diagnosis.confidence == Confidence::Possible
        && diagnosis.rule.as_deref().is_some_and(|rule| rules.has_words(rule))
}

/// What they are about.
pub(super) fn guesses(rules: &Rules, text: &Text<'_>) -> Vec<Guess> {
    let mut end = text.bytes.trim_ascii_end().len();
    for _ in 0..LINES_MAX {
        let (from, line) = log::line_at(text.bytes, end);
        let before = from.checked_sub(1).map_or(&b""[..], |end| log::line_at(text.bytes, end).1);
        if let Some(words) = of(line, before) {
            return guess::guesses(rules, text, from, words, |_| true);
        }
        if from == 0 {
            break;
        }
        end = from - 1;
    }
    Vec::new()
}

/// What it says of itself, not where it was met.
fn of<'l>(line: &'l [u8], before: &[u8]) -> Option<&'l [u8]> {
    // `panicked at 'words', file:1:1` before Rust 1.73; then `panicked at file:1:1:`, and the words on the next line.
    if pattern::find(before, PANICKED).is_some() && before.trim_ascii_end().ends_with(b":") {
        return Some(line);
    }
    if let Some(at) = pattern::find(line, PANICKED) {
        let words = line[at + PANICKED.len()..].strip_prefix(b"'")?;
        let end = memchr::memmem::rfind(words, b"', ").unwrap_or(words.len());
        return Some(&words[..end]);
    }
    heard::is_fatal(line).then_some(line)
}

/// What it was about, if that is told, and that the program ended so.
pub(super) fn joined(told: Option<Diagnosis>, end: Diagnosis) -> Diagnosis {
    let Some(mut told) = told else { return end };
    let Diagnosis { cause, rule, confidence, sentence, others, .. } = end;
    let end = cause.zip(rule).map(|(cause, rule)| Other { cause, rule, confidence, sentence });
    let others = end.into_iter().chain(others).filter(|other| Some(other.cause) != told.cause);
    told.others = others.take(OTHERS_MAX).collect();
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_panic_are_told_without_its_place() {
        let old = b"thread 'main' panicked at 'no GPU, sorry', src/display.rs:3:1";
        assert_eq!(of(old, b""), Some(&b"no GPU, sorry"[..]));
        let place = b"thread 'main' panicked at src/display.rs:3:1:";
        assert_eq!(of(place, b""), None);
        assert_eq!(of(b"no GPU", place), Some(&b"no GPU"[..]));
        assert_eq!(of(b"  what():  no GPU", b""), Some(&b"  what():  no GPU"[..]));
        assert_eq!(of(b"no GPU", b""), None);
    }
}
