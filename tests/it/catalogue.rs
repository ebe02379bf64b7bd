//! The catalogue of texts: every text that people read exists in every language, with the same
//! parameters and the same commands, and nothing else is in there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use deskd_core::text::{Language, entries};
use deskd_core::why::{Cause, Rules, rules};

const SOURCES: &str = concat!(env!("DESKD_ROOT"), "/src");

fn sources(extension: &str) -> Vec<(PathBuf, String)> {
    let mut directories = vec![PathBuf::from(SOURCES)];
    let mut found = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("tests") {
                directories.push(path);
            } else if path.extension().is_some_and(|it| it == extension)
                && !path.ends_with("tests.rs")
            {
                let text = std::fs::read_to_string(&path).expect("a file");
                found.push((path, text));
            }
        }
    }
    found
}

/// The string literal that the text begins with, as Rust and JavaScript write it, and what follows.
fn literal(text: &str) -> Option<(String, &str)> {
    let mut rest = text.trim_start().strip_prefix('"')?;
    let mut string = String::new();
    loop {
        let at = rest.find(['"', '\\'])?;
        string.push_str(&rest[..at]);
        if rest.as_bytes()[at] == b'"' {
            return Some((string, &rest[at + 1..]));
        }
        rest = match rest[at + 1..].strip_prefix('\n') {
            Some(next) => next.trim_start(),
            None => {
                string.push_str(&rest[at + 1..at + 2]);
                &rest[at + 2..]
            }
        };
    }
}

/// What stands behind each `call` in `text`, but for those that end a longer name.
fn calls<'t>(text: &'t str, call: &str) -> Vec<&'t str> {
    let starts = text.match_indices(call).map(|(at, _)| at);
    let whole = |at: &usize| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    starts.filter(whole).map(|at| &text[at + call.len()..]).collect()
}

/// The names in braces: those of a text are letters, digits and `_`.
fn parameters(text: &str) -> BTreeSet<&str> {
    let open = text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
    let named = |name: &&str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    open.filter(named).collect()
}

/// Commands, names of files and settings: what is between backticks.
fn code(text: &str) -> BTreeMap<&str, usize> {
    let mut pieces = BTreeMap::new();
    for piece in text.split('`').skip(1).step_by(2) {
        *pieces.entry(piece).or_default() += 1;
    }
    pieces
}

/// Of templates in Rust: the text, and the names of its values.
fn rust_texts() -> Vec<(String, BTreeSet<String>)> {
    let mut texts = Vec::new();
    for (path, source) in sources("rs") {
        let own = source.split("#[cfg(test)]\nmod").next().unwrap_or_default();
        if path.starts_with(Path::new(SOURCES).join("core/text")) {
            continue;
        }
        for call in calls(own, "text!(") {
            let Some((text, rest)) = literal(call) else { continue };
            texts.push((text, values(rest)));
        }
        for page in own.split("{{").skip(1).filter(|_| path.ends_with("panel/mod.rs")) {
            let text = page.split("}}").next().unwrap_or_default();
            let (text, _) = literal(&format!("\"{text}\"")).expect("a text");
            texts.push((text, BTreeSet::new()));
        }
    }
    texts
}

/// The names in `, name, other = value(x))`.
fn values(mut rest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let (mut depth, mut name) = (0_u32, String::new());
    let mut given = false;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => {
                rest = literal(&format!("\"{rest}"))
                    .map_or("", |(_, after)| &rest[rest.len() - after.len()..])
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                names.insert(std::mem::take(&mut name).trim().to_owned());
                given = false;
            }
            '=' if depth == 0 => given = true,
            c if depth == 0 && !given => name.push(c),
            _ => {}
        }
    }
    names.insert(name.trim().to_owned());
    names.remove("");
    names
}

fn wanted() -> BTreeSet<String> {
    let mut texts: BTreeSet<String> = rust_texts().into_iter().map(|(text, _)| text).collect();
    for rule in Rules::built_in().all() {
        texts.extend([rule.sentence.clone(), rule.advice.clone()]);
    }
    for cause in Cause::ROOTS_FIRST {
        let text = rules::text(cause).expect("words of the cause");
        texts.extend([text.sentence.clone(), text.advice.clone()]);
    }
    for (_, script) in sources("js") {
        let plain = calls(&script, "t(").into_iter().filter_map(|call| Some(literal(call)?.0));
        texts.extend(plain);
        for call in calls(&script, "counted(") {
            let Some((_, call)) = call.split_once(',') else { continue };
            let Some((one, rest)) = literal(call) else { continue };
            let other = rest.strip_prefix(',').and_then(literal).expect("the text of several").0;
            texts.extend([one, other]);
        }
    }
    for (_, page) in sources("html") {
        let marked = page.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0));
        texts.extend(marked.map(str::to_owned));
    }
    texts.remove("");
    texts
}

#[test]
fn every_text_exists_in_every_language_and_no_other() {
    let wanted = wanted();
    assert!(wanted.len() > 500, "{} texts are found", wanted.len());
    let known: BTreeMap<_, _> = entries().iter().map(|entry| (entry[0], entry)).collect();
    let mut wrong = String::new();
    for text in &wanted {
        for (column, language) in Language::ALL.iter().enumerate().skip(1) {
            if known.get(text.as_str()).is_none_or(|entry| entry[column].is_empty()) {
                let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
                let _ = writeln!(wrong, "missing in {}.po: msgid \"{quoted}\"", language.tag());
            }
        }
    }
    for text in known.keys().filter(|text| !wanted.contains(**text)) {
        let _ = writeln!(wrong, "nobody says this any more: {text}");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_translation_has_the_parameters_and_commands_of_its_text() {
    let mut wrong = String::new();
    for entry in entries() {
        for (column, language) in Language::ALL.iter().enumerate().skip(1) {
            let (english, text) = (entry[0], entry[column]);
            if text.is_empty() {
                continue;
            }
            let tag = language.tag();
            if parameters(english) != parameters(text) {
                let _ = writeln!(wrong, "{tag}: other parameters than in: {english}\n    {text}");
            }
            if code(english) != code(text) {
                let _ = writeln!(wrong, "{tag}: other commands than in: {english}\n    {text}");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_parameter_of_a_text_gets_a_value() {
    let wrong: Vec<_> = rust_texts()
        .into_iter()
        .filter(|(text, values)| {
            parameters(text) != values.iter().map(String::as_str).collect::<BTreeSet<_>>()
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
