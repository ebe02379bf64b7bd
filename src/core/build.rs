//! Packs the translations (`text/*.po`) for `src/core/text/catalogue.rs`: every text with its columns
//! in the order of `Language::ALL`, sorted by the English text, deflated.

use std::collections::BTreeMap;
use std::path::Path;

/// The languages beside English, as `Language::ALL` has them.
const LANGUAGES: [&str; 4] = ["de", "es", "fr", "zh"];
/// The best compression that miniz knows.
const LEVEL: u8 = 10;

#[expect(clippy::disallowed_methods, reason = "a build script reads and writes files")]
fn main() {
    let mut table: BTreeMap<String, [String; LANGUAGES.len()]> = BTreeMap::new();
    for (column, language) in LANGUAGES.iter().enumerate() {
        let file = format!("text/{language}.po");
        println!("cargo::rerun-if-changed={file}");
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) => return println!("cargo::error=src/core/{file}: {error}"),
        };
        match messages(&text) {
            Ok(messages) => {
                for (english, translation) in messages {
                    table.entry(english).or_default()[column] = translation;
                }
            }
            Err((line, what)) => return println!("cargo::error=src/core/{file}:{line}: {what}"),
        }
    }
    let rows = table
        .iter()
        .map(|(english, others)| format!("{english}\u{1f}{}\u{1e}", others.join("\u{1f}")));
    let packed = miniz_oxide::deflate::compress_to_vec(rows.collect::<String>().as_bytes(), LEVEL);
    let out = std::env::var_os("OUT_DIR").unwrap_or_default();
    if let Err(error) = std::fs::write(Path::new(&out).join("catalogue.bin"), packed) {
        println!("cargo::error=catalogue.bin: {error}");
    }
}

/// The messages of a PO file, as far as ours use the format: comments, `msgid` and `msgstr` on one line.
fn messages(text: &str) -> Result<Vec<(String, String)>, (usize, String)> {
    let mut all = Vec::new();
    let mut id: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| Err((number + 1, what.to_owned()));
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(quoted) = line.strip_prefix("msgid ") {
            match (unquoted(quoted), id.is_none()) {
                (Some(english), true) => id = Some(english),
                (_, false) => return wrong("the msgid before has no msgstr: add it"),
                (None, _) => return wrong("write the text on one line, in double quotes"),
            }
        } else if let Some(quoted) = line.strip_prefix("msgstr ") {
            match (unquoted(quoted), id.take()) {
                (Some(translation), Some(english)) => all.push((english, translation)),
                (_, None) => return wrong("there is no msgid before this msgstr: add it"),
                (None, _) => return wrong("write the text on one line, in double quotes"),
            }
        } else {
            return wrong("write a comment (#), `msgid \"...\"` or `msgstr \"...\"`");
        }
    }
    Ok(all)
}

/// What is between the quotes, `\"` and `\\` undone.
fn unquoted(quoted: &str) -> Option<String> {
    let inner = quoted.trim_end().strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => text.push(chars.next().filter(|next| matches!(next, '"' | '\\'))?),
            '"' | '\u{1e}' | '\u{1f}' => return None,
            other => text.push(other),
        }
    }
    Some(text)
}
