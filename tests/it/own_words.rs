//! Nobody reads deskd's own English: neither code that searches a text, nor a rule. Meaning is a
//! value until it is shown (`why::reason`); the sentences are in `why::sentence`.

use std::path::Path;

use deskd_core::task::Exit;
use deskd_core::why::{Evidence, Log, diagnose};

/// Where the sentences of reasons are made.
const SENTENCES: &str = "src/core/why/sentence";
/// Calls that search a text.
const SEARCHES: [&str; 9] = [
    ".contains(",
    ".starts_with(",
    ".ends_with(",
    ".strip_prefix(",
    ".strip_suffix(",
    ".split_once(",
    ".rsplit_once(",
    ".find(",
    ".rfind(",
];
/// Shorter words than this are searched for in anything.
const WORD_BYTES_MIN: usize = 7;

/// The text between quotes that `text` begins behind, and what comes after it.
fn literal(text: &str) -> (String, &str) {
    let mut literal = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (literal, &text[at + 1..]),
            '\\' => match chars.next() {
                // A line goes on in the next one.
                Some((at, '\n')) => {
                    let rest = &text[at + 1..];
                    let blank = rest.len() - rest.trim_start().len();
                    (0..blank).for_each(|_| _ = chars.next());
                }
                Some((_, next)) => literal.push(next),
                None => {}
            },
            char => literal.push(char),
        }
    }
    (literal, "")
}

/// A file's code without its tests and comments.
fn code(text: &str) -> String {
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
    let lines = lines.filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// What the code searches texts for, and the code without that.
fn searched(code: &str) -> (Vec<String>, String) {
    let (mut words, mut rest, mut left) = (Vec::new(), code, String::new());
    while let Some((at, call)) =
        SEARCHES.iter().filter_map(|call| Some((rest.find(call)?, call))).min()
    {
        let (before, after) = rest.split_at(at + call.len());
        left.push_str(before);
        rest = after;
        if let Some(quoted) = after.strip_prefix('"') {
            let (word, after) = literal(quoted);
            words.push(word);
            rest = after;
        }
    }
    left.push_str(rest);
    (words, left)
}

/// The sentences, with braces where a name stands.
fn sentences() -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in super::architecture::sources(SENTENCES) {
        if name.ends_with("tests.rs") {
            continue;
        }
        let (_, code) = searched(&code(&text));
        let mut rest = code.as_str();
        while let Some((_, quoted)) = rest.split_once('"') {
            let (sentence, after) = literal(quoted);
            found.push(sentence);
            rest = after;
        }
    }
    found.retain(|sentence| sentence.contains(' '));
    assert!(found.len() > 50, "{found:#?}");
    found
}

fn is_test(name: &Path) -> bool {
    name.ends_with("tests.rs") || name.components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn no_code_searches_a_text_for_deskd_s_own_words() {
    let sentences = sentences();
    let mut found = Vec::new();
    for (name, text) in super::architecture::sources("src") {
        if is_test(&name) {
            continue;
        }
        for word in searched(&code(&text)).0 {
            let own = sentences.iter().find(|sentence| sentence.contains(&word));
            if let Some(own) = own.filter(|_| word.trim().len() >= WORD_BYTES_MIN) {
                found.push(format!("{}: {word:?} is in {own:?}", name.display()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_rule_fires_on_deskd_s_own_words() {
    let failed = Evidence { exit: Some(Exit::Code(1)), ..Evidence::default() };
    let mut found = Vec::new();
    for sentence in sentences() {
        for e in [&Evidence::default(), &failed] {
            let told = diagnose(&Log::whole(sentence.as_bytes()), e);
            if let Some(rule) = told.rule.filter(|_| told.cause.is_some()) {
                found.push(format!("{sentence:?}: {rule}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
