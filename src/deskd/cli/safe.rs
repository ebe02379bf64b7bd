//! Text that may be shown on a terminal.
//!
//! Names, labels and sentences of applications may hold anything: an escape sequence would let them
//! write to the terminal of whoever looks. [`Safe`] is the only thing that [`super::output::Out`] and
//! standard error take, and there is no way to make one with a control character in it but a colour of
//! our own.

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Safe(String);

/// What stands for a character that is not shown.
const INSTEAD: char = '\u{fffd}';

impl<T: AsRef<str>> From<T> for Safe {
    fn from(text: T) -> Self {
        let shown = |c: char| matches!(c, '\n' | '\t') || !steers(c);
        Self(text.as_ref().chars().map(|c| if shown(c) { c } else { INSTEAD }).collect())
    }
}

impl Safe {
    /// In a colour: `code` is a parameter of SGR (ECMA-48, 8.3.117), such as `31`.
    #[must_use]
    pub fn coloured(text: &str, code: &'static str) -> Self {
        Self(format!("\x1b[{code}m{}\x1b[0m", Self::from(text).0))
    }

    /// With more behind it.
    #[must_use]
    pub fn and(mut self, more: impl Into<Self>) -> Self {
        self.0.push_str(&more.into().0);
        self
    }

    /// Without blanks at its end.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        self.0.truncate(self.0.trim_end().len());
        self
    }

    /// For the terminal.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.0
    }
}

/// Without line ends too: names that stand in a line of others.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { INSTEAD } else { c }).collect()
}

/// Control characters, and those that turn the direction of what follows.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
        assert_eq!(
            Safe::from("a\x1b]0;x\x07\u{9b}1m\nb").shown(),
            "a\u{fffd}]0;x\u{fffd}\u{fffd}1m\nb"
        );
        let text = Safe::from("is ").and(Safe::coloured("\x1b[5mbad", "31")).and("!");
        assert_eq!(text.shown(), "is \x1b[31m\u{fffd}[5mbad\x1b[0m!");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn no_text_has_a_control_character(text: String) {
            let safe = Safe::from(&text);
            prop_assert!(safe.shown().chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()));
            prop_assert_eq!(safe.shown().chars().count(), text.chars().count());
        }
    }
}
