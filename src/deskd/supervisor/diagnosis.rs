//! Diagnoses: the evidence that has to be looked at, and what a task wrote.

use std::path::Path;

use super::driver::Driver;
use deskd_core::id::TaskId;
use deskd_core::run::{Question, Subject};
use deskd_core::why::evidence::{LOG_END_BYTES_MAX, LOG_START_BYTES_MAX};
use deskd_core::why::{Diagnosis, Log};
use deskd_keeper::logs::{LogReader, ReadError, Records};
use deskd_keeper::procfs::file_system_usage;

/// Where POSIX shared memory is: one for all containers of a pod.
const DEV_SHM: &str = "/dev/shm";
/// Records of the log's end that are looked at.
const END_RECORDS: u64 = 4000;

impl Driver {
    /// Why a task ended or waits; nothing of one that is not there any more.
    pub(super) fn diagnose(&self, question: &Question) -> Option<Diagnosis> {
        let entry = self.runs.table().get(&question.task)?;
        let mut evidence = self.runs.evidence(entry);
        if !entry.task.engine.has_own_pod() {
            evidence.dev_shm = file_system_usage(DEV_SHM).map(Into::into);
        }
        let (start, end) = match question.subject {
            Subject::Wait => (Vec::new(), Vec::new()),
            Subject::End | Subject::EndAgain => {
                let from = entry.notes.log_from;
                log_of(&self.settings.state_dir, &question.task, from).unwrap_or_default()
            }
        };
        let log = Log { start: &start, end: &end };
        Some(self.settings.rules.get().diagnose(&log, &evidence))
    }
}

/// What it wrote from a cursor on: the start, and the end when the start is not all.
fn log_of(state_dir: &Path, id: &TaskId, from: u64) -> Result<(Vec<u8>, Vec<u8>), ReadError> {
    let mut reader = LogReader::open(&state_dir.join("logs"), id)?;
    let bounds = reader.bounds()?;
    let (start, next) = output(&mut reader, bounds.first.max(from), LOG_START_BYTES_MAX)?;
    if next >= bounds.end {
        return Ok((start, Vec::new()));
    }
    let from = reader.tail(END_RECORDS)?.max(next);
    Ok((start, output(&mut reader, from, LOG_END_BYTES_MAX)?.0))
}

/// Output from a cursor on, and where it goes on.
fn output(
    reader: &mut LogReader,
    from: u64,
    bytes_max: usize,
) -> Result<(Vec<u8>, u64), ReadError> {
    let (mut output, mut next) = (Vec::new(), from);
    while output.len() < bytes_max {
        let mut bytes = Vec::new();
        let chunk = reader.read(next, bytes_max, &mut bytes)?;
        for record in Records::new(&bytes, chunk.from).map_while(Result::ok) {
            record.push_output(&mut output);
        }
        if chunk.next == next {
            break;
        }
        next = chunk.next;
    }
    Ok((output, next))
}
