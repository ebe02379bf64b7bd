//! The way between a keeper in another pod and its daemon: who is at the other end, and frames that
//! nobody else can read, forge, repeat or leave out. Sans-I/O.
//!
//! The keeper connects, because the address of the desktop's pod is known when its own is made:
//!
//! ```text
//!  keeper                                                          daemon
//!     | <-- challenge: the daemon's half of a secret -------------- |
//!     | -- the place's name, the keeper's half,                     |
//!     |    HMAC(key, "tcp keeper", both halves) ------------------> |
//!     | <-- HMAC(key, "tcp daemon", both halves) ------------------ |
//!     | <- records from here on ->                                  |
//! ```
//!
//! The halves are X25519 public keys (RFC 7748) that are made for one connection. The secret of both,
//! and the place's key, give a key of ChaCha20-Poly1305 (RFC 8439) for each direction. So who learns
//! the place's key later cannot read what he recorded; who knows it at the time can be in the middle.
//!
//! A record is the number of its bytes (2, little-endian, authenticated), so many encrypted bytes, and
//! a tag. Its nonce is the number of the record in its direction: one that is missing, comes twice or
//! in another order does not open. The end of a connection is no message, so it is not authenticated.

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, Nonce, Tag};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

use super::proof::{Bytes, Key, NAME_BYTES, PROOF_BYTES};

/// Bytes of what the keeper answers to a challenge: name, half, proof.
pub const GREETING_BYTES: usize = NAME_BYTES + 2 * PROOF_BYTES;
/// Most bytes that a record carries.
pub const RECORD_BYTES_MAX: usize = 16 << 10;
/// Bytes of the number before each record.
const LENGTH_BYTES: usize = 2;
/// Bytes of the tag after each record.
const TAG_BYTES: usize = 16;

/// What a place is called by those who do not have its key.
pub type Name = [u8; NAME_BYTES];

/// What arrived is not what the other side sent: the connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what arrived was changed on its way, or is from somebody else")]
pub struct Forged;

/// One side's half of a connection's secret.
#[derive(Debug)]
pub struct Half {
    secret: Hidden,
    public: Bytes,
}

/// The two directions of a connection, as one side has them.
#[derive(Debug)]
pub struct Channel {
    /// What this side sends.
    pub sealer: Sealer,
    /// What it receives.
    pub opener: Opener,
}

impl Half {
    /// From random bytes that were never used before.
    #[must_use]
    pub fn new(random: Bytes) -> Self {
        Self { public: x25519(random, X25519_BASEPOINT_BYTES), secret: Hidden(random) }
    }

    /// What the other side is told: of the daemon, its challenge.
    #[must_use]
    pub fn public(&self) -> &Bytes {
        &self.public
    }

    /// What the keeper answers to the daemon's challenge.
    #[must_use]
    pub fn greeting(&self, key: &Key, challenge: &Bytes) -> [u8; GREETING_BYTES] {
        let mut greeting = [0; GREETING_BYTES];
        let (name, rest) = greeting.split_at_mut(NAME_BYTES);
        let (half, proof) = rest.split_at_mut(PROOF_BYTES);
        name.copy_from_slice(&key.name());
        half.copy_from_slice(&self.public);
        proof.copy_from_slice(&key.mac("tcp keeper", &[challenge, &self.public]));
        greeting
    }

    /// The daemon's proof and its channel, if `greeting` is that of the keeper with this key.
    #[must_use]
    pub fn admit(&self, key: &Key, greeting: &[u8; GREETING_BYTES]) -> Option<(Bytes, Channel)> {
        let (name, rest) = greeting.split_first_chunk::<NAME_BYTES>()?;
        let (theirs, proof) = rest.split_first_chunk::<PROOF_BYTES>()?;
        let halves = [&self.public, theirs];
        if *name != key.name() || !key.verifies("tcp keeper", &halves, proof) {
            return None;
        }
        let (sent, received) = self.keys(key, theirs, halves);
        Some((key.mac("tcp daemon", &halves), Channel::new(&sent, &received)))
    }

    /// The keeper's channel, if `proof` is that of the daemon with this key.
    #[must_use]
    pub fn trust(&self, key: &Key, challenge: &Bytes, proof: &Bytes) -> Option<Channel> {
        let halves = [challenge, &self.public];
        if !key.verifies("tcp daemon", &halves, proof) {
            return None;
        }
        let (received, sent) = self.keys(key, challenge, halves);
        Some(Channel::new(&sent, &received))
    }

    /// The keys of what the daemon sends and of what the keeper sends.
    fn keys(&self, key: &Key, theirs: &Bytes, halves: [&Bytes; 2]) -> (Bytes, Bytes) {
        let shared = x25519(self.secret.0, *theirs);
        let secret = Key::new(key.mac("tcp secret", &[&shared, halves[0], halves[1]]));
        (secret.mac("tcp to the keeper", &[]), secret.mac("tcp to the daemon", &[]))
    }
}

/// The greeting says whose it is: the name of the place.
#[must_use]
pub fn name_of(greeting: &[u8; GREETING_BYTES]) -> Name {
    std::array::from_fn(|at| greeting[at])
}

impl Channel {
    fn new(sent: &Bytes, received: &Bytes) -> Self {
        let cipher = |key: &Bytes| ChaCha20Poly1305::new(key.into());
        let sealer = Sealer { cipher: cipher(sent), next: 0 };
        Self { sealer, opener: Opener { cipher: cipher(received), next: 0, bytes: Vec::new() } }
    }
}

/// Makes records.
pub struct Sealer {
    cipher: ChaCha20Poly1305,
    next: u64,
}

impl Sealer {
    /// Appends `plain` to `out` as records.
    ///
    /// # Errors
    /// More records than there are numbers.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Forged> {
        for piece in plain.chunks(RECORD_BYTES_MAX) {
            let nonce = take_nonce(&mut self.next)?;
            let length = u16::try_from(piece.len()).map_err(|_| Forged)?.to_le_bytes();
            out.extend_from_slice(&length);
            let start = out.len();
            out.extend_from_slice(piece);
            let tag = self
                .cipher
                .encrypt_inout_detached(&nonce, &length, (&mut out[start..]).into())
                .map_err(|_| Forged)?;
            out.extend_from_slice(&tag);
        }
        Ok(())
    }
}

/// Opens records.
pub struct Opener {
    cipher: ChaCha20Poly1305,
    next: u64,
    /// Of a record that is not complete.
    bytes: Vec<u8>,
}

impl Opener {
    /// Takes bytes in as they arrived, and appends what the whole records carry to `plain`.
    ///
    /// # Errors
    /// A record is not the next one that the other side made. Nothing after it counts.
    pub fn open(&mut self, arrived: &[u8], plain: &mut Vec<u8>) -> Result<(), Forged> {
        self.bytes.extend_from_slice(arrived);
        let mut taken = 0;
        while let Some((length, rest)) = self.bytes[taken..].split_first_chunk::<LENGTH_BYTES>() {
            let bytes = usize::from(u16::from_le_bytes(*length));
            if bytes == 0 || bytes > RECORD_BYTES_MAX {
                return Err(Forged);
            }
            let Some(record) = rest.get(..bytes + TAG_BYTES) else { break };
            let (sealed, tag) = record.split_at(bytes);
            let nonce = take_nonce(&mut self.next)?;
            let tag = Tag::try_from(tag).map_err(|_| Forged)?;
            let start = plain.len();
            plain.extend_from_slice(sealed);
            let opened = self.cipher.decrypt_inout_detached(
                &nonce,
                length,
                (&mut plain[start..]).into(),
                &tag,
            );
            if opened.is_err() {
                plain.truncate(start);
                return Err(Forged);
            }
            taken += LENGTH_BYTES + record.len();
        }
        self.bytes.drain(..taken);
        Ok(())
    }
}

/// The next number, as a nonce: no key sees one twice.
fn take_nonce(next: &mut u64) -> Result<Nonce, Forged> {
    let mut nonce = Nonce::default();
    nonce[4..].copy_from_slice(&next.to_le_bytes());
    *next = next.checked_add(1).ok_or(Forged)?;
    Ok(nonce)
}

/// Not shown by accident.
struct Hidden(Bytes);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("next", &self.next).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("next", &self.next).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(seed: u8) -> Key {
        Key::new(std::array::from_fn(|at| seed.wrapping_mul(31).wrapping_add(at as u8)))
    }

    /// The keeper's channel and the daemon's.
    fn met() -> (Channel, Channel) {
        let (daemon, keeper) = (Half::new([1; 32]), Half::new([2; 32]));
        let (proof, daemons) =
            daemon.admit(&key(7), &keeper.greeting(&key(7), daemon.public())).unwrap();
        (keeper.trust(&key(7), daemon.public(), &proof).unwrap(), daemons)
    }

    /// `plain` as records, each with what it carries.
    fn records(sealer: &mut Sealer, plain: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let seal = |piece: &Vec<u8>| {
            let mut record = Vec::new();
            sealer.seal(piece, &mut record).unwrap();
            record
        };
        plain.iter().map(seal).collect()
    }

    #[test]
    fn both_sides_with_the_key_understand_each_other_in_both_directions() {
        let (mut keeper, mut daemon) = met();
        for (from, to) in
            [(&mut keeper.sealer, &mut daemon.opener), (&mut daemon.sealer, &mut keeper.opener)]
        {
            let said = vec![7; RECORD_BYTES_MAX + 1];
            let (mut sealed, mut plain) = (Vec::new(), Vec::new());
            from.seal(&said, &mut sealed).unwrap();
            to.open(&sealed, &mut plain).unwrap();
            assert!(plain == said && sealed.len() == said.len() + 2 * (LENGTH_BYTES + TAG_BYTES));
        }
    }

    #[test]
    fn who_has_another_key_or_repeats_what_it_heard_is_not_believed() {
        let (daemon, keeper) = (Half::new([1; 32]), Half::new([2; 32]));
        let greeting = keeper.greeting(&key(7), daemon.public());
        assert!(daemon.admit(&key(8), &greeting).is_none());
        assert!(Half::new([3; 32]).admit(&key(7), &greeting).is_none(), "another challenge");
        let (proof, _) = daemon.admit(&key(7), &greeting).unwrap();
        assert!(Half::new([4; 32]).trust(&key(7), daemon.public(), &proof).is_none());
        assert!(keeper.trust(&key(8), daemon.public(), &proof).is_none());
        // One side's proof is not the other's.
        let keepers: Bytes = greeting[GREETING_BYTES - PROOF_BYTES..].try_into().unwrap();
        assert!(keeper.trust(&key(7), daemon.public(), &keepers).is_none());
        assert_eq!(name_of(&greeting), key(7).name());
    }

    #[test]
    fn each_connection_has_keys_of_its_own_whoever_knows_the_place_s() {
        let sealed = |random: u8| {
            let (daemon, keeper) = (Half::new([random; 32]), Half::new([2; 32]));
            let greeting = keeper.greeting(&key(7), daemon.public());
            let (_, mut channel) = daemon.admit(&key(7), &greeting).unwrap();
            records(&mut channel.sealer, &[vec![0; 64]])
        };
        assert_ne!(sealed(1), sealed(3));
        let (mut keeper, mut daemon) = met();
        let zeros = [vec![0; 64]];
        assert_ne!(records(&mut keeper.sealer, &zeros), records(&mut daemon.sealer, &zeros));
    }

    #[test]
    fn a_record_that_is_too_long_or_empty_is_refused_before_its_bytes_arrive() {
        for length in [0, RECORD_BYTES_MAX as u16 + 1, u16::MAX] {
            let opened = met().1.opener.open(&length.to_le_bytes(), &mut Vec::new());
            assert_eq!(opened, Err(Forged), "{length}");
        }
    }

    fn said() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 2..6)
    }

    /// What somebody on the way does to records.
    #[derive(Debug, Clone)]
    enum Deed {
        Flip(usize, u8),
        Leave,
        Repeat,
        Swap,
        TurnBack,
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            (any::<usize>(), 0..8_u8).prop_map(|(at, bit)| Deed::Flip(at, bit)),
            Just(Deed::Leave),
            Just(Deed::Repeat),
            Just(Deed::Swap),
            Just(Deed::TurnBack),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn records_survive_any_split(said in said(), cuts: Vec<prop::sample::Index>) {
            let (mut keeper, mut daemon) = met();
            let bytes = records(&mut keeper.sealer, &said).concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut plain = Vec::new();
            for piece in cuts.windows(2) {
                daemon.opener.open(&bytes[piece[0]..piece[1]], &mut plain).unwrap();
            }
            prop_assert_eq!(plain, said.concat());
        }

        /// What was said before a deed is heard, and nothing of what comes with it or after it.
        #[test]
        fn whatever_is_done_on_the_way_no_other_byte_is_heard(said in said(), at: prop::sample::Index, deed in deed()) {
            let (mut keeper, mut daemon) = met();
            let mut sent = records(&mut keeper.sealer, &said);
            let at = at.index(sent.len() - 1);
            let mut heard = said[..at].concat();
            match deed {
                Deed::Flip(byte, bit) => {
                    let byte = byte % sent[at].len();
                    sent[at][byte] ^= 1 << bit;
                }
                Deed::Leave => drop(sent.remove(at)),
                Deed::Repeat => {
                    sent.insert(at, sent[at].clone());
                    heard = said[..=at].concat();
                }
                Deed::Swap => sent.swap(at, at + 1),
                Deed::TurnBack => sent[at] = records(&mut daemon.sealer, &said[at..=at]).concat(),
            }
            let mut plain = Vec::new();
            // A length that grew may wait for bytes that never come.
            let _ = daemon.opener.open(&sent.concat(), &mut plain);
            prop_assert_eq!(plain, heard);
        }

        #[test]
        fn no_bytes_panic_or_are_heard(pieces: Vec<Vec<u8>>) {
            let (mut opener, mut plain) = (met().1.opener, Vec::new());
            for piece in pieces {
                if opener.open(&piece, &mut plain).is_err() {
                    break;
                }
            }
            prop_assert_eq!(plain, Vec::<u8>::new());
        }

        #[test]
        fn a_greeting_with_a_wrong_bit_anywhere_is_not_believed(at in 0..GREETING_BYTES * 8) {
            let daemon = Half::new([1; 32]);
            let mut greeting = Half::new([2; 32]).greeting(&key(7), daemon.public());
            greeting[at / 8] ^= 1 << (at % 8);
            prop_assert!(daemon.admit(&key(7), &greeting).is_none());
        }
    }
}
