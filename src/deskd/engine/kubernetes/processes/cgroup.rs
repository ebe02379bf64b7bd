//! The first process of a container that others started: it has none of deskd's names, but its
//! control group is named after the container.

use deskd_keeper::procfs;

/// Hexadecimal digits of a container's id, in containerd and CRI-O.
const ID_DIGITS: usize = 64;

/// The first process of the container with this `containerID` (`containerd://<64 hex>`), where deskd
/// sees it and the runtime gives containers control groups.
#[must_use]
pub fn first_of_container(id: &str) -> Option<u32> {
    let id = plain(id)?;
    // A /proc that cannot be listed shows nothing now.
    let pids = procfs::pids().unwrap_or_default();
    pids.into_iter().find(|pid| {
        let first = procfs::read_stat(*pid).is_some_and(|stat| stat.ppid == 0 && stat.is_alive());
        first && *pid != 1 && procfs::read_cgroup(*pid).is_some_and(|text| text.contains(id))
    })
}

/// Without the runtime's name; nothing for what is no id, which could be part of any path.
fn plain(id: &str) -> Option<&str> {
    let id = id.rsplit_once("://").map_or(id, |(_, id)| id);
    let whole = id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_id_is_looked_for() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(plain(&format!("containerd://{id}")), Some(id.as_str()));
        for odd in ["", "containerd://", "containerd://3", &id[1..], &"x".repeat(64)] {
            assert_eq!(plain(odd), None, "{odd}");
            assert_eq!(first_of_container(odd), None);
        }
        assert_eq!(first_of_container(&id), None, "no process is in it");
    }
}
