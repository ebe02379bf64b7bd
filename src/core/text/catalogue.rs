//! The translations: `build.rs` reads the `.po` files and packs them into one table, sorted by the English
//! text, because texts of five languages would take a third of a megabyte otherwise. It is unpacked
//! when somebody first wants another language.

use std::sync::LazyLock;

use super::Language;

/// Deflated: for each text its columns in the order of [`Language::ALL`].
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/catalogue.bin"));
/// Bytes of the unpacked table, at most.
const UNPACKED_BYTES_MAX: usize = 4 << 20;
/// Between two columns (ASCII unit separator).
const COLUMN: char = '\u{1f}';
/// After each text (ASCII record separator).
const END: char = '\u{1e}';

/// A text in all languages, in the order of [`Language::ALL`]; empty: there is no translation.
pub type Entry = [&'static str; Language::ALL.len()];

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    // What cannot be unpacked has no translations; that it can be is tested.
    let bytes = miniz_oxide::inflate::decompress_to_vec_with_limit(PACKED, UNPACKED_BYTES_MAX);
    let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
    text.leak().split_terminator(END).filter_map(entry).collect()
});

fn entry(row: &'static str) -> Option<Entry> {
    let mut columns = row.split(COLUMN);
    let entry = Language::ALL.map(|_| columns.next());
    entry.iter().all(Option::is_some).then(|| entry.map(Option::unwrap_or_default))
}

/// All of them, sorted by the English text.
#[must_use]
pub fn entries() -> &'static [Entry] {
    &ENTRIES
}

/// A template in a language.
#[must_use]
pub fn translation(english: &str, language: Language) -> Option<&'static str> {
    if language == Language::English {
        return None;
    }
    let at = ENTRIES.binary_search_by(|entry| entry[0].cmp(english)).ok()?;
    let column = Language::ALL.iter().position(|it| *it == language)?;
    Some(ENTRIES[at][column]).filter(|text| !text.is_empty())
}
