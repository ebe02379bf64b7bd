//! When a task is explained: at its end, and while it waits in the cluster.

use super::driver::{Driver, now_ms};
use super::evidence::log_of;
use deskd_core::id::TaskId;
use deskd_core::plan::EngineKind;
use deskd_core::task::{Exit, Task, TaskState, UnixMs};
use deskd_core::why::reason::Explanation;
use deskd_core::why::{Diagnosis, Evidence, Log};

/// A program that ended so shortly before the X server was seen to be gone died of that.
const LOST_WITH_SERVER_MS: UnixMs = 2_000;
/// Characters of a program's last line that its row shows.
const LAST_WORDS_CHARS_MAX: usize = 200;

impl Driver {
    /// Finds out why a task ended as it did, unless it ended well: with 0, after it had shown a
    /// window or without having one to show. What an entry point's 0 says of its program is nothing.
    pub(super) fn explain_end(&mut self, id: &TaskId) {
        let Some(entry) = self.table.get(id) else { return };
        let task = &entry.task;
        let failed = task.exit.as_ref().is_some_and(Exit::is_failure);
        let silent = task.first_window_ms.is_none() && self.draws(task);
        let hidden = matches!(task.exit, Some(Exit::EntryPoint(_)));
        let doubtful = !task.stop_asked && (silent || hidden);
        if task.state != TaskState::Ended || !(failed || doubtful) {
            return;
        }
        let evidence = self.evidence(entry);
        let from = entry.notes.log_from;
        let (start, end) = log_of(&self.settings.state_dir, id, from).unwrap_or_default();
        let diagnosis = self.diagnosed(id, &Log { start: &start, end: &end }, &evidence);
        if !failed && diagnosis.cause.is_none() {
            return;
        }
        self.table.change(id, |task| {
            if failed && !task.stop_asked || diagnosis.cause.is_some() && doubtful {
                task.cause = row(task, &diagnosis);
            }
            task.diagnosis = Some(Box::new(diagnosis));
            true
        });
    }

    /// Says why a task does not run yet, as far as the cluster told.
    pub(super) fn explain_wait(&mut self, id: &TaskId) {
        let Some(entry) = self.table.get(id) else { return };
        let task = &entry.task;
        if task.state != TaskState::Starting || task.engine == EngineKind::Local {
            return;
        }
        let nothing = Log { start: &[], end: &[] };
        let diagnosis = self.diagnosed(id, &nothing, &self.evidence(entry));
        let diagnosis = diagnosis.cause.is_some().then(|| Box::new(diagnosis));
        self.table.change(id, |task| {
            let news = task.diagnosis != diagnosis;
            task.diagnosis = diagnosis;
            news
        });
    }

    /// With a remedy only where one may be offered.
    fn diagnosed(&self, id: &TaskId, log: &Log<'_>, evidence: &Evidence) -> Diagnosis {
        let mut diagnosis = self.settings.rules.get().diagnose(log, evidence);
        diagnosis.remedy = diagnosis.remedy.filter(|proposal| self.may_offer(id, proposal));
        diagnosis
    }

    /// The X server is gone: what draws on it dies of that, and may have been seen to end before.
    pub(super) fn display_was_lost(&mut self) {
        let now = now_ms();
        let recent = |task: &Task| task.ended_at.is_some_and(|at| now - at <= LOST_WITH_SERVER_MS);
        let concerned = |task: &Task| match task.state {
            TaskState::Running | TaskState::Stopping => true,
            TaskState::Ended => recent(task) && task.exit.as_ref().is_some_and(Exit::is_failure),
            TaskState::Planned | TaskState::Starting => false,
        };
        let drawing = self.table.iter().filter(|entry| concerned(&entry.task));
        let drawing: Vec<TaskId> =
            drawing.filter(|e| self.draws(&e.task)).map(|e| e.task.id.clone()).collect();
        for id in drawing {
            self.table.note(&id, |notes| notes.display_lost = true);
            if self.table.get(&id).is_some_and(|entry| entry.task.state == TaskState::Ended) {
                self.explain_end(&id);
            }
        }
    }
}

/// What the task's row says: what the engine reported about an end in the cluster, else the diagnosis,
/// else how it ended and its last words.
fn row(task: &Task, diagnosis: &Diagnosis) -> Option<Explanation> {
    let own = task.cause.clone();
    let reported = own.as_ref().is_some_and(Explanation::is_reported);
    match (diagnosis.cause, own) {
        (Some(_), own) if reported && task.engine != EngineKind::Local => own,
        (Some(cause), _) => {
            Some(Explanation::Diagnosed { cause, sentence: diagnosis.sentence.clone() })
        }
        (None, Some(Explanation::ByItself { exit, .. })) => {
            Some(Explanation::ByItself { exit, last_line: last_words(diagnosis) })
        }
        (None, Some(Explanation::Lost { reason, .. })) => {
            Some(Explanation::Lost { reason, last_line: last_words(diagnosis) })
        }
        (None, own) => own,
    }
}

/// The last line of those that are shown: the first thing a person looks for.
fn last_words(diagnosis: &Diagnosis) -> Option<String> {
    let line = plain(&diagnosis.proof.last()?.text);
    Some(line.trim().chars().take(LAST_WORDS_CHARS_MAX).collect())
        .filter(|l: &String| !l.is_empty())
}

/// Without control characters and terminal sequences (ECMA-48: `ESC [ ... final byte`).
fn plain(text: &str) -> String {
    let mut chars = text.chars().peekable();
    let mut plain = String::new();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            chars.by_ref().find(|char| ('\u{40}'..='\u{7e}').contains(char));
        } else if !char.is_control() {
            plain.push(char);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{plain, row};
    use deskd_core::samples::{app, plan_of};
    use deskd_core::task::{Exit, Task};
    use deskd_core::why::reason::Explanation;
    use deskd_core::why::{Evidence, Log, diagnose};

    #[test]
    fn a_row_has_the_last_words_once_however_often_the_end_is_looked_at() {
        let app = app("odd");
        let mut task = Task::new("odd-00001".parse().unwrap(), &app, &plan_of(&app), 0);
        task.cause = Some(Explanation::of_exit(&Exit::Code(4)));
        let log = Log { start: b"all is lost\n", end: b"" };
        let unknown = diagnose(&log, &Evidence::default());
        assert_eq!(unknown.cause, None);
        for _ in 0..2 {
            task.cause = row(&task, &unknown);
            let told = "ended by itself with exit code 4; its last line was: all is lost";
            assert_eq!(task.cause.as_ref().map(Explanation::sentence).as_deref(), Some(told));
        }
    }

    #[test]
    fn colours_are_not_words() {
        assert_eq!(plain("\u{1b}[1;33mwarning\u{1b}[0m: a\tb\u{7}\u{1b}[2"), "warning: ab");
    }
}
