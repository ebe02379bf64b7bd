//! Real failures of a real disk: a full tmpfs, a file where the directory should be.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use super::*;

const LIMITS: Limits = Limits { task_bytes: 8 << 20, total_bytes: 64 << 20 };

/// Runs `test` with a tmpfs of 64 KiB that only its thread sees. Needs root: without it the test is
/// skipped, but not under CI.
fn with_small_disk(test: impl FnOnce(&Path) + Send) {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mount = |args: &[&str]| {
                Command::new("mount").args(args).status().is_ok_and(|status| status.success())
            };
            let path = dir.path().to_str().unwrap();
            let mounted = unshare(CloneFlags::CLONE_NEWNS).is_ok()
                && mount(&["--make-rprivate", "/"])
                && mount(&["-t", "tmpfs", "-o", "size=64k", "tmpfs", path]);
            if mounted {
                test(dir.path());
            } else {
                assert!(option_env!("CI").is_none(), "cannot mount a tmpfs");
                println!("skipped: mounting a tmpfs needs root");
            }
        });
    });
}

#[test]
fn a_full_disk_is_trouble_and_a_gap_and_never_a_torn_record() {
    with_small_disk(|dir| {
        let (logs, id) = (dir.join("logs"), task("t"));
        let mut store = LogStore::open(logs.clone(), LIMITS).unwrap();
        let mut log = store.open_task(&id);
        let ballast = dir.join("ballast");
        std::fs::write(&ballast, [0; 20 << 10]).unwrap();
        let line = [b"w".repeat(99), b"\n".to_vec()].concat();
        let mut written = 0;
        for _ in 0..30 {
            store.append(&mut log, Stream::Stdout, &line.repeat(30));
            written += 3000;
        }
        let trouble = store.trouble().expect("a full disk is trouble").to_owned();
        let path = logs.join("t").display().to_string();
        assert!(trouble.contains(&path) && trouble.contains("No space left"), "{trouble}");
        check_cri(&logs, &id);
        let stored = store.end(&log);
        assert!(stored < written);

        std::fs::remove_file(&ballast).unwrap();
        store.append(&mut log, Stream::Stderr, b"after\n");
        assert_eq!(store.trouble(), None);
        assert_eq!(store.end(&log), written + 6);
        check_cri(&logs, &id);
        let mut reader = LogReader::open(&logs, &id).unwrap();
        let (output, gaps, end) = drain(&mut reader, 0);
        let lost: u64 = gaps.iter().map(|gap| gap.dropped_bytes).sum();
        assert_eq!((output.len() as u64 + lost, end), (written + 6, written + 6));
        assert!(gaps.iter().all(|gap| gap.reason == GapReason::WriteFailed) && !gaps.is_empty());
        assert!(output.ends_with(b"w\nafter\n"));
    });
}

#[test]
fn a_silent_task_gets_its_gap_by_retry_when_the_disk_has_room_again() {
    with_small_disk(|dir| {
        let id = task("t");
        let mut store = LogStore::open(dir.to_owned(), LIMITS).unwrap();
        let mut log = store.open_task(&id);
        store.append(&mut log, Stream::Stdout, &b"v".repeat(200 << 10));
        assert!(store.trouble().is_some());
        // The piece that was cut off left room: fill that, too.
        std::fs::write(dir.join("ballast"), vec![0; 200 << 10]).unwrap_err();
        store.close(log);
        store.retry();
        assert!(store.trouble().is_some(), "the disk is still full");
        let remounted = Command::new("mount").args(["-o", "remount,size=1m"]).arg(dir).status();
        assert!(remounted.unwrap().success());
        store.retry();
        assert_eq!(store.trouble(), None);
        let mut reader = LogReader::open(dir, &id).unwrap();
        let (output, gaps, end) = drain(&mut reader, 0);
        assert_eq!(output.len() as u64 + gaps[0].dropped_bytes, 200 << 10);
        assert_eq!(end, 200 << 10);
    });
}

#[test]
fn a_store_that_cannot_be_written_is_trouble_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let id = task("t");
    let there = dir.path().join("logs");
    let mut store = LogStore::open(there.clone(), LIMITS).unwrap();
    // Neither a directory can be made below it nor anything be set aside.
    std::fs::remove_dir(&there).unwrap();
    std::os::unix::fs::symlink("/proc/nowhere/logs", &there).unwrap();
    let mut log = store.open_task(&id);
    assert!(store.trouble().is_some());
    store.append(&mut log, Stream::Stdout, b"lost\n");
    assert_eq!(store.end(&log), 0);
    std::fs::remove_file(&there).unwrap();
    store.append(&mut log, Stream::Stdout, b"kept\n");
    assert_eq!(store.trouble(), None);
    let mut reader = LogReader::open(&there, &id).unwrap();
    let gap = Gap { dropped_bytes: 5, reason: GapReason::WriteFailed };
    assert_eq!(drain(&mut reader, 0), (b"kept\n".to_vec(), vec![gap], 10));
}

#[test]
fn a_file_in_the_place_of_the_directory_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let id = task("t");
    std::fs::write(dir.path().join("t"), "in the way").unwrap();
    let mut store = LogStore::open(dir.path().to_owned(), LIMITS).unwrap();
    let mut log = store.open_task(&id);
    store.append(&mut log, Stream::Stdout, b"kept\n");
    assert_eq!(store.trouble(), None);
    let mut reader = LogReader::open(dir.path(), &id).unwrap();
    assert_eq!(drain(&mut reader, 0), (b"kept\n".to_vec(), vec![], 5));
    assert_eq!(std::fs::read(dir.path().join("t.damaged-1")).unwrap(), b"in the way");
}

#[test]
fn a_directory_removed_under_the_store_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let id = task("t");
    let mut store = store(&dir.path().join("logs"), 200, 1 << 20, 1 << 20);
    let mut log = store.open_task(&id);
    store.append(&mut log, Stream::Stdout, b"first\n");
    std::fs::remove_dir_all(dir.path().join("logs")).unwrap();
    for _ in 0..10 {
        store.append(&mut log, Stream::Stdout, &[b"u".repeat(99), b"\n".to_vec()].concat());
    }
    assert_eq!(store.trouble(), None);
    let mut reader = LogReader::open(&dir.path().join("logs"), &id).unwrap();
    let (output, gaps, end) = drain(&mut reader, 0);
    assert_eq!(end, 1006);
    assert_eq!(output.len() as u64 + gaps[0].dropped_bytes, 1006);
    assert!(!output.is_empty());
}
