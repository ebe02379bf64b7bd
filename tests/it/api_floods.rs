//! Strangers cannot take what probes need: connections that say nothing, that do not read their
//! answers, or that come faster than anybody can serve them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::support::desk::Desk;
use crate::support::http::{Ask, Door};
use crate::support::wait::within;
use crate::support::xvnc::available;

/// More than each door has room for.
const FLOOD: usize = 400;
/// kubelet waits as long as the pod says, one second unless it says more; this is for a hang.
const ANSWER_S_MAX: u64 = 30;
/// Longer than any deadline of a connection.
const CUT_S_MAX: u64 = 60;

const APPS: &str = r#"
[app.flood]
needs_display = false
command = ["sh", "-c", "head -c 4000000 /dev/zero | tr '\\0' x | fold -w 100"]
"#;

fn alive(desk: &Desk) {
    for _ in 0..5 {
        for door in [desk.tcp(), desk.unix()] {
            let asked = Instant::now();
            assert_eq!(Ask::new(&door, "GET", "/livez").send().status, 200);
            assert!(asked.elapsed() < Duration::from_secs(ANSWER_S_MAX), "{:?}", asked.elapsed());
        }
    }
}

/// A probe from the very address of a flood may be cut with it; kubelet restarts what fails thrice.
fn alive_in_the_flood(desk: &Desk) {
    let asked = Instant::now();
    let answers = (0..3).map(|_| Ask::new(&desk.tcp(), "GET", "/livez").try_send());
    assert!(answers.flatten().any(|answer| answer.status == 200), "three failures in a row");
    assert!(asked.elapsed() < Duration::from_secs(ANSWER_S_MAX), "{:?}", asked.elapsed());
    assert_eq!(Ask::new(&desk.unix(), "GET", "/livez").send().status, 200);
}

/// As many as the doors take, whatever becomes of them: `say` is written to each.
fn flood(desk: &Desk, say: &[u8]) -> (Vec<TcpStream>, Vec<UnixStream>) {
    let tcp = (0..FLOOD).filter_map(|_| {
        let mut stream = TcpStream::connect(desk.tcp).ok()?;
        stream.set_nonblocking(true).ok()?;
        let _ = stream.write(say);
        Some(stream)
    });
    let tcp = tcp.collect();
    let unix = (0..FLOOD).filter_map(|_| {
        let mut stream = UnixStream::connect(desk.socket()).ok()?;
        stream.set_nonblocking(true).ok()?;
        let _ = stream.write(say);
        Some(stream)
    });
    (tcp, unix.collect())
}

#[test]
fn connections_that_say_nothing_or_half_a_request_do_not_keep_probes_out() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    for say in [
        "",
        "GET /livez HTTP/1.1\r\nHost: ",
        "POST /v1/tasks HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
    ] {
        let held = flood(&desk, say.as_bytes());
        alive(&desk);
        drop(held);
    }
}

#[test]
fn silent_connections_that_take_every_descriptor_do_not_keep_probes_out() {
    if !available() {
        return;
    }
    // The daemon has less room than each of its doors would take.
    let desk = Desk::start_called("deskd-it-", &["prlimit", "--nofile=96:96"], "");
    let held = flood(&desk, b"");
    alive(&desk);
    let log = desk.log();
    assert_eq!(log.matches("a connection could not be accepted").count(), 1, "{log}");
    drop(held);
}

#[test]
fn connections_that_do_not_read_their_answers_do_not_keep_probes_out() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    for path in ["/metrics", "/readyz?wait=60s", "/assets/app.js", "/v1/tasks"] {
        let say = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(500);
        let held = flood(&desk, say.as_bytes());
        alive(&desk);
        drop(held);
    }
}

#[test]
fn a_stream_of_new_connections_does_not_keep_probes_out() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut held = std::collections::VecDeque::new();
            while !over.load(Ordering::Relaxed) {
                held.extend(TcpStream::connect(desk.tcp).ok());
                if held.len() > FLOOD {
                    held.pop_front();
                }
            }
        });
        let answered = std::panic::catch_unwind(|| (0..50).for_each(|_| alive_in_the_flood(&desk)));
        over.store(true, Ordering::Relaxed);
        answered.unwrap();
    });
}

#[test]
fn who_is_silent_and_who_does_not_read_is_cut_and_a_reader_is_not() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let task = desk.launch("flood");
    desk.ended(&task);
    let path = format!("/v1/tasks/{task}/log");
    let silent = UnixStream::connect(desk.socket()).unwrap();
    let mut deaf = UnixStream::connect(desk.socket()).unwrap();
    write!(deaf, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut events = desk.ask("GET", "/v1/events").events();
    assert_eq!(events.next().expect("a snapshot").name, "snapshot");
    for (stream, what) in [(&silent, "a silent connection"), (&deaf, "a deaf reader")] {
        within(Duration::from_secs(CUT_S_MAX), &format!("{what} is cut"), || {
            let mut fds = [PollFd::new(stream.as_fd(), PollFlags::POLLHUP)];
            poll(&mut fds, PollTimeout::ZERO).unwrap();
            fds[0].revents().is_some_and(|it| it.intersects(PollFlags::POLLHUP)).then_some(())
        });
    }
    let mut rest = Vec::new();
    let _ = deaf.read_to_end(&mut rest);
    assert!(rest.len() < 4_000_000, "it got everything: {} bytes", rest.len());
    // An idle follower that takes what comes is no slow reader.
    desk.launch("flood");
    assert!(events.next().is_some(), "a stream was cut that is read");
    let whole = Ask::new(&Door::Unix(desk.socket()), "GET", &path).send();
    assert!(whole.body.len() > 4_000_000, "{} bytes", whole.body.len());
}
