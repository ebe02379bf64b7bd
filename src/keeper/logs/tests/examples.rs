//! The promises one by one, readable.

use super::*;

const NO_LIMITS: Limits = Limits { task_bytes: 64 << 20, total_bytes: 256 << 20 };

#[test]
fn bytes_that_are_not_text_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path().join("logs"), NO_LIMITS).unwrap();
    let mut log = store.open_task(&task("t"));
    let all: Vec<u8> =
        (0..=255).chain(0..=255).chain(*b"\r\n\0\xff\xfe no newline at the end").collect();
    store.append(&mut log, Stream::Stdout, &all);
    let mut reader = LogReader::open(&dir.path().join("logs"), &task("t")).unwrap();
    assert_eq!(drain(&mut reader, 0), (all.clone(), vec![], all.len() as u64));
    assert_eq!(store.end(&log), all.len() as u64);
    check_cri(&dir.path().join("logs"), &task("t"));
}

#[test]
fn a_prompt_without_newline_is_readable_at_once_and_its_line_goes_on_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path().to_owned(), NO_LIMITS).unwrap();
    let mut log = store.open_task(&task("t"));
    let mut reader = LogReader::open(dir.path(), &task("t")).unwrap();
    let mut raw = Vec::new();
    store.append(&mut log, Stream::Stdout, b"name? ");
    let chunk = reader.read(0, 1000, &mut raw).unwrap();
    let record = Records::new(&raw, chunk.from).next().unwrap().unwrap();
    assert_eq!((record.tag, record.content), (Tag::Partial, b"name? ".as_slice()));
    raw.clear();
    store.append(&mut log, Stream::Stdout, b"\n");
    let chunk = reader.read(chunk.next, 1000, &mut raw).unwrap();
    let record = Records::new(&raw, chunk.from).next().unwrap().unwrap();
    assert_eq!((record.tag, record.content), (Tag::Full, b"".as_slice()));
}

#[test]
fn all_records_of_one_append_have_the_same_current_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path().to_owned(), NO_LIMITS).unwrap();
    let mut log = store.open_task(&task("t"));
    let before = jiff::Timestamp::now();
    store.append(&mut log, Stream::Stderr, b"a\nb\nc");
    let mut raw = Vec::new();
    LogReader::open(dir.path(), &task("t")).unwrap().read(0, 1000, &mut raw).unwrap();
    let records: Vec<_> = Records::new(&raw, 0).map(Result::unwrap).collect();
    assert!(records.iter().all(|r| r.time == records[0].time && r.stream == Stream::Stderr));
    let time: jiff::Timestamp = records[0].time.parse().unwrap();
    assert!(before <= time && time <= jiff::Timestamp::now(), "{time}");
}

#[test]
fn a_line_of_10_mb_becomes_pieces_of_bounded_size_and_reads_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path().to_owned(), NO_LIMITS).unwrap();
    let mut log = store.open_task(&task("t"));
    let mut line: Vec<u8> = (0..10_000_000_u32).map(|n| (n % 251) as u8 | 0x20).collect();
    line.push(b'\n');
    for read in line.chunks(1 << 20) {
        store.append(&mut log, Stream::Stdout, read);
    }
    let mut reader = LogReader::open(dir.path(), &task("t")).unwrap();
    let (output, gaps, end) = drain(&mut reader, 0);
    assert!(output == line && gaps.is_empty());
    assert_eq!(end, 10_000_001);
    let mut raw = Vec::new();
    reader.read(0, 1, &mut raw).unwrap();
    assert!(raw.len() <= super::super::record::RECORD_BYTES_MAX);
    check_cri(dir.path(), &task("t"));
}

#[test]
fn the_tail_is_the_last_lines_and_a_piece_at_the_end_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(dir.path(), 200, 1 << 20, 1 << 20);
    let mut log = store.open_task(&task("t"));
    let mut reader = LogReader::open(dir.path(), &task("t")).unwrap();
    assert_eq!(reader.tail(5).unwrap(), 0, "of an empty log");
    for number in 0..100 {
        store.append(&mut log, Stream::Stdout, format!("{number:03}\n").as_bytes());
    }
    let mut tail = |lines| {
        let cursor = reader.tail(lines).unwrap();
        String::from_utf8(drain(&mut reader, cursor).0).unwrap()
    };
    assert_eq!(tail(0), "");
    assert_eq!(tail(2), "098\n099\n");
    assert_eq!(tail(60).lines().count(), 60);
    assert_eq!(tail(1000).lines().count(), 100);
    store.append(&mut log, Stream::Stderr, b"$ ");
    assert_eq!(tail(2), "099\n$ ");
}

#[test]
fn over_its_limit_a_task_loses_its_oldest_segments_and_the_gap_survives_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let id = task("t");
    let limits = Limits { task_bytes: 512 << 10, total_bytes: 64 << 20 };
    let mut store = LogStore::open(dir.path().to_owned(), limits).unwrap();
    let mut log = store.open_task(&id);
    let line = [b"y".repeat(99), b"\n".to_vec()].concat();
    let mut halfway = 0;
    for number in 0..20_000 {
        store.append(&mut log, Stream::Stdout, &line);
        if number == 3_000 {
            halfway = store.end(&log);
        }
    }
    let stored = store.stored_bytes(&log);
    assert!((512 << 10) * 6 / 8 < stored && stored <= 512 << 10, "{stored}");
    assert_eq!(stored, file_bytes(dir.path(), &id));
    drop(store);
    let mut store = LogStore::open(dir.path().to_owned(), limits).unwrap();
    assert_eq!(store.total_bytes(), stored);
    let log = store.open_task(&id);
    assert_eq!(store.end(&log), 2_000_000);
    let mut reader = LogReader::open(dir.path(), &id).unwrap();
    let first = reader.bounds().unwrap().first;
    for cursor in [0, halfway] {
        let (output, gaps, end) = drain(&mut reader, cursor);
        let gap = Gap { dropped_bytes: first - cursor, reason: GapReason::TaskLimit };
        assert_eq!(gaps, [gap]);
        assert_eq!((output.len() as u64 + first, end), (2_000_000, 2_000_000));
    }
    check_cri(dir.path(), &id);
}

#[test]
fn over_the_total_limit_forgotten_logs_go_first_and_then_the_largest() {
    let dir = tempfile::tempdir().unwrap();
    let fill = |store: &mut LogStore, log: &mut TaskLog, lines: usize| {
        (0..lines).for_each(|_| {
            store.append(log, Stream::Stdout, &[b"z".repeat(59), b"\n".to_vec()].concat())
        });
    };
    let mut earlier = store(dir.path(), 1000, 1 << 20, 20_000);
    let mut forgotten = earlier.open_task(&task("forgotten"));
    fill(&mut earlier, &mut forgotten, 30);
    drop(earlier);
    let mut store = store(dir.path(), 1000, 1 << 20, 20_000);
    let (mut large, mut small) = (store.open_task(&task("large")), store.open_task(&task("small")));
    fill(&mut store, &mut small, 30);
    fill(&mut store, &mut large, 150);
    assert!(LogReader::open(dir.path(), &task("forgotten")).unwrap().bounds().unwrap().first > 0);
    assert_eq!(LogReader::open(dir.path(), &task("large")).unwrap().bounds().unwrap().first, 0);
    fill(&mut store, &mut large, 500);
    assert!(matches!(LogReader::open(dir.path(), &task("forgotten")), Err(ReadError::NoLog(_))));
    fill(&mut store, &mut small, 30);
    let mut reader = LogReader::open(dir.path(), &task("small")).unwrap();
    assert_eq!(
        drain(&mut reader, 0),
        (
            b"z".repeat(59).iter().copied().chain([b'\n']).collect::<Vec<_>>().repeat(60),
            vec![],
            3600
        )
    );
    let mut reader = LogReader::open(dir.path(), &task("large")).unwrap();
    assert_eq!(drain(&mut reader, 0).1[0].reason, GapReason::TotalLimit);
    assert!(store.total_bytes() <= 20_000);
}

#[test]
fn cursors_that_are_no_record_are_refused_with_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let id = task("t");
    let mut store = LogStore::open(dir.path().to_owned(), NO_LIMITS).unwrap();
    let mut log = store.open_task(&id);
    store.append(&mut log, Stream::Stdout, b"hello\n");
    let mut reader = LogReader::open(dir.path(), &id).unwrap();
    for bad in [1, 5, 7, u64::MAX] {
        let error = reader.read(bad, 100, &mut Vec::new()).unwrap_err();
        assert!(
            matches!(error, ReadError::BadCursor { cursor, first: 0, end: 6 } if cursor == bad),
            "{error}"
        );
    }
    let chunk = reader.read(6, 100, &mut Vec::new()).unwrap();
    assert_eq!(chunk, Chunk { from: 6, next: 6, gap: None });
    // The log is removed, then another of the same name begins.
    store.remove(&id).unwrap();
    assert!(matches!(reader.read(6, 100, &mut Vec::new()), Err(ReadError::NoLog(_))));
    store.append(&mut log, Stream::Stdout, b"of a removed log\n");
    let mut log = store.open_task(&id);
    store.append(&mut log, Stream::Stdout, b"hi\n");
    assert!(matches!(
        reader.read(6, 100, &mut Vec::new()),
        Err(ReadError::BadCursor { end: 3, .. })
    ));
    assert_eq!(drain(&mut reader, 0).0, b"hi\n");
}

#[test]
fn a_segment_torn_in_the_middle_of_the_log_is_a_gap_and_not_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let id = task("t");
    let mut writer = store(dir.path(), 200, 1 << 20, 1 << 20);
    let mut log = writer.open_task(&id);
    (0..20).for_each(|_| writer.append(&mut log, Stream::Stdout, &[b'x'; 50]));
    drop(writer);
    // As a machine that crashed may leave it: an older segment lost its end, a later one did not.
    let second = &log_files(dir.path(), &id)[1];
    std::fs::OpenOptions::new().write(true).open(second).unwrap().set_len(100).unwrap();
    let mut writer = store(dir.path(), 200, 1 << 20, 1 << 20);
    let log = writer.open_task(&id);
    assert_eq!(writer.end(&log), 1000);
    let mut reader = LogReader::open(dir.path(), &id).unwrap();
    let (output, gaps, end) = drain(&mut reader, 0);
    assert_eq!(gaps, [Gap { dropped_bytes: 50, reason: GapReason::Torn }]);
    assert_eq!((output.len(), end), (950, 1000));
}

#[test]
fn a_drop_that_was_interrupted_is_finished_and_shows_no_record_twice() {
    let dir = tempfile::tempdir().unwrap();
    let id = task("t");
    let mut writer = store(dir.path(), 200, 1000, 1 << 20);
    let mut log = writer.open_task(&id);
    (0..20).for_each(|_| writer.append(&mut log, Stream::Stdout, &[b'x'; 50]));
    drop(writer);
    // The gap is renamed into place before its segment is unlinked.
    let mut reader = LogReader::open(dir.path(), &id).unwrap();
    let first = reader.bounds().unwrap().first;
    let stale = super::super::segment::path(&dir.path().join("t"), first - 50);
    std::fs::write(&stale, "2026-11-24T05:30:26.123456789Z stdout P stale\n").unwrap();
    assert_eq!(reader.bounds().unwrap().first, first);
    assert_eq!(drain(&mut reader, first - 50).1[0].dropped_bytes, 50);
    let mut writer = store(dir.path(), 200, 1000, 1 << 20);
    let log = writer.open_task(&id);
    assert!(!stale.exists());
    assert_eq!((writer.end(&log), writer.total_bytes()), (1000, file_bytes(dir.path(), &id)));
}
