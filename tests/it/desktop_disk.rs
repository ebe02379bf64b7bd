//! A disk that is full under a whole deskd: said by its health, accounted for in the log, and
//! nothing that an application notices.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;

use crate::support::desk::Desk;
use crate::support::http::Ask;
use crate::support::proc;
use crate::support::xvnc::{POD_UID, available, eventually};

/// What the application writes before it waits, in bytes: much more than the disk holds.
const FLOOD_BYTES: u64 = 1 << 20;

const APPS: &str = r#"
[app.flood]
needs_display = false
command = ["sh", "-c", "head -c 1048576 /dev/zero | tr '\\0' x; read go < $HOME/state/go; echo after; exec sleep 7654321"]
"#;

/// A small file system on `<state>/logs`.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: std::path::PathBuf) -> Self {
        let options = format!("size=128k,uid={POD_UID},gid={POD_UID},mode=700");
        mount(Some("tmpfs"), &at, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .expect("a tmpfs");
        Self(at)
    }

    fn grow(&self) {
        let options = Some("size=16m");
        mount(None::<&str>, &self.0, None::<&str>, MsFlags::MS_REMOUNT, options).expect("remount");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn log_check(desk: &Desk) -> String {
    let verbose = Ask::new(&desk.unix(), "GET", "/readyz?verbose").send().text();
    verbose.lines().find(|line| line.contains("log-store")).expect("the check").to_owned()
}

#[test]
fn a_full_disk_is_said_and_accounted_for_and_the_application_goes_on() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let state = desk.dir.path().join("state");
    nix::unistd::mkfifo(&state.join("go"), nix::sys::stat::Mode::from_bits_retain(0o666))
        .expect("a fifo");
    std::os::unix::fs::chown(state.join("go"), Some(POD_UID), Some(POD_UID)).expect("chown");
    let disk = SmallDisk::mount(state.join("logs"));
    let id = desk.launch("flood");
    let trouble = eventually("the check to fail", || {
        Some(log_check(&desk)).filter(|line| line.starts_with("[-]"))
    });
    assert!(trouble.contains("logs"), "it names the place: {trouble}");
    let pid = desk.get(&format!("/v1/tasks/{id}"))["pid"].as_u64().expect("it runs");
    assert!(proc::is_alive(u32::try_from(pid).expect("a pid")));

    disk.grow();
    std::fs::write(state.join("go"), "go\n").expect("the fifo");
    eventually("the check to pass", || log_check(&desk).starts_with("[+]").then_some(()));
    let mut events = desk.ask("GET", &format!("/v1/tasks/{id}/log/stream")).events();
    let (mut kept, mut dropped, mut text) = (0, 0, String::new());
    while !text.contains("after") {
        let event = events.next().expect("more");
        if event.name == "gap" {
            assert_eq!(event.data["reason"], "write_failed");
            dropped += event.data["dropped_bytes"].as_u64().expect("a number");
        }
        for record in event.data.as_array().into_iter().flatten() {
            text = record["text"].as_str().expect("text").to_owned();
            kept += text.len() as u64;
        }
    }
    let after = "after".len() as u64;
    assert_eq!(kept - after + dropped, FLOOD_BYTES, "{kept} kept, {dropped} dropped");
    assert!(dropped > 0);
    assert_eq!(desk.get(&format!("/v1/tasks/{id}"))["pid"], Value::from(pid), "it never stopped");
}
