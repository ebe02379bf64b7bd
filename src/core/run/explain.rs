//! When a task is explained: at its end, and while it waits in the cluster.

use super::effect::{Effect, Question, Subject};
use super::{Runs, Step};
use crate::id::TaskId;
use crate::task::{Exit, Task, TaskState, UnixMs};
use crate::why::Diagnosis;
use crate::why::reason::Explanation;

/// A program that ended so shortly before the X server was seen to be gone died of that.
const LOST_WITH_SERVER_MS: UnixMs = 2_000;
/// Characters of a program's last line that its row shows.
const LAST_WORDS_CHARS_MAX: usize = 200;

impl Runs {
    /// Whether the end of a task is to be explained: unless it ended well, with 0, after it had shown a
    /// window or without having one to show. What an entry point's 0 says of its program is nothing.
    fn is_doubtful(&self, task: &Task) -> bool {
        let silent = task.first_window_ms.is_none() && self.draws(task);
        let hidden = matches!(task.exit, Some(Exit::EntryPoint(_)));
        !task.stop_asked && (silent || hidden)
    }
}

fn failed(task: &Task) -> bool {
    task.exit.as_ref().is_some_and(Exit::is_failure)
}

impl Step<'_> {
    /// A run is over and its output stored: why it ended is found out if that is worth it, and then
    /// it may be mended or run again.
    pub(super) fn after_end(&mut self, id: &TaskId) {
        let over = |task: &std::sync::Arc<Task>| task.state == TaskState::Ended;
        if self.runs.task(id).is_some_and(over) && !self.explain(id, Subject::End) {
            self.schedule_restart(id);
        }
    }

    /// Looks once more why it ended.
    pub(super) fn explain_end_again(&mut self, id: &TaskId) {
        self.explain(id, Subject::EndAgain);
    }

    /// Asks why a task ended; false when there is nothing to explain.
    fn explain(&mut self, id: &TaskId, subject: Subject) -> bool {
        let Some(task) = self.runs.task(id) else { return false };
        let worth = task.state == TaskState::Ended && (failed(task) || self.runs.is_doubtful(task));
        if worth {
            let question = Question { task: id.clone(), run: task.runs, subject };
            self.out.push(Effect::Diagnose(question));
        }
        worth
    }

    /// Asks why a task does not run yet, as far as the cluster told.
    pub(super) fn explain_wait(&mut self, id: &TaskId) {
        let Some(task) = self.runs.task(id) else { return };
        if task.state == TaskState::Starting && task.engine.is_in_cluster() {
            let subject = Subject::Wait;
            let question = Question { task: id.clone(), run: task.runs, subject };
            self.out.push(Effect::Diagnose(question));
        }
    }

    /// The answer. It has a remedy only where one may be offered.
    pub(super) fn diagnosed(&mut self, question: &Question, mut diagnosis: Diagnosis) {
        let Question { task: id, run, subject } = question;
        let Some(task) = self.runs.task(id).cloned() else { return };
        let wanted = match subject {
            Subject::End | Subject::EndAgain => TaskState::Ended,
            Subject::Wait => TaskState::Starting,
        };
        // It went on meanwhile.
        if task.runs != *run || task.state != wanted {
            return;
        }
        diagnosis.remedy = diagnosis.remedy.filter(|proposal| self.may_offer(id, proposal));
        if *subject == Subject::Wait {
            let diagnosis = diagnosis.cause.is_some().then(|| Box::new(diagnosis));
            self.runs.table.change(id, |task| {
                let news = task.diagnosis != diagnosis;
                task.diagnosis = diagnosis;
                news
            });
            return;
        }
        let failed = failed(&task);
        let doubtful = self.runs.is_doubtful(&task);
        if failed || diagnosis.cause.is_some() {
            self.runs.table.change(id, |task| {
                if failed && !task.stop_asked || diagnosis.cause.is_some() && doubtful {
                    task.cause = row(task, &diagnosis);
                }
                task.diagnosis = Some(Box::new(diagnosis));
                true
            });
        }
        if *subject == Subject::End {
            self.schedule_restart(id);
        }
    }

    /// The X server is gone: what draws on it dies of that, and may have been seen to end before.
    pub(super) fn display_was_lost(&mut self) {
        let now = self.now.unix_ms;
        let recent = |task: &Task| task.ended_at.is_some_and(|at| now - at <= LOST_WITH_SERVER_MS);
        let concerned = |task: &Task| match task.state {
            TaskState::Running | TaskState::Stopping => true,
            TaskState::Ended => recent(task) && task.exit.as_ref().is_some_and(Exit::is_failure),
            TaskState::Planned | TaskState::Starting => false,
        };
        let drawing = self.runs.table.iter().filter(|entry| concerned(&entry.task));
        let drawing: Vec<TaskId> = drawing
            .filter(|entry| self.runs.draws(&entry.task))
            .map(|entry| entry.task.id.clone())
            .collect();
        for id in drawing {
            self.runs.table.note(&id, |notes| notes.display_lost = true);
            if self.runs.table.get(&id).is_some_and(|entry| entry.task.state == TaskState::Ended) {
                self.explain_end_again(&id);
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
        (Some(_), own) if reported && task.engine.is_in_cluster() => own,
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
    use crate::samples::{app, plan_of};
    use crate::task::{Exit, Task};
    use crate::why::reason::Explanation;
    use crate::why::{Evidence, Log, diagnose};

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
