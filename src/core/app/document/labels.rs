//! Labels as texts, lists, command lines, times and words; what cannot be read is a problem that
//! names the label and says how it should look.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::duration;

/// Longest time that `io.deskd.grace` and `io.deskd.deadline` may ask for, in seconds: 30 days.
const TIME_S_MAX: u32 = 30 * 24 * 3600;

/// The labels of one image, and where to complain about them.
pub(super) struct Labels<'a> {
    pub map: &'a BTreeMap<String, String>,
    pub problems: &'a mut Vec<String>,
}

impl<'a> Labels<'a> {
    /// The label, unless it is blank.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.map.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// The same, owned.
    pub fn string(&self, name: &str) -> Option<String> {
        self.text(name).map(ToOwned::to_owned)
    }

    /// What is between the separators, trimmed, each once, in order.
    pub fn list(&self, name: &str, separators: &[char]) -> Vec<String> {
        let mut items: Vec<String> = Vec::new();
        for item in self.text(name).unwrap_or_default().split(separators).map(str::trim) {
            if !item.is_empty() && !items.iter().any(|known| known == item) {
                items.push(item.to_owned());
            }
        }
        items
    }

    /// Adds a problem about a label.
    pub fn complain(&mut self, name: &str, what: &str) {
        self.problems.push(format!("label {name} {what}"));
    }

    /// A command line in the shell's quoting, without its expansions.
    pub fn words(&mut self, name: &str) -> Vec<String> {
        let Some(text) = self.text(name) else { return Vec::new() };
        shell_words::split(text).unwrap_or_else(|_| {
            self.complain(
                name,
                &format!("has a quote that is not closed, so it was split at spaces ({text})"),
            );
            text.split_whitespace().map(ToOwned::to_owned).collect()
        })
    }

    /// JSON with a meaning; `default` says what happens when it cannot be read.
    pub fn json<T>(
        &mut self,
        name: &str,
        example: &str,
        default: &str,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Option<Result<T, ()>> {
        let text = self.text(name)?;
        let value = serde_json::from_str(text).map_err(|error| format!("is not JSON ({error})"));
        Some(value.and_then(|value| read(&value)).map_err(|why| {
            self.complain(name, &format!("{why}: {default}; write for example {example}"));
        }))
    }

    /// Seconds, or a whole number and a unit (`s`, `m`, `h`), at least `least`.
    pub fn seconds(&mut self, name: &str, least: u32) -> Option<u32> {
        let text = self.text(name)?;
        let seconds = seconds(text).filter(|seconds| (least..=TIME_S_MAX).contains(seconds));
        if seconds.is_none() {
            let what = format!(
                "is not a time from {least} s to 30 days and was ignored: `{text}`; write for \
                 example \"30\" or \"30s\""
            );
            self.complain(name, &what);
        }
        seconds
    }

    /// `true` or `false`, as JSON or Python writes it.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let words = [("true", true), ("false", false), ("True", true), ("False", false)];
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            self.complain(name, &format!("is `{text}`, neither true nor false, and was ignored"));
        }
        found
    }

    /// One of some words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let known = known.join(" or ");
            self.complain(name, &format!("is `{text}`, which is not {known}, and was ignored"));
        }
        found
    }
}

/// A number without a unit is a number of seconds.
fn seconds(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let time = duration::parse(text).ok().filter(|time| time.subsec_nanos() == 0)?;
    u32::try_from(time.as_secs()).ok()
}
