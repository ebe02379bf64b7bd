//! `deskd upgrade`: what it takes over, and what it refuses without a change.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::reload::{MORE, TICKS, World};
use crate::support::binaries;
use crate::support::http::Ask;
use crate::support::xvnc::available;

/// Exit code of a refusal.
const REFUSED: i32 = deskd_core::exit::Exit::Refused as i32;

/// Runs the command; its exit code, and what it wrote.
fn upgrade(world: &World, words: &[&str]) -> (Option<i32>, String) {
    let socket = world.desk.socket();
    let mut all = vec!["--socket", socket.to_str().expect("a path"), "upgrade"];
    all.extend(words);
    let output = crate::cli::deskd(&all).output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

/// What distinguishes one file from another of the same name.
fn identity(path: &Path) -> (u64, u64) {
    let file = std::fs::metadata(path).expect("a file");
    (file.dev(), file.ino())
}

/// A directory with copies of both programs, as a release comes.
fn release(world: &World) -> PathBuf {
    let directory = world.desk.dir.path().join("release");
    std::fs::create_dir(&directory).expect("a directory");
    std::fs::copy(binaries::deskd(), directory.join("deskd")).expect("a copy");
    std::fs::copy(binaries::keeper(), directory.join("deskd-keeper")).expect("a copy");
    directory
}

/// Files that only an upgrade makes.
fn leftovers(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.desk.dir.path()).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with('.')).collect()
}

#[test]
fn an_upgrade_replaces_both_programs_while_applications_run_and_requests_are_answered() {
    if !available() {
        return;
    }
    let world = World::start();
    let directory = world.desk.dir.path().to_owned();
    let installed = [directory.join("deskd"), directory.join("deskd-keeper")];
    let before = installed.clone().map(|file| identity(&file));
    world.write(&format!("{TICKS}{MORE}"));
    let done = AtomicBool::new(false);
    let new = release(&world).join("deskd");
    std::thread::scope(|scope| {
        // Each on a connection of its own.
        let asking = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let answer = Ask::new(&world.desk.tcp(), "GET", "/livez").try_send();
                assert_eq!(answer.expect("an answer").status, 200);
                slowest = slowest.max(begun.elapsed());
            }
            slowest
        });
        let (code, text) = upgrade(&world, &[new.to_str().expect("a path")]);
        done.store(true, Ordering::Relaxed);
        println!("the slowest answer over TCP meanwhile: {:?}", asking.join().expect("answers"));
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("applications run on"), "{text}");
    });
    let daemon = world.desk.daemon_pid().expect("a daemon");
    assert_ne!(daemon, world.daemon);
    let runs = identity(Path::new(&format!("/proc/{daemon}/exe")));
    let after = installed.map(|file| identity(&file));
    assert_eq!(runs, after[0]);
    assert!(before[0] != after[0] && before[1] != after[1]);
    assert!(world.has_more(), "the configuration is taken over too");
    assert_eq!(leftovers(&world), [] as [&str; 0]);
    world.ends_well();
}

#[test]
fn what_is_not_a_deskd_of_this_machine_is_refused_before_anything_changes() {
    if !available() {
        return;
    }
    let world = World::start();
    let directory = world.desk.dir.path().to_owned();
    let before = identity(&directory.join("deskd"));
    let make = |name: &str, bytes: &[u8]| {
        let file = directory.join(name);
        std::fs::write(&file, bytes).expect("a file");
        file.to_str().expect("a path").to_owned()
    };
    let mut foreign = std::fs::read(binaries::deskd()).expect("a program");
    // e_machine: RISC-V.
    foreign[18] = 243;
    let wrong = [
        (make("script", b"#!/bin/sh\necho deskd 9\n"), "is not a program"),
        (make("foreign", &foreign), "is for machine number 243"),
        (make("true", &std::fs::read("/bin/true").expect("a program")), "is not deskd"),
        (
            make(
                "broken",
                &foreign[..1 << 12]
                    .iter()
                    .enumerate()
                    .map(|(at, byte)| if at == 18 { 62 } else { *byte })
                    .collect::<Vec<_>>(),
            ),
            "does not run here",
        ),
        (directory.join("nothing").to_str().expect("a path").to_owned(), "No such file"),
        (directory.to_str().expect("a path").to_owned(), "is no file"),
    ];
    for (file, why) in wrong {
        let (code, text) = upgrade(&world, &[&file]);
        assert!(code == Some(REFUSED) && text.contains(why), "{code:?} {text}");
    }
    assert_eq!(identity(&directory.join("deskd")), before);
    assert_eq!(leftovers(&world), [] as [&str; 0]);
    assert!(!world.desk.log().contains("SIGHUP"), "the keeper was not asked");
    assert_eq!(world.desk.daemon_pid(), Some(world.daemon));
    world.ends_well();
}

#[test]
fn what_the_keeper_refuses_or_does_not_start_is_told_and_the_program_of_before_is_back() {
    if !available() {
        return;
    }
    let world = World::start();
    let directory = world.desk.dir.path().to_owned();
    let before = identity(&directory.join("deskd"));
    let new = release(&world).join("deskd");
    let new = new.to_str().expect("a path");
    let cases = [
        (format!("{TICKS}nonsense = 1\n"), "nonsense"),
        (format!("tasks_max = 7\n{TICKS}"), "tasks_max cannot change while deskd runs"),
        // Nothing is wrong with it that can be seen before.
        (format!("token_file = \"{}\"\n{TICKS}", directory.display()), "did not start"),
    ];
    for (configuration, why) in cases {
        world.write(&configuration);
        let (code, text) = upgrade(&world, &[new]);
        assert!(code == Some(REFUSED) && text.contains(why), "{code:?} {text}");
        assert_eq!(identity(&directory.join("deskd")), before, "{why}");
        assert_eq!(leftovers(&world), [] as [&str; 0]);
    }
    let check = world.keeper_check();
    assert!(check.contains("did not start"), "{check}");
    // Nothing new: the same program, and what is in the configuration file now.
    world.write(&format!("nonsense = 1\n{TICKS}"));
    let (code, text) = upgrade(&world, &[]);
    assert!(code == Some(REFUSED) && text.contains("nonsense"), "{code:?} {text}");
    let check = world.keeper_check();
    assert!(
        check.contains("the last SIGHUP changed nothing: the check ended with exit code 3"),
        "{check}"
    );
    world.write(&format!("{TICKS}{MORE}"));
    let (code, text) = upgrade(&world, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(world.has_more());
    world.ends_well();
}
