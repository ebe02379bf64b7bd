//! Memory of the own control group: what is left until its limit, and how much its processes wait
//! for memory.
//!
//! Both versions, as the kernel documents them (cgroup-v2.rst, cgroup-v1/memory.rst, psi.rst). The
//! hierarchies are looked for where systemd and every container runtime mount them.

use std::path::{Path, PathBuf};

use deskd_core::plan::facts::Headroom;

/// Groups looked at, from the own one towards the root: each may have a limit.
const LEVELS_MAX: usize = 8;
/// With more than this left, in bytes, nobody asks how much of what is used could be given back.
const PLENTY_BYTES: u64 = 256 << 20;
/// Limits of version 1 from here on are none: `PAGE_COUNTER_MAX` is a little below 2 to the 63.
const NO_LIMIT_BYTES: u64 = 1 << 62;
/// Where the groups of version 2 are.
const V2_ROOT: &str = "/sys/fs/cgroup";
/// Where the memory groups of version 1 are.
const V1_ROOT: &str = "/sys/fs/cgroup/memory";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    /// Limit, usage, and the line of `memory.stat` with the bytes of files that nobody used for a
    /// while: the kernel gives them back first, and kubelet does not count them either.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::V1 => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
            Self::V2 => ("memory.max", "memory.current", "inactive_file"),
        }
    }
}

/// The own control group and those above it, as far as they can be seen.
#[derive(Debug, Clone)]
pub struct MemoryCgroup {
    version: Version,
    /// The own one first.
    directories: Vec<PathBuf>,
}

impl MemoryCgroup {
    /// The group of this process; nothing where none can be seen.
    #[must_use]
    pub fn own() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let (version, path) = memory_path(&text)?;
        let root = match version {
            Version::V1 => V1_ROOT,
            Version::V2 => V2_ROOT,
        };
        Some(Self { version, directories: directories(Path::new(root), path, Path::is_dir) })
    }

    /// As it is now. What cannot be read is absent.
    #[must_use]
    pub fn headroom(&self) -> Headroom {
        let pressure = self.directories.first().and_then(|own| read(own, "memory.pressure"));
        Headroom {
            memory_bytes: self.directories.iter().filter_map(|group| self.left(group)).min(),
            memory_pressure_centipercent: pressure.and_then(|text| some_avg10(&text)),
        }
    }

    /// Processes that the kernel killed in the own group since it had no memory left; nothing where
    /// the kernel does not count them (version 1 before Linux 4.13).
    #[must_use]
    pub fn oom_kills(&self) -> Option<u64> {
        let file = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        stat_value(&read(self.directories.first()?, file)?, "oom_kill")
    }

    /// Bytes until this group's limit.
    fn left(&self, group: &Path) -> Option<u64> {
        let (limit, usage, inactive) = self.version.names();
        let limit = bytes(&read(group, limit)?)?;
        let used = bytes(&read(group, usage)?)?;
        let left = limit.saturating_sub(used);
        if left >= PLENTY_BYTES {
            return Some(left);
        }
        let stat = read(group, "memory.stat").unwrap_or_default();
        let reclaimable = stat_value(&stat, inactive).unwrap_or(0).min(used);
        Some(limit.saturating_sub(used - reclaimable))
    }
}

fn read(group: &Path, file: &str) -> Option<String> {
    std::fs::read_to_string(group.join(file)).ok()
}

/// The path of the group that counts memory, from `/proc/PID/cgroup` (cgroups(7)):
/// `hierarchy:controllers:path`, and `0::path` for version 2.
fn memory_path(text: &str) -> Option<(Version, &str)> {
    let mut unified = None;
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if controllers.split(',').any(|name| name == "memory") {
            return Some((Version::V1, path));
        }
        if number == "0" && controllers.is_empty() {
            unified = Some((Version::V2, path));
        }
    }
    unified
}

/// The group's directory and those above it, up to the root. In a container without a cgroup
/// namespace the path is the host's and the root is the own group.
fn directories(root: &Path, path: &str, exists: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let inside = path.trim_start_matches('/');
    let own = root.join(inside);
    if inside.is_empty() || inside.split('/').any(|part| part == "..") || !exists(&own) {
        return vec![root.to_owned()];
    }
    let up = own.ancestors().take_while(|group| group.starts_with(root));
    up.take(LEVELS_MAX).map(Path::to_owned).collect()
}

/// A limit or an amount; nothing for no limit.
fn bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < NO_LIMIT_BYTES)
}

fn stat_value(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// `some avg10=1.53 avg60=...`, in hundredths of a percent.
fn some_avg10(text: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let value = line.split(' ').find_map(|field| field.strip_prefix("avg10="))?;
    let (percent, hundredths) = value.split_once('.')?;
    let hundredths: u32 = hundredths.get(..2)?.parse().ok()?;
    percent.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_group_that_counts_memory_is_found_in_both_versions() {
        let kubelet = "0::/kubepods.slice/kubepods-burstable.slice/cri-1.scope\n";
        let path = "/kubepods.slice/kubepods-burstable.slice/cri-1.scope";
        assert_eq!(memory_path(kubelet), Some((Version::V2, path)));
        assert_eq!(memory_path("0::/\n"), Some((Version::V2, "/")));
        let hybrid = "9:name=systemd:/\n4:memory:/a:b\n3:cpu,cpuacct:/c\n0::/unified\n";
        assert_eq!(memory_path(hybrid), Some((Version::V1, "/a:b")));
        let together = "2:cpu,memory:/x\n";
        assert_eq!(memory_path(together), Some((Version::V1, "/x")));
        assert_eq!(memory_path("3:memoryless:/x\nnonsense\n"), None);
    }

    #[test]
    fn the_groups_above_are_looked_at_and_a_path_of_the_host_is_not() {
        let root = Path::new("/r");
        let found = |path: &str, exists: bool| -> Vec<String> {
            let found = directories(root, path, |_| exists);
            found.iter().map(|group| group.display().to_string()).collect()
        };
        assert_eq!(found("/a/b", true), ["/r/a/b", "/r/a", "/r"]);
        assert_eq!(found("/", true), ["/r"]);
        assert_eq!(found("/kubepods/pod1", false), ["/r"]);
        assert_eq!(found("/../../x", true), ["/r"]);
        assert_eq!(found("/1/2/3/4/5/6/7/8/9", true).len(), LEVELS_MAX);
    }

    #[test]
    fn limits_amounts_and_pressure_are_read() {
        assert_eq!(bytes("max\n"), None);
        assert_eq!(bytes("9223372036854771712\n"), None);
        assert_eq!(bytes("134217728\n"), Some(128 << 20));
        let stat = "anon 4096\ninactive_file 8192\nactive_file 1\ntotal_inactive_file 7\n";
        assert_eq!(stat_value(stat, "inactive_file"), Some(8192));
        assert_eq!(stat_value(stat, "total_inactive_file"), Some(7));
        assert_eq!(stat_value(stat, "inactive"), None);
        let pressure = "some avg10=21.53 avg60=3.00 avg300=0.10 total=12345\n\
                        full avg10=1.00 avg60=0.00 avg300=0.00 total=1\n";
        assert_eq!(some_avg10(pressure), Some(2153));
        assert_eq!(some_avg10("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"), Some(0));
        assert_eq!(some_avg10("full avg10=1.00\n"), None);
    }

    fn group(version: Version, files: &[(&str, &str)]) -> (tempfile::TempDir, MemoryCgroup) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("own")).unwrap();
        for (name, text) in files {
            std::fs::write(root.path().join(name), text).unwrap();
        }
        let directories = directories(root.path(), "/own", Path::is_dir);
        (root, MemoryCgroup { version, directories })
    }

    #[test]
    fn oom_kills_of_the_own_group_are_counted_in_both_versions() {
        let events = "low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\noom_group_kill 0\n";
        let (_v2, group_v2) = group(Version::V2, &[("own/memory.events", events)]);
        assert_eq!(group_v2.oom_kills(), Some(2));
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n";
        let (_v1, group_v1) = group(Version::V1, &[("own/memory.oom_control", control)]);
        assert_eq!(group_v1.oom_kills(), Some(5));
        let (_old, old) = group(Version::V1, &[("own/memory.oom_control", "under_oom 0\n")]);
        assert_eq!(old.oom_kills(), None);
    }

    #[test]
    fn the_tightest_limit_counts_and_files_that_can_be_given_back_do_not() {
        let (_dir, own) = group(
            Version::V2,
            &[
                ("own/memory.max", "max\n"),
                ("own/memory.current", "104857600\n"),
                ("own/memory.pressure", "some avg10=3.07 avg60=0.00 avg300=0.00 total=1\n"),
                ("memory.max", "134217728\n"),
                ("memory.current", "125829120\n"),
                ("memory.stat", "anon 1\ninactive_file 20971520\n"),
            ],
        );
        let expected =
            Headroom { memory_bytes: Some(28 << 20), memory_pressure_centipercent: Some(307) };
        assert_eq!(own.headroom(), expected);
        let (_dir, own) = group(
            Version::V1,
            &[
                ("own/memory.limit_in_bytes", "1073741824\n"),
                ("own/memory.usage_in_bytes", "73741824\n"),
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory.usage_in_bytes", "5\n"),
            ],
        );
        assert_eq!(own.headroom().memory_bytes, Some(1_000_000_000));
        let (_dir, nothing) = group(Version::V2, &[]);
        assert_eq!(nothing.headroom(), Headroom::default());
    }

    #[test]
    fn looking_is_cheap() {
        let Some(own) = MemoryCgroup::own() else { return };
        let rounds: u32 = 50;
        // The quickest of several: the machine has other work.
        let best = (0..rounds)
            .map(|_| {
                let start = std::time::Instant::now();
                let _ = own.headroom();
                start.elapsed()
            })
            .min();
        println!("one look at the own control group: {best:?}");
        assert!(best.unwrap() < std::time::Duration::from_millis(2), "{best:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn no_text_panics(text in ".{0,200}", value in "some avg10=[0-9.]{0,12} ?.{0,9}") {
            let _ = (memory_path(&text), bytes(&text), stat_value(&text, "anon"));
            let _ = (some_avg10(&text), some_avg10(&value));
        }
    }
}
