//! How many streams are open, of whom: each holds memory while its peer does not read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::ApiError;
use super::limits::Limits;
use super::peers::PeerKey;

/// The open streams by peer.
#[derive(Debug)]
pub struct Streams {
    all_max: usize,
    peer_max: usize,
    open: Mutex<HashMap<PeerKey, usize>>,
}

/// Room for one stream, until it is dropped.
#[derive(Debug)]
pub struct StreamPermit {
    streams: Arc<Streams>,
    key: PeerKey,
}

impl Streams {
    /// None are open.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        let (all_max, peer_max) = (limits.streams, limits.peer_streams);
        Arc::new(Self { all_max, peer_max, open: Mutex::default() })
    }

    /// Room for one more.
    pub fn permit(self: &Arc<Self>, key: PeerKey) -> Result<StreamPermit, ApiError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.get(&key).copied().unwrap_or(0);
        if own >= self.peer_max {
            return Err(ApiError::TooManyStreams(self.peer_max));
        }
        if open.values().sum::<usize>() >= self.all_max {
            return Err(ApiError::TooManyStreams(self.all_max));
        }
        open.insert(key, own + 1);
        Ok(StreamPermit { streams: self.clone(), key })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        let left = open.get(&self.key).map_or(0, |count| count - 1);
        match left {
            0 => open.remove(&self.key),
            left => open.insert(self.key, left),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_leaves_room_for_others_and_gives_back_what_it_had() {
        let streams = Streams::new(&Limits { streams: 3, peer_streams: 2, ..Limits::default() });
        let permit = |uid| streams.permit(PeerKey::Uid(uid));
        let first = [permit(1).unwrap(), permit(1).unwrap()];
        assert!(matches!(permit(1), Err(ApiError::TooManyStreams(2))));
        let other = permit(2).unwrap();
        assert!(matches!(permit(2), Err(ApiError::TooManyStreams(3))));
        drop((first, other));
        assert!(permit(1).is_ok() && streams.open.lock().unwrap().is_empty());
    }
}
