//! deskd as it is delivered: under systemd and supervisord, in containers, as a Debian package, and `make run`.
//!
//! These tests start the static release binary (`make build`), as a pod and a unit do, and as the
//! pod's user.

mod containers;
mod memory;
mod package_deb;
mod pod;
mod reproducible;
mod run;
mod supervisord;
mod systemd;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::needs;
use crate::support::xvnc::{POD_UID, Place, Running, eventually};

/// Longest wait for an HTTP answer.
const HTTP_TIMEOUT: Duration = Duration::from_secs(5);

/// The root of the repository.
fn repository() -> &'static Path {
    Path::new(env!("DESKD_ROOT"))
}

/// A variable of the environment these tests were started in.
#[expect(clippy::disallowed_methods, reason = "what the tests need of their surroundings")]
fn own_variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// The static release binary, when it and `tools` are here and this is root; under CI what is
/// missing is a failure.
fn delivered(tools: &[&str]) -> Option<PathBuf> {
    let binary = repository().join("target/deskd");
    let built = if binary.exists() { &[][..] } else { &["target/deskd (make build)"] };
    needs::met(tools, built).then_some(binary)
}

/// A directory of the pod's user with deskd in it, as installed: reachable for that user wherever
/// this repository is.
struct Installed {
    dir: tempfile::TempDir,
}

impl Installed {
    fn new(binary: &Path) -> Self {
        let dir =
            tempfile::Builder::new().prefix("deskd-installed-").tempdir().expect("a directory");
        chown(dir.path(), Some(POD_UID), Some(POD_UID)).expect("chown");
        for name in ["deskd", "deskd-keeper"] {
            let from = binary.with_file_name(name);
            std::fs::copy(from, dir.path().join(name)).expect("a copy of the binary");
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command as the pod's user with deskd's directory first in PATH, and deskd's variables.
    fn command(&self, argv: &[&str]) -> Command {
        let mut command = Place::pod().command(argv);
        command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.dir.path().display()));
        command.env("HOME", self.dir.path());
        command.env("DESKD_STATE_DIR", self.path("state")).env("DESKD_LISTEN", "127.0.0.1:0");
        command.env("DESKD_CONFIG", repository().join("container/sample.toml"));
        command
    }
}

/// What a command printed, when it ended well.
fn stdout_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
}

/// `GET path`: the whole answer.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, HTTP_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(HTTP_TIMEOUT)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Processes that have `needle` in their arguments or environment: pid and arguments.
fn processes_with(needle: &str) -> Vec<(u32, String)> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&pid| pid != std::process::id())
        .filter_map(|pid| {
            let text = |file| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&text("cmdline")).replace('\0', " ");
            let environment = String::from_utf8_lossy(&text("environ")).into_owned();
            let found = arguments.contains(needle) || environment.contains(needle);
            found.then_some((pid, arguments))
        })
        .collect()
}
