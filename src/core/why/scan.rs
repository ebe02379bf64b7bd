//! One pass over a text for the anchors of all patterns: Wu and Manber's algorithm (University of
//! Arizona, TR-94-17) with blocks of four bytes, letters in either case.
//!
//! A table says for each block how far the next anchor's end is away at least, so most bytes are
//! never looked at: 10 MB take some milliseconds. Of each anchor the pass looks for the window of
//! the rarest bytes.

use std::collections::HashMap;

use super::pattern;
use super::rule::{Rule, Weight};
use super::rules::Rules;

/// Bytes of an anchor that the pass looks for; no anchor is shorter.
pub(super) const WINDOW_BYTES: usize = 8;
/// Bytes of a block.
const BLOCK_BYTES: usize = 4;
/// How far the window is moved when it ends in a block that no window has.
const SHIFT_MAX: usize = WINDOW_BYTES - BLOCK_BYTES + 1;
/// Bits of a block's hash.
const HASH_BITS: u32 = 15;
/// What many lines of logs have: a window had better not end in it.
const FREQUENT_WORDS: &[u8] =
    b"error failed to cannot warning could not connect found /home/ unable no such file or \
    directory resource killed permission denied invalid message object bus time missing request the server \
    display open create initialize window context exception available supported process memory image \
    properly unknown create directory connect to the /usr/lib library libraries platform symbol shared looking \
    loading org.freedesktop.DBus user account command system service started running version default";
/// What a common block at the end of a window weighs against the frequency of letters.
const COMMON_LAST: usize = 1 << 16;
/// The same for one before the end, by its place.
const COMMON_BLOCK: usize = 64;
/// Clears in four letters the bit in which their cases differ.
const FOLD: u32 = 0xdfdf_dfdf;
/// Occurrences of one anchor that are looked at in one text.
const OCCURRENCES_MAX: u32 = 64;

/// A pattern that matched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    /// The rule's place in the table.
    pub(super) rule: usize,
    /// The pattern's in the rule.
    pattern: usize,
    /// Where in the text its anchor is.
    pub(super) at: usize,
}

impl Hit {
    /// What the stars of its pattern stood for.
    pub(super) fn captures(&self, text: &[u8], rules: &Rules) -> Vec<String> {
        let pattern = &rules.get(self.rule).patterns[self.pattern];
        let (_, line) = super::log::line_at(text, self.at);
        pattern::matches(pattern, line).unwrap_or_default()
    }
}

/// A text that patterns have for their rarest piece: many share one (`Permission denied`).
#[derive(Debug)]
struct Anchor {
    text: Vec<u8>,
    /// Where in `text` its window begins.
    window: usize,
    /// Whose it is, in the order of the table: a rule's place, and its pattern's in the rule.
    patterns: Vec<(usize, usize)>,
}

#[derive(Debug)]
pub(super) struct Scanner {
    anchors: Vec<Anchor>,
    /// One bit for each block that is in a window: small enough for the fastest cache, and most
    /// blocks of a log are in none.
    known: Vec<u64>,
    /// How far the window may be moved when it ends in this block.
    shifts: Vec<u8>,
    /// Every anchor's window; sorted.
    windows: Vec<Window>,
    /// Where in `windows` those with this last block begin.
    first: Vec<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Window {
    /// Hash of its last block.
    block: u16,
    /// Its bytes, folded.
    folded: u64,
    /// The anchor it is of.
    anchor: u16,
    /// Another eight bytes of the anchor, folded: its first or its last ones, whichever are further away. Few
    /// texts have both.
    other: u64,
    /// How far behind the window those begin.
    other_at: i16,
}

impl Scanner {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut scanner = Self {
            anchors: Vec::new(),
            known: vec![0; (1 << HASH_BITS) / 64],
            shifts: vec![SHIFT_MAX as u8; 1 << HASH_BITS],
            windows: Vec::new(),
            first: vec![0; 1 << HASH_BITS],
        };
        let common = common_blocks();
        let mut known = HashMap::new();
        let guess = |rule: &Rule| rule.weight == Weight::Guess;
        for (place, rule) in rules.iter().enumerate().filter(|(_, rule)| !guess(rule)) {
            for (number_of_pattern, pattern) in rule.patterns.iter().enumerate() {
                let text = pattern::anchor(pattern);
                let number = *known.entry(text.to_ascii_lowercase()).or_insert_with(|| {
                    scanner.add(text.as_bytes(), &common);
                    scanner.anchors.len() - 1
                });
                scanner.anchors[number].patterns.push((place, number_of_pattern));
            }
        }
        scanner.windows.sort_unstable();
        for (place, window) in scanner.windows.iter().enumerate().rev() {
            scanner.first[usize::from(window.block)] = place as u16;
        }
        scanner
    }

    /// A new anchor. Each has a window: no anchor is shorter than one (tested below).
    fn add(&mut self, text: &[u8], common: &[bool]) {
        let anchor = self.anchors.len() as u16;
        let windows = text.windows(WINDOW_BYTES).enumerate();
        let rarest = windows.min_by_key(|(_, window)| frequency(window, common));
        if let Some((start, window)) = rarest {
            for end in BLOCK_BYTES..=WINDOW_BYTES {
                let block = block(&window[end - BLOCK_BYTES..]);
                self.known[block / 64] |= 1 << (block % 64);
                self.shifts[block] = self.shifts[block].min((WINDOW_BYTES - end) as u8);
            }
            let block = block(&window[WINDOW_BYTES - BLOCK_BYTES..]) as u16;
            let last = text.len() - WINDOW_BYTES;
            let other = if start > last - start { 0 } else { last };
            let (other, other_at) = (folded(&text[other..]), other as i16 - start as i16);
            self.windows.push(Window { block, folded: folded(window), anchor, other, other_at });
        }
        let window = rarest.map_or(0, |(start, _)| start);
        self.anchors.push(Anchor { text: text.to_vec(), window, patterns: Vec::new() });
    }

    /// Where rules have a pattern in the text, in the order of the text.
    pub(super) fn scan(&self, text: &[u8], rules: &Rules) -> Vec<Hit> {
        let mut hits = Vec::new();
        let mut seen = vec![0; self.anchors.len()];
        // The window's last block begins here.
        let mut at = WINDOW_BYTES - BLOCK_BYTES;
        while at + BLOCK_BYTES <= text.len() {
            let block = block(&text[at..]);
            if self.known[block / 64] >> (block % 64) & 1 == 0 {
                at += SHIFT_MAX;
                continue;
            }
            let shift = self.shifts[block];
            if shift > 0 {
                at += usize::from(shift);
                continue;
            }
            let window = at + BLOCK_BYTES - WINDOW_BYTES;
            let here = folded(&text[window..]);
            let is_there = |found: &&Window| {
                let other = || window.checked_add_signed(found.other_at.into());
                found.folded == here
                    && other().is_some_and(|at| text.get(at..).map(folded) == Some(found.other))
            };
            for found in self.ending_in(block as u16).filter(is_there) {
                let anchor = usize::from(found.anchor);
                if seen[anchor] < OCCURRENCES_MAX && self.is_at(anchor, text, window) {
                    seen[anchor] += 1;
                    self.look(anchor, text, window, rules, &mut hits);
                }
            }
            at += 1;
        }
        hits
    }

    fn ending_in(&self, block: u16) -> impl Iterator<Item = &Window> {
        let from = usize::from(self.first[usize::from(block)]);
        self.windows[from..].iter().take_while(move |window| window.block == block)
    }

    /// Whether the anchor whose window is at `window` is there as a whole.
    fn is_at(&self, anchor: usize, text: &[u8], window: usize) -> bool {
        let anchor = &self.anchors[anchor];
        let at = window.checked_sub(anchor.window);
        let here = at.and_then(|at| text.get(at..at + anchor.text.len()));
        here.is_some_and(|here| here.eq_ignore_ascii_case(&anchor.text))
    }

    fn look(&self, anchor: usize, text: &[u8], window: usize, rules: &Rules, hits: &mut Vec<Hit>) {
        let anchor = &self.anchors[anchor];
        let at = window - anchor.window;
        let (_, line) = super::log::line_at(text, at);
        for &(rule, pattern) in &anchor.patterns {
            let it = rules.get(rule);
            if pattern::matches(&it.patterns[pattern], line).is_some() && !it.is_excluded(line) {
                hits.push(Hit { rule, pattern, at });
            }
        }
    }
}

/// Hash of the first four bytes of `text`, without the bit in which a letter's cases differ.
#[inline(always)] // Also where the program is made small: it runs for every other byte.
fn block(text: &[u8]) -> usize {
    let Some(bytes) = text.first_chunk::<BLOCK_BYTES>() else { return 0 };
    let folded = u32::from_le_bytes(*bytes) & FOLD;
    // Fibonacci hashing: 2 to the 32 by the golden ratio.
    (folded.wrapping_mul(0x9e37_79b1) >> (u32::BITS - HASH_BITS)) as usize
}

/// The first eight bytes of `text`, folded alike.
#[inline(always)]
fn folded(text: &[u8]) -> u64 {
    let fold = u64::from(FOLD) << 32 | u64::from(FOLD);
    text.first_chunk::<WINDOW_BYTES>().map_or(0, |bytes| u64::from_le_bytes(*bytes) & fold)
}

/// By their hashes, the blocks of frequent words.
fn common_blocks() -> Vec<bool> {
    let mut common = vec![false; 1 << HASH_BITS];
    FREQUENT_WORDS.windows(BLOCK_BYTES).for_each(|word| common[block(word)] = true);
    common
}

/// How frequent it is in logs: its bytes together, and much more for each block that words have
/// which many lines have; most of all for the last one, where the pass must stop and look.
fn frequency(window: &[u8], common: &[bool]) -> usize {
    let of = |byte: &u8| usize::from(pattern::frequency(*byte));
    let blocks = window.windows(BLOCK_BYTES).enumerate().filter(|(_, bytes)| common[block(bytes)]);
    let last = window.len() - BLOCK_BYTES;
    let of_block = |place: usize| if place == last { COMMON_LAST } else { place * COMMON_BLOCK };
    window.iter().map(of).sum::<usize>() + blocks.map(|(place, _)| of_block(place)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_found_wherever_it_is_and_in_either_case() {
        let rules = Rules::built_in();
        let guess = |rule: &Rule| rule.weight == Weight::Guess;
        for (place, rule) in rules.all().enumerate().filter(|(_, rule)| !guess(rule)) {
            for pattern in &rule.patterns {
                let anchor = pattern::anchor(pattern).to_uppercase();
                for before in 0..8 {
                    let text = format!("{}{anchor}", "x".repeat(before));
                    let whole = pattern::matches(pattern, text.as_bytes()).is_some();
                    let hits = rules.scanner().scan(text.as_bytes(), rules);
                    let found = hits.iter().any(|hit| hit.rule == place && hit.at == before);
                    assert!(
                        found || !whole || rule.is_excluded(text.as_bytes()),
                        "{pattern:?} at {before}"
                    );
                }
            }
        }
    }
}
