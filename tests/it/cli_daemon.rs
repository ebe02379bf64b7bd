//! The commands against a real `deskd run` without a display: launch, logs, stop, remove, and a
//! daemon that is killed under a follower.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "a test starts the program it is about")]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin;
use deskd_core::exit::Exit;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Lines of the counting application.
const LINES: usize = 400;

/// A running deskd. Dropping it stops it, and with it everything it started.
struct Deskd {
    dir: tempfile::TempDir,
    keeper: Child,
}

impl Deskd {
    fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &[])
    }

    /// With options of `deskd run` that the other commands have too.
    fn start_in(dir: tempfile::TempDir, options: &[&str]) -> Self {
        let count = format!(
            "i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); [ $((i % 20)) != 0 ] || sleep 0.05; done"
        );
        let config = format!(
            "listen = \"none\"\n\
             [app.bytes]\ncommand = ['sh', '-c', 'printf \"a\\377\\000b\\nno end\"; exit 3']\nneeds_display = false\n\
             [app.count]\ncommand = ['sh', '-c', '{count}']\nneeds_display = false\n\
             [app.sleep]\ncommand = ['sleep', '1000']\nneeds_display = false\n\
             [app.nowhere]\ncommand = ['/nowhere/program']\nneeds_display = false\n\
             [app.clock]\ncommand = ['xclock']\n"
        );
        std::fs::write(dir.path().join("deskd.toml"), config).unwrap();
        let keeper = command(dir.path())
            .args(["run", "--config"])
            .arg(dir.path().join("deskd.toml"))
            .args(options)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let deskd = Self { dir, keeper };
        // No display answers: it is the daemon that is waited for, not health.
        let list = || deskd.ask(&[&["app", "list"], options].concat());
        let listed = deskd.until(list, |output| output.status.success());
        assert!(String::from_utf8_lossy(&listed.stdout).contains("bytes"));
        deskd
    }

    /// Asks until the answer satisfies; each question is a process of its own, which is pause enough.
    fn until(&self, ask: impl Fn() -> Output, satisfied: impl Fn(&Output) -> bool) -> Output {
        let deadline = std::time::Instant::now() + crate::support::wait::PATIENCE;
        loop {
            let output = ask();
            if satisfied(&output) {
                return output;
            }
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap();
            assert!(std::time::Instant::now() < deadline, "{output:?}\n{log}");
        }
    }

    fn ask(&self, args: &[&str]) -> Output {
        command(self.dir.path()).args(args).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> Vec<u8> {
        let output = self.ask(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        output.stdout
    }

    #[track_caller]
    fn refused(&self, args: &[&str], exit: Exit) -> String {
        let output = self.ask(args);
        assert_eq!(output.status.code(), Some(exit as i32), "{args:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    #[track_caller]
    fn launch(&self, app: &str) -> String {
        String::from_utf8(self.ok(&["launch", app])).unwrap().trim_end().to_owned()
    }

    /// The daemon among the keeper's children.
    fn daemon(&self) -> Pid {
        let keeper = self.keeper.id();
        let children = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"));
        let is_daemon = |pid: &&str| {
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
            command.is_ok_and(|command| command.contains("\0daemon\0"))
        };
        let children = children.unwrap();
        let pid = children.split_whitespace().find(is_daemon).expect("no daemon");
        Pid::from_raw(pid.parse().unwrap())
    }
}

impl Drop for Deskd {
    fn drop(&mut self) {
        let keeper = Pid::from_raw(i32::try_from(self.keeper.id()).unwrap());
        let _ = kill(keeper, Signal::SIGTERM);
        let _ = self.keeper.wait();
    }
}

fn command(dir: &std::path::Path) -> Command {
    let mut command = Command::new(cargo_bin("deskd"));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("DISPLAY", ":9999");
    command.env("DESKD_STATE_DIR", dir.join("state")).stdin(Stdio::null());
    command
}

#[test]
fn a_task_lives_from_launch_to_removal_by_commands_alone() {
    let deskd = Deskd::start();
    let task = deskd.launch("bytes");
    assert!(task.starts_with("bytes-"), "{task}");
    assert_eq!(deskd.ok(&["logs", &task, "-f"]), b"a\xff\0b\nno end");
    assert_eq!(deskd.ok(&["logs", &task]), b"a\xff\0b\nno end");
    let shown: Value =
        serde_json::from_slice(&deskd.ok(&["task", "show", &task, "-o", "json"])).unwrap();
    assert_eq!((&shown["state"], &shown["exit"]["code"]), (&"ended".into(), &3.into()));

    let sleeper = deskd.launch("sleep");
    let refused = deskd.refused(&["task", "remove", &sleeper], Exit::Refused);
    assert!(refused.contains("deskd task stop"), "{refused}");
    let stopped = String::from_utf8(deskd.ok(&["task", "stop", &sleeper])).unwrap();
    assert!(stopped.ends_with(&format!("{sleeper}: ended by SIGTERM\n")), "{stopped}");
    deskd.ok(&["task", "remove", &sleeper, &task]);
    assert_eq!(deskd.ok(&["task", "list", "-o", "json"]), b"[]\n");
    deskd.refused(&["logs", &task], Exit::NotFound);
}

#[test]
fn the_socket_is_where_the_option_of_run_says_after_a_reload_too() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("elsewhere.sock").into_os_string().into_string().unwrap();
    let deskd = Deskd::start_in(dir, &["--socket", &socket]);
    let lives = || deskd.ask(&["health", "--live", "--socket", &socket]);
    assert!(!deskd.dir.path().join("state/deskd.sock").exists());
    kill(Pid::from_raw(i32::try_from(deskd.keeper.id()).unwrap()), Signal::SIGHUP).unwrap();
    let log = || std::fs::read_to_string(deskd.dir.path().join("log")).unwrap();
    deskd.until(lives, |it| it.status.success() && log().contains("SIGHUP is done"));
    assert!(log().contains("the configuration has not changed"), "{}", log());
}

#[test]
fn applications_come_and_go_but_those_of_the_file_stay() {
    let deskd = Deskd::start();
    let file = deskd.dir.path().join("more.toml");
    let section =
        "[app.more]\ncommand = ['echo', 'more']\nneeds_display = false\numask = '0o077'\n";
    std::fs::write(&file, section).unwrap();
    assert_eq!(deskd.ok(&["app", "add", file.to_str().unwrap()]), b"added more\n");
    let task = deskd.launch("more");
    assert_eq!(deskd.ok(&["logs", "-f", &task]), b"more\n");
    let plan = String::from_utf8(deskd.ok(&["explain", "more", "--", "a b"])).unwrap();
    assert!(plan.contains("\ncommand      echo more 'a b'\n"), "{plan}");
    let refused = deskd.refused(&["launch", "more", "--engine", "pod_application"], Exit::Refused);
    assert!(refused.contains("pod_application: the application has no image"), "{refused}");
    let task = String::from_utf8(deskd.ok(&["launch", "more", "--engine", "local"])).unwrap();
    assert_eq!(deskd.ok(&["logs", "-f", task.trim()]), b"more\n");
    deskd.ok(&["app", "remove", "more"]);
    deskd.refused(&["app", "show", "more"], Exit::NotFound);
    let refused = deskd.refused(&["app", "remove", "sleep"], Exit::Refused);
    assert!(refused.contains("configuration file"), "{refused}");

    std::fs::write(&file, "[app.lost]\ndesktop_entry = 'no-such.desktop'\n").unwrap();
    let refused = deskd.refused(&["app", "add", file.to_str().unwrap()], Exit::Refused);
    assert!(refused.contains("no-such.desktop"), "{refused}");
}

#[test]
fn what_cannot_be_launched_is_refused_with_its_reason() {
    let deskd = Deskd::start();
    let stderr = deskd.refused(&["launch", "nowhere"], Exit::Refused);
    assert!(stderr.contains("/nowhere/program"), "{stderr}");
    let stderr = deskd.refused(&["launch", "clock"], Exit::Refused);
    assert!(stderr.contains("display :9999") && stderr.contains("deskd probe"), "{stderr}");
    let stderr = deskd.refused(&["launch", "no-such-app"], Exit::NotFound);
    assert!(stderr.contains("deskd app list"), "{stderr}");
    let stderr = deskd.refused(&["panel"], Exit::Refused);
    assert!(stderr.contains("`listen` is `none`"), "{stderr}");
    assert_eq!(deskd.ask(&["health"]).status.code(), Some(Exit::Unhealthy as i32));
    assert_eq!(deskd.ask(&["probe"]).status.code(), Some(Exit::Unhealthy as i32));
}

#[test]
fn a_follower_loses_and_repeats_nothing_when_the_daemon_is_killed() {
    let deskd = Deskd::start();
    let task = deskd.launch("count");
    let mut follower = command(deskd.dir.path())
        .args(["logs", "-f", &task])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut got = String::new();
    for number in 0..LINES {
        let line = lines.next().expect("the log ended early").unwrap();
        let _ = writeln!(got, "{line}");
        if number == LINES / 4 || number == LINES / 2 {
            kill(deskd.daemon(), Signal::SIGKILL).unwrap();
            deskd.until(|| deskd.ask(&["task", "show", &task]), |output| output.status.success());
        }
    }
    assert!(lines.next().is_none(), "more lines than were written");
    let expected =
        (0..LINES).fold(String::new(), |text, number| text + &format!("line {number}\n"));
    assert_eq!(got, expected);
    assert_eq!(follower.wait().unwrap().code(), Some(0));
    assert_eq!(deskd.ok(&["logs", &task]), expected.as_bytes());
}
