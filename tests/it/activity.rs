//! Whether a desktop is used: a real VNC viewer that comes, types and leaves, and a task that computes
//! while nobody looks.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use deskd_core::exit::Exit;
use serde_json::Value;

use super::cli::deskd;
use super::support::desk::Desk;
use super::support::xvnc::{Place, Xvnc, available, eventually};

/// A viewer that may do what it likes (RFC 6143): no password, a shared desktop.
struct Viewer(TcpStream);

impl Viewer {
    fn connect(port: u16) -> Self {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut take = |bytes: usize| {
            let mut taken = vec![0; bytes];
            stream.read_exact(&mut taken).unwrap();
            taken
        };
        let greeting = take(12);
        stream.write_all(&greeting).unwrap();
        let mut take = |bytes: usize| {
            let mut taken = vec![0; bytes];
            stream.read_exact(&mut taken).unwrap();
            taken
        };
        let types = take(1)[0];
        assert!(take(types.into()).contains(&1), "no security type None");
        stream.write_all(&[1]).unwrap();
        let mut result = [0; 4];
        stream.read_exact(&mut result).unwrap();
        assert_eq!(result, [0; 4]);
        stream.write_all(&[1]).unwrap();
        let mut init = [0; 24];
        stream.read_exact(&mut init).unwrap();
        Self(stream)
    }

    /// KeyEvent (7.5.4): `a`, down and up.
    fn types(&mut self) {
        for down in [1, 0] {
            self.0.write_all(&[4, down, 0, 0, 0, 0, 0, 0x61]).unwrap();
        }
    }
}

fn activity(desk: &Desk) -> Value {
    desk.get("/v1/activity")
}

/// Asks until the verdict satisfies.
fn until(desk: &Desk, what: &str, satisfied: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || Some(activity(desk)).filter(&satisfied))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_viewer_that_comes_types_and_leaves_is_use_until_it_left() {
    if !available() {
        return;
    }
    let port = free_port();
    let server = Xvnc::start_in(Place::pod(), &["-rfbport", &port.to_string()]);
    let config = format!("[activity]\nviewers = {{ vnc = {port} }}\n");
    let desk = Desk::start(&config, Some(&server));
    let idle = until(&desk, "nobody there", |it| it["idle_since"].is_i64());
    assert_eq!(idle["viewers"][0]["connections"], 0, "{idle}");
    let mut viewer = Viewer::connect(port);
    let used = until(&desk, "the viewer", |it| it["idle_since"].is_null());
    assert_eq!(used["sentence"], "a viewer is connected");
    assert_eq!(
        (&used["viewers"][0]["name"], &used["viewers"][0]["connections"]),
        (&"vnc".into(), &1.into())
    );
    let before = used["at"].as_i64().unwrap();
    viewer.types();
    let typed =
        until(&desk, "the key", |it| it["last_input_at"].as_i64().is_some_and(|at| at > before));
    drop(viewer);
    let left = until(&desk, "the viewer's leave", |it| it["idle_since"].is_i64());
    assert!(left["idle_since"].as_i64() >= typed["last_input_at"].as_i64(), "{left}");
    assert!(left["last_viewer_at"].is_i64(), "{left}");

    let wait = |time: &str| {
        let mut command = deskd(&["activity", "--wait-idle", time, "-o", "json"]);
        command.env("DESKD_SOCKET", desk.socket()).output().unwrap()
    };
    let output = wait("2s");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["idle_for_ms"].as_u64().unwrap() >= 2000, "{told}");
}

#[test]
fn a_build_that_nobody_watches_is_use_and_its_end_begins_the_idle_time() {
    if !available() {
        return;
    }
    let apps = "[app.build]\nneeds_display = false\ncommand = [\"sh\", \"-c\", \"while :; do :; done\"]\n\
                [app.sleep]\nneeds_display = false\ncommand = [\"sleep\", \"600\"]\n";
    let desk = Desk::start(&format!("[activity]\nbusy_percent = 1\n{apps}"), None);
    desk.launch("sleep");
    let idle = until(&desk, "idle", |it| it["idle_since"].is_i64());
    assert!(idle["last_input_at"].is_null(), "there is no X server: {idle}");
    let build = desk.launch("build");
    let used = until(&desk, "the build", |it| it["idle_since"].is_null());
    assert_eq!(used["busy_tasks"][0]["task"], build.as_str(), "{used}");
    desk.ask("POST", &format!("/v1/tasks/{build}/stop"))
        .json(&serde_json::json!({ "force": true }))
        .send()
        .expect(202);
    let over = until(&desk, "its end", |it| it["idle_since"].is_i64());
    assert!(over["sentence"].as_str().unwrap().contains("stopped computing"), "{over}");
    assert!(over["idle_since"].as_i64() > idle["idle_since"].as_i64(), "{over}");
}

#[test]
fn without_a_daemon_there_is_no_verdict() {
    let mut command = deskd(&["activity", "--wait-idle", "1s"]);
    let output = command.env("DESKD_SOCKET", "/nowhere/deskd.sock").output().unwrap();
    assert_eq!(output.status.code(), Some(Exit::Unreachable as i32), "{output:?}");
}
