//! The Debian package in a clean Debian: installed, run, purged.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Running, delivered, eventually, own_variable, repository, stdout_of};

const TOOLS: [&str; 5] = ["dpkg-deb", "debootstrap", "chroot", "unshare", "nsenter"];
/// What apt, dpkg and the programs that change users keep of everything they ever did, and what is no
/// file of the system.
const NOT_COMPARED: [&str; 11] = [
    "proc",
    "tmp",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/log",
    "etc/.pwd.lock",
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
];

/// Makes the package of the binaries that are delivered; its path.
fn package(binary: &Path) -> PathBuf {
    let mut command = Command::new(repository().join("systemd/debian/build"));
    command.arg(binary).stderr(Stdio::inherit()).env_clear();
    for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        if let Some(value) = own_variable(name) {
            command.env(name, value);
        }
    }
    repository().join(stdout_of(&mut command))
}

/// A Debian of its own.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let archive = stdout_of(&mut Command::new(repository().join("container/debian-base")));
        let dir = tempfile::Builder::new().prefix("deskd-debian-").tempdir().expect("a directory");
        stdout_of(Command::new("tar").arg("-C").arg(dir.path()).args(["-xzf", &archive]));
        let permissions = PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), permissions).expect("chmod");
        std::fs::copy("/etc/resolv.conf", dir.path().join("etc/resolv.conf")).expect("a resolver");
        let machine = Self { dir };
        machine.run("apt-get --option APT::Sandbox::User=root update");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A shell command there, in process and mount namespaces of its own.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-euc"]);
        command.arg("mount -t proc proc \"$1/proc\"; exec chroot \"$1\" sh -euc \"$2\"").arg("sh");
        command.arg(self.dir.path()).arg(line).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
        command
    }

    fn run(&self, line: &str) -> String {
        stdout_of(&mut self.command(line))
    }

    fn apt(&self, line: &str) -> String {
        self.run(&format!(
            "apt-get --option APT::Sandbox::User=root --yes --no-install-recommends {line}"
        ))
    }

    /// Every file, but for [`NOT_COMPARED`].
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        let mut open = vec![self.dir.path().to_owned()];
        while let Some(next) = open.pop() {
            for entry in std::fs::read_dir(next).expect("a directory") {
                let entry = entry.expect("an entry");
                let name = entry.path().strip_prefix(self.dir.path()).expect("below").to_owned();
                if NOT_COMPARED.iter().any(|not| name.starts_with(not)) {
                    continue;
                }
                if entry.file_type().expect("a type").is_dir() {
                    open.push(entry.path());
                }
                files.insert(name);
            }
        }
        files
    }
}

#[test]
fn the_package_installs_runs_and_leaves_nothing_when_it_is_purged() {
    let Some(binary) = delivered(&TOOLS) else { return };
    let made = package(&binary);
    let first = std::fs::read(&made).expect("the package");
    assert!(std::fs::read(package(&binary)).expect("it again") == first, "not reproducible");

    let machine = Machine::new();
    machine.apt("install systemd-standalone-sysusers");
    let users = |machine: &Machine| machine.run("cat /etc/passwd /etc/group /etc/shadow");
    let (files, accounts) = (machine.files(), users(&machine));
    std::fs::copy(&made, machine.path("tmp/deskd.deb")).expect("a copy");
    machine.apt("install /tmp/deskd.deb");

    for (name, mode) in [
        ("usr/bin/deskd", 0o711),
        ("usr/bin/deskd-keeper", 0o711),
        ("lib/systemd/system/deskd.service", 0o644),
        ("etc/default/deskd", 0o644),
        ("usr/share/man/man1/deskd.1.gz", 0o644),
        ("usr/share/man/man1/deskd-task-remedy.1.gz", 0o644),
        ("usr/share/bash-completion/completions/deskd", 0o644),
        ("usr/share/zsh/vendor-completions/_deskd", 0o644),
        ("usr/share/fish/vendor_completions.d/deskd.fish", 0o644),
        ("usr/share/deskd/configuration.schema.json", 0o644),
        ("usr/share/doc/deskd/copyright", 0o644),
    ] {
        let metadata = std::fs::metadata(machine.path(name)).expect(name);
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{name}");
    }
    assert_eq!(machine.run("dpkg --verify deskd"), "");
    assert_eq!(
        machine.run("id desktop"),
        "uid=4096(desktop) gid=4096(desktop) groups=4096(desktop)"
    );
    let unit = std::fs::read_to_string(machine.path("lib/systemd/system/deskd.service"));
    assert!(unit.expect("the unit").contains("ExecStart=/usr/bin/deskd run\n"));
    machine.run("deskd check-config /usr/share/doc/deskd/examples/deskd.toml");

    // Changing the user clears what --kill-child asked for: it is asked for again after it.
    // As the unit starts it, without an X server: alive, and not ready.
    let daemon = "export DESKD_LISTEN=none DESKD_STATE_DIR=/tmp/deskd-state DISPLAY=:995
        exec setpriv --reuid 4096 --regid 4096 --clear-groups --no-new-privs \
            setpriv --pdeathsig KILL deskd run";
    let running = Running::start(&mut machine.command(daemon));
    // Of the machine only a state directory is its own: a command reaches the daemon through it.
    let ask = |words: &str| {
        let line = format!("DESKD_STATE_DIR=/tmp/deskd-state deskd {words}");
        machine.command(&format!("exec setpriv --reuid 4096 --clear-groups sh -c '{line}'"))
    };
    eventually("it lives", || ask("health --live").output().ok()?.status.success().then_some(()));
    assert!(!ask("health").output().expect("deskd").status.success());
    drop(running);

    machine.apt("purge deskd");
    let left: Vec<_> = machine.files().difference(&files).cloned().collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(users(&machine), accounts);
    assert!(!machine.run("dpkg --get-selections").contains("deskd"));
}
