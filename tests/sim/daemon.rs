//! A daemon: `core::run`, the daemon's ends of the port, and a driver that commits as the real one
//! does, and may be killed between any two effects.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use deskd_core::id::TaskId;
use deskd_core::port::keeper::{Translator, message};
use deskd_core::port::{Command, Link};
use deskd_core::run::ask::{LaunchAdmission, StopAdmission};
use deskd_core::run::journal::Line;
use deskd_core::run::{Answer, Effect, Input, LookedUp, Now, Question, ReplyId, Runs, Subject};
use deskd_core::task::{Task, TaskState};
use deskd_core::why::rule::Confidence;
use deskd_core::why::{Cause, Diagnosis, Remedy};
use deskd_core::wire::FromKeeper;

use crate::disk::Disk;
use crate::engine::Engine;
use crate::keeper::Keeper;
use crate::mutants::Mutant;
use crate::oracle::Oracle;
use crate::rng::Rng;

/// Everything around a daemon that outlives it.
pub struct Around<'a> {
    pub unix: i64,
    pub clock: u64,
    pub disk: &'a mut Disk,
    pub keeper: &'a mut Keeper,
    pub cluster: &'a mut crate::cluster::Cluster,
    pub oracle: &'a mut Oracle,
    pub mutant: Option<Mutant>,
    /// Print what happens.
    pub trace: bool,
    /// Windows that were asked to close.
    pub closing: &'a mut Vec<(TaskId, usize)>,
}

/// What waits for the driver: one queue, as in the real daemon, so that nothing overtakes what caused
/// it.
#[derive(Debug)]
pub enum Waits {
    Input(Input),
    Keeper(FromKeeper),
}

/// What somebody waits for.
#[derive(Debug, Clone)]
pub enum Asked {
    Launch,
    Stop(TaskId),
    Remedy,
    Remove(TaskId),
}

pub struct Daemon {
    pub runs: Runs,
    translator: Translator,
    pub engine: Engine,
    pub inputs: VecDeque<Waits>,
    effects: Vec<Effect>,
    pub waiting: BTreeMap<ReplyId, Asked>,
    next_reply: u64,
    pub turns: u32,
    /// Tasks whose record is not on the disk as it is now.
    pub unrecorded: BTreeSet<TaskId>,
}

impl Daemon {
    pub fn start(runs: Runs) -> Self {
        Self {
            runs,
            translator: Translator::default(),
            engine: Engine::default(),
            inputs: VecDeque::from([Waits::Input(Input::Apps(crate::setting::apps()))]),
            effects: Vec::new(),
            waiting: BTreeMap::new(),
            next_reply: 0,
            turns: 0,
            unrecorded: BTreeSet::new(),
        }
    }

    pub fn push(&mut self, input: Input) {
        self.inputs.push_back(Waits::Input(input));
    }

    /// What the engine reports is in the queue at once, what the keeper does after a while.
    pub fn hear(&mut self, keeper: Option<&mut Keeper>) {
        let events = std::mem::take(&mut self.engine.events);
        self.inputs.extend(events.into_iter().map(|event| Waits::Input(Input::Engine(event))));
        if let Some(message) = keeper.and_then(|keeper| keeper.out.pop_front()) {
            self.inputs.push_back(Waits::Keeper(message));
        }
    }

    pub fn ask(&mut self, asked: Asked, input: impl FnOnce(ReplyId) -> Input) {
        let reply = ReplyId(self.next_reply);
        self.next_reply += 1;
        self.waiting.insert(reply, asked);
        self.push(input(reply));
    }

    /// Takes a batch of inputs and commits; false when it was killed on the way.
    pub fn turn(&mut self, rng: &mut Rng, around: &mut Around<'_>, dies: bool) -> bool {
        self.turns += 1;
        for _ in 0..rng.below(4) {
            self.hear(Some(around.keeper));
        }
        for _ in 0..=rng.below(4) {
            match self.inputs.pop_front() {
                Some(Waits::Input(input)) => self.step(input, rng, around),
                Some(Waits::Keeper(message)) => {
                    for event in self.translator.events(message, &|_| Some(7)) {
                        self.step(Input::Engine(event), rng, around);
                    }
                }
                None => break,
            }
        }
        self.step(Input::Due, rng, around);
        self.commit(rng, around, dies)
    }

    fn step(&mut self, input: Input, rng: &mut Rng, around: &mut Around<'_>) {
        let looked = LookedUp::default();
        let look_up = |_: &deskd_core::app::App| looked.clone();
        let clock = std::time::Duration::from_millis(around.clock);
        let now = Now { unix_ms: around.unix, clock, look_up: &look_up };
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            if around.trace && !matches!(input, Input::Due | Input::Apps(_) | Input::Display(_)) {
                println!("{:>9} > {input:?}", around.clock);
            }
            let mut effects = Vec::new();
            self.runs.step(input, &now, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Diagnose(question) => {
                        let known = self.runs.table().get(&question.task).is_some();
                        if known && !Mutant::ForgetDiagnosis.is(around.mutant) {
                            let found = diagnosis(&question, rng);
                            inputs.push_back(Input::Diagnosed(question, Box::new(found)));
                        }
                    }
                    effect => self.effects.push(effect),
                }
            }
        }
    }

    /// Journal, engines, answers.
    fn commit(&mut self, rng: &mut Rng, around: &mut Around<'_>, dies: bool) -> bool {
        let mut effects = std::mem::take(&mut self.effects);
        if let Some(mutant) = around.mutant {
            effects = mutant.change(effects, rng);
        }
        let dies_at = dies.then(|| rng.below(effects.len() + 2));
        let lines = self.lines(&effects, around.mutant);
        if dies_at == Some(0) {
            around.disk.tear(lines, rng);
            return false;
        }
        let early = Mutant::AnswerBeforeRecord.is(around.mutant);
        if early {
            for effect in &effects {
                if let Effect::Answer(reply, answer) = effect {
                    self.answered(*reply, answer, &BTreeSet::new(), around);
                }
            }
            effects.retain(|effect| !matches!(effect, Effect::Answer(..)));
            if dies {
                return false;
            }
        }
        self.record(&effects, lines, around);
        let mut answers = Vec::new();
        for (number, effect) in effects.into_iter().enumerate() {
            if dies_at == Some(number + 1) {
                return false;
            }
            match effect {
                Effect::Command(link, command) => self.send(link, command, around),
                Effect::CloseWindows(task, windows) => around.closing.push((task, windows.len())),
                Effect::Answer(reply, answer) => answers.push((reply, answer)),
                _ => {}
            }
        }
        let gone = self.gone(&answers);
        for (reply, answer) in answers {
            if dies && rng.once_in(2) {
                return false;
            }
            self.answered(reply, &answer, &gone, around);
        }
        !dies
    }

    fn lines(&self, effects: &[Effect], mutant: Option<Mutant>) -> Vec<Line<'static>> {
        let mut lines: Vec<_> = self.runs.lines(effects).map(owned).collect();
        if let Some(mutant) = mutant.filter(|mutant| *mutant != Mutant::NoTombstones) {
            mutant.change_lines(&mut lines);
        }
        lines
    }

    fn record(&mut self, effects: &[Effect], lines: Vec<Line<'static>>, around: &mut Around<'_>) {
        let wrote = around.disk.append(lines);
        for effect in effects {
            if let Effect::Record(task) = effect {
                if wrote {
                    self.unrecorded.remove(task);
                } else {
                    self.unrecorded.insert(task.clone());
                    around.oracle.unrecorded.insert(task.clone());
                }
            }
            if let (Effect::Removed(task), false) = (effect, wrote) {
                around.oracle.unrecorded.insert(task.clone());
                around.oracle.forgotten.insert(task.clone());
            }
        }
        if around.disk.wants_rewrite() {
            let mut lines = self.runs.all_lines().map(owned).collect();
            around.mutant.iter().for_each(|mutant| mutant.change_lines(&mut lines));
            around.disk.rewrite(lines);
            self.unrecorded.clear();
        }
    }

    fn send(&mut self, link: Link, command: Command, around: &mut Around<'_>) {
        if around.trace {
            let name = format!("{command:?}");
            println!("{:>9}   < {}", around.clock, name.chars().take(160).collect::<String>());
        }
        if let Command::Stop { run, term_after, kill_after } = &command
            && around.keeper.drain.is_none()
        {
            let app = self.runs.table().get(&run.task).map(|entry| &entry.task.app);
            around.oracle.stopping(run, app, kill_after.saturating_sub(*term_after));
        }
        if let Some(message) = message(link, &command) {
            around.keeper.inbox.push_back(message);
        }
        if link == Link::Cluster {
            self.engine.command(command, around.clock, around.cluster, around.mutant);
            self.engine.place_events();
            self.hear(None);
        }
    }

    /// What is removed with these answers.
    fn gone(&self, answers: &[(ReplyId, Answer)]) -> BTreeSet<TaskId> {
        let removed = |(reply, answer): &(ReplyId, Answer)| match (self.waiting.get(reply), answer)
        {
            (Some(Asked::Remove(id)), Answer::Remove(Ok(()))) => Some(id.clone()),
            _ => None,
        };
        answers.iter().filter_map(removed).collect()
    }

    fn answered(
        &mut self,
        reply: ReplyId,
        answer: &Answer,
        gone: &BTreeSet<TaskId>,
        around: &mut Around<'_>,
    ) {
        let oracle = &mut *around.oracle;
        let Some(asked) = self.waiting.remove(&reply) else {
            return oracle.violated("an answer that nobody waits for");
        };
        match (asked, answer) {
            (Asked::Launch, Answer::Launch(Ok(admission))) => {
                let (LaunchAdmission::Started(task) | LaunchAdmission::AlreadyLaunched(task)) =
                    admission;
                if self.runs.table().get(&task.id).is_none() && !gone.contains(&task.id) {
                    oracle.violated(format!("{} was answered and is not there", task.id));
                }
                // Asked for again by its key after somebody asked to remove it, which may be carried out
                // without being answered.
                let removal = |asked: &Asked| matches!(asked, Asked::Remove(id) if *id == task.id);
                if !gone.contains(&task.id) && !self.waiting.values().any(removal) {
                    oracle.launched.insert(task.id.clone());
                }
            }
            (Asked::Launch, Answer::Launch(Err(_)))
            | (Asked::Remedy, Answer::Remedy(_))
            | (Asked::Stop(_), Answer::Stop(Err(_)))
            | (Asked::Remove(_), Answer::Remove(Err(_))) => {}
            (Asked::Stop(id), Answer::Stop(Ok(admission))) => {
                let (StopAdmission::Stopping(task) | StopAdmission::AlreadyEnded(task)) = admission;
                if is_stopped(task) && !oracle.unrecorded.contains(&id) {
                    oracle.stopped.insert(id, task.runs);
                }
            }
            (Asked::Remove(id), Answer::Remove(Ok(()))) => {
                oracle.launched.remove(&id);
                if !oracle.unrecorded.contains(&id) {
                    oracle.removed.insert(id);
                }
            }
            (asked, answer) => oracle.violated(format!("{asked:?} was answered with {answer:?}")),
        }
    }
}

/// A line that outlives its table.
fn owned(line: Line<'_>) -> Line<'static> {
    match line {
        Line::Task(entry) => Line::Task(Box::new(Cow::Owned(entry.into_owned()))),
        Line::App(app) => Line::App(Box::new(Cow::Owned(app.into_owned()))),
        Line::Removed(id) => Line::Removed(id),
        Line::AppRemoved(id) => Line::AppRemoved(id),
        Line::Hidden(id, engine) => Line::Hidden(id, engine),
        Line::Shown(id) => Line::Shown(id),
        Line::Keeper(at) => Line::Keeper(at),
    }
}

/// Whether nothing may start it any more. One that ended by itself may still be mended.
fn is_stopped(task: &Task) -> bool {
    task.stop_asked || task.state == TaskState::Stopping
}

/// Causes and remedies of all kinds; what a program wrote is no part of this world.
fn diagnosis(question: &Question, rng: &mut Rng) -> Diagnosis {
    let remedy = match rng.below(8) {
        0 => Some(Remedy::DisableDevShm),
        1 => Some(Remedy::OtherEngine { engine: deskd_core::plan::EngineKind::EphemeralContainer }),
        2 => Some(Remedy::ShmSwitches),
        _ => None,
    };
    let known = remedy.is_some() || question.subject == Subject::Wait && rng.once_in(3);
    Diagnosis {
        cause: known.then_some(Cause::Crashed),
        rule: None,
        confidence: Confidence::Likely,
        sentence: deskd_core::text::Text::words("it crashed"),
        proof: Vec::new(),
        advice: deskd_core::text::Text::default(),
        remedy: remedy.map(Remedy::proposal),
        others: Vec::new(),
    }
}
