//! What applications, which run as deskd's own user, cannot read of it.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::support::desk::Desk;
use super::support::keeper::{Keeper, Setup};
use super::support::xvnc::{POD_UID, Place, Running, available, eventually};

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

/// How `deskd run` is started where it has no capabilities: with one that lets its user read every file, as setpriv has
/// until it executes another program, the kernel would not protect what is executed.
const WITHOUT_CAPABILITIES: &[&str] = &["setpriv", "--no-new-privs"];

/// Looks for processes whose command line has a marker, and tries in a loop what a process of their user could read of them.
const ATTACKER: &str = r#"
import os, sys
marker, own = sys.argv[1].encode(), os.getpid()
seen = set()
def attempt(pid, what, act):
    try:
        act(f'/proc/{pid}/{what}')
        print('read', what, pid, flush=True)
    except OSError:
        pass
while True:
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if int(pid) == own or marker not in open(f'/proc/{pid}/cmdline', 'rb').read():
                continue
            # The program that starts deskd has its arguments too.
            if open(f'/proc/{pid}/comm').read().strip() == 'setpriv':
                continue
        except OSError:
            continue
        if pid not in seen:
            seen.add(pid)
            print('seen', pid, flush=True)
        attempt(pid, 'root/etc/hostname', lambda path: open(path).read())
        attempt(pid, 'environ', lambda path: open(path, 'rb').read())
        attempt(pid, 'fd', os.listdir)
"#;

/// An attacker at work, and what it says.
struct Attack {
    _attacker: Running,
    said: PathBuf,
}

impl Attack {
    fn on(marker: &str, dir: &Path) -> Self {
        let said = dir.join("attacker");
        let mut command = Place::pod().command(&["python3", "-c", ATTACKER, marker]);
        command.stdout(std::fs::File::create(&said).expect("a file"));
        Self { _attacker: Running::start(&mut command), said }
    }

    fn said(&self, word: &str) -> Vec<String> {
        let text = std::fs::read_to_string(&self.said).expect("what it said");
        text.lines().filter(|line| line.starts_with(word)).map(str::to_owned).collect()
    }
}

/// A program that its user can read, as a keeper's daemon.
fn short_lived(dir: &tempfile::TempDir) -> Setup {
    let daemon = dir.path().join("deskd-to-attack");
    std::fs::copy("/bin/sleep", &daemon).expect("a copy");
    std::fs::set_permissions(&daemon, PermissionsExt::from_mode(0o755)).expect("chmod");
    chown(dir.path(), Some(POD_UID), Some(POD_UID)).expect("chown");
    let daemon = daemon.to_str().expect("a path").to_owned();
    let wrapper = vec!["setpriv", "--reuid=4096", "--regid=4096", "--clear-groups", "--"];
    Setup { daemon_argv: vec![daemon, "0.03".into()], wrapper, ..Setup::default() }
}

#[test]
fn at_the_start_of_a_daemon_that_can_be_read_nobody_reads_its_files_either() {
    if !available() {
        return;
    }
    let keepers: Vec<Keeper> = (0..25)
        .map(|_| {
            let dir = tempfile::tempdir().expect("a directory");
            short_lived(&dir).start_in(dir)
        })
        .collect();
    let dir = tempfile::tempdir().expect("a directory");
    // Of the keepers, whose options end with it, the window is another test's.
    let attack = Attack::on("deskd-to-attack", dir.path());
    let deaths = |keeper: &Keeper| keeper.stderr().matches("the keeper starts another").count();
    // On a busy machine the attacker comes too late for many: then until it saw enough of them.
    eventually("each was started again eight times, and the attacker saw a hundred", || {
        let often = keepers.iter().all(|keeper| deaths(keeper) >= 8);
        (often && attack.said("seen").len() >= 100).then_some(())
    });
    let pids: Vec<String> = keepers.iter().map(|keeper| keeper.pid().to_string()).collect();
    let mut read = attack.said("read");
    read.retain(|line| !pids.iter().any(|pid| line.ends_with(&format!(" {pid}"))));
    assert_eq!(read, Vec::<String>::new());
}

#[test]
fn from_its_first_instruction_nobody_reads_files_of_deskd_as_it_is_installed() {
    if !available() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    // Whose directory is called so is not known before it starts.
    let attack = Attack::on("/deskd-it-secrecy-", dir.path());
    let desk = Desk::start_called("deskd-it-secrecy-", WITHOUT_CAPABILITIES, APPS);
    for _ in 0..6 {
        let old = desk.kill_daemon();
        desk.until_back(old);
    }
    let seen = attack.said("seen").len();
    assert!(seen >= 5, "it saw {seen} only");
    assert_eq!(attack.said("read"), Vec::<String>::new());
}
