//! A text as its writers meant it: pasted quotes, escapes and borders undone, lines joined that a terminal
//! or YAML broke, messages in English, answers over HTTP in one form. Patterns are looked for in it where the text itself has none;
//! what is shown is the text itself.

use std::borrow::Cow;
use std::ops::Range;

use super::errno;
use super::http;
use super::messages;
use super::signal;

/// Bytes of a text that are read so: its end.
pub(super) const VIEW_BYTES_MAX: usize = 64 << 10;
/// Shortest line that may have been broken at the edge of a terminal or page, in bytes.
const BROKEN_BYTES_MIN: usize = 60;
/// Longest one.
const BROKEN_BYTES_MAX: usize = 400;
/// Widths at which terminals and pages break lines, whatever comes next.
const WIDTHS: [usize; 8] = [79, 80, 100, 119, 120, 131, 132, 160];
/// Lines that are joined to one, at most.
const JOINED_LINES_MAX: usize = 12;
/// What a line begins with that is none's continuation.
const BEGINNINGS: [&[u8]; 20] = [
    b"at ",
    b"File \"",
    b"in ",
    b"from ",
    b"Warning ",
    b"Normal ",
    b"[",
    b"(",
    b"- ",
    b"#",
    b"> ",
    b"Error",
    b"error",
    b"E1",
    b"E0",
    b"I1",
    b"I0",
    b"W0",
    b"W1",
    b"Traceback",
];

/// Such a reading, and where it is from.
#[derive(Debug)]
pub(super) struct View {
    /// Its lines.
    pub(super) bytes: Vec<u8>,
    /// Of each, where in the text it was.
    lines: Vec<Range<usize>>,
}

impl View {
    /// Where in the text the line at `at` of the reading was.
    pub(super) fn original(&self, at: usize) -> Range<usize> {
        let number = memchr::memchr_iter(b'\n', &self.bytes[..at]).count();
        self.lines.get(number).cloned().unwrap_or_default()
    }
}

/// The readings of a text that differ from it, the likelier first: a broken line may have lost a
/// blank where it was broken, or not.
pub(super) fn readings(text: &[u8]) -> Vec<View> {
    let lines = cleaned(text);
    let (blank, broken) = joined(&lines, b" ");
    let mut views: Vec<View> = view(&blank, text).into_iter().collect();
    if broken {
        views.extend(view(&joined(&lines, b"").0, text));
    }
    views
}

/// A line, and where it was.
struct Line<'t> {
    text: Cow<'t, [u8]>,
    from: Range<usize>,
}

fn cleaned(text: &[u8]) -> Vec<Line<'_>> {
    let mut from = text.len().saturating_sub(VIEW_BYTES_MAX);
    if from > 0 {
        from += memchr::memchr(b'\n', &text[from..]).map_or(0, |end| end + 1);
    }
    let mut lines = Vec::new();
    for line in text[from..].split(|byte| *byte == b'\n') {
        let range = from..from + line.len();
        from = range.end + 1;
        match clean(line) {
            Cow::Borrowed(text) => lines.push(Line { text: Cow::Borrowed(text), from: range }),
            Cow::Owned(text) => {
                let parts = text.split(|byte| *byte == b'\n');
                lines.extend(
                    parts.map(|part| Line { text: Cow::Owned(part.to_vec()), from: range.clone() }),
                );
            }
        }
    }
    lines
}

/// What pasting, JSON and HTML did to a line is undone; an escaped line end makes two of it.
fn clean(line: &[u8]) -> Cow<'_, [u8]> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let special = |byte: &u8| matches!(*byte, b'\\' | b'&' | 0x1b | 0x80..);
    let quoted = line.strip_prefix(b"> ").unwrap_or(line);
    if !quoted.iter().any(special) {
        return Cow::Borrowed(quoted);
    }
    let mut text = String::from_utf8_lossy(quoted).into_owned();
    for (said, meant) in [
        ("\u{2018}", "'"),
        ("\u{2019}", "'"),
        ("\u{201c}", "\""),
        ("\u{201d}", "\""),
        ("\u{201e}", "\""),
        ("\u{ab}", "\""),
        ("\u{bb}", "\""),
        ("\u{a0}", " "),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ] {
        if text.contains(said) {
            text = text.replace(said, meant);
        }
    }
    if text.contains("\\\"")
        || text.contains("\":\"")
        || text.contains("\\n") && text.contains("\\t")
    {
        text = unquoted(&text.replace("\\\\", "\\")).replace("\\n", "\n").replace("\\t", " ");
    }
    if text.contains('\u{1b}') {
        text = without_colours(&text);
    }
    if text.contains(['\u{2551}', '\u{2502}', '\u{2503}']) {
        text = text.trim_matches(|c: char| "\u{2551}\u{2502}\u{2503} ".contains(c)).to_owned();
    }
    if text.as_bytes() == quoted { Cow::Borrowed(quoted) } else { Cow::Owned(text.into_bytes()) }
}

/// Without the backslashes before quotes, however many: an engine's error in an engine's error is quoted twice, and each
/// time anew. One pass, since a program may write a line of nothing else.
fn unquoted(text: &str) -> String {
    let Some((quoted, rest)) = text.rsplit_once('"') else { return text.to_owned() };
    let parts = quoted.split('"').map(|part| part.trim_end_matches('\\'));
    parts.chain([rest]).collect::<Vec<_>>().join("\"")
}

/// Without `ESC [ ... m` and its relatives (ECMA-48, CSI).
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| ('\u{40}'..='\u{7e}').contains(&c));
        plain.push_str(end.and_then(|end| part.get(end + 1..)).unwrap_or_default());
    }
    plain
}

/// Lines that were one are one again; and whether `glue` is in any.
fn joined<'t>(lines: &[Line<'t>], glue: &[u8]) -> (Vec<Line<'t>>, bool) {
    let mut all: Vec<Line<'_>> = Vec::with_capacity(lines.len());
    let mut glued = false;
    let mut folded: Option<usize> = None;
    let mut count = 0;
    let mut last: &[u8] = b"";
    for line in lines {
        let text = &*line.text;
        let goes_on = match folded {
            Some(indent) => indent_of(text) > indent && !text.trim_ascii().is_empty(),
            None => false,
        };
        if !goes_on {
            folded = folds(text);
        }
        let broken = folded.is_none() && count < JOINED_LINES_MAX && is_broken(last, text);
        match all.last_mut() {
            Some(before) if goes_on && count < JOINED_LINES_MAX => {
                join(before, text, b" ", &line.from);
                count += 1;
            }
            Some(before) if broken => {
                join(before, text, glue, &line.from);
                count += 1;
                glued = true;
            }
            _ => {
                count = 0;
                all.push(Line { text: line.text.clone(), from: line.from.clone() });
            }
        }
        last = text;
    }
    (all, glued)
}

fn join(before: &mut Line<'_>, text: &[u8], glue: &[u8], from: &Range<usize>) {
    let joined = before.text.to_mut();
    joined.truncate(joined.trim_ascii_end().len());
    joined.extend_from_slice(glue);
    joined.extend_from_slice(text.trim_ascii_start());
    before.from.end = from.end;
}

fn indent_of(line: &[u8]) -> usize {
    line.iter().take_while(|byte| **byte == b' ').count()
}

/// The line begins a YAML scalar that may go on in lines further to the right: how far it is indented.
fn folds(line: &[u8]) -> Option<usize> {
    let indent = indent_of(line);
    let key = line[indent..].strip_prefix(b"- ").unwrap_or(&line[indent..]);
    let rest = key.strip_prefix(b"message:").or_else(|| key.strip_prefix(b"\"message\":"))?;
    let rest = rest.trim_ascii();
    let open = |quote: u8| {
        rest.first() == Some(&quote) && (rest.len() == 1 || rest.last() != Some(&quote))
    };
    let plain = !rest.is_empty() && !rest.ends_with(b",") && rest[0].is_ascii_alphanumeric();
    (open(b'\'') || open(b'"') || plain || rest.starts_with(b">") || rest.starts_with(b"|"))
        .then_some(indent)
}

/// Whether the edge of a terminal or page may have parted these two.
fn is_broken(line: &[u8], next: &[u8]) -> bool {
    let bytes = line.len();
    if !(BROKEN_BYTES_MIN..=BROKEN_BYTES_MAX).contains(&bytes) || line.trim_ascii().is_empty() {
        return false;
    }
    let next = next.trim_ascii_start();
    let Some(first) = next.first() else { return false };
    if BEGINNINGS.iter().any(|beginning| next.starts_with(beginning)) || is_dated(next) {
        return false;
    }
    let in_words =
        first.is_ascii_lowercase() || first.is_ascii_digit() || b"'\":/.,)".contains(first);
    in_words && !line.ends_with(b".") && !line.ends_with(b"{") || WIDTHS.contains(&bytes)
}

/// Begins with a date or a time.
fn is_dated(line: &[u8]) -> bool {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (1..=4).contains(&digits) && matches!(line.get(digits), Some(b'-' | b':' | b'/' | b'.'))
}

fn view(lines: &[Line<'_>], text: &[u8]) -> Option<View> {
    let mut bytes = Vec::with_capacity(text.len().min(VIEW_BYTES_MAX));
    let seen = &text[text.len().saturating_sub(VIEW_BYTES_MAX)..];
    let (answers, errors) = (http::may_tell(seen), errno::may_tell(seen));
    let signals = signal::may_tell(seen);
    for line in lines {
        bytes.extend_from_slice(&line.text);
        if let Some(answer) = answers.then(|| http::told(&line.text)).flatten() {
            bytes.push(b' ');
            bytes.extend_from_slice(answer.as_bytes());
        }
        if let Some(words) = errors.then(|| errno::told(&line.text)).flatten() {
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(words.as_bytes());
        }
        if let Some(ended) = signals.then(|| signal::told(&line.text)).flatten() {
            bytes.push(b' ');
            bytes.extend_from_slice(ended.as_bytes());
        }
        bytes.push(b'\n');
    }
    bytes.pop();
    let changed = !text.ends_with(&bytes);
    let bytes = match messages::in_english(&bytes) {
        Some(english) => english,
        None if changed => bytes,
        None => return None,
    };
    Some(View { bytes, lines: lines.iter().map(|line| line.from.clone()).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let texts = readings(text.as_bytes()).into_iter();
        texts.map(|view| String::from_utf8(view.bytes).unwrap()).collect()
    }

    #[test]
    fn a_plain_text_has_no_other_reading() {
        assert!(read("one\ntwo\n\tat x\n").is_empty());
    }

    #[test]
    fn a_line_that_a_terminal_broke_is_whole_again() {
        let line = "/opt/app/bin/app: error while loading shared libraries: libfoo.so.1: cannot op";
        let text = format!("{line}\nen shared object file: No such file or directory\nend");
        let whole = format!("{line}en shared object file: No such file or directory\nend");
        let found = readings(text.as_bytes());
        assert_eq!(String::from_utf8_lossy(&found[1].bytes), whole);
        assert_eq!(found[1].original(3), 0..text.len() - 4);
        assert_eq!(found[1].original(whole.len() - 1), text.len() - 3..text.len());
    }

    #[test]
    fn quotes_within_quotes_are_read() {
        let text = r#"value "error: \"exec: \\\"/start.sh\\\": stat /start.sh\"""#;
        assert_eq!(read(text)[0], r#"value "error: "exec: "/start.sh": stat /start.sh"""#);
        assert_eq!(unquoted(r#"C:\dir\\\"a\" \"#), r#"C:\dir"a" \"#);
        let repeated = |text: &str| {
            let mut text = text.to_owned();
            while text.contains("\\\"") {
                text = text.replace("\\\"", "\"");
            }
            text
        };
        for text in ["", "\"", "\\", "a\\\\\"\"\\\"b\\", "\\\"\\\\\"", "no quote \\n"] {
            assert_eq!(unquoted(text), repeated(text), "{text}");
        }
    }

    #[test]
    fn a_folded_status_is_one_line() {
        let text =
            "reason: FailedMount\nmessage: >-\n  MountVolume failed\n  for volume\nsource:\n  a: b";
        assert_eq!(
            read(text)[0],
            "reason: FailedMount\nmessage: >- MountVolume failed for volume\nsource:\n  a: b"
        );
    }

    #[test]
    fn quotes_escapes_borders_and_colours_are_undone() {
        assert_eq!(read("\u{201c}exec format error\u{201d}")[0], "\"exec format error\"");
        assert_eq!(read(r#"{"message":"a \"b\"\nc"}"#)[0], "{\"message\":\"a \"b\"\nc\"}");
        assert_eq!(read("\u{2551} Missing libraries: \u{2551}")[0], "Missing libraries:");
        assert_eq!(read("\u{1b}[31merror\u{1b}[0m &quot;x&quot;")[0], "error \"x\"");
    }
}
