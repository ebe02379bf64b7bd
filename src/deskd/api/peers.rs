//! Which connections one door keeps: a place for everybody, and none for whom it is taken from
//! others.
//!
//! A door has so many connections, and one peer fewer than all. Where there is no place, the
//! connection that has waited longest for its peer (one that asks nothing, or does not read its
//! answer) is cut, first of the peer with the most. So whoever comes and asks at once is answered,
//! however many others say nothing. Connections that are being answered are not cut: beyond them
//! there is a reserve, in which only the open paths (health, metrics) are answered.
//!
//! Pure but for the clock; who serves and who cuts is the business of `listen`.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::limits::{Limits, RESERVED_CONNECTIONS};

/// Whose connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerKey {
    /// A user of the unix socket.
    Uid(u32),
    /// An address; of IPv6 the first half, which one interface has to itself. Every loopback
    /// address is the same one, since a program may take any of them.
    Ip(IpAddr),
}

impl PeerKey {
    /// Of a TCP peer.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        Self::Ip(match ip.to_canonical() {
            ip if ip.is_loopback() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(ip) => IpAddr::from((u128::from(ip) >> 64 << 64).to_be_bytes()),
            ip => ip,
        })
    }
}

/// What one connection does, as its own task notes it.
#[derive(Debug)]
pub struct Activity {
    /// A request is being answered.
    answering: AtomicBool,
    /// There was a request.
    asked: AtomicBool,
    /// The peer does not take what was written.
    blocked: AtomicBool,
    /// The peer was waited for since its last request.
    waited: AtomicBool,
    /// Since when it is as it is, in milliseconds of the door's time.
    since_ms: AtomicU64,
    /// Told when its place is needed.
    cut: Notify,
    origin: Instant,
}

impl Activity {
    fn new(origin: Instant) -> Self {
        let activity = Self {
            answering: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            waited: AtomicBool::new(true),
            since_ms: AtomicU64::new(0),
            cut: Notify::new(),
            origin,
        };
        activity.touch();
        activity
    }

    /// A request is there, or its answer is over.
    pub fn set_answering(&self, answering: bool) {
        self.answering.store(answering, Ordering::Relaxed);
        self.asked.fetch_or(answering, Ordering::Relaxed);
        self.touch();
    }

    /// Whether there was a request.
    pub fn has_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The peer stopped reading, or went on.
    pub fn set_blocked(&self, blocked: bool) {
        if self.blocked.swap(blocked, Ordering::Relaxed) != blocked {
            self.touch();
        }
    }

    /// Everything that the peer sent was taken.
    pub fn waits(&self) {
        self.waited.store(true, Ordering::Relaxed);
    }

    /// A request is there; whether its peer was waited for, and did not send it together with the one before.
    pub fn was_waited_for(&self) -> bool {
        self.waited.swap(false, Ordering::Relaxed)
    }

    /// Returns when the connection is to end.
    pub async fn cut(&self) {
        self.cut.notified().await;
    }

    fn touch(&self) {
        let ms = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.store(ms, Ordering::Relaxed);
    }

    fn waits_for_its_peer(&self) -> bool {
        !self.answering.load(Ordering::Relaxed) || self.blocked.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Entry {
    key: PeerKey,
    reserve: bool,
    activity: Arc<Activity>,
}

/// The connections of one door.
#[derive(Debug)]
pub struct Peers {
    connections: usize,
    peer_connections: usize,
    origin: Instant,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    entries: HashMap<u64, Entry>,
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    peers: Arc<Peers>,
    id: u64,
    /// Only the open paths are answered.
    pub reserve: bool,
    /// What the connection does.
    pub activity: Arc<Activity>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.entries.remove(&self.id);
    }
}

impl Peers {
    /// No connections yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            connections: limits.connections,
            peer_connections: limits.peer_connections,
            origin: Instant::now(),
            open: Mutex::default(),
        })
    }

    /// A place for one more connection of `key`, for which another one may be cut; nothing when
    /// even the reserve is full of requests that are being answered.
    pub fn admit(self: &Arc<Self>, key: PeerKey) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let reserve = self.make_room(&mut open, key)?;
        open.next += 1;
        let id = open.next;
        let activity = Arc::new(Activity::new(self.origin));
        open.entries.insert(id, Entry { key, reserve, activity: activity.clone() });
        Some(Place { peers: self.clone(), id, reserve, activity })
    }

    /// Connections that wait for their peer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.count(|entry| entry.activity.waits_for_its_peer())
    }

    /// Cuts the connection that has waited longest for its peer; false: none does.
    pub fn cut_longest_waiting(&self) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.cut(|entry| entry.activity.waits_for_its_peer())
    }

    /// Cuts what is in the way; whether the new connection belongs into the reserve.
    fn make_room(&self, open: &mut Open, key: PeerKey) -> Option<bool> {
        let own = open.count(|entry| !entry.reserve && entry.key == key);
        let all = open.count(|entry| !entry.reserve);
        let full = own >= self.peer_connections;
        if !full && all < self.connections {
            return Some(false);
        }
        let waits = |entry: &Entry| entry.activity.waits_for_its_peer();
        if open.cut(|entry| waits(entry) && !entry.reserve && (!full || entry.key == key)) {
            return Some(false);
        }
        let reserved = open.count(|entry| entry.reserve);
        // In the reserve somebody always makes room: an answer takes no time there but by being held.
        let room = reserved < RESERVED_CONNECTIONS
            || open.cut(|entry| entry.reserve && waits(entry))
            || open.cut(|entry| entry.reserve);
        room.then_some(true)
    }
}

impl Open {
    fn count(&self, which: impl Fn(&Entry) -> bool) -> usize {
        self.entries.values().filter(|entry| which(entry)).count()
    }

    /// Cuts the one of `which` that is as it is for the longest, of the peer with the most; false:
    /// there is none.
    fn cut(&mut self, which: impl Fn(&Entry) -> bool) -> bool {
        let mut of_peer: HashMap<PeerKey, usize> = HashMap::new();
        for entry in self.entries.values() {
            *of_peer.entry(entry.key).or_default() += 1;
        }
        let victim = self
            .entries
            .iter()
            .filter(|(_, entry)| which(entry))
            .max_by_key(|(id, entry)| {
                let since = entry.activity.since_ms.load(Ordering::Relaxed);
                (of_peer[&entry.key], u64::MAX - since, u64::MAX - **id)
            })
            .map(|(id, _)| *id);
        // Out of the count at once: its own task may take a moment to end.
        let Some(entry) = victim.and_then(|id| self.entries.remove(&id)) else { return false };
        entry.activity.cut.notify_one();
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peers(connections: usize, peer_connections: usize) -> Arc<Peers> {
        Peers::new(&Limits { connections, peer_connections, ..Limits::default() })
    }

    fn is_cut(place: &Place) -> bool {
        !place.peers.open.lock().unwrap().entries.contains_key(&place.id)
    }

    #[test]
    fn one_address_however_it_is_written() {
        let key = |ip: &str| PeerKey::of(ip.parse().unwrap());
        assert_eq!(key("127.9.9.9"), key("::1"));
        assert_eq!(key("10.0.0.1"), key("::ffff:10.0.0.1"));
        assert_eq!(key("fd00::1:2:3:4"), key("fd00::9"));
        assert_ne!(key("fd00::1"), key("fd00:0:0:1::1"));
        assert_ne!(key("10.0.0.1"), key("10.0.0.2"));
    }

    #[test]
    fn who_is_being_answered_keeps_his_place_and_the_open_paths_have_a_reserve() {
        let peers = peers(4, 4);
        let key = PeerKey::Uid(1);
        let busy: Vec<_> = (0..4).map(|_| peers.admit(key).unwrap()).collect();
        busy.iter().for_each(|place| place.activity.set_answering(true));
        let probe = peers.admit(PeerKey::Uid(2)).unwrap();
        assert!(probe.reserve && !busy.iter().any(is_cut));
        busy[1].activity.set_blocked(true);
        let next = peers.admit(key).unwrap();
        assert!(!next.reserve && is_cut(&busy[1]) && !is_cut(&busy[0]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn whoever_floods_takes_no_place_of_another_who_has_fewer(
            flood in 1_usize..200, many in 2_usize..20, few in 1_usize..4,
        ) {
            let peers = peers(many + few, many);
            let quiet: Vec<_> = (0..few).map(|_| peers.admit(PeerKey::Uid(1)).unwrap()).collect();
            let flooded: Vec<_> = (0..flood).map(|_| peers.admit(PeerKey::Uid(2))).collect();
            prop_assert!(flooded.iter().all(|place| place.as_ref().is_some_and(|it| !it.reserve)));
            prop_assert!(!quiet.iter().any(is_cut) || few > many);
            let open = flooded.iter().flatten().filter(|place| !is_cut(place)).count();
            prop_assert!(open <= many);
            // The newest is the last to go.
            prop_assert!(!is_cut(flooded.last().unwrap().as_ref().unwrap()));
        }
    }
}
