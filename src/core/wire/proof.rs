//! Who is at the other end of a place's socket. Sans-I/O.
//!
//! A keeper that is not the daemon's parent (one in an ephemeral container) listens on an abstract
//! socket, to which every program of the pod may connect. Both sides have the place's key, and each
//! shows the other that it has it, without showing the key:
//!
//! ```text
//!  keeper                                                          daemon
//!     | -- challenge: 32 random bytes ------------------------------> |
//!     | <-- its own 32 random bytes, HMAC(key, "daemon", both) ------ |
//!     | -- HMAC(key, "keeper", both) -------------------------------> |
//!     |  <- frames from here on ->                                    |
//! ```
//!
//! The daemon proves first, so a stranger hears nothing but random bytes. Neither proof is of use in
//! another connection: both sides' random bytes are in it. The socket's name comes from the key too:
//! nobody who does not have it can take the name before the keeper does.
//!
//! Deliberately not here: secrecy of what follows. A socket within a pod cannot be listened to; for a
//! connection over a network there is [`super::channel`].

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Bytes of a key, of each side's random part, and of a proof.
pub const PROOF_BYTES: usize = 32;
/// Bytes of what the daemon answers to a challenge.
pub const ANSWER_BYTES: usize = 2 * PROOF_BYTES;
/// Bytes of the part of a key's hash that names its place.
pub const NAME_BYTES: usize = 16;

/// What one side's random bytes, or its proof, is.
pub type Bytes = [u8; PROOF_BYTES];

/// What the keeper of one place and its daemon know, and nobody else. In text: hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(Bytes);

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a place's key has {} hexadecimal digits", 2 * PROOF_BYTES)]
pub struct NoKey;

impl Key {
    /// From random bytes.
    #[must_use]
    pub fn new(random: Bytes) -> Self {
        Self(random)
    }

    /// The name of the abstract socket on which the place's keeper listens.
    #[must_use]
    pub fn socket_name(&self) -> String {
        format!("deskd-place-{}", hex(&self.name()))
    }

    /// What its place is called by those who do not have it.
    #[must_use]
    pub fn name(&self) -> [u8; NAME_BYTES] {
        let name = self.mac("name", &[]);
        std::array::from_fn(|at| name[at])
    }

    /// What the daemon answers to a challenge; `own` are random bytes that were never used before.
    #[must_use]
    pub fn answer(&self, challenge: &Bytes, own: &Bytes) -> [u8; ANSWER_BYTES] {
        let proof = self.mac("daemon", &[challenge, own]);
        let mut answer = [0; ANSWER_BYTES];
        answer[..PROOF_BYTES].copy_from_slice(own);
        answer[PROOF_BYTES..].copy_from_slice(&proof);
        answer
    }

    /// The keeper's own proof, if `answer` is that of a daemon with this key.
    #[must_use]
    pub fn admit(&self, challenge: &Bytes, answer: &[u8; ANSWER_BYTES]) -> Option<Bytes> {
        let (theirs, proof) = answer.split_first_chunk::<PROOF_BYTES>()?;
        if !self.verifies("daemon", &[challenge, theirs], proof) {
            return None;
        }
        Some(self.mac("keeper", &[challenge, theirs]))
    }

    /// Whether `proof` is that of a keeper with this key.
    #[must_use]
    pub fn is_keepers(&self, challenge: &Bytes, own: &Bytes, proof: &Bytes) -> bool {
        self.verifies("keeper", &[challenge, own], proof)
    }

    /// Whether `proof` is the hash of these, in a time that tells nothing.
    pub(super) fn verifies(&self, what: &str, of: &[&Bytes], proof: &[u8]) -> bool {
        self.begin(what, of).verify_slice(proof).is_ok()
    }

    pub(super) fn mac(&self, what: &str, of: &[&Bytes]) -> Bytes {
        self.begin(what, of).finalize().into_bytes().into()
    }

    /// No `what` begins with another, and the rest has a fixed length: no two texts are the same.
    fn begin(&self, what: &str, of: &[&Bytes]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&padded(&self.0).into());
        mac.update(b"deskd place 1 ");
        mac.update(what.as_bytes());
        of.iter().for_each(|bytes| mac.update(*bytes));
        mac
    }
}

/// RFC 2104: a key shorter than a block of the hash is followed by zeros.
fn padded(key: &Bytes) -> [u8; 64] {
    let mut block = [0; 64];
    block[..PROOF_BYTES].copy_from_slice(key);
    block
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        hex(&key.0)
    }
}

impl TryFrom<String> for Key {
    type Error = NoKey;

    fn try_from(text: String) -> Result<Self, NoKey> {
        text.parse()
    }
}

impl std::str::FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        let (digits, []) = text.as_bytes().as_chunks::<2>() else { return Err(NoKey) };
        let byte = |pair: &[u8; 2]| Some((digit(pair[0])? << 4) | digit(pair[1])?);
        let bytes: Option<Vec<u8>> = digits.iter().map(byte).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(NoKey)
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(seed: u8) -> Key {
        Key::new(std::array::from_fn(|at| seed.wrapping_mul(31).wrapping_add(at as u8)))
    }

    #[test]
    fn both_sides_with_the_key_believe_each_other() {
        let (challenge, own) = ([1; 32], [2; 32]);
        let proof = key(7).admit(&challenge, &key(7).answer(&challenge, &own)).unwrap();
        assert!(key(7).is_keepers(&challenge, &own, &proof));
        assert_ne!(key(7).socket_name(), key(8).socket_name());
    }

    #[test]
    fn who_repeats_what_it_heard_is_not_believed() {
        let (challenge, own) = ([1; 32], [2; 32]);
        let answer = key(7).answer(&challenge, &own);
        let proof = key(7).admit(&challenge, &answer).unwrap();
        // In another connection, to the other side, or as the other side.
        assert_eq!(key(7).admit(&[3; 32], &answer), None);
        assert!(!key(7).is_keepers(&challenge, &[4; 32], &proof));
        let daemons: Bytes = answer[PROOF_BYTES..].try_into().unwrap();
        assert!(!key(7).is_keepers(&challenge, &own, &daemons));
        let mut keepers = answer;
        keepers[PROOF_BYTES..].copy_from_slice(&proof);
        assert_eq!(key(7).admit(&challenge, &keepers), None);
    }

    #[test]
    fn a_key_is_written_and_read_and_never_shown_by_accident() {
        let text = String::from(key(9));
        assert_eq!(text.parse(), Ok(key(9)));
        assert!(!format!("{:?}", key(9)).contains(&text[..8]));
        for bad in ["", "00", &text[1..], &text.to_uppercase(), &format!("{text}00"), "é"] {
            assert_eq!(bad.parse::<Key>(), Err(NoKey), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn a_bit_that_is_wrong_anywhere_is_not_believed(at in 0..ANSWER_BYTES * 8, challenge: Bytes, own: Bytes) {
            let mut answer = key(1).answer(&challenge, &own);
            answer[at / 8] ^= 1 << (at % 8);
            prop_assert_eq!(key(1).admit(&challenge, &answer), None);
            prop_assert_eq!(key(2).admit(&challenge, &key(1).answer(&challenge, &own)), None);
        }
    }
}
