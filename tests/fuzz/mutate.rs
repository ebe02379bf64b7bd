//! Inputs made of seeds: small changes, the same ones each time.

use super::rng::Rng;

/// Changes of one input, at most.
const CHANGES_MAX: usize = 8;
/// Bytes that are copied, removed or repeated at once, at most.
const PIECE_BYTES_MAX: usize = 64;
/// What formats end, escape and overflow at.
const TELLING: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"[",
    b"{",
    b"%",
    b":",
    b"=",
    b"-1",
    b"18446744073709551615",
    b"9223372036854775808",
    b"1e309",
    b"\xff",
    b"\xed\xa0\x80",
    "\u{fe0f}\u{202e}".as_bytes(),
];

/// Makes them.
pub struct Mutator {
    seeds: Vec<Vec<u8>>,
    rng: Rng,
    bytes_max: usize,
}

impl Mutator {
    /// For the target `name`; inputs have at most `bytes_max` bytes.
    pub fn new(name: &str, seeds: &[Vec<u8>], bytes_max: usize) -> Self {
        let seed = name.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte));
        Self { seeds: seeds.to_vec(), rng: Rng::new(seed, 0), bytes_max }
    }

    /// The next one.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.rng.pick(&self.seeds).unwrap_or_default();
        for _ in 0..=self.rng.below(CHANGES_MAX) {
            self.change(&mut input);
        }
        input.truncate(self.bytes_max);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.rng.below(input.len() + 1);
        let end = input.len().min(at + self.rng.below(PIECE_BYTES_MAX));
        match self.rng.below(6) {
            0 if at < input.len() => input[at] ^= 1 << self.rng.below(8),
            1 => drop(input.drain(at..end)),
            2 => {
                let piece = input[at..end].to_vec();
                let to = self.rng.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            3 => {
                let other = self.rng.pick(&self.seeds).unwrap_or_default();
                let from = self.rng.below(other.len() + 1);
                input.splice(at..end, other[from..].iter().copied());
            }
            4 => input.truncate(at),
            _ => {
                let telling = self.rng.pick(TELLING).unwrap_or_default();
                input.splice(at..at, telling.iter().copied());
            }
        }
    }
}
