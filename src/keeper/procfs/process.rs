//! Processes: `/proc/PID/stat`, `limits` and `environ` (proc(5)).

use std::io::{self, Read};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, open};

/// What most files have, in bytes.
const FILE_BYTES: usize = 512;
/// Most bytes read of one file. `stat` has less than 1 KiB; an environment is bounded by ARG_MAX,
/// but a marker that deskd appended is looked for in no more than this.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The fields of `/proc/PID/stat` that deskd uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStat {
    /// Process id.
    pub pid: u32,
    /// The executable's name, up to 15 bytes; any characters, also spaces, `)` and newlines.
    pub comm: String,
    /// `R`, `S`, `D`, `T`, `Z`, ...
    pub state: char,
    /// Parent; 0 for a process whose parent is in another PID namespace.
    pub ppid: u32,
    /// Session id.
    pub session: u32,
    /// Threads of the process.
    pub threads: u32,
    /// When it started, in clock ticks since boot: with the pid it names a process for good.
    pub start_ticks: u64,
}

impl ProcessStat {
    /// Parses the file's text; nothing when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (pid, rest) = text.split_once(" (")?;
        // comm may contain anything, but nothing after it contains a parenthesis.
        let (comm, rest) = rest.rsplit_once(')')?;
        // Fields are numbered as in proc(5); `state` is number 3.
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            pid: pid.parse().ok()?,
            comm: comm.to_owned(),
            state: field(3)?.chars().next()?,
            ppid: field(4)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            threads: field(20)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
        })
    }

    /// Whether any thread of it still runs. A zombie whose other threads go on (the first thread
    /// called `pthread_exit`) is alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x') || self.threads > 1
    }
}

/// The soft and the hard limit called `name` (`Max file locks`) in the text of `/proc/PID/limits`;
/// `u64::MAX` for `unlimited`.
#[must_use]
pub fn limits(text: &str, name: &str) -> Option<[u64; 2]> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let mut words = line.split_ascii_whitespace();
    let mut number = || match words.next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    };
    Some([number()?, number()?])
}

/// The mask `SigIgn` in the text of `/proc/PID/status`: ignored signals, signal 1 in the lowest bit.
fn ignored_mask(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// The signals that this process ignores.
pub fn ignored_signals() -> Option<u64> {
    ignored_mask(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The debugger of a process: the line `TracerPid` of `/proc/PID/status`, unless there is none.
#[must_use]
pub fn read_tracer(pid: u32) -> Option<u32> {
    tracer(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn tracer(status: &str) -> Option<u32> {
    let pid = status.lines().find_map(|line| line.strip_prefix("TracerPid:"))?;
    pid.trim().parse().ok().filter(|pid| *pid != 0)
}

/// The value of `key` in the bytes of `/proc/PID/environ`; the last one if there are several.
#[must_use]
pub fn env_value<'a>(environ: &'a [u8], key: &str) -> Option<&'a [u8]> {
    environ
        .split(|byte| *byte == 0)
        .rev()
        .find_map(|entry| entry.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
}

/// The ids of all processes, as `/proc` lists them. A process that exists throughout is listed.
pub fn pids() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// A process's stat; nothing when it is gone. An error (no descriptor is free) says nothing about
/// the process.
pub fn look_at(pid: u32) -> io::Result<Option<ProcessStat>> {
    match read(pid, "stat") {
        Ok(bytes) => Ok(ProcessStat::parse(&String::from_utf8_lossy(&bytes))),
        // ESRCH: it ended between open and read.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A process's stat; nothing when it is gone or cannot be looked at.
#[must_use]
pub fn read_stat(pid: u32) -> Option<ProcessStat> {
    look_at(pid).ok().flatten()
}

/// A process's hard limits called `names`; nothing when it is gone.
#[must_use]
pub fn read_hard_limits<const N: usize>(pid: u32, names: [&str; N]) -> Option<[u64; N]> {
    let bytes = read(pid, "limits").ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let mut found = [0; N];
    for (found, name) in found.iter_mut().zip(names) {
        *found = limits(&text, name)?[1];
    }
    Some(found)
}

/// A variable of the environment a process was started with; nothing when it is gone, has none,
/// or may not be looked into (another user's).
#[must_use]
pub fn read_env_value(pid: u32, key: &str) -> Option<Vec<u8>> {
    env_value(&read(pid, "environ").ok()?, key).map(<[u8]>::to_vec)
}

/// The text of a process's `/proc/PID/cgroup` (cgroups(7)); nothing when it is gone. Processes with
/// the same text are in the same cgroup of every hierarchy, so those of one container have it.
#[must_use]
pub fn read_cgroup(pid: u32) -> Option<String> {
    String::from_utf8(read(pid, "cgroup").ok()?).ok()
}

/// The file a process runs, as its own mount namespace calls it; nothing when it is gone or may not be
/// looked into.
#[must_use]
pub fn read_exe(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// A process's arguments, its own name first; empty when it is gone or a kernel thread.
#[must_use]
pub fn read_arguments(pid: u32) -> Vec<String> {
    let bytes = read(pid, "cmdline").unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// The children of a process's first thread; empty when it is gone. Some may be missing if others ended
/// meanwhile (proc_pid_children(5)).
#[must_use]
pub fn read_children(pid: u32) -> Vec<u32> {
    children(&read(pid, &format!("task/{pid}/children")).unwrap_or_default()).collect()
}

/// This process's own children, zombies too; `ENOENT` on a kernel without `CONFIG_PROC_CHILDREN`.
///
/// Of a process with one thread they are complete: the kernel goes through a list to which children are
/// appended and from which they go when they are reaped (`get_children_pid` in `fs/proc/array.c`), and whoever
/// reads here does not reap meanwhile.
pub fn own_children() -> io::Result<Vec<u32>> {
    Ok(children(&read_file("/proc/thread-self/children")?).collect())
}

fn children(text: &[u8]) -> impl Iterator<Item = u32> {
    let words = text.split(u8::is_ascii_whitespace);
    words.filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok())
}

fn read(pid: u32, file: &str) -> io::Result<Vec<u8>> {
    read_file(&format!("/proc/{pid}/{file}"))
}

/// By rustix, since musl's `open` makes two system calls of one, and a survey reads hundreds.
fn read_file(path: &str) -> io::Result<Vec<u8>> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    std::fs::File::from(file).take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_without_a_debugger_has_none() {
        assert_eq!(super::tracer("Name:\tsh\nTracerPid:\t0\nUid:\t0\n"), None);
        assert_eq!(super::tracer("Name:\tsh\nTracerPid:\t77\nUid:\t0\n"), Some(77));
        assert_eq!(super::read_tracer(std::process::id()), None);
    }

    #[test]
    fn ignored_signals_are_a_mask() {
        let status = "Name:\tsh\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001004\n";
        assert_eq!(super::ignored_mask(status), Some((1 << 12) | (1 << 2)));
        // Rust's runtime ignores SIGPIPE.
        assert!(super::ignored_signals().unwrap() >> 12 & 1 == 1);
    }

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_own_process_is_read() {
        let pid = std::process::id();
        let stat = read_stat(pid).unwrap();
        assert_eq!(stat.pid, pid);
        assert!(stat.is_alive());
        assert!(pids().unwrap().contains(&pid));
        assert!(read_hard_limits(pid, ["Max open files"]).unwrap()[0] > 0);
        assert!(read_cgroup(pid).unwrap().contains(':'));
    }

    #[test]
    fn limits_are_read_by_their_whole_name() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max realtime priority     0                    0                              \n\
                    Max realtime timeout      1152921504606846977  unlimited            us        \n\
                    Max open files            unlimited            unlimited            files     \n";
        assert_eq!(limits(text, "Max realtime timeout"), Some([(1 << 60) + 1, u64::MAX]));
        assert_eq!(limits(text, "Max open files"), Some([u64::MAX; 2]));
        assert_eq!(limits(text, "Max nothing"), None);
    }

    #[test]
    fn the_last_of_several_variables_counts_and_prefixes_do_not() {
        let environ = b"A=1\0DESKD_TASK_ID_X=no\0DESKD_TASK_ID=old\0DESKD_TASK_ID=new\0";
        assert_eq!(env_value(environ, "DESKD_TASK_ID"), Some(&b"new"[..]));
        assert_eq!(env_value(environ, "ESKD_TASK_ID"), None);
        assert_eq!(env_value(b"", "A"), None);
    }

    #[test]
    fn a_zombie_with_running_threads_is_alive() {
        let text = |state, threads| {
            let zeros = "0 ".repeat(12);
            format!("7 (x) {state} 1 7 7 {zeros}0 {threads} 0 99 0 0")
        };
        assert!(!ProcessStat::parse(&text('Z', 1)).unwrap().is_alive());
        assert!(ProcessStat::parse(&text('Z', 2)).unwrap().is_alive());
        assert!(ProcessStat::parse(&text('S', 1)).unwrap().is_alive());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn any_comm_is_survived(comm in "[ ()a-z\n\t0-9]{0,15}", pid: u32, ppid: u32, session: u32, ticks: u64) {
            let zeros = "0 ".repeat(13);
            let text = format!("{pid} ({comm}) S {ppid} 5 {session} {zeros}3 0 {ticks} 1 2\n");
            let stat = ProcessStat::parse(&text).unwrap();
            prop_assert_eq!(stat, ProcessStat { pid, comm, state: 'S', ppid, session, threads: 3, start_ticks: ticks });
        }

        #[test]
        fn no_text_panics(text in "\\PC*", bytes: Vec<u8>) {
            let _ = ProcessStat::parse(&text);
            let _ = limits(&text, "Max");
            let _ = env_value(&bytes, "A");
        }
    }
}
