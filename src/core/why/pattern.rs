//! The language of patterns: literal text, `*` for anything within the line (and what it stood for
//! can be told), `^` at its start for the line's start, `$` at its end for the line's end. Letters
//! match in both cases.
//!
//! No regular expressions: a table that many people extend must not be able to take long, and
//! every pattern needs a literal piece that a single pass over the log looks for.

/// Longest text that stands in for a `*`, in bytes, when it is told.
const CAPTURE_BYTES_MAX: usize = 160;
/// Letters from the rarest in English texts on; a space is behind all of them.
const RARE_FIRST: &[u8] = b"zjqxkvbywgpfmucdlhrsnioate ";
/// What logs have in every line, and English has not.
const OF_LOGS: &[u8] = b"0123456789:./-_[]";
/// As frequent as that is, by the place among the letters.
const OF_LOGS_PLACE: u8 = 20;
/// How frequent each byte is in logs.
const FREQUENCIES: [u8; 256] = frequencies();

const fn frequencies() -> [u8; 256] {
    let mut of = [0; 256];
    let mut place = 0;
    while place < RARE_FIRST.len() {
        of[RARE_FIRST[place] as usize] = place as u8 + 1;
        of[RARE_FIRST[place].to_ascii_uppercase() as usize] = place as u8 + 1;
        place += 1;
    }
    let mut place = 0;
    while place < OF_LOGS.len() {
        of[OF_LOGS[place] as usize] = OF_LOGS_PLACE;
        place += 1;
    }
    of
}

/// How frequent a byte is in logs: from 0 on.
pub(super) fn frequency(byte: u8) -> u8 {
    FREQUENCIES[usize::from(byte)]
}

/// A text to look for, letters in either case: by its rarest byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needle<'t> {
    text: &'t [u8],
    rarest: usize,
}

impl<'t> Needle<'t> {
    pub(super) const fn new(text: &'t [u8]) -> Self {
        let (mut rarest, mut place) = (0, 1);
        while place < text.len() {
            if FREQUENCIES[text[place] as usize] < FREQUENCIES[text[rarest] as usize] {
                rarest = place;
            }
            place += 1;
        }
        Self { text, rarest }
    }

    /// Where it is in `text`.
    pub(super) fn find(&self, text: &[u8]) -> Option<usize> {
        let Some(rarest) = self.text.get(self.rarest) else { return Some(0) };
        let last = text.len().checked_sub(self.text.len())?;
        let (lower, upper) = (rarest.to_ascii_lowercase(), rarest.to_ascii_uppercase());
        memchr::memchr2_iter(lower, upper, &text[self.rarest..=self.rarest + last])
            .find(|at| text[*at..*at + self.text.len()].eq_ignore_ascii_case(self.text))
    }

    /// Bytes of it.
    pub(super) const fn len(&self) -> usize {
        self.text.len()
    }
}

/// Those of words that are looked for in many lines.
pub(super) const fn needles<const N: usize>(words: &[&'static str; N]) -> [Needle<'static>; N] {
    let mut all = [Needle { text: &[], rarest: 0 }; N];
    let mut place = 0;
    while place < N {
        all[place] = Needle::new(words[place].as_bytes());
        place += 1;
    }
    all
}

/// Its literal pieces, in order.
pub(super) fn pieces(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.trim_start_matches('^').trim_end_matches('$').split('*').filter(|p| !p.is_empty())
}

/// The piece that is looked for first: the longest one, it is the rarest.
pub(super) fn anchor(pattern: &str) -> &str {
    pieces(pattern).max_by_key(|piece| piece.len()).unwrap_or("")
}

/// Whether a line has the pattern; what its stars stood for.
pub(super) fn matches(pattern: &str, line: &[u8]) -> Option<Vec<String>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (at_start, pattern) = match pattern.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let (at_end, pattern) = match pattern.strip_suffix('$') {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let mut captures = Vec::new();
    let mut at = 0;
    for (number, piece) in pattern.split('*').enumerate() {
        let piece = piece.as_bytes();
        let found = if number == 0 && at_start {
            starts(line, piece).then_some(0)?
        } else {
            at + find(&line[at..], piece)?
        };
        if number > 0 {
            captures.push(told(&line[at..found]));
        }
        at = found + piece.len();
    }
    if pattern.ends_with('*') {
        captures.pop();
        captures.push(told(&line[at..]));
        return Some(captures);
    }
    (!at_end || at == line.len()).then_some(captures)
}

/// Where `piece` is in `text`, letters in either case.
pub(super) fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    Needle::new(piece).find(text)
}

fn starts(text: &[u8], piece: &[u8]) -> bool {
    text.get(..piece.len()).is_some_and(|head| head.eq_ignore_ascii_case(piece))
}

fn told(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(CAPTURE_BYTES_MAX)]);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim_matches(|c: char| c.is_whitespace() || "'\"`.,:;".contains(c)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, line: &str, expected: Option<&[&str]>) {
        let found = matches(pattern, line.as_bytes());
        let expected = expected.map(|e| e.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(found, expected, "{pattern:?} on {line:?}");
    }

    #[test]
    fn stars_stand_for_text_in_order_and_are_told() {
        check("cannot open display", "xterm: Cannot open display: :0", Some(&[]));
        check("open display:*", "cannot open display: :0\r", Some(&["0"]));
        check("libraries: *: cannot", "x: libraries: liba.so.1: cannot", Some(&["liba.so.1"]));
        check("b*a", "a b", None);
        check("the *was*", "the cat was 'here'", Some(&["cat", "here"]));
    }

    #[test]
    fn anchors_tie_a_pattern_to_the_lines_start_and_end() {
        check("^Killed$", "Killed", Some(&[]));
        check("^Killed$", "Killed by", None);
        check("^Killed$", "I was Killed", None);
        check("Killed$", "", None);
    }

    #[test]
    fn a_text_is_found_wherever_it_is_and_in_either_case() {
        let text = b"an Error, and an eRror: 7";
        for from in 0..text.len() {
            for to in from..text.len() {
                let piece = text[from..to].to_ascii_uppercase();
                let all = text.windows(piece.len().max(1));
                let first = all.into_iter().position(|it| it.eq_ignore_ascii_case(&piece));
                assert_eq!(find(text, &piece), first.or(piece.is_empty().then_some(0)));
            }
        }
        assert_eq!(find(b"short", b"longer than it"), None);
    }

    #[test]
    fn the_rarest_piece_is_looked_for() {
        assert_eq!(anchor("^exec*file not found*path"), "file not found");
    }
}
