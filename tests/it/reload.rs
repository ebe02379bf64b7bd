//! SIGHUP: another program and another configuration while applications run.

use nix::sys::signal::Signal;

use crate::support::binaries;
use crate::support::desk::Desk;
use crate::support::xvnc::{available, eventually};
use crate::support::{proc, wait};

pub(crate) const TICKS: &str = r#"
[app.ticks]
needs_display = false
command = ["sh", "-c", "n=0; while sleep 0.02; do n=$((n+1)); echo $n; done"]
"#;
pub(crate) const MORE: &str = r#"
[app.more]
needs_display = false
command = ["echo", "more"]
"#;

pub(crate) struct World {
    pub(crate) desk: Desk,
    task: String,
    pid: u64,
    pub(crate) daemon: u32,
}

impl World {
    /// A desk whose one application writes without end.
    pub(crate) fn start() -> Self {
        let desk = Desk::start(TICKS, None);
        let task = desk.launch("ticks");
        let pid = desk.get(&format!("/v1/tasks/{task}"))["pid"].as_u64().expect("a pid");
        let daemon = eventually("a daemon", || desk.daemon_pid());
        let log = || desk.ask("GET", &format!("/v1/tasks/{task}/log")).send().body;
        eventually("output", || (!log().is_empty()).then_some(()));
        Self { desk, task, pid, daemon }
    }

    pub(crate) fn write(&self, configuration: &str) {
        std::fs::write(self.desk.dir.path().join("deskd.toml"), configuration).expect("a file");
    }

    fn reload(&self) {
        proc::signal(self.desk.keeper_pid(), Signal::SIGHUP);
    }

    /// Waits for words in the log of both programs.
    pub(crate) fn says(&self, words: &str) {
        wait::until(words, || self.desk.log().contains(words).then_some(()));
    }

    pub(crate) fn has_more(&self) -> bool {
        self.desk.ask("GET", "/v1/apps/more").send().status == 200
    }

    pub(crate) fn keeper_check(&self) -> String {
        let checks = self.desk.get("/v1/desktop")["checks"].clone();
        let keeper = checks.as_array().expect("checks").iter().find(|it| it["name"] == "keeper");
        keeper.expect("a check")["detail"].as_str().expect("a sentence").to_owned()
    }

    /// The application is the same process, and each of its lines is there once.
    pub(crate) fn ends_well(mut self) {
        let task = self.desk.get(&format!("/v1/tasks/{}", self.task));
        assert_eq!((&task["state"], task["pid"].as_u64()), (&"running".into(), Some(self.pid)));
        assert_eq!(self.desk.stop(&self.task).status, 202);
        self.desk.ended(&self.task);
        let log = self.desk.ask("GET", &format!("/v1/tasks/{}/log", self.task)).send();
        let text = String::from_utf8(log.body).expect("text");
        let numbers: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        let all: Vec<u32> = (1..=numbers.last().copied().expect("output")).collect();
        assert_eq!(numbers, all, "each line once");
        self.desk.end();
    }
}

#[test]
fn a_new_program_and_configuration_are_taken_over_while_applications_run() {
    if !available() {
        return;
    }
    let world = World::start();
    let program = std::fs::metadata(format!("/proc/{}/exe", world.daemon)).expect("a program");
    // Under the same name, as a package manager does it: another file.
    let directory = world.desk.dir.path();
    std::fs::copy(binaries::deskd(), directory.join("new")).expect("a copy");
    std::fs::rename(directory.join("new"), directory.join("deskd")).expect("a name");
    world.write(&format!("{TICKS}{MORE}"));
    assert!(!world.has_more());
    world.reload();
    world.says("the new daemon answers, and SIGHUP is done");
    world.desk.until_back(world.daemon);
    assert!(world.has_more());
    assert!(world.desk.log().contains("the configuration differs in apps"));
    let daemon = world.desk.daemon_pid().expect("a daemon");
    let new = std::fs::metadata(format!("/proc/{daemon}/exe")).expect("a program");
    use std::os::unix::fs::MetadataExt;
    assert_ne!((program.dev(), program.ino()), (new.dev(), new.ino()));
    assert!(world.keeper_check().ends_with("the one before was replaced (SIGHUP)"));
    world.ends_well();
}

#[test]
fn a_configuration_that_is_wrong_is_refused_whole() {
    if !available() {
        return;
    }
    let world = World::start();
    let wrong = [
        (format!("{TICKS}{MORE}nonsense = 1\n"), "the check ended with exit code 3"),
        (format!("tasks_max = 7\n{TICKS}{MORE}"), "tasks_max cannot change while deskd runs"),
    ];
    for (configuration, why) in wrong {
        world.write(&configuration);
        world.reload();
        world.says(why);
    }
    let refusals = || world.desk.log().matches("SIGHUP changes nothing").count();
    wait::until("both are refused", || (refusals() == 2).then_some(()));
    assert_eq!(world.desk.daemon_pid(), Some(world.daemon), "the same daemon");
    assert!(!world.has_more());
    world.ends_well();
}

#[test]
fn what_is_no_deskd_is_refused_and_what_does_not_start_is_rolled_back() {
    if !available() {
        return;
    }
    let world = World::start();
    let directory = world.desk.dir.path().to_owned();
    std::fs::rename(directory.join("deskd"), directory.join("old")).expect("a name");
    std::fs::copy("/bin/true", directory.join("deskd")).expect("a copy");
    world.reload();
    world.says("the new program wrote no configuration");
    std::fs::rename(directory.join("old"), directory.join("deskd")).expect("a name");
    // Nothing is wrong with it that can be seen before.
    world.write(&format!("token_file = \"{}\"\n{TICKS}{MORE}", directory.display()));
    world.reload();
    world.says("the new daemon did not start, so nothing is taken over");
    world.desk.until_back(world.daemon);
    assert!(!world.has_more());
    assert!(world.keeper_check().contains("did not start"), "{}", world.keeper_check());
    world.ends_well();
}
