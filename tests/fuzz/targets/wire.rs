//! The messages between keeper and daemon, in both directions: before the first zero byte how the rest is
//! cut into pieces, as a socket cuts it.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use deskd_core::wire::frame::{Decoder, FrameError, encode};
use deskd_core::wire::{FromKeeper, ToKeeper};

use super::{halves, pieces};

pub fn run(data: &[u8]) {
    let (cuts, bytes) = halves(data);
    decode::<ToKeeper>(cuts, bytes);
    decode::<FromKeeper>(cuts, bytes);
    // Frames of the whole, so that the messages themselves are reached without guessing lengths.
    let length = u32::try_from(bytes.len()).expect("short");
    let framed = [&length.to_le_bytes(), bytes].concat();
    decode::<ToKeeper>(cuts, &framed);
    decode::<FromKeeper>(cuts, &framed);
}

fn decode<T: Serialize + DeserializeOwned + PartialEq + Debug>(cuts: &[u8], bytes: &[u8]) {
    let (whole, broken) = take_all::<T>(std::iter::once(bytes));
    let in_pieces = take_all::<T>(pieces(cuts, bytes).into_iter());
    assert_eq!((&whole, broken), (&in_pieces.0, in_pieces.1), "the pieces matter");
    for message in whole {
        let mut again = Vec::new();
        // What JSON can be said in fewer bytes than deskd says it in may exceed the limit.
        match encode(&message, &mut again) {
            Ok(()) => {}
            Err(FrameError::TooLong { .. }) => return,
            Err(error) => panic!("a message that was read cannot be written: {error}"),
        }
        let mut decoder = Decoder::default();
        decoder.push(&again);
        assert_eq!(decoder.take().expect("is a message"), Some(message));
        assert_eq!(decoder.take::<T>().expect("is empty"), None);
    }
}

/// The messages, and whether the stream broke.
fn take_all<'a, T: DeserializeOwned>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<T>, bool) {
    let (mut decoder, mut messages) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.take() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}
