//! Why a task that ended by itself failed: its log and what was seen of it, made into evidence.

use std::path::Path;

use super::driver::Driver;
use super::table::Entry;
use crate::domain::diagnosis::evidence::{DisplayEvidence, LOG_END_BYTES_MAX, LOG_START_BYTES_MAX};
use crate::domain::diagnosis::{Evidence, Log, diagnose};
use crate::domain::id::TaskId;
use crate::domain::lifecycle::BY_ITSELF;
use crate::domain::plan::EngineKind;
use crate::domain::task::{Exit, Task, TaskState};
use crate::logs::{LogReader, ReadError, Records};

/// Records of the log's end that are looked at.
const END_RECORDS: u64 = 4000;

impl Driver {
    /// Finds out why a task ended as it did, unless somebody stopped it, or it ended well after it
    /// had shown a window.
    pub(super) fn explain_end(&mut self, id: &TaskId) {
        let Some(entry) = self.table.get(id) else { return };
        let task = &entry.task;
        let failed = task.exit.as_ref().is_some_and(Exit::is_failure);
        let silent = task.first_window_ms.is_none() && self.draws(task);
        if task.state != TaskState::Ended || task.stop_asked || !(failed || silent) {
            return;
        }
        let evidence = self.evidence(entry);
        let (start, end) = log_of(&self.settings.state_dir, id).unwrap_or_default();
        let diagnosis = diagnose(&Log { start: &start, end: &end }, &evidence);
        if !failed && diagnosis.cause.is_none() {
            return;
        }
        self.table.change(id, |task| {
            // What the cluster said about its end is as good.
            let told = task.engine != EngineKind::Local
                && task.cause.as_ref().is_some_and(|cause| !cause.starts_with(BY_ITSELF));
            if diagnosis.cause.is_some() && !told {
                task.cause = Some(diagnosis.sentence.clone());
            }
            task.diagnosis = Some(Box::new(diagnosis));
            true
        });
    }

    fn draws(&self, task: &Task) -> bool {
        self.apps.get(&task.app).is_some_and(|app| app.needs_display)
    }

    fn evidence(&self, entry: &Entry) -> Evidence {
        let task = &entry.task;
        let env = entry.env.iter().map(|var| (var.name.clone(), var.value.clone()));
        let env: Vec<_> = env.collect();
        let given = env.iter().find(|(name, _)| name == "DISPLAY").map(|(_, value)| value.clone());
        let ran = task.started_at.zip(task.ended_at).map(|(start, end)| end - start);
        let usage = task.rusage.filter(|_| task.engine == EngineKind::Local);
        Evidence {
            engine: Some(task.engine),
            command: task.command.clone(),
            exit: task.exit.clone(),
            ran_ms: ran.and_then(|ms| u64::try_from(ms).ok()),
            had_window: self.draws(task).then_some(task.first_window_ms.is_some()),
            rusage: usage,
            env,
            display: DisplayEvidence {
                given,
                answers: Some(self.display.answers()),
                answers_on_tcp: Some(self.display.tcp.state.answers()),
                shm_works: Some(self.display.shm.sysv.works()),
                lost: false,
            },
            ..Evidence::default()
        }
    }
}

/// What it wrote: the start, and the end when the start is not all.
fn log_of(state_dir: &Path, id: &TaskId) -> Result<(Vec<u8>, Vec<u8>), ReadError> {
    let mut reader = LogReader::open(&state_dir.join("logs"), id)?;
    let bounds = reader.bounds()?;
    let (start, next) = output(&mut reader, bounds.first, LOG_START_BYTES_MAX)?;
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
