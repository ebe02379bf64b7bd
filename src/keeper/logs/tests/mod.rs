//! What the log store promises. `model` is the proof; the others are readable examples.

mod damage;
mod disk_full;
mod examples;
mod model;
mod threads;

use std::path::Path;

use super::*;
use deskd_core::id::TaskId;

fn task(name: &str) -> TaskId {
    name.parse().unwrap()
}

/// A store whose segments are small, so that little output rotates them.
fn store(dir: &Path, segment_bytes: u64, task_bytes: u64, total_bytes: u64) -> LogStore {
    let mut store = LogStore::open(dir.to_owned(), Limits { task_bytes, total_bytes }).unwrap();
    store.segment_bytes = segment_bytes;
    store
}

/// Everything from `cursor` to the end: output, bytes said to be missing, the end.
fn drain(reader: &mut LogReader, mut cursor: u64) -> (Vec<u8>, Vec<Gap>, u64) {
    let (mut output, mut gaps) = (Vec::new(), Vec::new());
    loop {
        let mut raw = Vec::new();
        let chunk = reader.read(cursor, 64 << 10, &mut raw).unwrap();
        gaps.extend(chunk.gap.clone());
        let mut at = chunk.from;
        for record in Records::new(&raw, chunk.from) {
            let record = record.unwrap();
            assert_eq!(record.cursor, at, "records do not touch");
            at = record.next;
            record.push_output(&mut output);
            if let Tag::Gap(gap) = record.tag {
                gaps.push(gap);
            }
        }
        assert_eq!(at, chunk.next, "the chunk does not end where it says");
        cursor = chunk.next;
        if chunk.next == chunk.from && chunk.gap.is_none() {
            return (output, gaps, cursor);
        }
    }
}

/// A CRI parser written from the format's description, sharing nothing with the store's: panics
/// when `line` is not `<RFC 3339 time> <stream> <F|P>[:tag...] <content>`. Returns stream, tags
/// and content.
fn parse_cri(line: &[u8]) -> (&str, &str, &[u8]) {
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let mut text = || std::str::from_utf8(fields.next().expect("a field is missing")).unwrap();
    let (time, stream, tags) = (text(), text(), text());
    time.parse::<jiff::Timestamp>().expect("not an RFC 3339 time");
    assert!(time.ends_with('Z') && time.len() == 30, "{time}");
    assert!(["stdout", "stderr"].contains(&stream), "{stream}");
    assert!(["F", "P"].contains(&tags.split(':').next().unwrap()), "{tags}");
    (stream, tags, fields.next().expect("the content is missing"))
}

/// How many bytes of output a record stands for, by that parser's fields.
fn output_bytes(tags: &str, content: &[u8]) -> usize {
    match tags {
        "F" => content.len() + 1,
        "P" => content.len(),
        _ => str::from_utf8(content).unwrap().split(' ').next().unwrap().parse().unwrap(),
    }
}

/// Every line of every `*.log` file of the task, strictly parsed, as an agent reads them. Returns
/// how many bytes of output they stand for.
fn check_cri(dir: &Path, task: &TaskId) -> usize {
    let mut output = 0;
    for path in log_files(dir, task) {
        let bytes = std::fs::read(&path).unwrap();
        let mut lines = bytes.split(|byte| *byte == b'\n').collect::<Vec<_>>();
        assert_eq!(lines.pop(), Some(b"".as_slice()), "{} ends in a torn record", path.display());
        for line in lines {
            let (_, tags, content) = parse_cri(line);
            output += output_bytes(tags, content);
        }
    }
    output
}

/// The task's `*.log` files in the order a shell lists them.
fn log_files(dir: &Path, task: &TaskId) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir.join(task.as_str())) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    paths
}

/// Bytes of all files of the task.
fn file_bytes(dir: &Path, task: &TaskId) -> u64 {
    log_files(dir, task).iter().map(|path| path.metadata().unwrap().len()).sum()
}
