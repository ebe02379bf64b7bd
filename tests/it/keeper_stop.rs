//! Stopping: nothing survives, whatever it did to get away.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use deskd_core::task::{Exit, StopStepKind};
use deskd_core::wire::{FromKeeper, ToKeeper};

use crate::support::keeper::{Client, Keeper, request, unix_ms};
use crate::support::{proc, wait};

fn signal_name(exit: &Exit) -> &str {
    match exit {
        Exit::Signal { name, .. } => name,
        other => panic!("{other:?}"),
    }
}

/// Pids that a script writes to `dir/NAME`, once it has written them all.
fn pids(keeper: &Keeper, names: &[&str]) -> Vec<u32> {
    let read = |name: &&str| {
        wait::until(&format!("{name} runs"), || {
            let text = std::fs::read_to_string(keeper.dir().join(name)).ok()?;
            text.strip_suffix('\n')?.parse().ok()
        })
    };
    names.iter().map(read).collect()
}

/// A process that writes its pid to `dir/NAME` and sleeps.
fn sleeper(keeper: &Keeper, name: &str) -> String {
    let file = keeper.dir().join(name);
    format!("sh -c 'echo $$ > {}; exec sleep 1000'", file.display())
}

/// A process that ignores SIGTERM, writes its pid and sleeps.
fn deaf_sleeper(keeper: &Keeper, name: &str) -> String {
    let file = keeper.dir().join(name);
    format!("sh -c 'trap \"\" TERM; echo $$ > {}; exec sleep 1000'", file.display())
}

#[test]
fn sigterm_comes_first_and_is_enough_for_who_takes_it() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let pid = client.spawn(request("app-00001", &["sleep", "1000"])).unwrap();
    client.stop("app-00001", 0, 10_000);
    let round = client.stop_round("app-00001");
    assert_eq!((round.step, round.pids), (StopStepKind::Term, vec![pid]));
    assert_eq!(signal_name(&client.exited("app-00001").exit), "SIGTERM");
    client.tree_gone("app-00001");
    assert!(proc::is_reaped(pid));
}

#[test]
fn who_ignores_sigterm_is_killed_at_the_deadline() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.sh("app-00001", &format!("exec {}", deaf_sleeper(&keeper, "deaf")));
    pids(&keeper, &["deaf"]);
    let asked_at = unix_ms();
    client.stop("app-00001", 0, 300);
    assert_eq!(client.stop_round("app-00001").step, StopStepKind::Term);
    let kill = client.stop_round("app-00001");
    assert_eq!(kill.step, StopStepKind::Kill);
    assert!(kill.at - asked_at >= 300, "not before its time");
    let end = client.exited("app-00001");
    assert_eq!(signal_name(&end.exit), "SIGKILL");
    client.tree_gone("app-00001");
}

#[test]
fn a_stopped_process_is_continued_so_that_it_takes_its_sigterm() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let pid = client.sh("app-00001", "kill -STOP $$; sleep 1000");
    wait::until("it is stopped", || {
        (deskd_keeper::procfs::read_stat(pid)?.state == 'T').then_some(())
    });
    client.stop("app-00001", 0, 15_000);
    assert_eq!(signal_name(&client.exited("app-00001").exit), "SIGTERM");
}

#[test]
fn escapees_by_session_double_fork_and_emptied_environment_die_with_the_tree() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let session = deaf_sleeper(&keeper, "session");
    let forked = deaf_sleeper(&keeper, "forked");
    let emptied = deaf_sleeper(&keeper, "emptied");
    let script = format!(
        "setsid {session} & (setsid {forked} >/dev/null 2>&1 </dev/null &) ; \
         (env -i /usr/bin/setsid /bin/{emptied} >/dev/null 2>&1 </dev/null &) ; exec sleep 1000"
    );
    let main = client.sh("app-00001", &script);
    let mut all = pids(&keeper, &["session", "forked", "emptied"]);
    all.push(main);
    client.stop("app-00001", 0, 200);
    let mut termed = client.stop_round("app-00001").pids;
    all.sort_unstable();
    termed.sort_unstable();
    assert_eq!(termed, all, "SIGTERM went to all of them");
    client.exited("app-00001");
    client.tree_gone("app-00001");
    wait::until("all are gone", || all.iter().all(|pid| proc::is_reaped(*pid)).then_some(()));
    assert_eq!(keeper.children().len(), 1, "only the daemon is left, and no zombie");
}

#[test]
fn what_a_task_left_behind_runs_on_until_the_task_is_stopped() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let left = sleeper(&keeper, "left");
    client.sh("app-00001", &format!("setsid {left} & exit 0"));
    assert_eq!(client.exited("app-00001").exit, Exit::Code(0));
    let left = pids(&keeper, &["left"])[0];
    // Another task coming and going changes nothing.
    client.sh("app-00002", "true");
    client.tree_gone("app-00002");
    assert!(proc::is_alive(left));
    assert!(client.unclaimed().iter().all(|told| !matches!(told, FromKeeper::TreeGone { .. })));
    client.stop("app-00001", 0, 10_000);
    assert_eq!(client.stop_round("app-00001").pids, [left]);
    client.tree_gone("app-00001");
    wait::until("it is reaped", || proc::is_reaped(left).then_some(()));
}

#[test]
fn the_tree_is_gone_when_the_last_process_of_a_launcher_ends_by_itself() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let fifo = keeper.dir().join("go");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    client.sh("app-00001", &format!("(sh -c 'cat {}; sleep 0.1' &); exit 3", fifo.display()));
    assert_eq!(client.exited("app-00001").exit, Exit::Code(3));
    assert!(client.unclaimed().is_empty());
    std::fs::write(&fifo, "late output\n").unwrap();
    client.tree_gone("app-00001");
    assert_eq!(keeper.stdout("app-00001"), "late output\n");
}

#[test]
fn forgetting_a_task_with_a_process_left_waits_for_that_process() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let left = sleeper(&keeper, "left");
    client.sh("app-00001", &format!("{left} & exit 0"));
    client.exited("app-00001");
    let left = pids(&keeper, &["left"])[0];
    client.send(&ToKeeper::Forget { task: "app-00001".parse().unwrap() });
    let (mut client, welcome) = keeper.connect();
    assert_eq!(welcome.tasks, [], "it is not told of any more");
    assert!(proc::is_alive(left));
    client.stop("app-00001", 0, 10_000);
    wait::until("its log is gone", || {
        (!keeper.dir().join("logs/app-00001").exists()).then_some(())
    });
    wait::until("it is reaped", || proc::is_reaped(left).then_some(()));
}

#[test]
fn asking_again_makes_a_stop_come_sooner() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.sh("app-00001", &format!("exec {}", deaf_sleeper(&keeper, "deaf")));
    pids(&keeper, &["deaf"]);
    client.stop("app-00001", 600_000, 600_000);
    client.stop("app-00001", 0, 0);
    assert_eq!(signal_name(&client.exited("app-00001").exit), "SIGKILL");
    client.tree_gone("app-00001");
}

#[test]
fn a_stop_names_the_processes_that_run_as_another_user() {
    let keeper = crate::support::keeper::Setup {
        wrapper: vec!["setpriv", "--reuid=4096", "--regid=4096", "--clear-groups", "--"],
        ..Default::default()
    };
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(4096), Some(4096)).unwrap();
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: needs root to run as two users");
    }
    let sudo = setuid_program(dir.path());
    let keeper = keeper.start_in(dir);
    keeper.daemon();
    let (mut client, _) = keeper.connect();
    let script = format!("{sudo} --reuid=0 sleep 1000 & exec sleep 1000");
    let main = client.sh("app-00001", &script);
    let other = wait::until("the other user's process runs", || {
        proc::children(main).iter().find(|child| child.comm == "sleep").map(|child| child.pid)
    });
    client.stop("app-00001", 0, 200);
    let round = client.stop_round("app-00001");
    assert_eq!((round.pids, round.refused), (vec![main], vec![other]));
    client.exited("app-00001");
    let kill = client.stop_round("app-00001");
    assert_eq!((kill.step, kill.count, kill.refused), (StopStepKind::Kill, 0, vec![other]));
    proc::kill(other);
    client.tree_gone("app-00001");
}

/// A copy of setpriv that is set-user-id root.
fn setuid_program(dir: &std::path::Path) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join("sudo");
    std::fs::copy("/usr/bin/setpriv", &path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs `bomb` as uid 4096 with at most `processes` of them, and stops it.
fn bomb_loses(bomb: &str, kill_after_ms: u64) {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let mut asked = request(
        "bomb-00001",
        &["setpriv", "--reuid=4097", "--clear-groups", "/bin/bash", "-c", bomb],
    );
    asked.rlimits.processes = Some(60);
    asked.rlimits.core_bytes = Some(0);
    client.spawn(asked).unwrap();
    wait::until("it has multiplied", || (bomb_processes() > 30).then_some(()));
    client.stop("bomb-00001", 0, kill_after_ms);
    client.exited("bomb-00001");
    client.tree_gone("bomb-00001");
    assert_eq!(bomb_processes(), 0);
    wait::until("no zombie is left", || (keeper.children().len() == 1).then_some(()));
    steady(&mut client);
}

fn bomb_processes() -> usize {
    use std::os::unix::fs::MetadataExt;
    let pids = deskd_keeper::procfs::pids().unwrap().into_iter();
    pids.filter(|pid| {
        std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|metadata| metadata.uid() == 4097)
    })
    // What waits to be reaped does nothing any more.
    .filter(|pid| proc::is_alive(*pid))
    .count()
}

/// The keeper still works.
fn steady(client: &mut Client) {
    client.sh("app-00009", "exit 9");
    assert_eq!(client.exited("app-00009").exit, Exit::Code(9));
}

#[test]
fn a_fork_bomb_loses() {
    // Each process starts two more for ever, in sessions of their own, deaf to SIGTERM.
    let bomb = "trap '' TERM; f() { while :; do (setsid bash -c \"$b\" &) 2>/dev/null; done; }; \
                export b='trap \"\" TERM; while :; do (setsid bash -c \"$b\" &) 2>/dev/null; done'; f";
    bomb_loses(bomb, 100);
}
