//! Just enough of Rust's syntax for the repository's rules: code without comments, literals and
//! test modules, and the paths it names. Not a parser: macros are read like other code.

/// A path and the line it stands on, from 1: `use a::{b, c::d}` is `a::b` and `a::c::d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPath {
    /// Line.
    pub line: usize,
    /// Its segments.
    pub segments: Vec<String>,
}

/// `source` with comments, strings and characters blanked; lines stay where they are.
pub fn code(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` when none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
    let inside_word = at > 0 && is_word(chars[at - 1]);
    match (chars[at], next(1)) {
        ('/', '/') => find(chars, at, "\n"),
        ('/', '*') => block_comment_end(chars, at),
        ('"', _) => string_end(chars, at + 1),
        ('b' | 'c', '"') if !inside_word => string_end(chars, at + 2),
        ('r', '"' | '#') if !inside_word => raw_string_end(chars, at + 1).unwrap_or(at),
        ('b' | 'c', 'r') if !inside_word => raw_string_end(chars, at + 2).unwrap_or(at),
        // A lifetime has no closing quote right after its first character.
        ('\'', '\\') => find(chars, at + 3, "'") + 1,
        ('\'', _) if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn find(chars: &[char], from: usize, what: &str) -> usize {
    let what: Vec<char> = what.chars().collect();
    (from..chars.len()).find(|&at| chars[at..].starts_with(&what)).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (1, at + 2);
    while depth > 0 && at < chars.len() {
        match &chars[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|&&c| c == '#').count();
    (chars.get(at + hashes) == Some(&'"')).then(|| {
        let close = format!("\"{}", "#".repeat(hashes));
        (find(chars, at + hashes + 1, &close) + close.len()).min(chars.len())
    })
}

/// `code` without the items under `#[cfg(test)]`.
pub fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        let end = start + MARK.len() + item_end(&rest[start + MARK.len()..]);
        out.push_str(&rest[..start]);
        out.extend(rest[start..end].chars().filter(|&c| c == '\n'));
        rest = &rest[end..];
    }
    out + rest
}

/// The end of the item at the beginning: `;`, or the brace that closes the first one.
fn item_end(code: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Every path in `code`, groups expanded.
pub fn paths(code: &str) -> Vec<NamedPath> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = path(&tokens, at, &[], &mut found).max(at + 1);
    }
    found
}

type Token = (usize, String);

/// Words and `::`, and every other character by itself.
fn tokens(code: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push((number + 1, rest[..length].to_owned()));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// Reads the path at `at` and returns where it ends.
fn path(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<NamedPath>) -> usize {
    let word = |at: usize| {
        let (line, text) = tokens.get(at)?;
        text.starts_with(is_word).then(|| (*line, text.clone()))
    };
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|(_, token)| token == text);
    let mut segments = prefix.to_vec();
    let Some((line, first)) = word(at) else { return at };
    segments.push(first);
    at += 1;
    while is(at, "::") {
        at += 1;
        if is(at, "{") {
            at += 1;
            while at < tokens.len() && !is(at, "}") {
                at = path(tokens, at, &segments, found).max(at + 1);
            }
            return at + 1;
        }
        let Some((_, next)) = word(at) else { break };
        segments.push(next);
        at += 1;
    }
    found.push(NamedPath { line, segments });
    at
}

#[test]
fn literals_and_comments_are_no_code() {
    let source = r####"let a = "tokio::x \" y"; // tokio::y
/* tokio /* nested */ */ let b = r#"tokio" "#; let c = '"'; let d = b'\''; let e: &'a str = b"tokio";
let f = bar"####;
    let code = code(source);
    assert!(!code.contains("tokio"), "{code}");
    assert!(code.contains("let e: &'a str") && code.contains("let f = bar"), "{code}");
    assert_eq!(code.lines().count(), 3);
}

#[test]
fn test_modules_are_left_out_and_lines_stay() {
    let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { x::y() }\n}\n#[cfg(test)]\nmod t;\nfn c() {}\n";
    let kept = without_tests(code);
    assert!(!kept.contains('b') && !kept.contains("mod"), "{kept}");
    assert_eq!(kept.lines().nth(7), Some("fn c() {}"));
}

#[test]
fn groups_are_expanded_and_paths_may_span_lines() {
    let found = paths("use a::{b, c::{d, self}};\nx::\n  y(z);");
    let texts: Vec<_> = found.iter().map(|path| path.segments.join("::")).collect();
    assert_eq!(texts, ["use", "a::b", "a::c::d", "a::c::self", "x::y", "z"]);
    assert_eq!(found[4].line, 2);
}
