//! Questions to the keepers of places: whose process has this number. Pure: each keeper answers for
//! its own PID namespace, and together they are one answer.

use std::collections::{BTreeMap, BTreeSet};

use deskd_core::id::TaskId;

/// Questions that are open at once; windows come faster than answers only if no keeper answers.
pub const QUESTIONS_MAX: usize = 256;

/// Those that are open.
#[derive(Debug, Default)]
pub struct Questions {
    open: BTreeMap<u32, Question>,
}

#[derive(Debug, Default)]
struct Question {
    /// Places that have not answered.
    waits: BTreeSet<TaskId>,
    tasks: BTreeSet<TaskId>,
}

/// What is told: a number, and the tasks that have such a process.
pub type Answer = (u32, BTreeSet<TaskId>);

impl Questions {
    /// Whose process `pid` is, at each of `places`. False: there are too many questions.
    pub fn ask(&mut self, pid: u32, places: impl IntoIterator<Item = TaskId>) -> bool {
        if self.open.len() >= QUESTIONS_MAX && !self.open.contains_key(&pid) {
            return false;
        }
        let waits = places.into_iter().collect();
        self.open.insert(pid, Question { waits, tasks: BTreeSet::new() });
        true
    }

    /// What a place has not answered yet.
    #[must_use]
    pub fn of(&self, place: &TaskId) -> Vec<u32> {
        let open = self.open.iter().filter(|(_, question)| question.waits.contains(place));
        open.map(|(pid, _)| *pid).collect()
    }

    /// A place answered.
    pub fn answered(&mut self, place: &TaskId, pid: u32, task: Option<TaskId>) {
        let Some(question) = self.open.get_mut(&pid) else { return };
        if question.waits.remove(place) {
            question.tasks.extend(task);
        }
    }

    /// A place is none any more.
    pub fn dead(&mut self, place: &TaskId) {
        for question in self.open.values_mut() {
            question.waits.remove(place);
        }
    }

    /// What can be told of `pid`: nobody of `answers`, who can answer now, is waited for. A place that is
    /// away may add to it when it is back.
    pub fn told(&mut self, pid: u32, answers: impl Fn(&TaskId) -> bool) -> Option<Answer> {
        let question = self.open.get(&pid)?;
        if question.waits.iter().any(answers) {
            return None;
        }
        let (tasks, over) = (question.tasks.clone(), question.waits.is_empty());
        if over {
            self.open.remove(&pid);
        }
        Some((pid, tasks))
    }

    /// The numbers that are asked for.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.open.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> TaskId {
        format!("{name}-00001").parse().unwrap()
    }

    #[test]
    fn an_answer_is_told_once_all_have_answered_who_can() {
        let (one, two, away) = (id("one"), id("two"), id("away"));
        let (editor, game) = (id("editor"), id("game"));
        let mut questions = Questions::default();
        assert!(questions.ask(9, [one.clone(), two.clone(), away.clone()]));
        let can = |place: &TaskId| *place != away;
        questions.answered(&one, 9, Some(editor.clone()));
        assert_eq!(questions.told(9, can), None);
        questions.answered(&two, 9, None);
        assert_eq!(questions.told(9, can), Some((9, BTreeSet::from([editor.clone()]))));
        // It is back.
        assert_eq!(questions.of(&away), [9]);
        questions.answered(&away, 9, Some(game.clone()));
        questions.answered(&away, 9, Some(id("again")));
        assert_eq!(questions.told(9, |_| true), Some((9, BTreeSet::from([editor, game]))));
        assert_eq!(questions.told(9, |_| true), None, "it is over");
    }

    #[test]
    fn nobody_waits_for_a_place_that_is_none_any_more() {
        let (one, two) = (id("one"), id("two"));
        let mut questions = Questions::default();
        questions.ask(9, [one.clone(), two.clone()]);
        questions.answered(&one, 9, None);
        questions.dead(&two);
        assert_eq!(questions.told(9, |_| true), Some((9, BTreeSet::new())));
        assert!(questions.pids().is_empty());
    }

    #[test]
    fn there_are_not_more_than_the_limit() {
        let mut questions = Questions::default();
        for pid in 0..QUESTIONS_MAX as u32 {
            assert!(questions.ask(pid, [id("one")]));
        }
        assert!(!questions.ask(QUESTIONS_MAX as u32, [id("one")]));
        assert!(questions.ask(7, [id("two")]), "it is the same question");
    }
}
