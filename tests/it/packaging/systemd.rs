//! The unit under systemd's own checks, and deskd with this test in systemd's place.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, setsockopt, sockopt};

use super::{Installed, Running, delivered, eventually, repository, stdout_of};
use crate::support::xvnc::{PATIENCE, Xvnc};

/// `systemd-analyze security` exposure, times ten, that the unit may have: 31 is "OK", and what is
/// left is what applications need (see the unit).
const EXPOSURE_MAX: &str = "31";
/// The watchdog period the tests ask for; pings come at least twice as often.
const WATCHDOG: Duration = Duration::from_millis(1000);

/// The unit with the binary of this build, so that it names a file that exists.
fn unit(binary: &Path, dir: &Path) -> std::path::PathBuf {
    let text = std::fs::read_to_string(repository().join("systemd/deskd.service")).expect("unit");
    let text = text.replace("/usr/local/bin/deskd", binary.to_str().expect("a path"));
    let path = dir.join("deskd.service");
    std::fs::write(&path, text).expect("a unit");
    path
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let Some(binary) = delivered(&["systemd-analyze"]) else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(unit(&binary, dir.path()))
        .output()
        .expect("systemd-analyze");
    // What it merely warns about, an unknown key for example, it prints.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success(), "{}", output.status);
}

#[test]
fn the_unit_is_no_more_exposed_than_its_applications_need() {
    let Some(binary) = delivered(&["systemd-analyze"]) else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE_MAX]);
    stdout_of(command.arg(unit(&binary, dir.path())));
}

/// systemd's end of `sd_notify(3)`.
struct NotifySocket {
    socket: UnixDatagram,
}

impl NotifySocket {
    fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).expect("chmod");
        setsockopt(&socket, sockopt::PassCred, &true).expect("SO_PASSCRED");
        Self { socket }
    }

    /// The next message and the pid of its sender; nothing within `patience`.
    fn next(&self, patience: Duration) -> Option<(i32, String)> {
        self.socket
            .set_read_timeout(Some(patience.max(Duration::from_millis(1))))
            .expect("timeout");
        let mut bytes = [0_u8; 4096];
        let mut space = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let message = recvmsg::<UnixAddr>(fd, &mut slices, Some(&mut space), flags).ok()?;
        let sender = message.cmsgs().expect("control messages").find_map(|control| match control {
            ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
            _ => None,
        });
        let length = message.bytes;
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        Some((sender.expect("credentials"), text))
    }

    /// Waits for an assignment such as `READY=1`; returns the message and its sender.
    fn wait_for(&self, assignment: &str) -> (i32, String) {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while let Some(message) = self.next(deadline.saturating_duration_since(Instant::now())) {
            if message.1.lines().any(|line| line == assignment) {
                return message;
            }
            heard.push(message);
        }
        panic!("{assignment} was not said; heard {heard:?}")
    }

    /// Whether `assignment` is said within `patience`.
    fn hears(&self, assignment: &str, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while let Some((_, text)) = self.next(deadline.saturating_duration_since(Instant::now())) {
            if text.lines().any(|line| line == assignment) {
                return true;
            }
        }
        false
    }
}

/// deskd as systemd starts a `Type=notify` service with a watchdog.
fn start_as_service(installed: &Installed, display: &Xvnc) -> (Running, NotifySocket) {
    let socket = NotifySocket::new(&installed.path("notify"));
    let mut command = installed.command(&["deskd", "run"]);
    command.env("NOTIFY_SOCKET", installed.path("notify"));
    command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    command.env("DISPLAY", display.display()).env("XAUTHORITY", display.authority());
    command.stderr(std::fs::File::create(installed.path("stderr")).expect("a file"));
    (Running::start(&mut command), socket)
}

/// The daemon: the keeper's child.
fn daemon_of(keeper: &Running) -> nix::unistd::Pid {
    let file = format!("/proc/{0}/task/{0}/children", keeper.pid());
    let children = eventually("a daemon", || {
        let children = std::fs::read_to_string(&file).ok()?;
        (!children.trim().is_empty()).then_some(children)
    });
    let pid = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
    nix::unistd::Pid::from_raw(pid.expect("a pid"))
}

#[test]
fn under_systemd_the_main_process_says_that_it_is_ready_alive_and_stopping() {
    let Some(binary) = delivered(&["Xvnc", "setpriv"]) else { return };
    let (installed, display) = (Installed::new(&binary), Xvnc::start());
    let (mut deskd, systemd) = start_as_service(&installed, &display);

    let (sender, _) = systemd.wait_for("READY=1");
    // NotifyAccess=main: what another process says, systemd does not hear.
    assert_eq!(sender, deskd.pid().cast_signed());
    assert_eq!(stdout_of(&mut installed.command(&["deskd", "health"])).lines().count().min(1), 1);
    for _ in 0..3 {
        assert!(systemd.hears("WATCHDOG=1", WATCHDOG), "a ping in each period");
    }

    deskd.signal(Signal::SIGTERM);
    systemd.wait_for("STOPPING=1");
    let status = eventually("deskd ends", || deskd.0.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_daemon_that_hangs_stops_the_watchdogs_pings() {
    let Some(binary) = delivered(&["Xvnc", "setpriv"]) else { return };
    let (installed, display) = (Installed::new(&binary), Xvnc::start());
    let (deskd, systemd) = start_as_service(&installed, &display);
    systemd.wait_for("READY=1");
    systemd.wait_for("WATCHDOG=1");

    let daemon = daemon_of(&deskd);
    nix::sys::signal::kill(daemon, Signal::SIGSTOP).expect("a daemon");
    eventually("the pings stop", || (!systemd.hears("WATCHDOG=1", WATCHDOG)).then_some(()));
    nix::sys::signal::kill(daemon, Signal::SIGCONT).expect("a daemon");
    systemd.wait_for("WATCHDOG=1");
}
