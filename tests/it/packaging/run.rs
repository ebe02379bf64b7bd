//! `make run`, as a newcomer does it, ended as with Ctrl-C.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{
    Running, delivered, eventually, get, own_variable, processes_with, repository, stdout_of,
};
use crate::support::xvnc::POD_UID;

const TOOLS: [&str; 6] = ["make", "Xvnc", "openbox", "websockify", "xclock", "gnome-2048"];

type Lines = std::io::Lines<BufReader<std::process::ChildStdout>>;

/// `make run`, and what it printed for the person in front of it.
struct MakeRun {
    make: Running,
    /// Its standard output, held open.
    _output: Lines,
    panel: String,
    desktop: String,
    /// Where everything of it is.
    dir: PathBuf,
    /// deskd's socket.
    socket: String,
    display: String,
}

impl MakeRun {
    fn start() -> Self {
        let mut command = Command::new("make");
        command.args(["--no-print-directory", "run"]).current_dir(repository()).env_clear();
        for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
            if let Some(value) = own_variable(name) {
                command.env(name, value);
            }
        }
        // A process group of its own, as a shell gives to what it runs in a terminal.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut make = Running::start(&mut command);
        let mut lines = BufReader::new(make.0.stdout.take().expect("a pipe")).lines();
        let mut printed = String::new();
        while !printed.contains("Ctrl-C stops") {
            let line = lines.next().unwrap_or_else(|| panic!("make run ended after:\n{printed}"));
            printed += &(line.expect("UTF-8") + "\n");
        }
        let after = |mark: &str| {
            let line = printed.lines().find_map(|line| line.trim().strip_prefix(mark));
            line.unwrap_or_else(|| panic!("no {mark:?} in:\n{printed}")).trim().to_owned()
        };
        let socket = after("export DESKD_SOCKET=");
        Self {
            make,
            _output: lines,
            panel: after("the panel"),
            desktop: after("the desktop"),
            dir: Path::new(&socket).ancestors().nth(2).expect("a directory").to_owned(),
            display: after("deskd supervises a desktop on display")
                .trim_end_matches('.')
                .to_owned(),
            socket,
        }
    }

    fn deskd(&self, words: &[&str]) -> String {
        let mut command = Command::new(self.dir.join("deskd"));
        stdout_of(command.args(words).env("DESKD_SOCKET", &self.socket))
    }

    /// Ctrl-C reaches every process of the terminal's foreground group.
    fn interrupt(&self) {
        killpg(Pid::from_raw(self.make.pid().cast_signed()), Signal::SIGINT).expect("a group");
    }
}

impl Drop for MakeRun {
    fn drop(&mut self) {
        if matches!(self.make.0.try_wait(), Ok(None)) {
            self.interrupt();
            let _ = self.make.0.wait();
        }
    }
}

/// Address and path of an `http://` URL.
fn parts(url: &str) -> (SocketAddr, String) {
    let (address, path) =
        url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URL");
    (address.parse().expect("an address"), format!("/{path}"))
}

#[test]
fn make_run_shows_a_desktop_and_ctrl_c_leaves_nothing_behind() {
    if delivered(&TOOLS).is_none() {
        return;
    }
    let mut desktop = MakeRun::start();
    let (address, path) = parts(&desktop.panel);
    let answer = get(address, &path).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_lowercase().contains("set-cookie: deskd_session="), "{answer}");
    let (address, path) = parts(&desktop.desktop);
    assert!(get(address, &path).expect("an answer").contains("noVNC"));

    let apps: serde_json::Value =
        serde_json::from_str(&desktop.deskd(&["app", "list", "--output", "json"])).expect("JSON");
    for app in apps.as_array().expect("apps") {
        assert_eq!(app["problems"].as_array().map_or(0, Vec::len), 0, "{app}");
    }
    for app in ["xclock", "gnome-2048", "qt-2048", "xterm", "xeyes"] {
        let task = desktop.deskd(&["launch", app]);
        eventually(&format!("a window of {app}"), || {
            let shown = desktop.deskd(&["task", "show", &task, "--output", "json"]);
            let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
            shown["first_window_ms"].is_number().then_some(())
        });
    }
    let dir = desktop.dir.to_str().expect("a path").to_owned();
    let inside = processes_with(&format!("XAUTHORITY={dir}"));
    assert!(inside.len() >= 10, "Xvnc, openbox, websockify, deskd twice, 5 apps: {inside:?}");
    for (pid, argv) in inside {
        let owner = std::fs::metadata(format!("/proc/{pid}")).map(|status| status.uid());
        assert_eq!(owner.ok(), Some(POD_UID), "{argv}");
    }

    desktop.interrupt();
    eventually("make ends", || desktop.make.0.try_wait().expect("a child"));
    assert_eq!(processes_with(&dir), []);
    assert!(!desktop.dir.exists(), "{dir} is gone");
    let number = desktop.display.trim_start_matches(':');
    assert!(!Path::new(&format!("/tmp/.X11-unix/X{number}")).exists(), "the display's socket");
    assert!(!Path::new(&format!("/tmp/.X{number}-lock")).exists(), "the display's lock");
}
