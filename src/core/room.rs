//! Whether one more ephemeral container fits into the desktop's pod: their entries are never removed,
//! and the pod is one object of the API server's store. The planner and the engine both ask here.
//!
//! Measured with Kubernetes 1.34 and etcd 3.6, containers with 25 variables that ran and ended: each
//! adds 4.5 KiB of JSON to the pod, 2 KiB of them names in `managedFields`. Above 400 of them (1.8 MB of
//! JSON) the API server leaves `managedFields` out; at 1,000 (2.4 MB) etcd refuses with `etcdserver:
//! request is too large`. So a pod within the limits here never meets that refusal.

use serde::{Deserialize, Serialize};

/// Ephemeral containers of one pod. The API has no limit of its own; every status update of kubelet
/// carries all of them.
pub const ENTRIES_MAX: u32 = 400;
/// Largest pod, in bytes of JSON as the API gives it. etcd's `--max-request-bytes` is 1.5 MiB (etcd
/// documentation, "System limits") of the smaller protobuf.
pub const POD_BYTES_MAX: u64 = 3 << 19;
/// What one more container adds to its pod beside its own words, in bytes: defaults, security context,
/// status.
const ENTRY_BYTES: u64 = 3 << 10;
/// Times that its own words count: in the entry, and in its managed fields.
const ENTRY_WORDS_FACTOR: u64 = 2;

/// How full a pod is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Entries of `spec.ephemeralContainers`.
    pub entries: u32,
    /// The pod, in bytes of JSON.
    pub bytes: u64,
}

/// What of a pod is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoRoom {
    /// It has so many entries.
    Entries(u32),
    /// It is so large.
    Size {
        /// KiB of JSON.
        kib: u64,
        /// Of at most so many.
        max_kib: u64,
    },
}

impl Room {
    /// With one more container of so many bytes of words (command, environment, image, mounts): rather
    /// too much than too little. Otherwise what is full.
    pub fn with(self, words: u64) -> Result<Self, NoRoom> {
        if self.entries >= ENTRIES_MAX {
            return Err(NoRoom::Entries(self.entries));
        }
        let more = ENTRY_BYTES.saturating_add(ENTRY_WORDS_FACTOR.saturating_mul(words));
        let bytes = self.bytes.saturating_add(more);
        if bytes > POD_BYTES_MAX {
            let [kib, max_kib] = [self.bytes, POD_BYTES_MAX].map(|bytes| bytes >> 10);
            return Err(NoRoom::Size { kib, max_kib });
        }
        Ok(Self { entries: self.entries + 1, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_takes_containers_up_to_its_limits() {
        let count = |words| {
            let empty = Room { entries: 0, bytes: 8 << 10 };
            std::iter::successors(Some(empty), |room| room.with(words).ok()).count() - 1
        };
        assert_eq!(count(0), ENTRIES_MAX as usize);
        // As large as abcdesktop's: limited by the object.
        assert!((250..350).contains(&count(1065)), "{}", count(1065));
        assert_eq!(Room::default().with(u64::MAX), Err(NoRoom::Size { kib: 0, max_kib: 1536 }));
    }
}
