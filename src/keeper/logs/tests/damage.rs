//! Whatever is done to the files of a log, reading it ends, shows every record that is whole, and
//! tells how much is missing.

use std::collections::HashMap;
use std::os::unix::fs::FileExt as _;

use proptest::prelude::*;

use super::*;

/// Smallest unit that a disk loses.
const PAGE_BYTES: usize = 4096;

#[derive(Debug, Clone)]
enum Damage {
    Flip(u8),
    Cut(usize),
    Insert(Vec<u8>),
    Zeros,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (1_u8..).prop_map(Damage::Flip),
        2 => (1_usize..300).prop_map(Damage::Cut),
        2 => prop::collection::vec(any::<u8>(), 1..60).prop_map(Damage::Insert),
        1 => Just(Damage::Zeros),
    ]
}

/// Damages `bytes` at `at`; the range of the old bytes that are not as they were.
fn hurt(bytes: &mut Vec<u8>, at: usize, damage: &Damage) -> std::ops::Range<usize> {
    let length = bytes.len();
    match damage {
        Damage::Flip(mask) => {
            bytes[at] ^= mask;
            at..at + 1
        }
        Damage::Cut(count) => {
            let end = length.min(at + count);
            bytes.drain(at..end);
            // The line it was in, whose beginning and end are one now.
            at.saturating_sub(1)..end + 1
        }
        Damage::Insert(what) => {
            bytes.splice(at..at, what.iter().copied());
            at.saturating_sub(1)..at + 1
        }
        Damage::Zeros => {
            let end = length.min(at + PAGE_BYTES);
            bytes[at..end].fill(0);
            at..end
        }
    }
}

/// Reads everything as a follower does; panics when there is no end.
fn read_all(reader: &mut LogReader) -> (Vec<String>, u64, u64) {
    let (mut lines, mut missing, mut cursor) = (Vec::new(), 0, 0);
    for _ in 0..10_000 {
        let mut raw = Vec::new();
        let chunk = reader.read(cursor, 500, &mut raw).unwrap();
        missing += chunk.gap.as_ref().map_or(0, |gap| gap.dropped_bytes);
        for record in Records::new(&raw, chunk.from) {
            let record = record.unwrap();
            match record.tag {
                Tag::Gap(gap) => missing += gap.dropped_bytes,
                _ => lines.push(String::from_utf8_lossy(record.content).into_owned()),
            }
        }
        if chunk.next == chunk.from && chunk.gap.is_none() {
            return (lines, missing, cursor);
        }
        assert!(chunk.next > cursor, "it went back from {cursor} to {}", chunk.next);
        cursor = chunk.next;
    }
    panic!("reading does not end");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn damage_hides_nothing_that_is_whole_and_is_counted(
        lengths in prop::collection::vec(0_usize..200, 20..120),
        hurts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), damage()), 1..4),
        restart: bool,
        held: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let task = task("hurt");
        let mut store = store(dir.path(), 2000, 1 << 20, 1 << 20);
        let mut log = store.open_task(&task);
        let mut written = 0;
        let mut append = |store: &mut LogStore, log: &mut TaskLog, numbers: std::ops::Range<usize>| {
            for number in numbers {
                let line = format!("{number} {}\n", "x".repeat(lengths[number]));
                store.append(log, Stream::Stdout, line.as_bytes());
                written += line.len() as u64;
            }
        };
        let half = lengths.len() / 2;
        append(&mut store, &mut log, 0..half);
        let mut reader = LogReader::open(dir.path(), &task).unwrap();
        if held {
            read_all(&mut reader);
        }
        let mut whole: HashMap<usize, bool> = (0..lengths.len()).map(|number| (number, true)).collect();
        let mut longer = 0;
        for (file, place, damage) in &hurts {
            let files = log_files(dir.path(), &task);
            let path = file.get(&files);
            let mut bytes = std::fs::read(path).unwrap();
            if bytes.is_empty() {
                continue;
            }
            let before = bytes.clone();
            let range = hurt(&mut bytes, place.index(before.len()), damage);
            longer += usize::from(!matches!(damage, Damage::Zeros));
            let mut at = 0;
            for line in before.split_inclusive(|byte| *byte == b'\n') {
                if at < range.end && range.start < at + line.len() {
                    let content = String::from_utf8_lossy(line.get(40..).unwrap_or_default());
                    if let Some(number) = content.split(' ').next().and_then(|it| it.parse().ok()) {
                        whole.insert(number, false);
                    }
                }
                at += line.len();
            }
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(bytes.len() as u64).unwrap();
            file.write_all_at(&bytes, 0).unwrap();
        }
        if restart {
            drop((log, store));
            store = super::store(dir.path(), 2000, 1 << 20, 1 << 20);
            log = store.open_task(&task);
        }
        append(&mut store, &mut log, half..lengths.len());
        let mut fresh = LogReader::open(dir.path(), &task).unwrap();
        let (lines, missing, end) = read_all(&mut fresh);
        let shown = |number: usize| {
            lines.iter().any(|line| line.split(' ').next() == Some(&*number.to_string()))
        };
        // What became longer and is still a record (two are one without what was between them) may
        // have cost another one.
        let hidden: Vec<_> = (0..lengths.len()).filter(|it| whole[it] && !shown(*it)).collect();
        prop_assert!(hidden.len() <= longer, "hidden: {hidden:?} of {lines:?}");
        let told: u64 = lines.iter().map(|line| line.len() as u64 + 1).sum();
        let hurt_lines = whole.values().any(|whole| !whole);
        prop_assert!(!hurt_lines || missing > 0 || told >= end || longer > 0, "nothing is said");
        if !restart {
            prop_assert!(end <= written + 5000, "{end} of {written}");
        }
        // One that had its place before the damage ends, too.
        for _ in 0..100 {
            let mut raw = Vec::new();
            let Ok(chunk) = reader.read(end, 500, &mut raw) else { break };
            if chunk.next == chunk.from {
                break;
            }
        }
        for lines in [0, 1, 5, 1000] {
            reader.tail(lines).unwrap();
        }
        reader.bounds().unwrap();
    }
}

#[test]
fn a_gap_that_cannot_be_is_damage_and_the_log_goes_on_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let task = task("absurd");
    let path = dir.path().join("absurd");
    std::fs::create_dir(&path).unwrap();
    let time = "2026-11-24T05:30:26.123456789Z";
    let absurd = u64::MAX - 5;
    let bytes = format!(
        "{time} stderr F:gap {absurd} torn {absurd} bytes\n{time} stdout F after the gap\n"
    );
    std::fs::write(path.join("00000000000000000000.log"), bytes).unwrap();
    let mut reader = LogReader::open(dir.path(), &task).unwrap();
    assert_eq!(read_all(&mut reader).0, ["after the gap"]);
    let mut store = store(dir.path(), 2000, 1 << 20, 1 << 20);
    let mut log = store.open_task(&task);
    store.append(&mut log, Stream::Stdout, b"written later\n");
    let mut reader = LogReader::open(dir.path(), &task).unwrap();
    let (lines, missing, end) = read_all(&mut reader);
    assert_eq!(lines, ["after the gap", "written later"]);
    assert_eq!(end, missing + "after the gap\nwritten later\n".len() as u64);
    assert!(missing < 100, "{missing} bytes are said to be missing");
}

#[test]
fn what_stands_in_the_place_of_a_logs_files_is_set_aside_and_the_log_goes_on() {
    use nix::sys::stat::Mode;
    let makes: [fn(&Path); 4] = [
        |path| std::fs::create_dir(path).unwrap(),
        |path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap(),
        |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        |path| std::fs::File::create(path).unwrap().set_len(10 << 30).unwrap(),
    ];
    for make in makes {
        for name in ["00000000000000000000.log", "00000000000000000000-dropped.log", "dropped.tmp"]
        {
            let dir = tempfile::tempdir().unwrap();
            let task = task("stranger");
            std::fs::create_dir(dir.path().join("stranger")).unwrap();
            make(&dir.path().join("stranger").join(name));
            let mut store = store(dir.path(), 200, 600, 1 << 20);
            let mut log = store.open_task(&task);
            for number in 0..20 {
                store.append(&mut log, Stream::Stdout, format!("{number}\n").as_bytes());
            }
            assert_eq!(store.trouble(), None, "{name}");
            let mut reader = LogReader::open(dir.path(), &task).unwrap();
            let from = reader.tail(1).unwrap();
            assert_eq!(drain(&mut reader, from).0, b"19\n");
        }
    }
}

#[test]
fn a_segment_that_is_replaced_while_it_is_written_makes_room_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let task = task("replaced");
    let mut store = store(dir.path(), 2000, 1 << 20, 1 << 20);
    let mut log = store.open_task(&task);
    store.append(&mut log, Stream::Stdout, b"before\n");
    store.close(log);
    let path = log_files(dir.path(), &task).pop().unwrap();
    std::fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut log = store.open_task(&task);
    store.append(&mut log, Stream::Stdout, b"after\n");
    let mut reader = LogReader::open(dir.path(), &task).unwrap();
    let (output, gaps, _) = drain(&mut reader, 0);
    assert_eq!(output, b"after\n");
    assert_eq!(gaps.iter().map(|gap| gap.dropped_bytes).sum::<u64>(), 7);
}

/// As another user, who may read only what is his, until the end of this thread.
fn as_somebody_else() {
    let id = 65_534;
    nix::unistd::setfsgid(id.into());
    nix::unistd::setfsuid(id.into());
}

#[test]
fn a_last_segment_that_cannot_be_read_keeps_nothing_else_from_the_log() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(65_534), Some(65_534)).unwrap();
    let (path, task) = (dir.path().to_owned(), task("hidden"));
    let write = |line: &'static str| {
        let (path, task) = (path.clone(), task.clone());
        let thread = std::thread::spawn(move || {
            as_somebody_else();
            let mut store = store(&path, 2000, 1 << 20, 1 << 20);
            let mut log = store.open_task(&task);
            store.append(&mut log, Stream::Stdout, line.as_bytes());
            let read = read_all(&mut LogReader::open(&path, &task).unwrap());
            (store.trouble().map(str::to_owned), read.0, read.1, read.2, store.end(&log))
        });
        thread.join().unwrap()
    };
    assert_eq!(write("one\n"), (None, vec!["one".to_owned()], 0, 4, 4));
    let segment = segment::path(&path.join(task.as_str()), 0);
    // Somebody else's.
    std::os::unix::fs::chown(&segment, Some(0), Some(0)).unwrap();
    let size = std::fs::metadata(&segment).unwrap().len();
    let (trouble, lines, missing, next, end) = write("two\n");
    assert_eq!((trouble, lines), (None, vec!["two".to_owned()]));
    assert_eq!((missing, next, end), (size, size + 4, size + 4));
    assert_eq!(write("three\n").1, ["two", "three"]);
}
