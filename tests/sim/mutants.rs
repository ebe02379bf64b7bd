//! Mutants: an implementation that is broken in one way, each of which the invariants must find.

use deskd_core::port::Command;
use deskd_core::run::Effect;
use deskd_core::run::journal::Line;

use crate::rng::Rng;

/// One way to be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    DropRecord,
    DropRemoved,
    DropStart,
    StartTwiceUnderAnotherRun,
    DropStop,
    StopWithoutGrace,
    DropAdopt,
    DropForget,
    StartWithoutMeta,
    RecordWithoutGrace,
    NoTombstones,
    DropAnswer,
    AnswerTwice,
    NoKeeperLine,
    AnswerBeforeRecord,
    ForgetDiagnosis,
    StopAnotherRun,
    DropDrained,
    StopTheLastOneOnly,
    RecordLate,
    PlaceNotRecorded,
    AskOnce,
    ListBeforePlaces,
    MissingAtPlace,
    DropKeepWarm,
    PauseForgotten,
}

impl Mutant {
    pub const ALL: [(Self, &'static str); 26] = [
        (Self::DropRecord, "a changed task is not put on record"),
        (Self::DropRemoved, "a removal is not put on record"),
        (Self::DropStart, "a start is not passed on"),
        (Self::StartTwiceUnderAnotherRun, "a start is passed on a second time, as the next run"),
        (Self::DropStop, "a stop is not passed on"),
        (Self::StopWithoutGrace, "a stop has no time between SIGTERM and SIGKILL"),
        (Self::DropAdopt, "a container of an earlier daemon is not followed"),
        (Self::DropForget, "a removed task is not forgotten by its engine"),
        (Self::StartWithoutMeta, "the keeper is not told what it starts"),
        (Self::RecordWithoutGrace, "the grace of a plan is not put on record"),
        (Self::NoTombstones, "a journal that begins anew has no removals"),
        (Self::DropAnswer, "an answer is not given"),
        (Self::AnswerTwice, "an answer is given twice"),
        (Self::NoKeeperLine, "which keeper is connected is not put on record"),
        (Self::AnswerBeforeRecord, "what is on record comes last"),
        (Self::ForgetDiagnosis, "a diagnosis that was asked for does not come"),
        (Self::StopAnotherRun, "a stop names the run before"),
        (Self::DropDrained, "the keeper is not told that nothing is left"),
        (Self::StopTheLastOneOnly, "of several commands the last alone is passed on"),
        (Self::RecordLate, "a task that starts is not put on record with its start"),
        (Self::PlaceNotRecorded, "the key of a place is not put on record"),
        (Self::AskOnce, "a keeper that answers again is asked for nothing again"),
        (Self::ListBeforePlaces, "what exists is told before keepers of places answered"),
        (Self::MissingAtPlace, "a run that its place has no more is not told"),
        (Self::DropKeepWarm, "what is to be ready is not passed on"),
        (Self::PauseForgotten, "a place that ended unused is made again at once"),
    ];

    pub fn is(self, mutant: Option<Self>) -> bool {
        mutant == Some(self)
    }

    /// The effects as the mutant has them; each time, so that a world need not wait for it.
    pub fn change(self, effects: Vec<Effect>, rng: &mut Rng) -> Vec<Effect> {
        let mut effects = effects;
        let command = |wanted: fn(&Command) -> bool| move |effect: &Effect| matches!(effect, Effect::Command(_, command) if wanted(command));
        match self {
            Self::DropRecord if rng.once_in(4) => {
                effects.retain(|it| !matches!(it, Effect::Record(_)));
            }
            Self::DropRemoved => effects.retain(|it| !matches!(it, Effect::Removed(_))),
            Self::DropStart => {
                let is = command(|it| matches!(it, Command::Start { .. }));
                effects.retain(|it| !is(it) || !rng.once_in(4));
            }
            Self::StartTwiceUnderAnotherRun => {
                let again: Vec<Effect> = effects.iter().filter_map(next_run).collect();
                effects.extend(again);
            }
            Self::DropStop => {
                let is = command(|it| matches!(it, Command::Stop { .. }));
                effects.retain(|it| !is(it));
            }
            Self::DropKeepWarm => {
                let is = command(|it| matches!(it, Command::KeepWarm(_)));
                effects.retain(|it| !is(it));
            }
            Self::DropAdopt => {
                let is = command(|it| matches!(it, Command::Adopt { .. }));
                effects.retain(|it| !is(it));
            }
            Self::DropForget => {
                let is = command(|it| matches!(it, Command::Forget { .. }));
                effects.retain(|it| !is(it));
            }
            Self::StartWithoutMeta => effects.iter_mut().for_each(|effect| {
                if let Effect::Command(_, Command::Start { meta, .. }) = effect {
                    meta.clear();
                }
            }),
            Self::DropDrained => {
                let is = command(|it| matches!(it, Command::Drained));
                effects.retain(|it| !is(it));
            }
            Self::DropAnswer if rng.once_in(4) => {
                effects.retain(|it| !matches!(it, Effect::Answer(..)));
            }
            Self::AnswerTwice => {
                let answer = |it: &&Effect| matches!(it, Effect::Answer(..));
                let again: Vec<Effect> = effects.iter().filter(answer).cloned().collect();
                effects.extend(again);
            }
            Self::StopWithoutGrace | Self::StopAnotherRun => {
                effects.iter_mut().for_each(|effect| self.change_stop(effect));
            }
            Self::StopTheLastOneOnly => {
                let is = command(|_| true);
                let last = effects.iter().rposition(&is);
                let mut at = 0..;
                effects.retain(|it| !is(it) | (at.next() == last));
            }
            Self::RecordLate => {
                let is = command(|it| matches!(it, Command::Start { .. }));
                if effects.iter().any(is) {
                    effects.retain(|it| !matches!(it, Effect::Record(_)));
                }
            }
            _ => {}
        }
        effects
    }

    /// And what goes on record with them.
    pub fn change_lines(self, lines: &mut Vec<Line<'static>>) {
        match self {
            Self::NoKeeperLine => lines.retain(|line| !matches!(line, Line::Keeper(_))),
            Self::RecordWithoutGrace => {
                for line in lines {
                    if let Line::Task(entry) = line {
                        entry.to_mut().grace_s = None;
                    }
                }
            }
            Self::NoTombstones => lines.retain(|line| !matches!(line, Line::Removed(_))),
            _ => {}
        }
    }

    fn change_stop(self, effect: &mut Effect) {
        let Effect::Command(_, Command::Stop { run, term_after, kill_after }) = effect else {
            return;
        };
        match self {
            Self::StopWithoutGrace => *kill_after = *term_after,
            _ => run.run = run.run.saturating_sub(1),
        }
    }
}

fn next_run(effect: &Effect) -> Option<Effect> {
    let Effect::Command(link, Command::Start { run, app, object, work, meta }) = effect else {
        return None;
    };
    let mut run = run.clone();
    run.run += 1;
    let (app, object) = (app.clone(), object.clone());
    let (work, meta) = (work.clone(), meta.clone());
    Some(Effect::Command(*link, Command::Start { run, app, object, work, meta }))
}
