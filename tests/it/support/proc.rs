//! What `/proc` says about a process, for assertions.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::fs;
use std::time::Duration;

use deskd_keeper::procfs;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::wait;

/// Whether the process exists and is not a zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    procfs::read_stat(pid).is_some_and(|stat| stat.is_alive())
}

/// Whether nothing, not even a zombie, is left of it.
pub(crate) fn is_reaped(pid: u32) -> bool {
    procfs::read_stat(pid).is_none()
}

/// Children of a process, zombies included.
pub(crate) fn children(pid: u32) -> Vec<procfs::ProcessStat> {
    let all = procfs::pids().unwrap().into_iter().filter_map(procfs::read_stat);
    all.filter(|stat| stat.ppid == pid).collect()
}

/// Sends a signal to a process that is there.
pub(crate) fn signal(pid: u32, signal: Signal) {
    nix::sys::signal::kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// Kills a process if it is there.
pub(crate) fn kill(pid: u32) {
    let _ = nix::sys::signal::kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
}

/// A file of `/proc/PID/`.
pub(crate) fn file(pid: u32, name: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap()
}

/// Its argv.
pub(crate) fn command_line(pid: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    words.map(std::borrow::Cow::into_owned).collect()
}

/// A number of `/proc/PID/status` or another file of `key: value` lines.
pub(crate) fn number(pid: u32, name: &str, key: &str) -> u64 {
    let text = file(pid, name);
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
    line.split_ascii_whitespace().next().unwrap().parse().unwrap()
}

/// Times a process was woken up while `time` passed.
pub(crate) fn wakeups(pid: u32, time: Duration) -> u64 {
    let count = || number(pid, "status", "voluntary_ctxt_switches");
    let before = count();
    wait::pause(time);
    count() - before
}
