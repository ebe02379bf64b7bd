//! Each way to the server and each thing that can be wrong with it, told apart.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use deskd::display::{COOKIE_BYTES_MAX, DisplayConfig, Secret, probe};
use deskd_core::display::EndpointState;
use nix::sys::signal::Signal;

use crate::display_helper::config;
use crate::support::xvnc::{PATIENCE, Place, Xvnc, available, fresh_key};

const SHORT: Duration = Duration::from_millis(300);

fn impatient(display: &str, key: &str, tcp: bool) -> DisplayConfig {
    DisplayConfig { handshake_timeout: SHORT, hang_timeout: SHORT, ..config(display, key, tcp) }
}

/// A display number that no server has, held by a lock file as X servers do.
struct FreeDisplay(u16);

impl FreeDisplay {
    fn new() -> Self {
        let number = (700..900).find(|number| {
            let lock = format!("/tmp/.X{number}-lock");
            std::fs::File::create_new(lock).is_ok()
        });
        Self(number.expect("a free display"))
    }

    fn name(&self) -> String {
        format!(":{}", self.0)
    }

    fn socket(&self) -> String {
        format!("/tmp/.X11-unix/X{}", self.0)
    }
}

impl Drop for FreeDisplay {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let _ = std::fs::remove_file(format!("/tmp/.X{}-lock", self.0));
    }
}

#[test]
fn nothing_listens_on_a_free_display() {
    let display = FreeDisplay::new();
    let started = Instant::now();
    let status = probe(&config(&display.name(), &fresh_key(), true));
    assert_eq!(status.unix.state, EndpointState::NotListening);
    assert_eq!(status.tcp.state, EndpointState::NotListening);
    assert_eq!(status.server_epoch, 0);
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn a_socket_file_without_a_server_is_not_listening() {
    let display = FreeDisplay::new();
    std::fs::create_dir_all("/tmp/.X11-unix").unwrap();
    drop(UnixListener::bind(display.socket()).unwrap());
    let status = probe(&config(&display.name(), &fresh_key(), false));
    assert_eq!(status.unix.state, EndpointState::NotListening);
    assert!(!status.unix.path);
}

#[test]
fn a_wrong_and_a_missing_cookie_are_refused_with_the_servers_reason() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    for (key, notes) in [(fresh_key(), 0), (String::new(), 1)] {
        let status = probe(&config(&server.display(), &key, true));
        for state in [&status.unix.state, &status.tcp.state] {
            let EndpointState::Refused(reason) = state else { panic!("{state:?}") };
            assert!(
                reason.contains("MIT-MAGIC-COOKIE-1") || reason.contains("Authorization"),
                "{reason}"
            );
            assert!(!reason.contains('\n'));
        }
        assert_eq!(status.notes.len(), notes, "{:?}", status.notes);
        assert!(!format!("{status:?}").contains(&server.key));
    }
}

#[test]
fn a_cookie_works_whatever_its_length_from_the_key_and_from_the_file() {
    if !available() {
        return;
    }
    for length in [1, 15, 300, COOKIE_BYTES_MAX] {
        let server = Xvnc::start_with(Place::pod(), &["-listen", "tcp"], "a4".repeat(length));
        let by_key = config(&server.display(), &server.key, true);
        let by_file = DisplayConfig {
            xauthority: Some(server.authority()),
            xauth_key: None,
            ..by_key.clone()
        };
        for config in [by_key, by_file] {
            let status = probe(&config);
            assert!(status.answers() && status.tcp.state.answers(), "{length}: {status:?}");
            assert_eq!(status.notes, [""; 0], "{length}");
        }
        let mut client = server.application(&["xdpyinfo"]);
        assert!(client.0.wait().unwrap().success(), "{length}: by libxcb from the file");
    }
}

#[test]
fn a_key_that_is_no_cookie_leaves_the_file_to_be_used_and_is_told() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let odd = format!("{}0", server.key);
    let config = DisplayConfig {
        xauthority: Some(server.authority()),
        ..config(&server.display(), &odd, true)
    };
    let status = probe(&config);
    assert!(status.answers(), "{status:?}");
    let [note] = status.notes.as_slice() else { panic!("{:?}", status.notes) };
    assert!(note.contains("33 hexadecimal digits") && !note.contains(&server.key), "{note}");
}

#[test]
fn the_cookie_is_found_in_the_xauthority_file_that_xauth_wrote() {
    if !available() {
        return;
    }
    let server = Xvnc::start_with(Place::pod(), &[], "5b".repeat(15));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Xauthority");
    let path = file.to_str().unwrap();
    let (display, key) = (server.display(), server.key.as_str());
    let xauth = ["xauth", "-f", path, "add", &display, "MIT-MAGIC-COOKIE-1", key];
    assert!(Place::default().command(&xauth).output().unwrap().status.success());
    let config = DisplayConfig { xauthority: Some(file), ..config(&display, "", false) };
    let status = probe(&config);
    assert!(status.answers(), "{status:?}");
    assert_eq!(status.notes, [""; 0]);
}

#[test]
fn the_file_with_the_cookie_is_told_and_one_with_another_is_not() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let authority = server.authority();
    let by_key = config(&server.display(), &server.key, true);
    let look = |xauthority: Option<PathBuf>, xauth_key: Option<Secret>| {
        let config = DisplayConfig { xauthority, xauth_key, ..by_key.clone() };
        probe(&config).cookie_file.map(PathBuf::from)
    };
    assert_eq!(look(Some(authority.clone()), None), Some(authority.clone()));
    assert_eq!(look(Some(authority.clone()), by_key.xauth_key.clone()), Some(authority.clone()));
    assert_eq!(look(Some(authority), Some(Secret(fresh_key()))), None);
    assert_eq!(look(Some("/nonexistent".into()), by_key.xauth_key.clone()), None);
    assert_eq!(look(None, by_key.xauth_key.clone()), None);
}

/// An address of this machine that is not its own alone, if it has one. Nothing is sent.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}

#[test]
fn clients_find_the_cookie_in_the_file_that_deskd_makes_of_the_variable() {
    if !available() {
        return;
    }
    let server = Xvnc::start_with(Place::pod(), &["-listen", "tcp"], "6c".repeat(15));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Xauthority");
    let address = outer_address();
    let named = address.map(|address| address.to_string());
    let mut args = vec!["--display".to_owned(), server.display()];
    args.extend(named.iter().flat_map(|address| ["--address".to_owned(), address.clone()]));
    let run = |key: &str, display: &str| {
        let mut args = args.clone();
        args[1] = display.to_owned();
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("deskd"));
        command.arg("xauthority").args(args).arg(&file).env("XAUTH_KEY", key).output().unwrap()
    };
    for wrong in [run("abc", ":0"), run("", ":0"), run(&server.key, "elsewhere:0")] {
        assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
        assert!(!file.exists());
    }
    assert!(
        String::from_utf8_lossy(&run("abc", ":0").stderr)
            .contains("XAUTH_KEY is not a valid cookie")
    );
    let made = run(&server.key, &server.display());
    assert!(made.status.success(), "{made:?}");
    let list = Command::new("xauth").arg("-f").arg(&file).arg("list").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert!(list.contains(&format!("{host}/unix:{} ", server.number)), "{list}");
    let mut displays = vec![server.display()];
    if let Some(address) = &named {
        assert!(list.contains(&format!("{address}:{} ", server.number)), "{list}");
        displays.push(format!("{address}:{}", server.number));
    }
    for display in displays {
        let client = |file: &Path| {
            let mut command = Command::new("xdpyinfo");
            command.env("DISPLAY", &display).env("XAUTHORITY", file).output().unwrap()
        };
        let drawn = client(&file);
        assert!(drawn.status.success(), "{display}: {drawn:?}");
        assert!(
            !client(Path::new("/nonexistent")).status.success(),
            "{display}: the cookie counts"
        );
    }
}

#[test]
fn tcp_is_only_looked_up_when_it_is_not_wanted() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let status = probe(&config(&server.display(), &server.key, false));
    assert_eq!((status.tcp.ipv4, status.tcp.state), (true, EndpointState::Unchecked));
    let silent = Xvnc::start_in(Place::pod(), &["-nolisten", "tcp"]);
    let status = probe(&config(&silent.display(), &silent.key, true));
    assert_eq!((status.tcp.ipv4, status.tcp.state), (false, EndpointState::NotListening));
    assert_eq!(status.unix.state, EndpointState::Answering);
}

#[test]
fn without_the_socket_file_the_abstract_socket_is_used() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    std::fs::remove_file(format!("/tmp/.X11-unix/X{}", server.number)).unwrap();
    let status = probe(&config(&server.display(), &server.key, false));
    assert_eq!(status.unix.state, EndpointState::Answering);
    assert_eq!((status.unix.path, status.unix.abstract_socket), (false, true));
}

#[test]
fn a_stopped_server_hangs_on_every_way_within_the_time_limits() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    server.running().signal(Signal::SIGSTOP);
    let started = Instant::now();
    let status = probe(&impatient(&server.display(), &server.key, true));
    assert_eq!(status.unix.state, EndpointState::Hanging);
    assert_eq!(status.tcp.state, EndpointState::Hanging);
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    server.running().signal(Signal::SIGCONT);
    assert!(probe(&config(&server.display(), &server.key, true)).answers());
}

#[test]
fn a_server_that_answers_half_of_the_setup_hangs() {
    let display = FreeDisplay::new();
    std::fs::create_dir_all("/tmp/.X11-unix").unwrap();
    let unix = UnixListener::bind(display.socket()).unwrap();
    let tcp = TcpListener::bind(("127.0.0.1", 6000 + display.0)).unwrap();
    let half = [1, 0, 11, 0, 0, 0, 100, 0, 1, 2, 3];
    let servers = [
        std::thread::spawn(move || {
            let (mut client, _) = unix.accept().unwrap();
            client.write_all(&half).unwrap();
            let _ = client.read_to_end(&mut Vec::new());
        }),
        std::thread::spawn(move || {
            let (mut client, _) = tcp.accept().unwrap();
            client.write_all(&half).unwrap();
            let _ = client.read_to_end(&mut Vec::new());
        }),
    ];
    let status = probe(&impatient(&display.name(), &fresh_key(), true));
    assert_eq!(status.unix.state, EndpointState::Hanging);
    assert_eq!(status.tcp.state, EndpointState::Hanging);
    servers.into_iter().for_each(|server| server.join().unwrap());
}

#[test]
fn a_display_of_another_host_is_refused_with_a_sentence() {
    let status = probe(&config("10.0.0.1:0", "", false));
    assert!(!status.answers());
    assert!(status.notes[0].contains("names the host `10.0.0.1`"), "{:?}", status.notes);
}
