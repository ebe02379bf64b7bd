//! One pass over a text for the anchors of all patterns: Wu and Manber's algorithm (University of
//! Arizona, TR-94-17) with blocks of three bytes, letters in either case.
//!
//! A table says for each block how far the next anchor's end is away at least, so most bytes are
//! never looked at: 10 MB take some milliseconds.

use std::sync::LazyLock;

use super::rule::Rule;
use super::{pattern, rules};

/// Bytes of an anchor that the pass looks for; no anchor is shorter.
pub(super) const ANCHOR_BYTES: usize = 6;
/// Bytes of a block.
const BLOCK_BYTES: usize = 3;
/// Five bits per byte: a letter's case is in the sixth.
const BLOCKS: usize = 1 << 15;
/// Occurrences of one pattern's anchor that are looked at in one text.
const OCCURRENCES_MAX: u32 = 64;

/// A pattern that matched.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub(super) rule: &'static Rule,
    /// Where in the text its anchor is.
    pub(super) at: usize,
    /// What its stars stood for.
    pub(super) captures: Vec<String>,
}

struct Anchor {
    rule: &'static Rule,
    pattern: &'static str,
    text: &'static [u8],
}

struct Scanner {
    anchors: Vec<Anchor>,
    /// How far the window may be moved when it ends in this block.
    shifts: Vec<u8>,
    /// Block that ends an anchor's head, and the anchor; sorted.
    heads: Vec<(u16, u16)>,
}

static SCANNER: LazyLock<Scanner> = LazyLock::new(Scanner::new);

/// Every rule that has a pattern in the text, each once, at its first place.
pub(super) fn scan(text: &[u8], accepts: impl Fn(&Rule, usize) -> bool) -> Vec<Hit> {
    SCANNER.scan(text, accepts)
}

impl Scanner {
    fn new() -> Self {
        let mut scanner = Self {
            anchors: Vec::new(),
            shifts: vec![(ANCHOR_BYTES - BLOCK_BYTES + 1) as u8; BLOCKS],
            heads: Vec::new(),
        };
        for rule in rules::all() {
            for pattern in rule.any {
                scanner.add(rule, pattern);
            }
        }
        scanner.heads.sort_unstable();
        scanner
    }

    fn add(&mut self, rule: &'static Rule, pattern: &'static str) {
        let text = pattern::anchor(pattern).as_bytes();
        let Some(head) = text.get(..ANCHOR_BYTES) else { return };
        for end in BLOCK_BYTES..=ANCHOR_BYTES {
            let shift = &mut self.shifts[block(&head[..end])];
            *shift = (*shift).min((ANCHOR_BYTES - end) as u8);
        }
        self.heads.push((block(head) as u16, self.anchors.len() as u16));
        self.anchors.push(Anchor { rule, pattern, text });
    }

    fn scan(&self, text: &[u8], accepts: impl Fn(&Rule, usize) -> bool) -> Vec<Hit> {
        let mut hits: Vec<Hit> = Vec::new();
        let mut seen = vec![0; self.anchors.len()];
        let mut end = ANCHOR_BYTES;
        while let Some(window) = text.get(..end) {
            let block = block(window);
            let shift = self.shifts[block];
            if shift > 0 {
                end += usize::from(shift);
                continue;
            }
            let at = end - ANCHOR_BYTES;
            for anchor in self.ending_in(block as u16) {
                self.look(anchor, text, at, &mut seen, &accepts, &mut hits);
            }
            end += 1;
        }
        hits
    }

    fn ending_in(&self, block: u16) -> impl Iterator<Item = usize> {
        let from = self.heads.partition_point(|(head, _)| *head < block);
        let same = move |(head, _): &&(u16, u16)| *head == block;
        self.heads[from..].iter().take_while(same).map(|(_, anchor)| usize::from(*anchor))
    }

    fn look(
        &self,
        number: usize,
        text: &[u8],
        at: usize,
        seen: &mut [u32],
        accepts: &impl Fn(&Rule, usize) -> bool,
        hits: &mut Vec<Hit>,
    ) {
        let anchor = &self.anchors[number];
        let here = text.get(at..at + anchor.text.len());
        if seen[number] >= OCCURRENCES_MAX
            || !here.is_some_and(|here| here.eq_ignore_ascii_case(anchor.text))
            || hits.iter().any(|hit| std::ptr::eq(hit.rule, anchor.rule))
        {
            return;
        }
        seen[number] += 1;
        let (_, line) = super::log::line_at(text, at);
        if anchor.rule.never.iter().any(|word| pattern::find(line, word.as_bytes()).is_some()) {
            return;
        }
        if let Some(captures) = pattern::matches(anchor.pattern, line)
            && accepts(anchor.rule, at)
        {
            hits.push(Hit { rule: anchor.rule, at, captures });
        }
    }
}

/// The last three bytes of `text`, five bits of each.
fn block(text: &[u8]) -> usize {
    match text {
        [.., a, b, c] => usize::from(a & 31) | usize::from(b & 31) << 5 | usize::from(c & 31) << 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_anchor_is_too_short_to_be_found() {
        for rule in rules::all() {
            for pattern in rule.any {
                let anchor = pattern::anchor(pattern);
                assert!(anchor.len() >= ANCHOR_BYTES, "{}: {pattern:?}: {anchor:?}", rule.name);
            }
        }
    }

    #[test]
    fn an_anchor_is_found_wherever_it_is_and_in_either_case() {
        for rule in rules::all() {
            for pattern in rule.any {
                let anchor = pattern::anchor(pattern).to_uppercase();
                for before in 0..8 {
                    let text = format!("{}{anchor}", "x".repeat(before));
                    let found = std::cell::Cell::new(false);
                    let note = |other: &Rule, at: usize| {
                        found.set(found.get() || (std::ptr::eq(other, rule) && at == before));
                        false
                    };
                    let whole = pattern::matches(pattern, text.as_bytes()).is_some();
                    scan(text.as_bytes(), note);
                    assert!(found.get() || !whole, "{pattern:?} at {before}");
                }
            }
        }
    }
}
