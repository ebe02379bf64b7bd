//! Containers without an engine: images mounted by buildah, processes started by runc, and the
//! namespaces that the containers of one pod share.

use std::fs::File;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::{Running, eventually, repository, stdout_of};
use crate::support::xvnc::POD_UID;

/// Images that are mounted; whoever removes one waits until there is none, and holds up those to come.
static MOUNTED: Mutex<usize> = Mutex::new(0);
static NONE_MOUNTED: Condvar = Condvar::new();

fn mounted() -> MutexGuard<'static, usize> {
    MOUNTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// No other test uses images of this repository until this is dropped.
pub(super) fn alone() -> MutexGuard<'static, usize> {
    let none = NONE_MOUNTED.wait_while(mounted(), |images| *images > 0);
    none.unwrap_or_else(PoisonError::into_inner)
}

/// An image's file tree, mounted until the value is dropped. Containers use it read-only.
pub(super) struct Image {
    container: String,
    tree: PathBuf,
}

impl Image {
    /// Of an image that `container/build-images` made.
    pub(super) fn mount(name: &str) -> Self {
        let mut mounted = mounted();
        let container = stdout_of(buildah().args(["from", "--pull-never", name]));
        let tree = stdout_of(buildah().args(["mount", &container])).into();
        *mounted += 1;
        Self { container, tree }
    }

    /// What a file of it contains.
    pub(super) fn file(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.tree.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = buildah().args(["rm", &self.container]).stdout(Stdio::null()).status();
        *mounted() -= 1;
        NONE_MOUNTED.notify_all();
    }
}

/// buildah on the images of this repository.
pub(super) fn buildah() -> Command {
    let mut command = Command::new("buildah");
    command.env("CONTAINERS_STORAGE_CONF", repository().join(".cache/images/storage.conf"));
    command.env("BUILDAH_ISOLATION", "chroot");
    command
}

/// What the containers of a pod share: IPC and network namespace, and volumes.
pub(super) struct Pod {
    dir: tempfile::TempDir,
    /// Holds the namespaces; ends last.
    pause: Running,
}

impl Pod {
    pub(super) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("deskd-pod-").tempdir().expect("a directory");
        let mut command = Command::new("unshare");
        command.args(["--ipc", "--net", "--uts", "sleep", "infinity"]).stdin(Stdio::null());
        let pod = Self { dir, pause: Running::start(&mut command) };
        let own = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
        eventually("the pod has namespaces", || {
            let theirs = std::fs::read_link(pod.namespace("net")).ok()?;
            (theirs != own).then_some(())
        });
        stdout_of(&mut pod.inside_network(&["ip", "link", "set", "lo", "up"]));
        pod
    }

    fn namespace(&self, kind: &str) -> PathBuf {
        format!("/proc/{}/ns/{kind}", self.pause.pid()).into()
    }

    /// A command of the node in the pod's network, as kubelet's probes reach it.
    pub(super) fn inside_network(&self, argv: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace("net").display())).args(argv);
        command
    }

    /// An `emptyDir` under a pod's `fsGroup`: root's, and writable for everybody.
    pub(super) fn volume(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(format!("volume-{name}"));
        if std::fs::create_dir(&path).is_ok() {
            chown(&path, Some(0), Some(POD_UID)).expect("chown");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o2777)).expect("chmod");
        }
        path
    }
}

/// How a container of the pod is started.
pub(super) struct Container<'a> {
    pub(super) pod: &'a Pod,
    pub(super) name: &'a str,
    pub(super) image: &'a Image,
    pub(super) argv: &'a [&'a str],
    pub(super) env: &'a [(&'a str, &'a str)],
    /// Volume and where it is mounted.
    pub(super) volumes: &'a [(&'a str, &'a str)],
}

impl Container<'_> {
    pub(super) fn start(&self) -> RunningContainer {
        let bundle = self.pod.dir.path().join(self.name);
        std::fs::create_dir(&bundle).expect("a bundle");
        std::fs::write(bundle.join("config.json"), self.spec().to_string()).expect("config.json");
        let log = File::create(bundle.join("log")).expect("a log file");
        let state = self.pod.dir.path().join("runc");
        let mut command = Command::new("runc");
        command.arg("--root").arg(&state).args(["run", "--bundle"]).arg(&bundle).arg(self.name);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a descriptor")).stderr(log);
        let process = Running::start(&mut command);
        let mut container = RunningContainer { name: self.name.to_owned(), state, bundle, process };
        eventually("the container runs", || {
            let ended = container.process.0.try_wait().expect("a child");
            assert!(ended.is_none(), "{}: {ended:?}\n{}", self.name, container.log());
            let state = container.runc(&["state", self.name]).output().expect("runc");
            String::from_utf8_lossy(&state.stdout).contains("\"running\"").then_some(())
        });
        container
    }

    /// The OCI runtime specification of this container: an unprivileged user without capabilities, a
    /// read-only root, the pod's namespaces.
    fn spec(&self) -> Value {
        let shared =
            |kind: &str, file: &str| json!({ "type": kind, "path": self.pod.namespace(file) });
        let env: Vec<_> = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let none: [&str; 0] = [];
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": { "uid": POD_UID, "gid": POD_UID },
                "args": self.argv,
                "env": env,
                "cwd": "/",
                "noNewPrivileges": true,
                "capabilities": {
                    "bounding": none, "effective": none, "permitted": none, "inheritable": none,
                },
            },
            "root": { "path": self.image.tree, "readonly": true },
            "mounts": self.mounts(),
            "linux": {
                "namespaces": [
                    { "type": "pid" }, { "type": "mount" },
                    shared("ipc", "ipc"), shared("network", "net"), shared("uts", "uts"),
                ],
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
                "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"],
            },
        })
    }

    fn mounts(&self) -> Vec<Value> {
        let mount = |at: &str, kind: &str, options: &str| {
            let options: Vec<_> = options.split(',').collect();
            json!({ "destination": at, "type": kind, "source": kind, "options": options })
        };
        let mut mounts = vec![
            mount("/proc", "proc", "nosuid,noexec,nodev"),
            mount("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
            mount("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620"),
            // The size that container engines give it.
            mount("/dev/shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=65536k"),
            mount("/tmp", "tmpfs", "nosuid,nodev,mode=1777"),
        ];
        mounts.extend(self.volumes.iter().map(|&(volume, at)| {
            let source = self.pod.volume(volume);
            json!({ "destination": at, "type": "bind", "source": source, "options": ["bind", "rw"] })
        }));
        mounts
    }
}

/// A container; ends with the value.
pub(super) struct RunningContainer {
    name: String,
    state: PathBuf,
    bundle: PathBuf,
    /// `runc run`, which ends with the container and as it ended.
    pub(super) process: Running,
}

impl RunningContainer {
    fn runc(&self, words: &[&str]) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(&self.state).args(words).stdin(Stdio::null());
        command
    }

    /// A command inside, as `kubectl exec` and exec probes start it.
    pub(super) fn exec(&self, argv: &[&str]) -> Command {
        self.runc(&[&["exec", &self.name], argv].concat())
    }

    /// Signals its first process.
    pub(super) fn signal(&self, name: &str) {
        stdout_of(&mut self.runc(&["kill", &self.name, name]));
    }

    /// What it printed.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.bundle.join("log")).unwrap_or_default()
    }
}

impl Drop for RunningContainer {
    fn drop(&mut self) {
        let _ = self.runc(&["delete", "--force", &self.name]).stderr(Stdio::null()).status();
        if std::thread::panicking() {
            println!("container {}:\n{}", self.name, self.log());
        }
    }
}

/// Builds both images, while nobody removes one whose layers it takes.
pub(super) fn build_images(binary: &Path) {
    let _alone = alone();
    stdout_of(Command::new(repository().join("container/build-images")).arg(binary));
}
