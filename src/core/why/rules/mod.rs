//! The table of rules, by family. To add one: `docs/diagnosis.md`.

mod chromium;
mod display;
mod display_words;
mod ending;
mod entry_point;
mod files;
mod gl;
mod home;
mod images;
mod kubernetes;
mod memory;
mod not_executable;
mod not_found;
mod permissions;
mod reported;
mod scheduling;
mod shm;
mod starting;
mod time;
mod toolkits;

use super::rule::Rule;

/// The families, in the order of the table.
pub const FAMILIES: [(&str, &[Rule]); 19] = [
    ("shm", shm::RULES),
    ("display", display::RULES),
    ("toolkits", toolkits::RULES),
    ("chromium", chromium::RULES),
    ("gl", gl::RULES),
    ("entry_point", entry_point::RULES),
    ("starting", starting::RULES),
    ("not_found", not_found::RULES),
    ("not_executable", not_executable::RULES),
    ("ending", ending::RULES),
    ("time", time::RULES),
    ("files", files::RULES),
    ("home", home::RULES),
    ("permissions", permissions::RULES),
    ("memory", memory::RULES),
    ("images", images::RULES),
    ("kubernetes", kubernetes::RULES),
    ("scheduling", scheduling::RULES),
    ("reported", reported::RULES),
];

/// All rules, in the order of the table.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    FAMILIES.into_iter().flat_map(|(_, rules)| rules)
}

/// A rule's place in the table.
#[must_use]
pub fn place(rule: &Rule) -> usize {
    all().position(|other| other.name == rule.name).unwrap_or(usize::MAX)
}
