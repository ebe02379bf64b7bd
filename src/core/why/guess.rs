//! What the last complaints of a text are about, when no rule knows their words: `cannot ...` and
//! `... failed` with `OpenGL` on the same line. The nearest cause, and never more than possible.

use super::heard;
use super::log::{self, Log};
use super::pattern;
use super::rule::{Rule, Speaker, Weight};
use super::rules::Rules;
use super::text::Text;
use super::unknown;

/// Lines from the end in which a complaint may be why it failed.
const LINES_MAX: usize = 12;

/// What a line has with which its writer goes on: whoever calls it a warning, Firefox's test of the card (glxtest.cpp),
/// Node's and Electron's udev, supervisors' own sockets.
const SURVIVED: [&str; 22] = [
    "warn",
    "[GFX1-]",
    "glxtest",
    "udev_has_devtmpfs",
    "Control server error",
    "deprecat",
    "drisw",
    "os_same_file_description",
    ".drirc",
    "keysym",
    "keycode",
    "not fatal to",
    ".Xauthority does not exist",
    "XRandr",
    "XCB error: 3",
    "kf.config",
    "xdg-autostart",
    "rtkit",
    "modprobe",
    "error log file",
    "portal",
    "ALSA",
];

/// Chromium's own head of a line that is no fatal one: it writes such where it runs well.
const CHROMIUM: [&str; 2] = [":ERROR:", ".cc("];

fn has(line: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| pattern::find(line, word.as_bytes()).is_some())
}

/// A guess, and where in the text is what it is made from.
pub(super) struct Guess {
    /// Its rule's place in the table.
    pub(super) place: usize,
    pub(super) at: usize,
    /// Bytes of the line that it knows: who knows more of it is nearer.
    pub(super) known: usize,
}

/// All that the last lines allow.
pub(super) fn of(
    rules: &Rules,
    text: &Text<'_>,
    since: Option<usize>,
    log: &Log<'_>,
) -> Vec<Guess> {
    let mut found = Vec::new();
    let mut end = text.bytes.trim_ascii_end().len();
    for _ in 0..LINES_MAX {
        let (from, line) = log::line_at(text.bytes, end);
        let survived = has(line, &CHROMIUM) && !heard::is_fatal(line);
        if unknown::is_telling(line) && !survived && !text.progress.is_ready_after(text.bytes, from)
        {
            // Of who may have gone on, only what its log ends with.
            let may_end = |since| text.is_since(from, since, log);
            found.extend(guesses(rules, text, from, line, |rule| {
                since.is_none_or(may_end)
                    && (rule.speaker == Speaker::Cluster || !has(line, &SURVIVED))
            }));
        }
        if from == 0 {
            break;
        }
        end = from - 1;
    }
    found
}

/// The guesses whose words are there.
pub(super) fn guesses(
    rules: &Rules,
    text: &Text<'_>,
    at: usize,
    words: &[u8],
    allows: impl Fn(&Rule) -> bool,
) -> Vec<Guess> {
    let fits = |rule: &Rule| {
        rule.weight == Weight::Guess
            && !rule.is_excluded(words)
            && text.is_spoken_by(rule, at, false)
            && allows(rule)
    };
    let near = rules.all().enumerate().filter(|(_, rule)| fits(rule));
    near.filter_map(|(place, rule)| {
        let there = rule.patterns.iter().filter(|p| pattern::matches(p, words).is_some());
        let known = there.map(|p| pattern::pieces(p).map(str::len).sum()).max()?;
        Some(Guess { place, at, known })
    })
    .collect()
}
