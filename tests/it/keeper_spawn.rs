//! Starting: what a process finds when it starts, and why one is not started.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use deskd_core::wire::{META_BYTES_MAX, SpawnError, SpawnRequest};

use crate::support::control_group::ControlGroup;
use crate::support::keeper::{Client, Keeper, request};
use crate::support::{proc, wait};

/// The reason why the file is refused; checks that nothing was started and nothing is left.
fn refusal(keeper: &Keeper, client: &mut Client, request: SpawnRequest) -> (String, i32) {
    match client.spawn(request) {
        Err(SpawnError::Exec { reason, errno, .. }) => {
            assert_eq!(keeper.children().len(), 1, "only the daemon");
            (reason, errno)
        }
        other => panic!("{other:?}"),
    }
}

fn file(keeper: &Keeper, name: &str, mode: u32, content: &[u8]) -> PathBuf {
    let path = keeper.dir().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn run_file(path: &Path) -> SpawnRequest {
    request("app-00001", &[path.to_str().unwrap()])
}

#[test]
fn a_name_that_is_nowhere_in_path_is_refused_with_the_path_searched() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let refused = client.spawn(request("app-00001", &["no-such-program"]));
    let expected =
        SpawnError::NotInPath { program: "no-such-program".into(), path: "/usr/bin:/bin".into() };
    assert_eq!(refused, Err(expected));
    let (_, welcome) = keeper.connect();
    assert_eq!(welcome.tasks, [], "a task that never ran is not remembered");
}

#[test]
fn files_that_cannot_be_executed_are_refused_with_the_reason_in_words() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let mut check = |path: &Path, errno: i32, words: &str| {
        let (reason, got) = refusal(&keeper, &mut client, run_file(path));
        assert!(reason.contains(words), "{}: {reason}", path.display());
        assert_eq!(got, errno, "{}", path.display());
    };
    use nix::libc::{EACCES, ENOENT, ENOEXEC, ENOTDIR, ETXTBSY};
    check(&keeper.dir().join("nope"), ENOENT, "no such file");
    check(
        &file(&keeper, "plain", 0o644, b"#!/bin/sh\n"),
        EACCES,
        "no execute permission (mode 0644)",
    );
    check(keeper.dir(), EACCES, "it is a directory");
    check(&file(&keeper, "text", 0o755, b"hello"), ENOEXEC, "no `#!` line");
    check(&file(&keeper, "empty", 0o755, b""), ENOEXEC, "it is empty");
    check(
        &file(&keeper, "script", 0o755, b"#! /no/such/interpreter -x\n"),
        ENOENT,
        "its interpreter /no/such/interpreter does not exist",
    );
    check(&keeper.dir().join("plain/below"), ENOTDIR, "not a directory");
    let link = keeper.dir().join("link");
    symlink("/no/such/target", &link).unwrap();
    check(&link, ENOENT, "a symbolic link to /no/such/target");
    let fifo = keeper.dir().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    check(&fifo, EACCES, "not a regular file");
    let busy = file(&keeper, "busy", 0o755, &fs::read("/bin/true").unwrap());
    let _writer = File::options().append(true).open(&busy).unwrap();
    check(&busy, ETXTBSY, "open for writing");
}

#[test]
fn programs_for_another_machine_or_c_library_are_told_apart() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let mut elf = fs::read("/bin/true").unwrap();
    let loader = elf.windows(4).position(|bytes| bytes == b"/ld-" || bytes == b"/lib").unwrap();
    elf[loader + 1..loader + 4].copy_from_slice(b"xyz");
    let other_library = file(&keeper, "other-library", 0o755, &elf);
    let (reason, _) = refusal(&keeper, &mut client, run_file(&other_library));
    assert!(reason.starts_with("its loader /xyz"), "{reason}");

    let mut elf = fs::read("/bin/true").unwrap();
    let (number, name) =
        if cfg!(target_arch = "aarch64") { (62, "x86_64") } else { (183, "aarch64") };
    elf[18] = number;
    let other_machine = file(&keeper, "other-machine", 0o755, &elf);
    let (reason, _) = refusal(&keeper, &mut client, run_file(&other_machine));
    let this = std::env::consts::ARCH;
    assert_eq!(reason, format!("it is built for {name}, and this machine is {this}"));
}

#[test]
fn a_missing_interpreter_is_also_told_of_a_program_found_in_path() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    file(&keeper, "tool", 0o755, b"#!/no/such/python\n");
    let mut request = request("app-00001", &["tool"]);
    request.env[0].1 = format!("/usr/bin:{}", keeper.dir().display());
    let (reason, _) = refusal(&keeper, &mut client, request);
    assert_eq!(reason, "its interpreter /no/such/python does not exist");
}

#[test]
fn a_forbidden_file_in_path_is_remembered_but_does_not_hide_a_later_one() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    file(&keeper, "true", 0o644, b"");
    let mut found = request("app-00001", &["true"]);
    found.env[0].1 = format!("{}:/nope:/bin", keeper.dir().display());
    client.spawn(found).unwrap();
    let mut only = request("app-00002", &["true"]);
    only.env[0].1 = format!("{}:/nope", keeper.dir().display());
    client.tree_gone("app-00001");
    let (reason, errno) = refusal(&keeper, &mut client, only);
    assert!(reason.contains("no execute permission"), "{reason}");
    assert_eq!(errno, nix::libc::EACCES);
}

#[test]
fn a_step_that_fails_is_named_with_its_value() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let mut nowhere = request("app-00001", &["true"]);
    nowhere.cwd = Some("/no/such/directory".into());
    let mut strange = request("app-00001", &["true"]);
    strange.oom_score_adj = Some(5000);
    let mut step = |request| match client.spawn(request) {
        Err(error @ SpawnError::Setup { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let sentence = step(nowhere);
    assert!(sentence.starts_with("cannot change to directory /no/such/directory: No such file"));
    assert!(step(strange).starts_with("cannot set oom_score_adj to 5000: "));
}

#[test]
fn where_no_more_processes_may_be_the_refusal_names_the_limit_and_what_to_do() {
    let name = format!("deskd-pids-{}", std::process::id());
    let Some(group) = ControlGroup::make("pids", &name) else {
        return println!("skipped: no control groups");
    };
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    // Before there is a process that starts others, and when there is one.
    for (task, next) in [("app-00001", "app-00002"), ("app-00003", "app-00004")] {
        group.take(keeper.pid());
        group.limit(&["pids.max"], 1);
        let refused = client.spawn(request(task, &["true"])).unwrap_err();
        assert!(matches!(&refused, SpawnError::Setup { errno: nix::libc::EAGAIN, .. }));
        assert!(refused.to_string().contains("podPidsLimit"), "{refused}");
        group.limit(&["pids.max"], 100);
        client.spawn(request(next, &["true"])).unwrap();
        client.tree_gone(next);
    }
}

#[test]
fn requests_that_nobody_could_carry_out_are_invalid() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let nul = request("app-00001", &["echo", "a\0b"]);
    let nothing = request("app-00001", &[]);
    let mut variable = request("app-00001", &["true"]);
    variable.env.push(("A=B".into(), "c".into()));
    let mut meta = request("app-00001", &["true"]);
    meta.meta = "x".repeat(META_BYTES_MAX + 1);
    let name = request("app-00001", &["x".repeat(300).as_str()]);
    for invalid in [nul, nothing, variable, meta, name] {
        let refused = client.spawn(invalid);
        assert!(matches!(refused, Err(SpawnError::Invalid(_))), "{refused:?}");
    }
    let long = "x".repeat(200_000);
    let (reason, _) = refusal(&keeper, &mut client, request("app-00001", &["/bin/echo", &long]));
    assert!(reason.contains("too long"), "{reason}");
}

#[test]
fn a_process_starts_with_what_was_asked_for() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let mut asked = request("app-00001", &["sleep", "1000"]);
    asked.cwd = Some("/usr".into());
    asked.umask = Some(0o027);
    asked.nice = Some(7);
    asked.oom_score_adj = Some(321);
    asked.rlimits.open_files = Some(99);
    asked.rlimits.core_bytes = Some(0);
    asked.rlimits.address_space_bytes = Some(1 << 32);
    asked.rlimits.cpu_seconds = Some(3600);
    asked.rlimits.file_bytes = Some(1 << 20);
    asked.rlimits.processes = Some(4000);
    let pid = client.spawn(asked).unwrap();
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/usr"));
    assert!(proc::file(pid, "status").contains("Umask:\t0027"));
    assert_eq!(proc::file(pid, "oom_score_adj").trim(), "321");
    assert_ne!(proc::file(keeper.pid(), "oom_score_adj").trim(), "321");
    let nice = proc::file(pid, "stat");
    assert_eq!(nice.rsplit_once(')').unwrap().1.split_whitespace().nth(16), Some("7"));
    let limits = proc::file(pid, "limits");
    for (name, value) in [
        ("Max open files", "99"),
        ("Max core file size", "0"),
        ("Max address space", "4294967296"),
        ("Max cpu time", "3600"),
        ("Max file size", "1048576"),
        ("Max processes", "4000"),
    ] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let both: Vec<&str> = line.split_whitespace().take(2).collect();
        assert_eq!(both, [value, value], "{name}");
    }
}

#[test]
fn a_process_starts_in_a_session_of_its_own_with_nothing_inherited_but_its_output() {
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let pid = client.spawn(request("app-00001", &["sleep", "1000"])).unwrap();
    wait::until("it sleeps, with its libraries loaded", || {
        proc::file(pid, "syscall")
            .starts_with(&nix::libc::SYS_clock_nanosleep.to_string())
            .then_some(())
    });
    let mut fds: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), fs::read_link(entry.path()).unwrap())
        })
        .collect();
    fds.sort();
    assert_eq!(fds.len(), 3, "{fds:?}");
    assert_eq!(fds[0].1, Path::new("/dev/null"));
    assert!(fds[1..].iter().all(|(_, to)| to.to_str().unwrap().starts_with("pipe:")), "{fds:?}");
    assert_ne!(fds[1].1, fds[2].1);
    assert_eq!(deskd_keeper::procfs::read_stat(pid).unwrap().session, pid);
    let status = proc::file(pid, "status");
    for signals in ["SigBlk", "SigIgn"] {
        assert!(status.contains(&format!("{signals}:\t0000000000000000")), "{status}");
    }
    let environ = proc::file(pid, "environ");
    assert_eq!(environ, "PATH=/usr/bin:/bin\0LANG=C.UTF-8\0DESKD_TASK_ID=app-00001\0");
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
    // The keeper raised its own limit; applications that use select(2) must not see that.
    let limits = |pid| deskd_keeper::procfs::limits(&proc::file(pid, "limits"), "Max open files");
    let soft = |pid| limits(pid).unwrap()[0];
    assert_eq!(soft(pid), soft(std::process::id()));
}
