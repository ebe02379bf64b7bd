//! How much memory the binaries take as they are delivered, with all of their files in the page cache.

use super::{Installed, delivered, stdout_of};
use crate::support::proc;
use crate::support::wait;
use crate::support::xvnc::Running;

/// Proportional set size of all of deskd's processes together (keeper, daemon, and the one in which
/// programs start), in KiB: idle, and with [`TASKS`] tasks that run.
const IDLE_KIB_MAX: u64 = 6_000;
const BUSY_KIB_MAX: u64 = 7_500;
const TASKS: usize = 100;

const CONFIG: &str = "[app.sleep]\nneeds_display = false\ncommand = [\"sleep\", \"600\"]\n";

#[test]
fn an_idle_desktop_and_one_with_a_hundred_tasks_take_little_memory() {
    let Some(deskd) = delivered(&["sleep"]) else { return };
    let installed = Installed::new(&deskd);
    let config = installed.path("deskd.toml");
    std::fs::write(&config, CONFIG).expect("a configuration");
    let socket = installed.path("state/deskd.sock");
    let command = |words: &[&str]| {
        let mut command = installed.command(&[&["deskd"][..], words].concat());
        command.env("DESKD_CONFIG", &config).env("DESKD_SOCKET", &socket);
        command.env("DISPLAY", ":998");
        command
    };
    let keeper = Running::start(&mut command(&["run"]));
    let health = || command(&["health", "--live"]).output().expect("deskd").status.success();
    wait::until("it lives", || health().then_some(()));
    let pss = |pid: u32| proc::number(pid, "smaps_rollup", "Pss");
    let of_all = || {
        let children = proc::children(keeper.pid());
        let own = children.iter().filter(|child| child.comm.starts_with("deskd"));
        let mut all = vec![("deskd-keeper".to_owned(), pss(keeper.pid()))];
        all.extend(own.map(|child| (child.comm.clone(), pss(child.pid))));
        all
    };
    let within = |what: &str, most: u64| {
        let remedy = format!(
            "{what} takes at most {most} KiB; if code has moved, run tests/setup/link-order"
        );
        let all = wait::until(&remedy, || {
            let all = of_all();
            (all.iter().map(|(_, pss)| pss).sum::<u64>() <= most).then_some(all)
        });
        println!("{what}, KiB: {all:?}");
    };
    within("idle", IDLE_KIB_MAX);
    for _ in 0..TASKS {
        stdout_of(&mut command(&["launch", "sleep"]));
    }
    within("a hundred tasks", BUSY_KIB_MAX);
}
