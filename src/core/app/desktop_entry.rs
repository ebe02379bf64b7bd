//! Freedesktop desktop entries (Desktop Entry Specification 1.5): name, icon, keywords and the
//! Exec line as argv.
//!
//! The Exec line is read as GLib reads it: shell quoting, which is a superset of the
//! specification's, because real files use single quotes although they are reserved. No shell ever
//! sees it. Deliberately not here: actions, D-Bus activation, MIME types.

use std::collections::BTreeMap;

/// What is used of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesktopEntry {
    /// `Name` in the best language.
    pub name: Option<String>,
    /// `Icon` in the best language: a name or an absolute path.
    pub icon: Option<String>,
    /// `Keywords` in the best language.
    pub keywords: Vec<String>,
    /// `Categories`.
    pub categories: Vec<String>,
    /// `Exec`, string escapes resolved, quoting and field codes not.
    pub exec: Option<String>,
    /// `Path`: the working directory.
    pub path: Option<String>,
    /// `StartupWMClass`.
    pub wm_class: Option<String>,
    /// `Terminal=true`.
    pub terminal: bool,
    /// `Hidden=true`: the entry counts as deleted.
    pub hidden: bool,
}

/// Why a text is no application's desktop entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The group is missing.
    #[error("there is no group [Desktop Entry]")]
    NoGroup,
    /// Another type.
    #[error("its Type is `{0}`, not Application")]
    NotAnApplication(String),
}

/// Why an Exec line is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// No Exec key, or nothing in it.
    #[error("it has no Exec line (deskd cannot start entries for D-Bus activation only)")]
    Missing,
    /// A quote is not closed.
    #[error("its Exec line has a quote that is not closed: {0}")]
    OpenQuote(String),
    /// An unknown field code.
    #[error("its Exec line has the unknown field code `%{0}`")]
    UnknownFieldCode(String),
    /// A NUL character.
    #[error("its Exec line has a NUL character")]
    Nul,
}

/// A language as in `LANG`: `lang_COUNTRY.ENCODING@MODIFIER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locale {
    /// Keys' suffixes that fit, best first.
    candidates: Vec<String>,
}

impl Locale {
    /// Parses; nothing for `C`, `POSIX` and the empty text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (text, modifier) = match text.split_once('@') {
            Some((text, modifier)) => (text, Some(modifier)),
            None => (text, None),
        };
        let text = text.split('.').next().unwrap_or_default();
        let (lang, country) = match text.split_once('_') {
            Some((lang, country)) => (lang, Some(country)),
            None => (text, None),
        };
        if matches!(lang, "" | "C" | "POSIX") {
            return None;
        }
        let with_country = country.map(|country| format!("{lang}_{country}"));
        let with_both = with_country.iter().zip(modifier).map(|(both, m)| format!("{both}@{m}"));
        let with_modifier = modifier.map(|modifier| format!("{lang}@{modifier}"));
        let candidates = with_both
            .chain(with_country.clone())
            .chain(with_modifier)
            .chain([lang.to_owned()])
            .collect();
        Some(Self { candidates })
    }
}

/// Parses the group `[Desktop Entry]`; bytes that are not UTF-8 become U+FFFD.
pub fn parse(bytes: &[u8], locale: Option<&Locale>) -> Result<DesktopEntry, EntryError> {
    let text = String::from_utf8_lossy(bytes);
    let keys = main_group(&text).ok_or(EntryError::NoGroup)?;
    let kind = keys.get("Type").copied().unwrap_or("Application");
    if kind != "Application" {
        return Err(EntryError::NotAnApplication(kind.to_owned()));
    }
    let localized = |key: &str| {
        let candidates = locale.map(|locale| locale.candidates.as_slice()).unwrap_or_default();
        let translated =
            candidates.iter().find_map(|lang| keys.get(format!("{key}[{lang}]").as_str()));
        translated.or_else(|| keys.get(key)).copied()
    };
    let text = |value: Option<&str>| value.map(unescape).filter(|value| !value.is_empty());
    let is_true = |key: &str| keys.get(key).is_some_and(|value| matches!(*value, "true" | "1"));
    Ok(DesktopEntry {
        name: text(localized("Name")),
        icon: text(localized("Icon")),
        keywords: localized("Keywords").map(list).unwrap_or_default(),
        categories: keys.get("Categories").copied().map(list).unwrap_or_default(),
        exec: text(keys.get("Exec").copied()),
        path: text(keys.get("Path").copied()),
        wm_class: text(keys.get("StartupWMClass").copied()),
        terminal: is_true("Terminal"),
        hidden: is_true("Hidden"),
    })
}

/// Key and raw value of each line of the group; the first of a repeated key counts.
fn main_group(text: &str) -> Option<BTreeMap<&str, &str>> {
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    lines.find(|line| line.trim_end() == "[Desktop Entry]")?;
    let mut keys = BTreeMap::new();
    for line in lines.take_while(|line| !line.starts_with('[')) {
        if line.starts_with('#') {
            continue;
        }
        if let Some((key, value)) = line.split_once('=') {
            keys.entry(key.trim()).or_insert_with(|| value.trim());
        }
    }
    Some(keys)
}

/// The escapes of string values: `\s \n \t \r \\`. Others stay as they are.
fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('s') => out.push(' '),
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('\\') => out.push('\\'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// A `;`-separated list, whose items may have `\;`.
fn list(value: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        let last = items.len() - 1;
        match c {
            ';' => items.push(String::new()),
            '\\' => match chars.next() {
                Some(';') => items[last].push(';'),
                Some(other) => items[last].extend(['\\', other]),
                None => items[last].push('\\'),
            },
            _ => items[last].push(c),
        }
    }
    items.iter().map(|item| unescape(item.trim())).filter(|item| !item.is_empty()).collect()
}

impl DesktopEntry {
    /// What the person who listed this entry must know, in sentences.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let hidden = self
            .hidden
            .then(|| "its desktop entry has Hidden=true (it counts as deleted)".to_owned());
        let terminal = self.terminal.then(|| {
            "its desktop entry has Terminal=true: add a `command` that opens a terminal".to_owned()
        });
        hidden.into_iter().chain(terminal).collect()
    }

    /// The Exec line as argv, without files or URLs to open. `file` is what `%k` stands for.
    pub fn argv(&self, file: &str) -> Result<Vec<String>, ExecError> {
        let exec = self.exec.as_deref().ok_or(ExecError::Missing)?;
        let mut argv = Vec::new();
        for word in split(exec)? {
            match word.as_str() {
                // Alone, a code for "nothing" is no argument at all.
                "%f" | "%F" | "%u" | "%U" | "%d" | "%D" | "%n" | "%N" | "%v" | "%m" => {}
                "%i" => {
                    let icon =
                        self.icon.iter().flat_map(|icon| ["--icon".to_owned(), icon.clone()]);
                    argv.extend(icon);
                }
                _ => argv.push(self.expand(&word, file)?),
            }
        }
        match argv.first() {
            Some(program) if !program.is_empty() => Ok(argv),
            _ => Err(ExecError::Missing),
        }
    }

    fn expand(&self, word: &str, file: &str) -> Result<String, ExecError> {
        let mut out = String::with_capacity(word.len());
        let mut chars = word.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('%') => out.push('%'),
                Some('c') => out.push_str(self.name.as_deref().unwrap_or_default()),
                Some('k') => out.push_str(file),
                Some('i' | 'f' | 'F' | 'u' | 'U' | 'd' | 'D' | 'n' | 'N' | 'v' | 'm') => {}
                other => {
                    let code = other.map(String::from).unwrap_or_default();
                    return Err(ExecError::UnknownFieldCode(code));
                }
            }
        }
        Ok(out)
    }
}

/// Splits at white space outside of quotes. In double quotes a backslash protects `"`, `` ` ``,
/// `$` and itself; in single quotes nothing is special; outside it protects any character.
fn split(exec: &str) -> Result<Vec<String>, ExecError> {
    if exec.contains('\0') {
        return Err(ExecError::Nul);
    }
    let open = || ExecError::OpenQuote(exec.to_owned());
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = exec.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(open)? {
                        '"' => break,
                        '\\' => match chars.next().ok_or_else(open)? {
                            c @ ('"' | '`' | '$' | '\\') => word.push(c),
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(open)? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().ok_or_else(open)?),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(exec: &str) -> DesktopEntry {
        let text =
            format!("[Desktop Entry]\nType=Application\nName=Foo Bar\nIcon=foo\nExec={exec}\n");
        parse(text.as_bytes(), None).unwrap()
    }

    #[track_caller]
    fn check(exec: &str, want: &[&str]) {
        assert_eq!(entry(exec).argv("/a/foo.desktop").unwrap(), want, "{exec}");
    }

    #[test]
    fn field_codes_for_files_vanish_and_the_others_are_expanded() {
        check("gnome-2048", &["gnome-2048"]);
        check("foo %U --new", &["foo", "--new"]);
        check("foo --file=%f", &["foo", "--file="]);
        check(
            "foo %i -n %c -k %k",
            &["foo", "--icon", "foo", "-n", "Foo Bar", "-k", "/a/foo.desktop"],
        );
        check("foo 100%%", &["foo", "100%"]);
        check("foo %d%m", &["foo", ""]);
        assert_eq!(entry("foo %x").argv("").unwrap_err(), ExecError::UnknownFieldCode("x".into()));
        assert!(entry("foo %").argv("").is_err());
        assert_eq!(entry("%f").argv("").unwrap_err(), ExecError::Missing);
    }

    #[test]
    fn quotes_are_read_after_the_string_escapes() {
        // The specification's own example: a backslash in quotes is written as four.
        check(r#"foo "a \\\\ b""#, &["foo", r"a \ b"]);
        check(r#"foo "a \\" b" \\$c "#, &["foo", r#"a " b"#, "$c"]);
        check(r#"sh -c 'echo "$HOME"'"#, &["sh", "-c", r#"echo "$HOME""#]);
        check(r#"foo "" x"#, &["foo", "", "x"]);
        assert!(matches!(entry(r#"foo "a"#).argv("").unwrap_err(), ExecError::OpenQuote(_)));
    }

    #[test]
    fn the_best_language_wins_in_the_order_of_the_specification() {
        let text = "[Desktop Entry]\nName=en\nName[sr]=sr\nName[sr@Latn]=sr@Latn\nName[sr_YU]=sr_YU\nKeywords=a;b\\;c;\n";
        let name = |lang: &str| parse(text.as_bytes(), Locale::parse(lang).as_ref()).unwrap().name;
        assert_eq!(name("sr_YU.UTF-8@Latn").as_deref(), Some("sr_YU"));
        assert_eq!(name("sr_XX@Latn").as_deref(), Some("sr@Latn"));
        assert_eq!(name("sr").as_deref(), Some("sr"));
        assert_eq!(name("C.UTF-8").as_deref(), Some("en"));
        assert_eq!(parse(text.as_bytes(), None).unwrap().keywords, ["a", "b;c"]);
    }

    #[test]
    fn other_groups_comments_and_other_types_are_not_the_application() {
        let text = "\u{feff}# hi\n[Other]\nName=no\n[Desktop Entry]\n#Name=no\nName = yes \nName=second\n[Desktop Action new]\nExec=no\n";
        let entry = parse(text.as_bytes(), None).unwrap();
        assert_eq!((entry.name.as_deref(), entry.exec.as_deref()), (Some("yes"), None));
        assert_eq!(parse(b"Name=x", None).unwrap_err(), EntryError::NoGroup);
        assert!(parse(b"[Desktop Entry]\nType=Link\n", None).is_err());
    }

    /// Quotes as the specification asks, then escapes as a string value.
    fn quoted(argv: &[String]) -> String {
        let quote = |word: &String| {
            let escaped: String = word
                .chars()
                .flat_map(|c| {
                    let protect = matches!(c, '"' | '`' | '$' | '\\');
                    protect.then_some('\\').into_iter().chain([c]).chain((c == '%').then_some('%'))
                })
                .collect();
            format!("\"{escaped}\"")
        };
        let line = argv.iter().map(quote).collect::<Vec<_>>().join(" ");
        line.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn what_was_quoted_comes_back(
            program in "[^\0]{1,12}",
            args in prop::collection::vec("[^\0]{0,12}", 0..5),
        ) {
            let argv: Vec<String> = std::iter::once(program).chain(args).collect();
            let text = format!("[Desktop Entry]\nExec={}\n", quoted(&argv));
            prop_assert_eq!(parse(text.as_bytes(), None).unwrap().argv("").unwrap(), argv);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, exec in ".*", lang in ".*") {
            let locale = Locale::parse(&lang);
            let _ = parse(&bytes, locale.as_ref());
            let mut text = b"[Desktop Entry]\n".to_vec();
            text.extend(&bytes);
            let _ = parse(&text, locale.as_ref()).map(|entry| entry.argv("x"));
            let _ = DesktopEntry { exec: Some(exec), ..DesktopEntry::default() }.argv("x");
        }
    }
}
