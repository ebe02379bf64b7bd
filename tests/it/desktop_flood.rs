//! An application that writes as fast as it can: bounded memory, every byte accounted for, and
//! nobody else waits.

use deskd_keeper::procfs;

use crate::support::desk::Desk;
use crate::support::http::Ask;
use crate::support::proc;
use crate::support::xvnc::available;

/// Written without a single newline.
const FLOOD_BYTES: u64 = 256 << 20;
/// Peak resident memory of keeper and of daemon, without the pages of their files, in KiB.
const PEAK_KIB_MAX: u64 = 12 << 10;

const APPS: &str = r#"
[app.flood]
needs_display = false
command = ["head", "-c", "268435456", "/dev/zero"]

[app.quick]
needs_display = false
command = ["echo", "here"]
"#;

fn peak_kib(pid: u32) -> u64 {
    proc::number(pid, "status", "VmHWM") - proc::number(pid, "status", "RssFile")
}

#[test]
fn a_flood_is_kept_in_bounded_memory_accounted_for_and_starves_nobody() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let daemon = desk.daemon_pid().expect("a daemon");
    let keeper = procfs::read_stat(daemon).expect("the daemon").ppid;
    let flood = desk.launch("flood");
    let quick = desk.launch("quick");
    assert_eq!(desk.ended(&quick)["exit"]["code"], 0);
    assert_eq!(Ask::new(&desk.unix(), "GET", "/livez").send().status, 200);
    let ended = desk.ended(&flood);
    assert_eq!(ended["log_bytes"], FLOOD_BYTES, "{ended}");

    let mut events = desk.ask("GET", &format!("/v1/tasks/{flood}/log/stream?from=0")).events();
    let (mut kept, mut dropped) = (0, 0);
    while let Some(event) = events.next().filter(|event| event.name != "end") {
        if event.name == "gap" {
            assert_eq!(event.data["reason"], "task_limit");
            dropped += event.data["dropped_bytes"].as_u64().expect("a number");
        }
        for record in event.data.as_array().into_iter().flatten() {
            kept += record["text"].as_str().expect("text").len() as u64;
        }
    }
    assert_eq!(kept + dropped, FLOOD_BYTES, "{kept} kept, {dropped} dropped");
    assert!(kept >= 4 << 20, "what the limit allows is kept: {kept}");
    let peaks = [peak_kib(keeper), peak_kib(daemon)];
    println!("peak memory of keeper and daemon: {peaks:?} KiB");
    assert!(peaks.iter().all(|peak| *peak < PEAK_KIB_MAX), "{peaks:?} KiB");
}
