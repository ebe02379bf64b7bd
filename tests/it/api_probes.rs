//! Probes that are held until the answer is "yes", and a door that is there before the daemon.

use std::time::{Duration, Instant};

use crate::support::desk::Desk;
use crate::support::http::{Answer, Ask, Door};
use crate::support::xvnc::{Xvnc, available, eventually};

/// Longer than any of these tests waits.
const HELD: &str = "/readyz?wait=60s";

fn ask(door: &Door, path: &str) -> Answer {
    Ask::new(door, "GET", path).send()
}

#[test]
fn a_held_probe_is_answered_when_the_display_works_and_a_later_failure_at_once() {
    if !available() {
        return;
    }
    let mut server = Xvnc::start();
    server.kill();
    let desk = Desk::start("", Some(&server));
    let door = desk.tcp();
    let probe = std::thread::spawn(move || ask(&door, HELD));
    let text = ask(&desk.unix(), "/readyz?wait=1ms").text();
    assert!(text.contains("[-]display failed: nothing listens"), "{text}");
    server.restart();
    let answer = probe.join().unwrap();
    assert_eq!((answer.status, answer.text()), (200, "ok".into()));

    server.kill();
    eventually("readiness fails", || (ask(&desk.unix(), "/readyz").status == 503).then_some(()));
    let asked = Instant::now();
    assert_eq!(ask(&desk.tcp(), HELD).status, 503);
    assert!(asked.elapsed() < Duration::from_secs(30), "it was held: {:?}", asked.elapsed());
}

#[test]
fn held_probes_starve_nobody_and_end_with_deskd() {
    if !available() {
        return;
    }
    let mut desk = Desk::start("", None);
    let end = "deskd is shutting down";
    let held = |door: Door| std::thread::spawn(move || ask(&door, HELD));
    let probes: Vec<_> = (0..8).map(|_| held(desk.tcp())).collect();
    // One more than are held takes the place of one of those who have more.
    let one = held(desk.unix());
    let over = |probes: &[std::thread::JoinHandle<_>]| {
        probes.iter().filter(|probe| probe.is_finished()).count()
    };
    eventually("one of the crowd is answered", || (over(&probes) == 1).then_some(()));
    assert_eq!(ask(&desk.tcp(), "/livez").status, 200);
    assert_eq!(ask(&desk.tcp(), "/startupz?wait=60s").status, 200);
    let took = desk.end();
    assert!(took < Duration::from_secs(30), "probes held it up: {took:?}");
    let is_last = |probe: std::thread::JoinHandle<Answer>| {
        let answer = probe.join().unwrap();
        assert_eq!(answer.status, 503);
        answer.text().contains(end)
    };
    assert!(is_last(one), "it had to make room");
    assert_eq!(probes.into_iter().filter_map(|probe| is_last(probe).then_some(())).count(), 7);
}

#[test]
fn a_wait_that_is_no_time_is_refused_with_the_limit() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    for path in ["/readyz?wait=soon", "/startupz?wait=2h", "/livez?wait=1"] {
        let answer = ask(&desk.tcp(), path);
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text().contains("at most 60 s"), "{}", answer.text());
    }
}

#[test]
fn while_no_daemon_runs_connections_wait_and_are_answered_by_the_next_one() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    for _ in 0..5 {
        let old = desk.kill_daemon();
        // Nobody is refused, whenever this comes; what the dead daemon had accepted is cut off.
        let status =
            eventually("an answer", || match Ask::new(&desk.tcp(), "GET", "/livez").try_send() {
                Ok(answer) => Some(answer.status),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    panic!("a connection was refused")
                }
                Err(_) => None,
            });
        assert_eq!(status, 200);
        desk.until_back(old);
    }
}
