//! Which texts are in what people are shown.

use std::borrow::Cow;

use super::{Language, Localized, Text};
use crate::health::Check;
use crate::plan::{Plan, Rejected, Unplannable};
use crate::task::{Exit, Task};
use crate::why::reason::{Explanation, LostReason, Waiting};
use crate::why::{Applied, Diagnosis, Place, Proof, Proposal};

impl Localized for Task {
    fn texts(&mut self, each: &mut dyn FnMut(&mut Text)) {
        self.reasons.iter_mut().for_each(&mut *each);
        self.rejected.iter_mut().for_each(|it| it.texts(each));
        if let Some(no_stop) = &mut self.no_stop {
            each(&mut no_stop.sentence);
        }
        if let Some(Explanation::Diagnosed { sentence, .. }) = &mut self.cause {
            each(sentence);
        }
        if let Some(diagnosis) = &mut self.diagnosis {
            diagnosis.texts(each);
        }
        if let Some(applied) = &mut self.remedied {
            applied.texts(each);
        }
        self.stop_steps.iter_mut().for_each(|step| each(&mut step.detail));
        self.history.iter_mut().for_each(|entry| each(&mut entry.what));
    }

    /// Also of the reasons whose sentences are made where they are shown.
    fn in_language(&self, language: Language) -> Cow<'_, Self> {
        if language == Language::English {
            return Cow::Borrowed(self);
        }
        let mut task = self.clone();
        let shown = |text: Text| text.in_language(language).into_owned();
        task.waiting = task.waiting.map(|why| Waiting::from(shown(why.sentence())));
        task.cause = task.cause.map(|why| Explanation::Told(shown(why.sentence())));
        if let Some(Exit::Lost(why)) = &task.exit {
            task.exit = Some(Exit::Lost(LostReason::Told(shown(why.sentence()))));
        }
        task.texts(&mut |text| text.translate(language));
        Cow::Owned(task)
    }
}

impl Localized for Diagnosis {
    fn texts(&mut self, each: &mut dyn FnMut(&mut Text)) {
        each(&mut self.sentence);
        each(&mut self.advice);
        if let Some(proposal) = &mut self.remedy {
            proposal.texts(each);
        }
        // A line of the log may read as a sentence of deskd's, and stays as it is.
        let facts = |proof: &&mut Proof| matches!(proof.place, Place::Evidence(_));
        self.proof.iter_mut().filter(facts).for_each(|fact| each(&mut fact.text));
        self.others.iter_mut().for_each(|other| each(&mut other.sentence));
    }
}

impl Localized for Proposal {
    fn texts(&mut self, each: &mut dyn FnMut(&mut Text)) {
        each(&mut self.sentence);
    }
}

impl Localized for Applied {
    fn texts(&mut self, each: &mut dyn FnMut(&mut Text)) {
        self.proposal.texts(each);
        each(&mut self.before);
        each(&mut self.after);
        self.diagnosis.texts(each);
    }
}

impl Localized for Plan {
    fn texts(&mut self, each: &mut dyn FnMut(&mut Text)) {
        self.reasons.iter_mut().for_each(&mut *each);
        self.rejected.iter_mut().for_each(|it| it.texts(each));
    }
}

impl Localized for Rejected {
    fn texts(&mut self, each: &mut dyn FnMut(&mut Text)) {
        each(&mut self.why);
    }
}

impl Localized for Unplannable {
    fn texts(&mut self, each: &mut dyn FnMut(&mut Text)) {
        each(&mut self.sentence);
        self.rejected.iter_mut().for_each(|it| it.texts(each));
    }
}

impl Localized for Check {
    fn texts(&mut self, each: &mut dyn FnMut(&mut Text)) {
        each(&mut self.detail);
    }
}
