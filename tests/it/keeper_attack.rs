//! Programs that hide whose they are, and survive no stop: nor is it said that they are gone while
//! they are not.

use deskd_core::wall::Wall;
use deskd_core::wire::{FromKeeper, SpawnRequest, StopRound};
use deskd_keeper::procfs;

use crate::support::keeper::{Client, Keeper, request};
use crate::support::{proc, wait};

/// Lowers every limit that could be a mark, of the shell that runs it; `$$` is one's own pid.
const DESTROY: &str = "prlimit --pid $$ --rss=1:1 --locks=1:1 --rttime=1000000:1000000";
/// The same for one of the two limits.
const DESTROY_HALF: &str = "prlimit --pid $$ --rss=1:1";

/// What becomes a process of its own session, with an empty environment and a parent that ends.
fn escape(keeper: &Keeper, name: &str, before: &str, after: &str) -> String {
    let file = keeper.dir().join(name);
    let inner = format!("{after}; echo $$ > {}; trap \"\" TERM; exec sleep 1000", file.display());
    let inner = shell_words::quote(&inner).into_owned();
    let forks = format!("(setsid env -i /bin/bash -c {inner} </dev/null >/dev/null 2>&1 &) &");
    let outer = format!("{before}; {forks} wait");
    format!("/bin/bash -c {}", shell_words::quote(&outer))
}

/// The pid that [`escape`] wrote, once it is the keeper's own child.
fn escaped(keeper: &Keeper, name: &str) -> u32 {
    wait::until("it has escaped", || {
        let text = std::fs::read_to_string(keeper.dir().join(name)).ok()?;
        let pid = text.strip_suffix('\n')?.parse().ok()?;
        (procfs::read_stat(pid)?.ppid == keeper.pid()).then_some(pid)
    })
}

/// A task of which a process has escaped; the task itself sleeps.
fn hostile(keeper: &Keeper, client: &mut Client, task: &str, before: &str, after: &str) -> u32 {
    client.sh(task, &format!("{}; exec sleep 1000", escape(keeper, task, before, after)));
    escaped(keeper, task)
}

fn is_gone(pid: u32) {
    wait::until("it is gone", || proc::is_reaped(pid).then_some(()));
}

/// The round that says that something may be left.
fn doubt(client: &mut Client, task: &str) -> StopRound {
    wait::until("a doubt is told", || {
        Some(client.stop_round(task)).filter(|it| !it.unclear.is_empty())
    })
}

fn stop_now(client: &mut Client, task: &str) {
    client.stop(task, 0, 0);
    client.exited(task);
    client.tree_gone(task);
}

#[test]
fn who_destroys_its_mark_before_or_after_it_forks_dies_with_its_task() {
    for (before, after) in [(DESTROY, "true"), ("true", DESTROY), (DESTROY_HALF, DESTROY)] {
        let keeper = Keeper::start();
        let (mut client, _) = keeper.connect();
        let pid = hostile(&keeper, &mut client, "bad-00001", before, after);
        stop_now(&mut client, "bad-00001");
        assert!(!proc::is_alive(pid), "{before}, {after}");
    }
}

#[test]
fn half_a_mark_is_enough_to_tell_whose_it_is_among_several_tasks() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let good = client.sh("good-00001", "exec sleep 1000");
    // Between its number and the numbers of all later runs: there is no later one yet.
    let pid = hostile(&keeper, &mut client, "bad-00001", DESTROY_HALF, "true");
    stop_now(&mut client, "bad-00001");
    assert!(!proc::is_alive(pid));
    assert!(proc::is_alive(good));
}

#[test]
fn a_process_that_may_be_of_several_tasks_is_told_of_and_dies_with_the_last_of_them() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let good = client.sh("good-00001", "exec sleep 1000");
    let pid = hostile(&keeper, &mut client, "bad-00001", DESTROY, DESTROY);
    client.stop("bad-00001", 0, 0);
    client.exited("bad-00001");
    let doubt = doubt(&mut client, "bad-00001");
    assert_eq!(doubt.unclear, [pid]);
    let told = doubt.step().detail;
    assert_eq!(
        told,
        format!(
            "process {pid} may be left: it hides which task it belongs to; to end what is left, \
             stop the other tasks too"
        )
    );
    client.tree_gone("bad-00001");
    assert!(proc::is_alive(pid) && proc::is_alive(good), "it may be the other's");
    client.stop("good-00001", 0, 0);
    client.tree_gone("good-00001");
    is_gone(pid);
    assert_eq!(keeper.children().len(), 1, "only the daemon is left");
}

#[test]
fn two_hostile_tasks_that_are_stopped_at_once_leave_nothing() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let tasks = ["bad-00001", "bad-00002"];
    let pids = tasks.map(|task| hostile(&keeper, &mut client, task, DESTROY, DESTROY));
    tasks.iter().for_each(|task| client.stop(task, 0, 0));
    tasks.iter().for_each(|task| client.tree_gone(task));
    pids.into_iter().for_each(is_gone);
}

#[test]
fn what_ends_by_itself_and_left_a_process_that_hides_is_not_said_to_be_gone() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.sh("bad-00001", &escape(&keeper, "bad-00001", DESTROY, DESTROY));
    let pid = escaped(&keeper, "bad-00001");
    client.exited("bad-00001");
    // Another task that comes and goes is one that the process may be of: the last one keeps it.
    client.sh("good-00001", "exit 0");
    client.exited("good-00001");
    assert!(client.unclaimed().len() <= 2 && proc::is_alive(pid));
    ["bad-00001", "good-00001"].iter().for_each(|task| client.stop(task, 0, 0));
    is_gone(pid);
}

#[test]
fn behind_the_wall_a_mark_cannot_be_changed() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let good = client.sh("good-00001", "exec sleep 1000");
    let wall = Some(Wall::default());
    let file = keeper.dir().join("results");
    let tries = [DESTROY, DESTROY_HALF, "prlimit --pid $$ --locks=1", "ulimit -x 1", "ulimit -m 1"];
    let tries = tries.map(|it| format!("({it}) 2>/dev/null; echo $? >> {}", file.display()));
    let after = format!("{}; echo end >> {}", tries.join("; "), file.display());
    let script = format!("{}; exec sleep 1000", escape(&keeper, "bad-00001", DESTROY, &after));
    let request = request("bad-00001", &["/bin/bash", "-c", &script]);
    client.spawn(SpawnRequest { wall, ..request }).unwrap();
    let pid = escaped(&keeper, "bad-00001");
    let results = std::fs::read_to_string(file).unwrap();
    assert_eq!(results, "1\n1\n1\n1\n1\nend\n", "each try failed");
    stop_now(&mut client, "bad-00001");
    assert!(!proc::is_alive(pid));
    assert!(proc::is_alive(good));
}

#[test]
fn a_storm_of_forks_that_destroy_their_marks_during_the_stop_leaves_nothing() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    // Each generation is two processes in sessions of their own; the older one ends.
    let storm = format!(
        "{DESTROY}; trap \"\" TERM; \
         f() {{ while :; do (setsid env -i /bin/bash -c \"$0\" \"$0\" &) 2>/dev/null; \
         sleep 0.05; done; }}; f"
    );
    let script = format!(
        "exec setpriv --reuid=4098 --clear-groups /bin/bash -c {0} {0}",
        shell_words::quote(&storm)
    );
    let mut asked = request("bad-00001", &["/bin/bash", "-c", &script]);
    asked.rlimits.processes = Some(80);
    client.spawn(asked).unwrap();
    let all = || {
        use std::os::unix::fs::MetadataExt;
        let pids = procfs::pids().unwrap().into_iter();
        let of =
            |pid: &u32| std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|it| it.uid() == 4098);
        let found =
            pids.filter(of).filter_map(procfs::read_stat).filter(procfs::ProcessStat::is_alive);
        found.map(|stat| (stat.pid, stat.ppid, stat.state)).collect::<Vec<_>>()
    };
    wait::until("it has multiplied", || (all().len() > 20).then_some(()));
    client.stop("bad-00001", 0, 100);
    client.exited("bad-00001");
    client.tree_gone("bad-00001");
    assert_eq!(all(), [], "keeper {}", keeper.pid());
}

/// A process that has a child and ends, and so on: none of them lives as long as a look at `/proc` takes.
/// The first one has `$1` as its name there.
/// It ends some minutes after a run of the tests that was killed.
const RELAY: &str = r#"$0 = shift; our $left = 500000; sub relay { while ($left--) { %s; exit 0 if fork } }
    exit 0 if fork; relay"#;

/// The processes that have a name.
fn named(name: &str) -> Vec<u32> {
    let of = |pid: &u32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.starts_with(name.as_bytes())
    };
    procfs::pids().expect("processes").into_iter().filter(of).collect()
}

/// A relay whose first process ended. `each` is what every process of it does first.
fn relay(client: &mut Client, task: &str, name: &str, each: &str) {
    let script = RELAY.replace("%s", each);
    client.spawn(request(task, &["/usr/bin/perl", "-e", &script, name])).expect("it starts");
    client.exited(task);
}

#[test]
fn what_hands_on_to_a_child_faster_than_it_is_looked_at_is_neither_said_to_be_gone_nor_survives() {
    // In one process group, and in a session of its own each.
    for (name, each) in [("relay-one", "1"), ("relay-two", "syscall(112)")] {
        // What is left of a run of the tests that was killed is not of this one.
        let name = &format!("{name}-{}", std::process::id());
        let keeper = Keeper::start();
        let (mut client, _) = keeper.connect();
        relay(&mut client, "bad-00001", name, each);
        // Each end of another task is a reason to look.
        for number in 0..40 {
            let task = format!("good-{number:05x}");
            client.sh(&task, "exit 0");
            client.exited(&task);
            client.tree_gone(&task);
        }
        let gone = |it: &FromKeeper| matches!(it, FromKeeper::TreeGone { id } if id.task.as_str() == "bad-00001");
        assert!(!client.unclaimed().iter().any(gone), "{name} lives");
        client.stop("bad-00001", 0, 0);
        client.tree_gone("bad-00001");
        assert_eq!(named(name), [0; 0], "{name}");
    }
}
