//! The evidence of a task: what was noted, what is the case now, and what it wrote.

use std::path::Path;

use super::driver::Driver;
use super::table::Entry;
use deskd_core::id::TaskId;
use deskd_core::origin::Origin;
use deskd_core::plan::EngineKind;
use deskd_core::plan::facts::ApiState;
use deskd_core::task::{Exit, StopStepKind, Task, TaskState};
use deskd_core::why::evidence::{DisplayEvidence, LOG_END_BYTES_MAX, LOG_START_BYTES_MAX};
use deskd_core::why::reason::{Explanation, Waiting};
use deskd_core::why::{Cause, Evidence};
use deskd_keeper::logs::{LogReader, ReadError, Records};
use deskd_keeper::procfs::{MemoryCgroup, file_system_usage};

/// Where POSIX shared memory is: one for all containers of a pod.
const DEV_SHM: &str = "/dev/shm";
/// Records of the log's end that are looked at.
const END_RECORDS: u64 = 4000;

impl Driver {
    /// Whether a window of it is expected.
    pub(super) fn draws(&self, task: &Task) -> bool {
        self.apps.get(&task.app).is_some_and(|app| app.needs_display)
    }

    /// Whether a window of it was seen; nothing when none has to be. Not all windows of what others
    /// started can be attributed, so having seen none proves nothing.
    fn had_window(&self, task: &Task) -> Option<bool> {
        let had = task.first_window_ms.is_some();
        (self.draws(task) && (had || task.origin == Origin::Deskd)).then_some(had)
    }

    /// Everything that is known about a task but its output.
    pub(super) fn evidence(&self, entry: &Entry) -> Evidence {
        let (task, notes) = (&entry.task, &entry.notes);
        let env = entry.env.iter().map(|var| (var.name.clone(), var.value.clone()));
        let env: Vec<_> = env.collect();
        let given = env.iter().find(|(name, _)| name == "DISPLAY").map(|(_, value)| value.clone());
        let ran = task.started_at.zip(task.ended_at).map(|(start, end)| end - start);
        let local = task.engine == EngineKind::Local;
        let kills = |kind: StopStepKind| task.stop_steps.iter().any(|step| step.step == kind);
        let mut cluster = (*notes.cluster).clone();
        cluster.api_away = task.state == TaskState::Starting
            && !local
            && matches!(self.remote.facts.api, ApiState::Away(_));
        let dev_shm =
            (task.engine != EngineKind::PodApplication).then(|| file_system_usage(DEV_SHM));
        Evidence {
            engine: Some(task.engine),
            command: if task.entry_point { &task.program } else { &task.command }.clone(),
            entry_point: task.entry_point,
            exit: task.exit.clone().filter(|_| task.state == TaskState::Ended),
            stopped_by: notes.stopped_by.clone().filter(|_| task.stop_asked),
            killed_by_deskd: kills(StopStepKind::Kill),
            ran_ms: ran.and_then(|ms| u64::try_from(ms).ok()),
            had_window: self.had_window(task),
            rusage: task.rusage.filter(|_| local).map(Into::into),
            env,
            display: DisplayEvidence {
                given,
                answered_at_launch: notes.display_answered,
                shm_worked_at_launch: notes.shm_worked,
                answers: Some(self.display.answers()),
                answers_on_tcp: Some(self.display.tcp.state.answers()),
                shm_works: Some(self.display.shm.sysv.works()),
                lost: notes.display_lost,
            },
            oom_killed: local.then(|| self.oom_killed_since(notes.oom_kills)).flatten(),
            dev_shm: dev_shm.flatten().map(Into::into),
            reported: reported(task),
            cluster,
        }
    }

    /// How many OOM kills there were before the processes that are being started. The keeper is
    /// starting them meanwhile: nobody waits for this.
    pub(super) fn note_oom_kills(&mut self) {
        if self.spawning.is_empty() {
            return;
        }
        let kills = self.cgroup.as_ref().and_then(MemoryCgroup::oom_kills);
        for id in std::mem::take(&mut self.spawning) {
            self.table.note(&id, |notes| notes.oom_kills = kills);
        }
    }

    fn oom_killed_since(&self, before: Option<u64>) -> Option<bool> {
        let now = self.cgroup.as_ref().and_then(MemoryCgroup::oom_kills)?;
        Some(now > before?)
    }
}

/// The cause that its engine reported: of its end, or of what it waits for.
fn reported(task: &Task) -> Option<Cause> {
    let of_wait = task.waiting.as_ref().and_then(Waiting::cause);
    let of_end = || task.cause.as_ref().and_then(Explanation::reported);
    let of_exit = || task.exit.as_ref().and_then(Exit::reported);
    match task.state {
        TaskState::Ended => of_end().or_else(of_exit),
        _ => of_wait,
    }
}

/// What it wrote from a cursor on: the start, and the end when the start is not all.
pub(super) fn log_of(
    state_dir: &Path,
    id: &TaskId,
    from: u64,
) -> Result<(Vec<u8>, Vec<u8>), ReadError> {
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
