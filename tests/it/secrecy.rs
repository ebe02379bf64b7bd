//! What applications, which run as deskd's own user, cannot read of it.

use std::process::Stdio;

use super::support::desk::Desk;
use super::support::xvnc::{Place, available, eventually};

const APPS: &str = r#"
[app.sleep]
needs_display = false
oom_score_adj = 500
command = ["sleep", "600"]
"#;

/// Whether another process of the pod's user can read this file of a process.
fn is_readable(pid: u32, file: &str) -> bool {
    let read = format!("head -c 1 /proc/{pid}/{file}");
    let mut command = Place::pod().command(&["sh", "-c", &read]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.expect("a shell").success()
}

#[test]
fn others_of_the_same_user_read_neither_memory_nor_environment_nor_files_of_deskd() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let task = desk.launch("sleep");
    let app = desk.get(&format!("/v1/tasks/{task}"))["pid"].as_u64().expect("a pid");
    let app = u32::try_from(app).expect("a pid");
    let daemon = eventually("a daemon", || desk.daemon_pid());
    for file in ["environ", "maps", "root/etc/hostname", "fd/0"] {
        assert!(is_readable(app, file), "the test would show nothing: {file} of an application");
        for (name, pid) in [("keeper", desk.keeper_pid()), ("daemon", daemon)] {
            assert!(!is_readable(pid, file), "{file} of the {name}");
        }
    }
    // What deskd sets for others, although its own files in /proc are root's now.
    let score = std::fs::read_to_string(format!("/proc/{app}/oom_score_adj")).expect("a score");
    assert_eq!(score.trim(), "500");
    let own = format!("/proc/{}/oom_score_adj", desk.keeper_pid());
    let before = std::fs::read_to_string("/proc/self/oom_score_adj").expect("a score");
    assert_eq!(std::fs::read_to_string(own).expect("a score"), before);
    let old = desk.kill_daemon();
    desk.until_back(old);
    let daemon = eventually("another daemon", || desk.daemon_pid());
    assert!(!is_readable(daemon, "environ"), "of a daemon that was started again");
}
