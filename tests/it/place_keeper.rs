//! A keeper at a place: what programs get there, whose their output is, and what survives.

use std::os::unix::fs::PermissionsExt as _;

use deskd_core::id::TaskId;
use deskd_core::task::Exit;
use deskd_core::wire::{FromKeeper, SpawnRequest, ToKeeper};
use nix::sys::signal::Signal;

use crate::support::keeper::{Client, request, run};
use crate::support::place::{Place, Setup, Taken};
use crate::support::{proc, wait};

const APP: &str = "app-00001";

fn id() -> TaskId {
    APP.parse().expect("an id")
}

fn sh(script: &str) -> SpawnRequest {
    let mut request = request(APP, &["/bin/sh", "-c", script]);
    request.env.clear();
    request
}

/// Everything that `script` writes.
fn output_of(client: &mut Client, script: &str) -> String {
    client.spawn(sh(script)).expect("a start");
    Taken::default().rest(client, &id()).text()
}

#[test]
fn a_program_gets_what_its_image_says_and_what_the_plan_says_and_nothing_of_the_keepers() {
    let env = vec![("LANG", "C"), ("OF_IMAGE", "yes"), ("DESKD_LOG", "debug")];
    let place = Setup { env, ..Setup::default() }.start();
    let (mut client, _) = place.connect();
    let mut asked = sh("env | sort; pwd");
    asked.env = vec![("LANG".into(), "de".into()), ("OF_PLAN".into(), "yes".into())];
    client.spawn(asked).expect("a start");
    let text = Taken::default().rest(&mut client, &id()).text();
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("_=")).collect();
    assert_eq!(lines.pop(), place.dir().to_str());
    let path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    let pwd = format!("PWD={}", place.dir().display());
    assert_eq!(
        lines,
        ["DESKD_TASK_ID=app-00001", "LANG=de", "OF_IMAGE=yes", "OF_PLAN=yes", path, &pwd]
    );
}

#[test]
fn no_program_of_its_user_ends_stops_or_reads_the_first_process() {
    let place = Setup { unprivileged: true, ..Setup::default() }.start();
    let (mut client, welcome) = place.connect();
    assert_eq!(welcome.keeper_pid, 1);
    let script = "for s in TERM INT HUP STOP KILL; do kill -$s 1 && echo $s; done; \
                  cat /proc/1/environ | tr '\\0' '\\n'; ls /proc/1/fd/ /proc/1/root/; \
                  cat /proc/1/mem; id -u; exec sleep 1000";
    client.spawn(sh(&format!("({script}) 2>/dev/null"))).expect("a start");
    let mut taken = Taken::default();
    while !taken.text().contains("4096\n") {
        taken.more(&mut client, &id());
    }
    let text = taken.text();
    assert_eq!(
        text, "TERM\nINT\nHUP\nSTOP\nKILL\n4096\n",
        "the kernel takes them, and nothing comes of it"
    );
    // It still does everything.
    client.stop(APP, 0, 0);
    assert!(matches!(client.exited(APP).exit, Exit::Signal { number: 9, .. }));
    client.tree_gone(APP);
    assert_eq!(place.stderr().matches("tried to end its keeper").count(), 1, "{}", place.stderr());
}

#[test]
fn output_and_end_wait_for_the_next_daemon_and_nothing_comes_twice() {
    let place = Place::start();
    let (mut first, _) = place.connect();
    let lines = 40_000;
    let script = format!("seq {lines}; echo end >&2; touch done; exit 3");
    first.spawn(sh(&script)).expect("a start");
    let mut taken = Taken::default();
    taken.more(&mut first, &id());
    // Asked for and never taken.
    first.send(&ToKeeper::ReadLog { task: id(), from: taken.next });
    drop(first);
    wait::until("it ends alone", || place.dir().join("done").exists().then_some(()));
    let mut rounds = 0;
    while !taken.over {
        let (mut next, welcome) = place.connect();
        assert_eq!(welcome.task(APP).id, run(APP, 1));
        taken.more(&mut next, &id());
        rounds += 1;
    }
    assert!(rounds > 1, "it is more than one message");
    let mut expected: String = (1..=lines).map(|line| format!("{line}\n")).collect();
    expected.push_str("end\n");
    assert!(taken.text() == expected && taken.missing == 0);
    let (mut last, welcome) = place.connect();
    let ended = welcome.task(APP).end.clone().map(|end| end.exit);
    assert_eq!(ended, Some(Exit::Code(3)));
    last.send(&ToKeeper::Forget { task: id() });
    drop(last);
    assert_eq!(place.connect().1.tasks, []);
}

#[test]
fn a_line_is_given_as_soon_as_it_is_written_and_a_question_is_answered_once() {
    let place = Place::start();
    let (mut client, _) = place.connect();
    client
        .spawn(sh("mkfifo go on; read line < go; echo got $line; read line < on"))
        .expect("a start");
    client.send(&ToKeeper::ReadLog { task: id(), from: 0 });
    assert_eq!(client.unclaimed().len(), 0, "nothing was written");
    let fifo = place.dir().join("go");
    wait::until("it waits", || fifo.exists().then_some(()));
    std::fs::write(&fifo, "one\n").expect("the fifo");
    let mut records = None;
    client.wait("the line", |message| match message {
        FromKeeper::LogRecords { from: 0, next: 8, records: of, over: false, .. } => {
            records = Some(of.clone());
            Some(())
        }
        _ => None,
    });
    assert!(records.is_some_and(|of| of.ends_with(b" stdout F got one\n")));
    // Another one: this end of the first may be open still, and the shell would read its end.
    std::fs::write(place.dir().join("on"), "two\n").expect("the fifo");
    client.tree_gone(APP);
    let unasked = client.unclaimed();
    let records = |message: &FromKeeper| matches!(message, FromKeeper::LogRecords { .. });
    assert!(!unasked.iter().any(records), "{unasked:?}");
}

#[test]
fn beyond_its_limit_a_place_drops_the_oldest_and_says_how_much() {
    let place = Setup {
        options: vec!["--spool-bytes", "2000000", "--spool-memory-bytes", "2000000"],
        ..Setup::default()
    }
    .start();
    let (mut client, _) = place.connect();
    client.spawn(sh("seq 1000000")).expect("a start");
    client.tree_gone(APP);
    let taken = Taken::default().rest(&mut client, &id());
    let whole: String = (1..=1_000_000).map(|line| format!("{line}\n")).collect();
    assert_eq!(taken.next, whole.len() as u64);
    assert_eq!(taken.missing + taken.output.len() as u64, taken.next);
    assert!(taken.output.len() > 100_000 && whole.ends_with(&taken.text()));
}

#[test]
fn a_second_run_goes_on_where_the_first_ended_or_where_the_daemon_says() {
    let place = Place::start();
    let (mut client, _) = place.connect();
    let mut first = sh("echo one");
    first.log_from = 1000;
    client.spawn(first).expect("a start");
    client.tree_gone(APP);
    let mut taken = Taken { next: 1000, ..Taken::default() }.rest(&mut client, &id());
    assert_eq!((taken.text().as_str(), taken.next), ("one\n", 1004));
    let mut second = sh("echo two");
    second.id = run(APP, 2);
    second.log_from = 1010;
    client.spawn(second).expect("a start");
    taken = Taken { over: false, ..taken }.rest(&mut client, &id());
    assert_eq!((taken.text().as_str(), taken.next, taken.missing), ("one\ntwo\n", 1014, 6));
}

/// A script that is executed by its path.
fn script(place: &Place, name: &str, text: &str) {
    let path = place.dir().join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
}

/// How many processes a keeper holds by descriptors.
fn held(keeper: u32) -> usize {
    let all = std::fs::read_dir(format!("/proc/{keeper}/fd")).expect("its descriptors");
    let links = all.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
    links.filter(|link| link.to_string_lossy().contains("pidfd")).count()
}

#[test]
fn an_end_behind_tee_is_the_programs_own_and_of_one_that_was_not_seen_the_entry_points() {
    let place = Place::start();
    let (mut client, _) = place.connect();
    for (name, end) in [("crash", "kill -SEGV $$"), ("three", "exit 3"), ("four", "exit 4")] {
        script(&place, name, &format!("read line < go-{name}; {end}"));
    }
    let at = |name: &str| place.dir().join(name).to_str().expect("a path").to_owned();
    let segv = Exit::Signal { number: 11, name: "SIGSEGV".into(), core_dumped: false };
    let behind_tee = |program: &str| format!("sleep 0.2; {program} 2>&1 | tee log; true");
    let by_name = format!("PATH=$PATH:{}; three | tee log", place.dir().display());
    for (task, file, program, script, end) in [
        ("crash-00001", "crash", at("crash"), behind_tee(&at("crash")), segv),
        ("three-00001", "three", at("three"), behind_tee(&at("three")), Exit::Code(3)),
        ("name-00001", "three", "three".into(), by_name, Exit::Code(3)),
        ("exec-00001", "four", at("four"), format!("exec {}", at("four")), Exit::Code(4)),
    ] {
        let mut asked = sh(&format!("rm -f go-{file}; mkfifo go-{file}; {script}"));
        asked.id = run(task, 1);
        asked.program = Some(program);
        let before = held(place.pid());
        client.spawn(asked).expect("a start");
        wait::until("its program is seen", || (held(place.pid()) > before).then_some(()));
        std::fs::write(at(&format!("go-{file}")), "\n").expect("the fifo");
        let exit = match client.exited(task).exit {
            Exit::Signal { number, name, .. } => Exit::Signal { number, name, core_dumped: false },
            exit => exit,
        };
        assert_eq!(exit, end, "{task}");
    }
    let mut never = sh("echo none");
    never.program = Some("/opt/never".into());
    client.spawn(never).expect("a start");
    assert_eq!(client.exited(APP).exit, Exit::EntryPoint(0));
    assert_eq!(held(place.pid()), 0, "nothing is held for what has ended");
}

#[test]
fn whose_a_process_is_is_told_by_its_parents_and_its_environment() {
    let place = Place::start();
    let (mut client, _) = place.connect();
    let mut one =
        sh("echo $$; (sleep 1000 & echo $!; setsid -f sh -c 'echo $$; exec sleep 1000'; wait)");
    one.id = run("one-00001", 1);
    client.spawn(one).expect("a start");
    let mut taken = Taken::default();
    let one: TaskId = "one-00001".parse().expect("an id");
    while taken.text().lines().count() < 3 {
        taken.more(&mut client, &one);
    }
    let mut whose = |pid: u32| {
        client.send(&ToKeeper::FindProcess { pid });
        client.wait("an answer", |message| match message {
            FromKeeper::ProcessFound { pid: of, task } if *of == pid => Some(task.clone()),
            _ => None,
        })
    };
    for pid in taken.text().lines() {
        assert_eq!(whose(pid.parse().expect("a pid")), Some(one.clone()), "{pid}");
    }
    for nobody in [0, 1, 2, 4_000_000] {
        assert_eq!(whose(nobody), None, "{nobody}");
    }
}

#[test]
fn what_a_run_leaves_ends_with_it_as_in_a_container_and_the_others_go_on() {
    let place = Place::start();
    let (mut client, _) = place.connect();
    client.spawn(request("other-00001", &["sleep", "1000"])).expect("a start");
    client
        .spawn(sh("setsid -f sh -c 'touch on; exec sleep 1000'; while ! test -e on; do :; done"))
        .expect("a start");
    assert_eq!(client.exited(APP).exit, Exit::Code(0));
    client.tree_gone(APP);
    let mut left = proc::children(place.pid());
    left.retain(|it| proc::file(it.pid, "comm").trim() != "deskd-starter");
    assert_eq!(left.len(), 1, "the other's");
}

#[test]
fn a_later_daemon_takes_the_place_of_one_of_which_nobody_saw_the_end() {
    let place = Place::start();
    let (mut first, _) = place.connect();
    first.spawn(sh("sleep 1000")).expect("a start");
    let (mut second, welcome) = place.connect();
    assert_eq!(welcome.tasks.len(), 1);
    first.wait_for_end();
    second.stop(APP, 0, 0);
    second.tree_gone(APP);
}

#[test]
fn when_its_container_is_to_end_its_programs_are_told_at_once_and_it_goes_with_them() {
    let mut place = Place::start();
    let (mut client, _) = place.connect();
    client
        .spawn(sh("trap 'echo bye > bye; exit 0' TERM; touch on; sleep 1000 & wait"))
        .expect("a start");
    wait::until("it runs", || place.dir().join("on").exists().then_some(()));
    drop(client);
    place.signal(Signal::SIGTERM);
    place.has_ended();
    assert_eq!(std::fs::read_to_string(place.dir().join("bye")).expect("its last word"), "bye\n");
}

#[test]
fn an_idle_place_does_not_wake_up_and_is_small() {
    let place = Place::start();
    let (mut client, _) = place.connect();
    assert_eq!(output_of(&mut client, "echo hello"), "hello\n");
    client.tree_gone(APP);
    // Whoever asks for the logs of the container is told where to look.
    assert!(place.stderr().contains("`deskd logs TASK`") && !place.stderr().contains("hello"));
    let pid = place.pid();
    assert_eq!(proc::wakeups(pid, std::time::Duration::from_secs(6)), 0);
}
