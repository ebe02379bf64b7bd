//! `tests/cluster/`: a cluster leaves nothing behind, however its start ended.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::cluster::{available, directory, script};
use crate::support::xvnc::Running;
use crate::support::{control_plane, wait};

/// What the kernel has of one cluster.
struct Traces {
    dir: PathBuf,
    cgroup: String,
    /// Its first process's namespaces. Open, since the kernel gives their numbers to new ones as soon
    /// as they are free.
    namespaces: Vec<File>,
}

const NAMESPACES: [&str; 4] = ["ipc", "mnt", "net", "pid"];

impl Traces {
    /// Of a cluster whose first process runs.
    fn of(dir: &Path) -> Option<Self> {
        let pid = std::fs::read_to_string(dir.join("pid")).ok()?;
        let open = |kind| File::open(namespace(pid.trim(), kind)).ok();
        let namespaces = NAMESPACES.into_iter().map(open).collect::<Option<_>>()?;
        let cgroup = std::fs::read_to_string(dir.join("cgroup")).ok()?.trim().to_owned();
        Some(Self { dir: dir.to_owned(), cgroup, namespaces })
    }

    fn assert_gone(&self) {
        assert!(!self.dir.exists(), "{:?}", std::fs::read_dir(&self.dir));
        assert_eq!(cgroups(&self.cgroup), Vec::<PathBuf>::new());
        let mounts = std::fs::read_to_string("/proc/mounts").expect("mounts");
        assert!(!mounts.contains(self.dir.to_str().expect("a path")), "{mounts}");
        // A child of `up` that is still looking at the API server ends by itself, a second later.
        let inode = |file: &File| file.metadata().expect("an open file").ino();
        let own: Vec<u64> = self.namespaces.iter().map(inode).collect();
        let gone = || {
            let pids = deskd_keeper::procfs::pids().expect("processes");
            let inside = |pid: &u32| {
                let in_it = |kind| {
                    std::fs::metadata(namespace(&pid.to_string(), kind)).ok().map(|it| it.ino())
                };
                NAMESPACES.into_iter().filter_map(in_it).any(|id| own.contains(&id))
            };
            (!pids.iter().any(inside)).then_some(())
        };
        wait::until("no process is in its namespaces", gone);
    }
}

fn namespace(pid: &str, kind: &str) -> String {
    format!("/proc/{pid}/ns/{kind}")
}

fn cgroups(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).expect("cgroups").flatten().map(|entry| entry.path());
    let all = hierarchies.chain([root.to_owned()]).map(|dir| dir.join(name));
    all.filter(|dir| dir.exists()).collect()
}

/// Making the images of the tests, from the package mirror on.
const IMAGES_PATIENCE: Duration = Duration::from_mins(10);
/// Ending a cluster in the middle of its start, on a busy machine.
const END_PATIENCE: Duration = Duration::from_mins(1);

fn up(dir: &Path) -> Command {
    let mut command = Command::new(script("up"));
    command.arg(dir).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn down(dir: &Path) {
    let ended = Command::new(script("down")).arg(dir).status().expect("down");
    assert!(ended.success(), "{ended}");
}

#[test]
fn a_cluster_whose_start_was_killed_leaves_nothing_behind() {
    if !available() {
        return;
    }
    // Just begun, and with a node that has made its cgroups.
    for until in ["pid", "kubelet/pods"] {
        let dir = directory("killed");
        let starting = Running::start(&mut up(&dir));
        let traces =
            wait::until(until, || dir.join(until).exists().then(|| Traces::of(&dir)).flatten());
        drop(starting);
        down(&dir);
        traces.assert_gone();
    }
}

#[test]
fn a_session_of_a_cluster_ends_with_whoever_holds_its_pipe() {
    if !available() {
        return;
    }
    let dir = directory("held");
    let mut command = Command::new(script("session"));
    command.arg(&dir).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut session = Running::start(&mut command);
    // It makes the images first: on a fresh clone from a Debian that is yet to be fetched.
    let traces = wait::within(IMAGES_PATIENCE, "the cluster starts", || Traces::of(&dir));
    // What the kernel does when the holder is killed.
    drop(session.0.stdin.take());
    let ended =
        wait::within(END_PATIENCE, "the session ends", || session.0.try_wait().expect("a child"));
    assert!(ended.success(), "{ended}");
    traces.assert_gone();
}

#[test]
fn a_cluster_that_cannot_start_says_why_and_leaves_nothing_behind() {
    if !available() {
        return;
    }
    let real = control_plane::Version::V1_36.programs().as_ref().expect("programs");
    let broken = tempfile::tempdir().expect("a directory");
    for program in std::fs::read_dir(real).expect("programs").flatten() {
        let link = broken.path().join(program.file_name());
        let target =
            if program.file_name() == "kubelet" { "/bin/false".into() } else { program.path() };
        std::os::unix::fs::symlink(target, link).expect("a link");
    }
    let dir = directory("broken");
    let output = up(&dir).env("KUBEBUILDER_ASSETS", broken.path()).output().expect("up");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("the cluster does not start: kubelet ended with status 1"), "{said}");
    assert!(!dir.exists());
}

#[test]
fn a_directory_of_something_else_is_neither_used_nor_removed() {
    if !available() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("letter"), "dear").expect("a file");
    for refused in ["up", "down"] {
        let output = Command::new(script(refused)).arg(dir.path()).output().expect(refused);
        assert!(!output.status.success(), "{refused}");
    }
    assert!(dir.path().join("letter").exists());
}
