//! A writer that rotates and drops while readers follow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::reader::Found;
use super::*;

const LINES: u64 = 30_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Follows until the writer is done and everything was read. Returns lines read and bytes missed.
fn follow(dir: &Path, id: &TaskId, done: &AtomicBool) -> (u64, u64) {
    let mut reader = LogReader::open(dir, id).unwrap();
    let (mut cursor, mut lines, mut missed, mut last) = (0, 0, 0, None);
    // A hang is looked for: a busy machine may be slow.
    let mut moved = Instant::now();
    loop {
        assert!(moved.elapsed() < PATIENCE, "stuck at {cursor}");
        let was_done = done.load(Ordering::Acquire);
        let mut raw = Vec::new();
        let chunk = reader.read(cursor, 4096, &mut raw).unwrap();
        missed += chunk.gap.as_ref().map_or(0, |gap| gap.dropped_bytes);
        assert_eq!(chunk.from - cursor, chunk.gap.map_or(0, |gap| gap.dropped_bytes));
        for record in Records::new(&raw, chunk.from) {
            let record = record.unwrap();
            assert_eq!(record.tag, Tag::Full);
            let number: u64 = str::from_utf8(record.content).unwrap().trim().parse().unwrap();
            assert_eq!(record.cursor, number * 30, "not the line that was written there");
            assert!(last.is_none_or(|last| last < number), "line {number} was repeated");
            last = Some(number);
            lines += 1;
        }
        if chunk.next == cursor {
            if was_done {
                assert_eq!(cursor, LINES * 30);
                return (lines, missed);
            }
            std::thread::yield_now();
        } else {
            moved = Instant::now();
        }
        cursor = chunk.next;
    }
}

fn write_while_two_follow(task_bytes: u64) -> Vec<(u64, u64)> {
    let dir = tempfile::tempdir().unwrap();
    let (id, done) = (task("busy"), AtomicBool::new(false));
    let mut store = store(dir.path(), 1000, task_bytes, 1 << 30);
    let mut log = store.open_task(&id);
    std::thread::scope(|scope| {
        let followers = [(); 2].map(|()| scope.spawn(|| follow(dir.path(), &id, &done)));
        let mut output = Vec::new();
        for number in 0..LINES {
            output.extend_from_slice(format!("{number:029}\n").as_bytes());
            if number % 7 == 0 {
                store.append(&mut log, Stream::Stdout, &output);
                output.clear();
            }
        }
        store.append(&mut log, Stream::Stdout, &output);
        done.store(true, Ordering::Release);
        followers.into_iter().map(|follower| follower.join().unwrap()).collect()
    })
}

#[test]
fn followers_get_every_line_once_across_rotations() {
    assert_eq!(write_while_two_follow(1 << 30), [(LINES, 0); 2]);
}

#[test]
fn followers_overtaken_by_the_limit_know_exactly_what_they_missed() {
    for (lines, missed) in write_while_two_follow(4000) {
        assert_eq!(lines * 30 + missed, LINES * 30);
    }
}

/// Between a reader's look at the end of a segment and its look for a later one, the writer may
/// fill that segment and begin the next: the two halves of a read, with a writer in between.
#[test]
fn what_is_written_while_a_reader_turns_to_the_next_segment_is_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let id = task("busy");
    let mut store = store(dir.path(), 1000, 1 << 30, 1 << 30);
    let mut log = store.open_task(&id);
    store.append(&mut log, Stream::Stdout, b"first\n");
    let mut reader = LogReader::open(dir.path(), &id).unwrap();
    assert_eq!(drain(&mut reader, 0), (b"first\n".to_vec(), vec![], 6));

    let mut at = reader.at.take().unwrap();
    for _ in 0..2 {
        store.append(&mut log, Stream::Stdout, &[b'x'; 800]);
    }
    let mut gap = None;
    assert!(reader.advance(&mut at, &Found::End, &mut gap).unwrap());
    assert_eq!(gap, None);
    reader.at = Some(at);
    let (output, gaps, end) = drain(&mut reader, 6);
    assert_eq!((output, gaps, end), (vec![b'x'; 1600], vec![], 1606));
}
