//! `log_store.forward = "stdout"`: applications' output on deskd's own standard output, also when the
//! pipeline behind it does not read.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use serde_json::Value;

use super::support::desk::Desk;
use super::support::xvnc::{available, eventually};

const APPS: &str = "[app.says]\nneeds_display = false\n\
    command = [\"sh\", \"-c\", \"echo one; echo two >&2; printf '%s' three\"]\n\
    [app.floods]\nneeds_display = false\n\
    command = [\"sh\", \"-c\", \"yes 0123456789abcdef | head -c 8500000; echo last\"]\n";

/// A deskd whose standard output is `path`.
fn desk(config: &str, path: &Path) -> Desk {
    let script = format!("exec \"$@\" >{}", path.display());
    Desk::start_called("deskd-forward-", &["sh", "-c", &script, "sh"], &format!("{config}{APPS}"))
}

fn for_everybody(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).unwrap();
}

/// A directory that everybody may enter.
fn open_directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

/// An empty file for everybody, and its directory.
fn file() -> (tempfile::TempDir, PathBuf) {
    let dir = open_directory();
    let path = dir.path().join("out");
    File::create(&path).unwrap();
    for_everybody(&path);
    (dir, path)
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn metric(desk: &Desk, name: &str) -> u64 {
    let text = desk.ask("GET", "/metrics").send().text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
}

#[test]
fn what_applications_write_is_json_on_deskds_standard_output() {
    if !available() {
        return;
    }
    let (_dir, out) = file();
    let desk = desk("[log_store]\nforward = \"stdout\"\n", &out);
    let task = desk.launch("says");
    desk.ended(&task);
    let lines = eventually("three lines", || {
        let lines = objects(&std::fs::read_to_string(&out).unwrap());
        (lines.len() >= 3).then_some(lines)
    });
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line["stream"].as_str().unwrap(), line["message"].as_str().unwrap()))
        .collect();
    for line in [("stdout", "one"), ("stderr", "two"), ("stdout", "three")] {
        assert!(told.contains(&line), "{told:?}");
    }
    assert_eq!(lines[0]["task"], task.as_str());
    assert_eq!((&lines[0]["app"], &lines[0]["target"]), (&"says".into(), &"application".into()));
    assert_eq!(metric(&desk, "deskd_forwarded_lines_total"), 3);
    assert_eq!(metric(&desk, "deskd_forward_lost_bytes_total"), 0);
}

#[test]
fn a_pipeline_that_does_not_read_blocks_nothing_and_what_it_missed_is_counted() {
    if !available() {
        return;
    }
    let dir = open_directory();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o666)).unwrap();
    for_everybody(&fifo);
    // Open, and not read.
    let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let held = OpenOptions::new().read(true).custom_flags(nonblocking).open(&fifo).unwrap();
    let config = "[log_store]\nforward = \"stdout\"\ntask_limit = \"64 KiB\"\n";
    let desk = desk(config, &fifo);
    let task = desk.launch("floods");
    // The program ends, deskd answers, and the log has its end.
    let ended = desk.ended(&task);
    assert_eq!(ended["exit"]["code"], 0, "{ended}");
    let log = desk.ask("GET", &format!("/v1/tasks/{task}/log?tail=1")).send().text();
    assert_eq!(log, "last\n");
    // Whoever reads again gets the rest, and is told what is missing.
    let reader = std::thread::spawn(move || {
        let blocking = File::open(&fifo).unwrap();
        drop(held);
        let lines = BufReader::new(blocking).lines().map_while(Result::ok);
        let mut gaps = 0;
        for line in lines {
            let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
            gaps += line["gap"]["dropped_bytes"].as_u64().unwrap_or(0);
            if line["message"] == "last" {
                break;
            }
        }
        gaps
    });
    let gaps = reader.join().unwrap();
    assert!(gaps > 4_000_000, "{gaps} bytes were told to be missing");
    assert_eq!(metric(&desk, "deskd_forward_lost_bytes_total"), gaps);
    assert_eq!(desk.ask("GET", "/livez").send().status, 200);
}

#[test]
fn without_it_nothing_is_written_there() {
    if !available() {
        return;
    }
    let (_dir, out) = file();
    let desk = desk("", &out);
    let task = desk.launch("says");
    desk.ended(&task);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "");
}
