//! What the last complaints of a text are about, when no rule knows their words: `cannot ...` and
//! `... failed` with `OpenGL` on the same line. The nearest cause, and never more than possible.

use super::log;
use super::rule::{Rule, Weight};
use super::rules::Rules;
use super::text::Text;
use super::unknown;

/// Lines from the end in which a complaint may be why it failed.
const LINES_MAX: usize = 12;

/// The guesses, by their places in the table, and where in the text is what they are made from.
pub(super) fn of(rules: &Rules, text: &Text<'_>) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut end = text.bytes.trim_ascii_end().len();
    for _ in 0..LINES_MAX {
        let (from, line) = log::line_at(text.bytes, end);
        if unknown::is_telling(line) {
            let fits = |rule: &Rule| {
                rule.weight == Weight::Guess
                    && rule.matches(line)
                    && text.is_spoken_by(rule, from, false)
                    && !text.is_warning(from + line.len(), rule)
            };
            let guesses = rules.all().enumerate().filter(|(_, rule)| fits(rule));
            found.extend(guesses.map(|(place, _)| (place, from)));
        }
        if from == 0 {
            break;
        }
        end = from - 1;
    }
    found
}
