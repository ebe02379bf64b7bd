//! Limits of the own control group besides what `procfs::MemoryCgroup` tells of memory: both
//! versions, as the kernel documents them (cgroup-v2.rst, cgroup-v1/, scheduler/sched-bwc.rst).
//!
//! Only the own group is looked at: a container sees no other.

use std::path::{Path, PathBuf};

use super::examined::Limits;

/// Where control groups are mounted; version 1 has a directory per controller in there.
const ROOT: &str = "/sys/fs/cgroup";
/// Memory limits of version 1 from here on are none.
const NO_LIMIT_BYTES: u64 = 1 << 62;

/// Reads all of them; what cannot be read is absent.
pub fn own() -> Limits {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let read = |controller: &str, file: &str| {
        let directory = directory(&groups, controller, |path| path.is_dir())?;
        std::fs::read_to_string(directory.join(file)).ok()
    };
    limits(!is_unified(&groups, "memory"), read)
}

/// A controller of version 1 is named in its line; the line of version 2 names none.
fn is_unified(groups: &str, controller: &str) -> bool {
    !groups.lines().any(|line| names(line, controller))
}

fn names(line: &str, controller: &str) -> bool {
    line.split(':').nth(1).is_some_and(|all| all.split(',').any(|name| name == controller))
}

/// The own group's directory. In a container without a cgroup namespace the path is the host's, and
/// what is mounted is the own group.
fn directory(groups: &str, controller: &str, exists: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let unified = is_unified(groups, controller);
    let is_it =
        |line: &&str| if unified { line.starts_with("0::") } else { names(line, controller) };
    let path = groups.lines().find(is_it)?.splitn(3, ':').nth(2)?;
    let root = if unified { PathBuf::from(ROOT) } else { Path::new(ROOT).join(controller) };
    let own = root.join(path.trim_start_matches('/'));
    let inside = !path.split('/').any(|part| part == "..") && exists(&own);
    Some(if inside { own } else { root })
}

fn limits(version_1: bool, read: impl Fn(&str, &str) -> Option<String>) -> Limits {
    let number = |controller: &str, file: &str| read(controller, file)?.trim().parse::<u64>().ok();
    let of_stat = |controller: &str, file: &str, name: &str| {
        let text = read(controller, file)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse::<u64>().ok()
    };
    let limit = if version_1 { "memory.limit_in_bytes" } else { "memory.max" };
    let quota = match version_1 {
        true => number("cpu", "cpu.cfs_quota_us").zip(number("cpu", "cpu.cfs_period_us")),
        false => read("cpu", "cpu.max").and_then(|text| {
            let (quota, period) = text.trim().split_once(' ')?;
            quota.parse().ok().zip(period.parse().ok())
        }),
    };
    let throttled = of_stat("cpu", "cpu.stat", "nr_throttled");
    let periods = of_stat("cpu", "cpu.stat", "nr_periods");
    Limits {
        version_1,
        memory_bytes: number("memory", limit).filter(|bytes| *bytes < NO_LIMIT_BYTES),
        cpu_millis: quota
            .and_then(|(quota, period)| quota.saturating_mul(1000).checked_div(period)),
        throttled_percent: throttled
            .zip(periods)
            .and_then(|(throttled, periods)| throttled.saturating_mul(100).checked_div(periods)),
        tasks: number("pids", "pids.current"),
        tasks_max: number("pids", "pids.max"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str =
        "11:pids:/kubepods/pod1/c\n4:memory:/kubepods/pod1/c\n2:cpu,cpuacct:/a\n0::/x\n";
    const V2: &str = "0::/kubepods.slice/pod1\n";

    fn of(version_1: bool, files: &[(&str, &str)]) -> Limits {
        let find = |_: &str, file: &str| {
            files.iter().find(|(name, _)| *name == file).map(|(_, text)| (*text).to_owned())
        };
        limits(version_1, find)
    }

    #[test]
    fn both_versions_say_the_same() {
        let first = of(
            true,
            &[
                ("memory.limit_in_bytes", "2147483648\n"),
                ("cpu.cfs_quota_us", "150000\n"),
                ("cpu.cfs_period_us", "100000\n"),
                ("cpu.stat", "nr_periods 200\nnr_throttled 50\nthrottled_time 9\n"),
                ("pids.current", "7\n"),
                ("pids.max", "100\n"),
            ],
        );
        let second = of(
            false,
            &[
                ("memory.max", "2147483648\n"),
                ("cpu.max", "150000 100000\n"),
                ("cpu.stat", "usage_usec 1\nnr_periods 200\nnr_throttled 50\n"),
                ("pids.current", "7\n"),
                ("pids.max", "100\n"),
            ],
        );
        assert_eq!(first, Limits { version_1: true, ..second.clone() });
        let Limits { memory_bytes, cpu_millis, throttled_percent, .. } = second;
        assert_eq!(memory_bytes.zip(cpu_millis), Some((2 << 30, 1500)));
        assert_eq!(throttled_percent, Some(25));
    }

    #[test]
    fn no_limit_is_none() {
        let first = of(
            true,
            &[
                ("memory.limit_in_bytes", "9223372036854771712\n"),
                ("cpu.cfs_quota_us", "-1\n"),
                ("cpu.cfs_period_us", "100000\n"),
                ("pids.max", "max\n"),
            ],
        );
        assert_eq!(first, Limits { version_1: true, ..Limits::default() });
        assert_eq!(
            of(false, &[("memory.max", "max\n"), ("cpu.max", "max 100000\n")]),
            Limits::default()
        );
    }

    #[test]
    fn the_own_group_is_found_whether_or_not_its_path_is_the_containers() {
        let find = |groups, controller, there| directory(groups, controller, |_| there);
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(find(V1, "cpu", true), path("/sys/fs/cgroup/cpu/a"));
        assert_eq!(find(V1, "memory", false), path("/sys/fs/cgroup/memory"));
        assert_eq!(find(V2, "pids", true), path("/sys/fs/cgroup/kubepods.slice/pod1"));
        assert_eq!(find("0::/../..\n", "pids", true), path("/sys/fs/cgroup"));
        assert_eq!(find("", "pids", true), None);
    }
}
