//! Frames of the connection between keeper and daemon: a 4-byte little-endian length and that many bytes of JSON.
//!
//! Sans-I/O: bytes go in, messages come out, at whatever splits the socket delivers. Both sides
//! of the wire use it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::MESSAGE_BYTES_MAX;

/// Bytes of the length in front of each message.
const LENGTH_BYTES: usize = 4;
/// An empty buffer larger than this gives its memory back.
const IDLE_BUFFER_BYTES_MAX: usize = 16 << 10;

/// Why the peer's bytes are no messages, or a message cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length says more than is allowed.
    #[error("a message of {bytes} bytes exceeds the limit of {MESSAGE_BYTES_MAX}")]
    TooLong {
        /// As announced.
        bytes: usize,
    },
    /// The JSON is not one of the messages.
    #[error("a message is not understood")]
    Json(#[from] serde_json::Error),
}

/// Appends `message` as one frame to `out`; on failure `out` is as before.
pub fn encode<T: Serialize>(message: &T, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let written = serde_json::to_writer(&mut *out, message).map_err(FrameError::from);
    let bytes = out.len() - start - LENGTH_BYTES;
    let checked = written.and_then(|()| match u32::try_from(bytes) {
        Ok(length) if bytes <= MESSAGE_BYTES_MAX => Ok(length),
        _ => Err(FrameError::TooLong { bytes }),
    });
    match checked {
        Ok(length) => {
            out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

/// Collects bytes until they are whole messages.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    taken: usize,
}

impl Decoder {
    /// Adds bytes as they arrived. Between two calls take out every message there is, so that at
    /// most one unfinished message is held.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        if self.bytes.is_empty() && self.bytes.capacity() > IDLE_BUFFER_BYTES_MAX {
            self.bytes.shrink_to(IDLE_BUFFER_BYTES_MAX);
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message. After an error the stream is of no use any more.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let rest = &self.bytes[self.taken..];
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let bytes = u32::from_le_bytes(*length) as usize;
        if bytes > MESSAGE_BYTES_MAX {
            return Err(FrameError::TooLong { bytes });
        }
        let Some(json) = rest.get(..bytes) else { return Ok(None) };
        let message = serde_json::from_slice(json)?;
        self.taken += LENGTH_BYTES + bytes;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ToKeeper;
    use proptest::prelude::*;

    fn message() -> impl Strategy<Value = ToKeeper> {
        prop_oneof![
            any::<(u32, Option<u32>)>()
                .prop_map(|(version, oldest)| ToKeeper::Hello { version, oldest }),
            (any::<bool>(), ".{0,40}")
                .prop_map(|(ready, status)| ToKeeper::Status { ready, status }),
            any::<u64>().prop_map(|number| ToKeeper::Pong { number }),
            Just(ToKeeper::Drained),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn messages_survive_any_split(messages in prop::collection::vec(message(), 0..12), cuts: Vec<prop::sample::Index>) {
            let mut bytes = Vec::new();
            for message in &messages {
                encode(message, &mut bytes).unwrap();
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut decoder = Decoder::default();
            let mut seen: Vec<ToKeeper> = Vec::new();
            for piece in cuts.windows(2) {
                decoder.push(&bytes[piece[0]..piece[1]]);
                while let Some(message) = decoder.take().unwrap() {
                    seen.push(message);
                }
            }
            prop_assert_eq!(seen, messages);
        }

        #[test]
        fn no_bytes_panic(pieces: Vec<Vec<u8>>) {
            let mut decoder = Decoder::default();
            for piece in pieces {
                decoder.push(&piece);
                while let Ok(Some(_)) = decoder.take::<ToKeeper>() {}
            }
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_its_bytes_arrive() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(matches!(decoder.take::<ToKeeper>(), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn a_message_beyond_the_limit_is_not_encoded_and_leaves_the_queue_whole() {
        let mut out = vec![1, 2, 3];
        let long = ToKeeper::Status { ready: true, status: "x".repeat(MESSAGE_BYTES_MAX) };
        assert!(matches!(encode(&long, &mut out), Err(FrameError::TooLong { .. })));
        assert_eq!(out, [1, 2, 3]);
    }
}
