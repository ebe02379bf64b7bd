//! A pod as the API server gives it: what became of a run in it. Before the first zero byte the name of its
//! container.

use deskd::engine::kubernetes::objects::Pod;
use deskd::engine::kubernetes::status;

use super::halves;

/// Some time of 2026, in Unix milliseconds.
const NOW_MS: i64 = 1_790_000_000_000;

pub fn run(data: &[u8]) {
    let (name, json) = halves(data);
    let Ok(pod) = serde_json::from_slice::<Pod>(json) else { return };
    let name = String::from_utf8_lossy(name);
    for ephemeral in [false, true] {
        let seen = status::look(&pod, &name, ephemeral, NOW_MS);
        assert!(seen.look_again_at.is_none_or(|at| at > NOW_MS), "a moment that is over");
        assert_eq!(seen, status::look(&pod, &name, ephemeral, NOW_MS));
    }
    let _ = status::last_look(&pod, &name, NOW_MS);
}
