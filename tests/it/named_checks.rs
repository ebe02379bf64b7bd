//! Readiness checks that the configuration names, against real processes, ports, window managers and
//! VNC servers.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use super::support::desk::Desk;
use super::support::needs;
use super::support::xvnc::{Place, Running, Xvnc, available, eventually};

/// The line of one check.
fn line(desk: &Desk, name: &str) -> String {
    let text = desk.ask("GET", "/readyz?verbose").send().text();
    let of = |line: &&str| line.get(3..).is_some_and(|line| line.starts_with(&format!("{name} ")));
    text.lines().find(of).unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

#[track_caller]
fn until(desk: &Desk, name: &str, words: &str) {
    eventually(&format!("{name}: {words}"), || line(desk, name).contains(words).then_some(()));
}

#[test]
fn a_process_a_port_and_a_file_are_waited_for_and_missed_by_name() {
    if !available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (file, program) = (dir.path().join("ready"), dir.path().join("deskd-it-plasmashell"));
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let config = format!(
        "[check.shell]\nprocess = \"deskd-it-plasmashell\"\ninterval = \"500ms\"\n\
         [check.novnc]\nport = {port}\ninterval = \"500ms\"\n\
         [check.mark]\nfile = {file:?}\ninterval = \"500ms\"\nrequired = false\n"
    );
    let desk = Desk::start(&config, None);
    until(&desk, "shell", "[-]shell failed: a process `deskd-it-plasmashell` is missing");
    until(&desk, "novnc", &format!("a listener on TCP port {port} is missing"));
    until(&desk, "mark", "failed (not required)");
    let excluded = "/readyz?exclude=display&exclude=shm";
    assert_eq!(desk.ask("GET", excluded).send().status, 503);

    std::fs::copy("/bin/sleep", &program).unwrap();
    let process = Running::start(&mut Place::pod().command(&[program.to_str().unwrap(), "600"]));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    until(&desk, "shell", "[+]shell ok");
    until(&desk, "novnc", "[+]novnc ok");
    // One that is not required decides nothing.
    assert_eq!(desk.ask("GET", excluded).send().status, 200);
    std::fs::write(&file, "").unwrap();
    until(&desk, "mark", "[+]mark ok");
    drop((process, listener));
    std::fs::remove_file(&file).unwrap();
    for name in ["shell", "novnc", "mark"] {
        until(&desk, name, "is missing");
    }
}

#[test]
fn a_window_manager_is_one_while_its_own_window_says_so() {
    if !available() || !needs::met(&["openbox"], &[]) {
        return;
    }
    let server = Xvnc::start();
    let config = "[check.wm]\nwindow_manager = true\ninterval = \"500ms\"\n";
    let desk = Desk::start(config, Some(&server));
    until(&desk, "wm", "a window manager is missing");
    let manager = server.application(&["openbox", "--config-file", "/dev/null"]);
    until(&desk, "wm", "[+]wm ok: a window manager is there: Openbox");
    let ready = desk.ask("GET", "/readyz").send();
    assert_eq!(ready.status, 200, "{}", ready.text());
    // Killed, it leaves its mark on the root window.
    drop(manager);
    until(&desk, "wm", "the one that ran here is gone");
    assert_eq!(desk.ask("GET", "/readyz").send().status, 503);
}

/// From this address: whether the server still lets clients log in, or turns them away unheard.
fn may_log_in(port: u16, from: Ipv4Addr) -> bool {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Stream,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    );
    let mut stream = TcpStream::from(socket.unwrap());
    let bound: SocketAddr = (from, 0).into();
    let bound = nix::sys::socket::SockaddrStorage::from(bound);
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&stream), &bound).unwrap();
    let server: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    let server = nix::sys::socket::SockaddrStorage::from(server);
    nix::sys::socket::connect(std::os::fd::AsRawFd::as_raw_fd(&stream), &server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut greeting = [0; 12];
    stream.read_exact(&mut greeting).unwrap();
    if &greeting == b"RFB 003.003\n" {
        return false;
    }
    stream.write_all(&greeting).unwrap();
    // The number of security types (RFC 6143, 7.1.2); 0: refused.
    let mut types = [0; 1];
    stream.read_exact(&mut types).unwrap();
    types[0] > 0
}

#[test]
fn an_rfb_server_is_greeted_for_ever_and_its_users_are_not_turned_away_for_it() {
    if !available() {
        return;
    }
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(4096), Some(4096)).unwrap();
    let socket = dir.path().join("x11vnc");
    let options = [
        "-SecurityTypes",
        "VncAuth",
        "-PasswordFile",
        "/nowhere",
        "-rfbport",
        &port.to_string(),
        "-rfbunixpath",
        socket.to_str().unwrap(),
        "-BlacklistThreshold",
        "3",
        "-BlacklistTimeout",
        "600",
    ];
    let server = Xvnc::start_in(Place::pod(), &options);
    let config = format!(
        "[check.vnc]\nrfb_port = {port}\ninterval = \"500ms\"\n\
         [check.vnc-socket]\nrfb_socket = {socket:?}\ninterval = \"500ms\"\n"
    );
    let desk = Desk::start(&config, Some(&server));
    // Long beyond the number of connections after which an address is turned away.
    eventually("many greetings", || {
        let log = server.log();
        let turned_away = log.matches("blacklisted: 127.68.83.75").count();
        (turned_away >= 2).then_some(())
    });
    for name in ["vnc", "vnc-socket"] {
        assert!(line(&desk, name).contains("is there: RFB 3."), "{}", line(&desk, name));
    }
    assert!(may_log_in(port, Ipv4Addr::LOCALHOST), "{}", server.log());
    let log = server.log();
    let others = log.lines().filter(|line| line.contains("blacklisted: "));
    let own = |line: &&str| line.contains("127.68.83.75") || line.contains("/rfb-vnc-socket");
    assert_eq!(others.filter(|line| !own(line)).count(), 0, "{log}");
    // It does count: whoever comes as often from one address is turned away.
    let other = Ipv4Addr::new(127, 0, 0, 9);
    assert!((0..4).any(|_| !may_log_in(port, other)), "this server counts nothing");
}

#[test]
fn what_never_greets_or_is_no_rfb_server_fails_in_time_and_says_so() {
    if !available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let silent = dir.path().join("silent");
    let _listener = UnixListener::bind(&silent).unwrap();
    std::fs::set_permissions(&silent, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let wrong = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = wrong.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in wrong.incoming() {
            let _ = stream.unwrap().write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
        }
    });
    let config = format!(
        "[check.silent]\nrfb_socket = {silent:?}\ntimeout = \"300ms\"\n\
         [check.ssh]\nrfb_port = {port}\n[check.gone]\nrfb_socket = \"/nowhere/vnc\"\n"
    );
    let desk = Desk::start(&config, None);
    until(&desk, "silent", "no answer within 300 ms");
    until(&desk, "ssh", "what listens there is no RFB server");
    until(&desk, "gone", "an RFB server on /nowhere/vnc is missing");
    assert!(!Path::new("/nowhere").exists());
}
