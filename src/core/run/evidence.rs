//! The evidence of a task: what was noted, and what is the case now.

use super::{Entry, Runs};
use crate::origin::Origin;
use crate::plan::facts::ApiState;
use crate::task::{Exit, StopStepKind, Task, TaskState};
use crate::why::evidence::DisplayEvidence;
use crate::why::reason::{Explanation, Waiting};
use crate::why::{Cause, Evidence};

impl Runs {
    /// Whether a window of it is expected.
    pub(super) fn draws(&self, task: &Task) -> bool {
        self.app(&task.app).is_some_and(|app| app.needs_display)
    }

    /// Whether a window of it was seen; nothing when none has to be. Not all windows of what others
    /// started can be attributed, so having seen none proves nothing.
    fn had_window(&self, task: &Task) -> Option<bool> {
        let had = task.first_window_ms.is_some();
        (self.draws(task) && (had || task.origin == Origin::Deskd)).then_some(had)
    }

    /// Everything that is known about a task but its output, and what has to be looked at for it:
    /// OOM kills and `/dev/shm`.
    #[must_use]
    pub fn evidence(&self, entry: &Entry) -> Evidence {
        let (task, notes) = (&entry.task, &entry.notes);
        let env = entry.env.iter().map(|var| (var.name.clone(), var.value.clone()));
        let env: Vec<_> = env.collect();
        let given = env.iter().find(|(name, _)| name == "DISPLAY").map(|(_, value)| value.clone());
        let ran = task.started_at.zip(task.ended_at).map(|(start, end)| end - start);
        let local = !task.engine.is_in_cluster();
        let kills = |kind: StopStepKind| task.stop_steps.iter().any(|step| step.step == kind);
        let mut cluster = (*notes.cluster).clone();
        cluster.api_away = task.state == TaskState::Starting
            && !local
            && matches!(self.cluster.facts.api, ApiState::Away(_));
        Evidence {
            engine: Some(task.engine),
            command: if task.entry_point { &task.program } else { &task.command }.clone(),
            entry_point: task.entry_point,
            exit: task.exit.clone().filter(|_| task.state == TaskState::Ended),
            stopped_by: notes.stopped_by.clone().filter(|_| task.stop_asked),
            killed_by_deskd: kills(StopStepKind::Kill),
            ran_ms: ran.and_then(|ms| u64::try_from(ms).ok()),
            had_window: self.had_window(task),
            rusage: task.rusage.filter(|_| local || notes.usage.is_some()).map(Into::into),
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
            reported: reported(task),
            oom_killed: notes.oom_killed,
            dev_shm: None,
            cluster,
        }
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
