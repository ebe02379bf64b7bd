//! The product's promise, checked against a model: whatever is written, dropped, torn or not
//! writable, every reader gets exactly what was written or a gap that accounts for every byte.
//!
//! The model of a log is one list: for each cursor the byte the task wrote there and on which
//! stream, or nothing when a gap must be there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;

use super::super::record::HEAD_BYTES;
use super::*;

const TASKS: usize = 3;
const READERS: usize = 4;

#[derive(Debug, Clone)]
enum Op {
    Append {
        task: usize,
        stderr: bool,
        bytes: Vec<u8>,
    },
    Read {
        reader: usize,
        bytes_max: usize,
    },
    /// The reader is replaced by one that has only the cursor of an earlier read.
    Resume {
        reader: usize,
        pick: prop::sample::Index,
    },
    Bounds {
        reader: usize,
    },
    Tail {
        reader: usize,
        lines: u64,
    },
    /// The keeper dies and another starts; `cut` bytes of the task's last segment (at most all)
    /// are gone, and there is garbage behind it.
    Crash {
        task: usize,
        cut: prop::sample::Index,
        garbage: Vec<u8>,
    },
    Restart,
    DiskFull {
        free_bytes: usize,
    },
    DiskFree,
    Retry,
    Close {
        task: usize,
    },
    Remove {
        task: usize,
    },
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(b'\n'), 6 => Just(b'x'), 1 => Just(0), 1 => Just(b'\r'), 3 => any::<u8>()];
    let cri = "2026-11-24T05:30:26.123456789Z stdout F ";
    prop_oneof![
        8 => prop::collection::vec(byte, 0..300),
        2 => prop::collection::vec(Just(b'\n'), 0..30),
        1 => (0_usize..40_000, any::<bool>()).prop_map(|(length, ends)| {
            let mut line = vec![b'l'; length];
            line.extend(ends.then_some(b'\n'));
            line
        }),
        1 => (0_usize..=40, 0_usize..=40).prop_map(move |(from, to)| {
            format!("{}\n{cri}nested\n{}", &cri[from..], &cri[..to]).into_bytes()
        }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let (task, reader) = (0..TASKS, 0..READERS);
    let garbage = prop_oneof![
        2 => Just(Vec::new()),
        1 => (1_usize..100).prop_map(|length| vec![0; length]),
        1 => prop::collection::vec(any::<u8>().prop_filter("no newline", |b| *b != b'\n'), 1..80),
    ];
    prop_oneof![
        20 => (task.clone(), any::<bool>(), bytes())
            .prop_map(|(task, stderr, bytes)| Op::Append { task, stderr, bytes }),
        12 => (reader.clone(), 0_usize..3000)
            .prop_map(|(reader, bytes_max)| Op::Read { reader, bytes_max }),
        3 => (reader.clone(), any::<prop::sample::Index>())
            .prop_map(|(reader, pick)| Op::Resume { reader, pick }),
        1 => reader.clone().prop_map(|reader| Op::Bounds { reader }),
        3 => (reader, 0_u64..12).prop_map(|(reader, lines)| Op::Tail { reader, lines }),
        2 => (task.clone(), any::<prop::sample::Index>(), garbage)
            .prop_map(|(task, cut, garbage)| Op::Crash { task, cut, garbage }),
        1 => Just(Op::Restart),
        2 => (0_usize..600).prop_map(|free_bytes| Op::DiskFull { free_bytes }),
        2 => Just(Op::DiskFree),
        1 => Just(Op::Retry),
        1 => task.clone().prop_map(|task| Op::Close { task }),
        1 => task.prop_map(|task| Op::Remove { task }),
    ]
}

/// What one task wrote.
struct Written {
    task: TaskId,
    log: Option<TaskLog>,
    /// By cursor; `None` where a gap must be.
    truth: Vec<Option<(Stream, u8)>>,
    /// Lost, and without a gap record so far.
    owed: usize,
}

struct Follower {
    task: usize,
    reader: Option<LogReader>,
    cursor: u64,
    /// Where its reads ended.
    history: BTreeSet<u64>,
}

struct World {
    dir: PathBuf,
    limits: [u64; 3],
    store: Option<LogStore>,
    written: Vec<Written>,
    followers: Vec<Follower>,
    free_bytes: Option<usize>,
}

impl World {
    fn new(dir: PathBuf, limits: [u64; 3]) -> Self {
        let written = (0..TASKS).map(|number| Written {
            task: task(&format!("task-{number}")),
            log: None,
            truth: Vec::new(),
            owed: 0,
        });
        let followers = (0..READERS).map(|number| Follower {
            task: number % 2,
            reader: None,
            cursor: 0,
            history: BTreeSet::from([0]),
        });
        let (written, followers) = (written.collect(), followers.collect());
        let mut world = Self { dir, limits, store: None, written, followers, free_bytes: None };
        world.start();
        world
    }

    fn start(&mut self) {
        let [segment_bytes, task_bytes, total_bytes] = self.limits;
        let mut store = store(&self.dir, segment_bytes, task_bytes, total_bytes);
        store.disk.free_bytes = self.free_bytes;
        self.store = Some(store);
    }

    fn stop(&mut self) {
        self.free_bytes = self.store.take().unwrap().disk.free_bytes;
        for written in &mut self.written {
            written.log = None;
            // Nobody knows any more.
            written.owed = 0;
        }
    }

    fn store(&mut self) -> &mut LogStore {
        self.store.as_mut().unwrap()
    }

    /// Opens the log of a task unless it is open.
    fn log(&mut self, number: usize) {
        let written = &mut self.written[number];
        if written.log.is_none() {
            written.log = Some(self.store.as_mut().unwrap().open_task(&written.task));
        }
        self.settle();
    }

    /// Gap records that were written since, and limits.
    fn settle(&mut self) {
        let store = self.store.as_ref().unwrap();
        let mut total = 0;
        for written in &mut self.written {
            let stored = file_bytes(&self.dir, &written.task);
            total += stored;
            let Some(log) = &written.log else { continue };
            let more = store.end(log) as usize - written.truth.len();
            assert!(more == 0 || more == written.owed, "{more} of {} owed", written.owed);
            written.truth.extend(std::iter::repeat_n(None, more));
            written.owed -= more;
            assert_eq!(store.stored_bytes(log), stored);
        }
        let owed = self.written.iter().any(|written| written.owed > 0);
        assert_eq!(store.trouble().is_some(), owed, "{:?}", store.trouble());
        assert_eq!(store.total_bytes(), total, "the store does not know what it holds");
    }

    fn append(&mut self, number: usize, stderr: bool, bytes: &[u8]) {
        self.forget_dropped_logs();
        self.log(number);
        let stream = if stderr { Stream::Stderr } else { Stream::Stdout };
        let (store, written) = (self.store.as_mut().unwrap(), &mut self.written[number]);
        let log = written.log.as_mut().unwrap();
        let before = store.end(log);
        store.append(log, stream, bytes);
        let mut stored = (store.end(log) - before) as usize;
        if stored > 0 {
            written.truth.extend(std::iter::repeat_n(None, written.owed));
            stored -= written.owed;
            written.owed = 0;
        }
        assert!(stored <= bytes.len(), "more was stored than written");
        written.truth.extend(bytes[..stored].iter().map(|byte| Some((stream, *byte))));
        written.owed += bytes.len() - stored;
        if store.disk.free_bytes.is_none() {
            assert_eq!(written.owed, 0, "lost on a good disk");
        }
        self.settle();
    }

    /// Logs that an earlier keeper left may go as a whole.
    fn forget_dropped_logs(&mut self) {
        for number in 0..TASKS {
            if !self.dir.join(self.written[number].task.as_str()).exists() {
                self.forget(number);
            }
        }
    }

    /// The log is gone. Who held a segment may read it to its end, and is then told.
    fn forget(&mut self, number: usize) {
        let written = &mut self.written[number];
        for follower in self.followers.iter_mut().filter(|follower| follower.task == number) {
            if let Some(mut reader) = follower.reader.take()
                && follower.cursor == written.truth.len() as u64
            {
                let read = reader.read(follower.cursor, 1, &mut Vec::new());
                assert!(matches!(read, Err(ReadError::NoLog(_))), "read what is gone: {read:?}");
            }
            (follower.cursor, follower.history) = (0, BTreeSet::from([0]));
        }
        (written.log, written.owed) = (None, 0);
        written.truth.clear();
    }

    /// Followers beyond `end` are told so, and start again.
    fn reset_followers(&mut self, number: usize, end: u64, gap_end: u64) {
        for follower in self.followers.iter_mut().filter(|follower| follower.task == number) {
            follower.history.retain(|cursor| *cursor <= end);
            if follower.cursor > end {
                let reader = follower.reader.take();
                let read =
                    reader.map(|mut reader| reader.read(follower.cursor, 1, &mut Vec::new()));
                // Unless the gap ends where the torn record did: then it goes on there.
                let told = match &read {
                    None | Some(Err(ReadError::BadCursor { .. })) => true,
                    Some(read) => matches!(read, Ok(chunk) if chunk.next == gap_end),
                };
                assert!(told, "read beyond the end: {read:?}");
                follower.cursor = end.min(*follower.history.last().unwrap_or(&0));
            }
        }
    }

    fn crash(&mut self, number: usize, cut: prop::sample::Index, garbage: &[u8]) {
        self.stop();
        self.forget_dropped_logs();
        let segment = log_files(&self.dir, &self.written[number].task).pop();
        let Some(path) = segment.filter(|path| !path.ends_with(DROPPED)) else {
            self.start();
            return;
        };
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.truncate(cut.index(bytes.len() + 1));
        bytes.extend_from_slice(garbage);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(0).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        // What survived, by the test's own reckoning.
        let mut end: usize = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let mut lines = bytes.split(|byte| *byte == b'\n').collect::<Vec<_>>();
        let torn = lines.pop().unwrap();
        for line in lines {
            let (_, tags, content) = parse_cri(line);
            end += output_bytes(tags, content);
        }
        let is_head = torn.len() > HEAD_BYTES
            && torn[..4].iter().all(u8::is_ascii_digit)
            && [b"out F ", b"out P ", b"err F ", b"err P "]
                .contains(&torn[34..40].try_into().unwrap());
        let written = &mut self.written[number];
        assert!(end <= written.truth.len(), "the log is longer than what was written");
        written.truth.truncate(end);
        if !torn.is_empty() {
            written.owed = if is_head { torn.len() - HEAD_BYTES } else { 1 };
        }
        let owed = written.owed;
        self.start();
        self.written[number].owed = owed;
        self.log(number);
        self.reset_followers(number, end as u64, (end + owed) as u64);
    }

    /// The follower, with its reader open; none when there is no log.
    fn follower(&mut self, number: usize) -> Option<(&mut Follower, &Written)> {
        self.forget_dropped_logs();
        let follower = &mut self.followers[number];
        let written = &self.written[follower.task];
        if follower.reader.is_none() {
            follower.reader = LogReader::open(&self.dir, &written.task).ok();
        }
        follower.reader.is_some().then_some((follower, written))
    }

    /// Reads once and compares; says whether there was anything.
    fn read(&mut self, number: usize, bytes_max: usize) -> bool {
        let dir = self.dir.clone();
        let Some((follower, written)) = self.follower(number) else { return false };
        let mut raw = b"kept".to_vec();
        let reader = follower.reader.as_mut().unwrap();
        let chunk = reader.read(follower.cursor, bytes_max, &mut raw).unwrap();
        let raw = raw.strip_prefix(b"kept").unwrap();
        if let Some(gap) = &chunk.gap {
            // Only what the limits dropped is not in the files.
            assert!(matches!(gap.reason, GapReason::TaskLimit | GapReason::TotalLimit), "{gap:?}");
            assert_eq!(gap.dropped_bytes, chunk.from - follower.cursor);
            let files = log_files(&dir, &written.task);
            let first = files.iter().find(|path| !path.ends_with(DROPPED));
            let first = first.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
            let first = first.map_or(written.truth.len() as u64, |stem| stem.parse().unwrap());
            assert_eq!(chunk.from, first, "a gap although there are records");
        } else {
            assert_eq!(chunk.from, follower.cursor);
        }
        let mut at = chunk.from as usize;
        let mut records = 0;
        for record in Records::new(raw, chunk.from) {
            let record = record.unwrap();
            records += 1;
            assert_eq!(record.cursor, at as u64);
            let there = &written.truth[at..record.next as usize];
            let mut output = Vec::new();
            record.push_output(&mut output);
            if let Tag::Gap(gap) = record.tag {
                assert!(there.iter().all(Option::is_none), "a gap over output that is there");
                assert_eq!(gap.dropped_bytes as usize, there.len());
            } else {
                let output: Vec<_> = output.iter().map(|b| Some((record.stream, *b))).collect();
                assert!(there == output, "not what was written at {at}");
            }
            at = record.next as usize;
        }
        assert!(raw.len() <= bytes_max || records == 1, "{records} records, {} bytes", raw.len());
        assert_eq!(at as u64, chunk.next);
        let more = chunk.next != follower.cursor;
        assert!(
            more || at == written.truth.len(),
            "nothing read at {at} of {}",
            written.truth.len()
        );
        follower.cursor = chunk.next;
        follower.history.insert(chunk.next);
        more
    }

    fn tail(&mut self, number: usize, lines: u64) {
        let Some((follower, written)) = self.follower(number) else { return };
        let reader = follower.reader.as_mut().unwrap();
        let bounds = reader.bounds().unwrap();
        let cursor = reader.tail(lines).unwrap();
        let mut found = 0;
        let mut output_seen = false;
        let mut expected = bounds.first;
        for (at, byte) in written.truth.iter().enumerate().skip(bounds.first as usize).rev() {
            let Some((_, byte)) = byte else { continue };
            if *byte == b'\n' || !output_seen {
                if found == lines {
                    expected = at as u64 + 1;
                    break;
                }
                found += 1;
            }
            output_seen = true;
        }
        assert_eq!(cursor, expected, "tail of {lines}");
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Append { task, stderr, bytes } => self.append(task, stderr, &bytes),
            Op::Read { reader, bytes_max } => {
                self.read(reader, bytes_max);
            }
            Op::Resume { reader, pick } => {
                let follower = &mut self.followers[reader];
                follower.reader = None;
                let cursors: Vec<_> = follower.history.iter().copied().collect();
                follower.cursor = cursors[pick.index(cursors.len())];
            }
            Op::Bounds { reader } => {
                let Some((follower, written)) = self.follower(reader) else { return };
                let bounds = follower.reader.as_mut().unwrap().bounds().unwrap();
                assert_eq!(bounds.end, written.truth.len() as u64);
            }
            Op::Tail { reader, lines } => self.tail(reader, lines),
            Op::Crash { task, cut, garbage } => self.crash(task, cut, &garbage),
            Op::Restart => {
                self.stop();
                self.start();
            }
            Op::DiskFull { free_bytes } => self.store().disk.free_bytes = Some(free_bytes),
            Op::DiskFree => self.store().disk.free_bytes = None,
            Op::Retry => self.store().retry(),
            Op::Close { task } => {
                if let Some(log) = self.written[task].log.take() {
                    self.store().close(log);
                    self.log(task);
                }
            }
            Op::Remove { task } => {
                let id = self.written[task].task.clone();
                self.store().remove(&id).unwrap();
                self.forget(task);
            }
        }
        self.settle();
    }

    /// In the end every reader comes to the same end, and every byte is accounted for.
    fn finish(&mut self) {
        self.store().disk.free_bytes = None;
        self.forget_dropped_logs();
        for number in 0..TASKS {
            self.log(number);
        }
        self.store().retry();
        self.settle();
        assert_eq!(self.store().trouble(), None);
        for number in 0..READERS {
            while self.read(number, 1000) {}
        }
        for written in &self.written {
            assert_eq!(written.owed, 0);
            let seen_by_agents = check_cri(&self.dir, &written.task);
            assert_eq!(seen_by_agents, written.truth.len(), "an agent cannot account for it");
            let mut reader = LogReader::open(&self.dir, &written.task).unwrap();
            let (output, gaps, end) = drain(&mut reader, 0);
            let dropped: u64 = gaps.iter().map(|gap| gap.dropped_bytes).sum();
            assert_eq!(end, written.truth.len() as u64);
            assert_eq!(output.len() as u64 + dropped, end, "bytes are unaccounted for");
        }
    }
}

const DROPPED: &str = "00000000000000000000-dropped.log";

/// Half of proptest's number of cases, because each is long; `PROPTEST_CASES` asks for more. No
/// file of regressions beside the sources.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { failure_persistence: None, cases: default.cases.div_ceil(2), ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_reader_gets_what_was_written_or_a_gap_that_accounts_for_every_byte(
        segment_bytes in 100_u64..1500,
        segments in 2_u64..8,
        total_eighths in 6_u64..30,
        ops in prop::collection::vec(op(), 1..100),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let task_bytes = segment_bytes * segments;
        let limits = [segment_bytes, task_bytes, task_bytes * total_eighths / 8];
        let mut world = World::new(dir.path().join("logs"), limits);
        for op in ops {
            world.apply(op);
        }
        world.finish();
    }
}
