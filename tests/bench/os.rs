//! What the kernel tells about time and processes: clock, process trees, CPU, memory, switches.
//! Facts: proc(5), clock_gettime(2). Deliberately no measuring policy.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// CPU time in proc(5) comes in ticks of `sysconf(_SC_CLK_TCK)`, 100 a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// CLOCK_MONOTONIC in nanoseconds: the same clock in every process of the machine.
pub fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |t| Duration::from(t).as_nanos() as u64)
}

/// Sleeps; only between samples, never inside a measured span.
pub fn pause_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Polls `done` every millisecond until it is true or `limit_ms` have passed; the last answer.
pub fn wait_until(limit_ms: u64, mut done: impl FnMut() -> bool) -> bool {
    let end = now_ns() + limit_ms * 1_000_000;
    loop {
        if done() {
            return true;
        }
        if now_ns() > end {
            return false;
        }
        pause_ms(1);
    }
}

/// Whether this process, and so everything it starts, is in a real-time scheduling class (sched_getscheduler(2)).
pub fn is_real_time() -> bool {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // `policy`, the 41st field; SCHED_FIFO and SCHED_RR.
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after.split_whitespace().nth(38).is_some_and(|policy| matches!(policy, "1" | "2"))
}

/// `(pid, parent)` of every process.
fn parents() -> Vec<(i32, i32)> {
    let Ok(dir) = fs::read_dir("/proc") else { return Vec::new() };
    dir.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect()
}

/// Every descendant of `root`, without `root`, parents before children.
pub fn descendants(root: i32) -> Vec<i32> {
    let all = parents();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(all.iter().filter(|&&(_, p)| p == parent).map(|&(pid, _)| pid));
        next += 1;
    }
    found.remove(0);
    found
}

/// argv of a process.
pub fn argv(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|&b| b == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
}

/// Whether the process runs the bench's own probe program (an application, not a supervisor).
pub fn is_probe(pid: i32) -> bool {
    argv(pid)
        .first()
        .is_some_and(|program| program.ends_with("/probe") || program.ends_with("/probe-ordinary"))
}

/// The supervisor's own processes: `root` and its descendants, without the applications.
pub fn own_processes(root: i32) -> Vec<i32> {
    let mut pids = vec![root];
    pids.extend(descendants(root).into_iter().filter(|&pid| !is_probe(pid)));
    pids
}

/// User and system CPU seconds used so far by the living of `pids`.
pub fn cpu_seconds(pids: &[i32]) -> f64 {
    let ticks = |pid: &i32| -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        Some(user + system)
    };
    pids.iter().filter_map(ticks).sum::<f64>() / TICKS_PER_SECOND
}

/// Proportional set size of all `pids` together, KiB.
pub fn pss_kib(pids: &[i32]) -> u64 {
    let pss = |pid: &i32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let line = text.lines().find(|line| line.starts_with("Pss:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    pids.iter().filter_map(pss).sum()
}

/// Voluntary and involuntary context switches so far of all threads of `pids`.
pub fn switches(pids: &[i32]) -> u64 {
    let mut sum = 0;
    for pid in pids {
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let text = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            sum += text
                .lines()
                .filter(|line| line.contains("voluntary_ctxt_switches"))
                .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
                .sum::<u64>();
        }
    }
    sum
}

/// SIGKILL for one process.
pub fn kill_9(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// Whether a process exists and is no zombie.
pub fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Reaps what has ended. The driver is a subreaper, so orphans of a killed supervisor end up here.
pub fn reap() {
    while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
    }
}

/// Kills `root` and everything below it, until nothing is left.
pub fn kill_tree(root: i32) {
    wait_until(5_000, || {
        let mut pids = descendants(root);
        if root != nix::unistd::getpid().as_raw() {
            pids.push(root);
        }
        pids.retain(|&pid| lives(pid));
        for &pid in &pids {
            kill_9(pid);
        }
        reap();
        pids.is_empty()
    });
}
