//! Of a world that fails, the steps that it needs for that.

use crate::play;

/// Leaves out as many steps as possible while the same thing goes wrong (delta debugging: Zeller,
/// Hildebrandt, 2002, without complements).
pub fn shrink(seed: u64, what: &str) -> Vec<u64> {
    let kind = kind(what);
    let mut steps = crate::all_steps();
    let fails =
        |steps: &[u64]| play(seed, steps, None, false).is_some_and(|it| self::kind(&it) == kind);
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < steps.len() {
            let mut less = steps.clone();
            less.drain(at..(at + size).min(steps.len()));
            if fails(&less) {
                steps = less;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    steps
}

/// The words without names and numbers: with fewer steps another task has the same problem.
pub fn kind(what: &str) -> String {
    let plain = |word: &&str| word.chars().all(|c| c.is_ascii_alphabetic() || c == ',');
    what.split(' ').filter(plain).collect::<Vec<_>>().join(" ")
}
