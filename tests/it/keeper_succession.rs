//! The keeper is killed: its daemon becomes the next one, and no program notices.

use std::path::PathBuf;
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::desk::Desk;
use crate::support::proc;
use crate::support::xvnc::{Place, Running, available, eventually};

const WRITERS: usize = 10;

const APPS: &str = r#"
[app.writer]
needs_display = false
command = ["/bin/sh", "-c", """
i=0
while ! [ -e "$0" ]; do
  end=$((i + 200))
  while [ $i -lt $end ]; do i=$((i + 1)); echo line $i; done
  sleep 0.02
done
exit 7"""]

[app.parent]
needs_display = false
command = ["/bin/sh", "-c", "setsid sleep 1000 & exec sleep 1000"]

[app.waits]
needs_display = false
command = ["/bin/sh", "-c", "while ! [ -e $0 ]; do sleep 0.05; done; echo bye; exit 5"]
"#;

struct Desktop {
    desk: Desk,
    keeper: u32,
}

impl Desktop {
    fn start() -> Self {
        let desk = Desk::start(APPS, None);
        let daemon = desk.daemon_pid().expect("a daemon");
        let keeper = deskd_keeper::procfs::read_stat(daemon).expect("the daemon").ppid;
        Self { desk, keeper }
    }

    /// Kills the keeper, and waits until its daemon has become the next one, whose daemon answers.
    fn kill_keeper(&mut self) {
        let heir = daemon_of(self.keeper).expect("a daemon");
        proc::kill(std::mem::replace(&mut self.keeper, heir));
        eventually("another daemon", || daemon_of(heir));
        self.desk.until_started();
    }

    /// A task, and the file that ends it.
    fn launch_what_waits(&self) -> (String, PathBuf) {
        let end = self.desk.dir.path().join("end");
        let launch = json!({ "app": "waits", "args": [end.to_str()] });
        let task = self.desk.ask("POST", "/v1/tasks").json(&launch).send().expect(201);
        (task["id"].as_str().expect("an id").to_owned(), end)
    }

    fn state(&self, task: &str) -> Value {
        self.desk.get(&format!("/v1/tasks/{task}"))["state"].clone()
    }

    fn log(&self, task: &str) -> String {
        self.desk.ask("GET", &format!("/v1/tasks/{task}/log")).send().text()
    }
}

impl Drop for Desktop {
    /// The next keeper is no child of the test.
    fn drop(&mut self) {
        let mut doomed = vec![self.keeper];
        while let Some(pid) = doomed.pop() {
            doomed.extend(proc::children(pid).iter().map(|child| child.pid));
            proc::kill(pid);
        }
    }
}

fn daemon_of(keeper: u32) -> Option<u32> {
    let is_daemon = |pid: &u32| proc::command_line(*pid).iter().any(|word| word == "daemon");
    proc::children(keeper).iter().map(|child| child.pid).find(is_daemon)
}

#[test]
fn ten_writers_lose_and_double_no_line_when_the_keeper_is_killed_again_and_again() {
    if !available() {
        return;
    }
    let mut desktop = Desktop::start();
    let end = desktop.desk.dir.path().join("end");
    let writers = vec![json!({ "app": "writer", "args": [end.to_str()] }); WRITERS];
    let launched = desktop.desk.ask("POST", "/v1/tasks").json(&json!(writers)).send().expect(200);
    let tasks: Vec<String> = launched
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["task"]["id"].as_str().expect("an id").to_owned())
        .collect();
    let bytes = |desktop: &Desktop| {
        let all = desktop.desk.get("/v1/tasks");
        let all = all.as_array().expect("tasks").iter();
        all.map(|task| task["log_bytes"].as_u64().expect("a number")).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        let before = bytes(&desktop);
        eventually("more output", || {
            before.iter().zip(bytes(&desktop)).all(|(before, now)| now > *before).then_some(())
        });
        desktop.kill_keeper();
    }
    std::fs::write(&end, "").expect("a file");
    for task in &tasks {
        let ended = eventually("its end", || {
            let ended = desktop.desk.ended(task);
            (ended["state"] == "ended").then_some(ended)
        });
        assert_eq!(ended["exit"]["code"], 7, "{ended}");
        let log = desktop.log(task);
        for (line, n) in log.lines().zip(1..) {
            assert_eq!(line, format!("line {n}"), "{task}");
        }
        assert_eq!(ended["log_bytes"], log.len());
    }
}

#[test]
fn the_next_keeper_stops_what_the_killed_one_started_and_everything_below_it() {
    if !available() {
        return;
    }
    let mut desktop = Desktop::start();
    let task = desktop.desk.launch("parent");
    let sleeps = || {
        let all = deskd_keeper::procfs::pids().expect("processes");
        let marked = |pid: &u32| {
            let id = deskd_keeper::procfs::read_env_value(*pid, "DESKD_TASK_ID");
            id.as_deref() == Some(task.as_bytes())
        };
        all.into_iter().filter(marked).collect::<Vec<_>>()
    };
    eventually("both", || (sleeps().len() == 2).then_some(()));
    desktop.kill_keeper();
    assert_eq!(desktop.state(&task), "running");
    let quick = desktop.desk.launch("parent");
    desktop.desk.stop(&task).expect(202);
    assert_eq!(desktop.desk.ended(&task)["exit"]["signal"]["name"], "SIGTERM");
    eventually("nothing of it is left", || sleeps().is_empty().then_some(()));
    assert_eq!(desktop.state(&quick), "running", "another task's are left alone");
}

#[test]
fn how_a_program_ends_that_a_killed_keeper_started_is_known_once() {
    if !available() {
        return;
    }
    let mut desktop = Desktop::start();
    let go: PathBuf = desktop.desk.dir.path().join("go");
    let args = json!({ "app": "waits", "args": [go.to_str()] });
    let task = desktop.desk.ask("POST", "/v1/tasks").json(&args).send().expect(201);
    let task = task["id"].as_str().expect("an id").to_owned();
    desktop.kill_keeper();
    std::fs::write(&go, "").expect("a file");
    let ended = desktop.desk.ended(&task);
    assert_eq!(ended["exit"]["code"], 5, "{ended}");
    assert_eq!((ended["runs"].as_u64(), desktop.log(&task).as_str()), (Some(1), "bye\n"));
}

/// A `deskd run` beside what took over from the one before.
struct Again {
    process: Running,
    log: PathBuf,
}

impl Again {
    fn told(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn stands_by(&self, times: usize) {
        let told = || self.told().matches("ends with it").count() == times;
        eventually("it stands by", || told().then_some(()));
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the log of the second `deskd run`:\n{}", self.told());
        }
    }
}

/// What a service manager does when its service, the killed keeper, is gone.
fn run_again(desk: &Desk) -> Again {
    let path = |name: &str| desk.dir.path().join(name);
    let binary = path("deskd");
    let mut command = Place::pod().command(&[binary.to_str().expect("a path"), "run"]);
    command.env("DESKD_CONFIG", path("deskd.toml")).env("DESKD_STATE_DIR", path("state"));
    command.env("DESKD_LISTEN", desk.tcp.to_string()).env("DISPLAY", ":999");
    let log = path("again.log");
    let file = std::fs::File::create(&log).expect("a log file");
    Again { process: Running::start(command.stdout(Stdio::null()).stderr(file)), log }
}

#[test]
fn a_deskd_that_is_started_again_stands_by_and_passes_signals_on() {
    if !available() {
        return;
    }
    let mut desktop = Desktop::start();
    let (task, _) = desktop.launch_what_waits();
    desktop.kill_keeper();
    let mut again = run_again(&desktop.desk);
    again.stands_by(1);
    desktop.kill_keeper();
    again.stands_by(2);
    assert_eq!(desktop.state(&task), "running");
    assert!(again.process.0.try_wait().expect("a child").is_none());

    again.process.signal(Signal::SIGTERM);
    let status = eventually("its end", || again.process.0.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(std::os::unix::net::UnixStream::connect(desktop.desk.socket()).is_err(), "all ended");
}

#[test]
fn a_deskd_that_stands_by_takes_over_when_nobody_else_does() {
    if !available() {
        return;
    }
    let mut desktop = Desktop::start();
    let (task, end) = desktop.launch_what_waits();
    desktop.kill_keeper();
    let again = run_again(&desktop.desk);
    again.stands_by(1);
    std::fs::write(&end, "").expect("a file");
    eventually("its end", || (desktop.state(&task) == "ended").then_some(()));

    // Nothing runs: its daemon ends with it.
    proc::kill(desktop.keeper);
    desktop.keeper = again.process.pid();
    eventually("a daemon", || daemon_of(again.process.pid()));
    desktop.desk.until_started();
    assert_eq!(desktop.state(&task), "ended");
}
