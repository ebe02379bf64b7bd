//! Every target over its seeds, over what once made it fail, and over a fixed number of mutations of both:
//! without coverage, in seconds, on every build. `tests/fuzz/run` looks for what nobody thought of.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod mutate;
#[expect(dead_code, reason = "the simulated world uses the rest")]
#[path = "../sim/rng.rs"]
mod rng;
mod targets;

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use mutate::Mutator;

/// Mutations of each target.
const MUTATIONS: usize = 2_000;
/// Nothing takes this long, on a busy machine neither: it hangs.
const INPUT_TIME_MAX: Duration = Duration::from_secs(60);
/// Longest input, in bytes, as in `run`.
const INPUT_BYTES_MAX: usize = 4096;

/// The seeds of a target, in the order of their names.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = PathBuf::from(env!("DESKD_ROOT")).join("tests/fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Runs a target over its inputs; panics with the file that has the one which failed.
fn replay(name: &str) {
    let target = targets::ALL.iter().find(|target| target.name == name).unwrap();
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "no seeds of {name} in tests/fuzz/corpus");
    let mut mutator = Mutator::new(name, &seeds, INPUT_BYTES_MAX);
    let mutations = (0..MUTATIONS).map(move |_| mutator.next_input());
    let (begin, begun) = mpsc::channel::<Vec<u8>>();
    let run = target.run;
    let worker = std::thread::spawn(move || {
        for input in seeds.into_iter().chain(mutations) {
            begin.send(input.clone()).unwrap();
            run(&input);
        }
    });
    let mut last = Vec::new();
    let hung = loop {
        match begun.recv_timeout(INPUT_TIME_MAX) {
            Ok(input) => last = input,
            Err(mpsc::RecvTimeoutError::Timeout) => break true,
            Err(mpsc::RecvTimeoutError::Disconnected) => break false,
        }
    };
    if hung || worker.join().is_err() {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
        std::fs::write(&file, last).unwrap();
        let what = if hung { "hangs" } else { "failed" };
        panic!("{name} {what} on the bytes in {}", file.display());
    }
}

/// One test for each target, so that a failure says which.
macro_rules! replays {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*

        #[test]
        fn every_target_is_replayed() {
            let named: Vec<&str> = targets::ALL.iter().map(|target| target.name).collect();
            assert_eq!(named, [$(stringify!($name)),*]);
        }
    };
}

replays![
    config,
    desktop_entry,
    diagnosis,
    document,
    http,
    journal,
    log,
    manifest,
    pod,
    procfs,
    rules,
    sse,
    wire,
    x11,
    xauthority,
];
