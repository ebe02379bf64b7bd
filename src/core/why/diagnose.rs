//! From a log and evidence to a diagnosis: which rules fire, and which of them is the cause.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::confidence;
use super::ending::{self, Ending};
use super::evidence::Evidence;
use super::fact::Fact;
use super::guess::{self, Guess};
use super::heard;
use super::last_words;
use super::log::{self, Log};
use super::reason::LostReason;
use super::remedy::{self, Proposal, Remedy};
use super::rule::{Confidence, Rule, Speaker, Weight};
use super::rules::Rules;
use super::scan::Hit;
use super::scheduling;
use super::text::{Origin, Text};
use super::unknown;
use super::view::{self, View};
use crate::task::Exit;

/// Lines of proof shown.
pub const PROOF_LINES_MAX: usize = 6;
/// Lines from the end of a log in which last words are, of a program whose exit code is 0: GDK
/// writes six after the error.
const LAST_WORDS_LINES_MAX: usize = 12;
/// Lines from the end of a log in which a complaint tells more than a crash that follows from it.
const LATE_LINES_MAX: usize = 12;
/// Other causes told.
pub const OTHERS_MAX: usize = 5;

/// Why it failed, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Diagnosis {
    /// Why; absent: it is not known, or there is nothing to explain.
    pub cause: Option<Cause>,
    /// The rule that told it.
    pub rule: Option<String>,
    /// How sure.
    pub confidence: Confidence,
    /// What happened, for the user.
    pub sentence: crate::text::Text,
    /// The lines and facts that show it; without a cause, the last lines that look like errors.
    pub proof: Vec<Proof>,
    /// What to change where, for the integrator; may be empty.
    pub advice: crate::text::Text,
    /// What deskd can do itself.
    pub remedy: Option<Proposal>,
    /// Other causes that fired, the likelier first.
    pub others: Vec<Other>,
}

/// Another cause that fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Other {
    /// Which.
    pub cause: Cause,
    /// The rule that told it.
    pub rule: String,
    /// How sure by itself.
    pub confidence: Confidence,
    /// What it would mean.
    pub sentence: crate::text::Text,
}

/// A line or fact that shows it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
pub struct Proof {
    /// Where.
    pub place: Place,
    /// A fact as a sentence. Of a line its words, as they are there (bytes that are no UTF-8 replaced).
    pub text: crate::text::Text,
}

/// Where a proof is from.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A line of the log, from 1.
    Line(u64),
    /// A line of the log counted from its last one, which is 1.
    LineFromEnd(u64),
    /// A field of the evidence.
    Evidence(String),
}

/// What is asked: a log, and what else is known.
struct Asked<'a> {
    log: &'a Log<'a>,
    evidence: &'a Evidence,
    /// The log's start, its end, and what the cluster said.
    parts: &'a [Part<'a>],
    /// Each of them and then their readings, with all that rules have in them.
    texts: &'a [(Vec<Hit>, Text<'a>)],
    /// Nobody knows who speaks in the log.
    anybody_speaks: bool,
    /// Only what is said from here on, in the part that the log ends with.
    since: Option<usize>,
}

/// A text, and other readings of it.
struct Part<'a> {
    from: Origin,
    bytes: &'a [u8],
    views: Vec<View>,
}

impl<'a> Part<'a> {
    fn new(from: Origin, bytes: &'a [u8]) -> Self {
        Self { from, bytes, views: view::readings(bytes) }
    }
}

/// A rule that fired.
pub(super) struct Fired<'r> {
    pub(super) rule: &'r Rule,
    /// Its place in the table.
    place: usize,
    captures: Vec<String>,
    proof: Vec<Proof>,
    /// It is among the last lines of the log.
    pub(super) late: bool,
    /// Who says it ends with it.
    fatal: bool,
}

/// Why it failed, by deskd's own rules. Never panics, whatever the bytes are.
#[must_use]
pub fn diagnose(log: &Log<'_>, evidence: &Evidence) -> Diagnosis {
    Rules::built_in().diagnose(log, evidence)
}

impl Rules {
    /// Why it failed, by these rules. Never panics, whatever the bytes are.
    #[must_use]
    pub fn diagnose(&self, log: &Log<'_>, evidence: &Evidence) -> Diagnosis {
        let parts = parts(log, evidence);
        let anybody_speaks = evidence.exit.is_none() && evidence.had_window.is_none();
        let texts: Vec<_> =
            texts(&parts).map(|text| (self.scanner().scan(text.bytes, self), text)).collect();
        let asked =
            Asked { log, evidence, parts: &parts, texts: &texts, anybody_speaks, since: None };
        let known = fired(self, &asked);
        let ending = ending::is_open(evidence).then(|| asked.ending()).flatten();
        let diagnosis = match ending {
            Some(ending) => self.by_its_words(&asked, known, ending),
            None => judged(known, log, evidence),
        };
        let failed = ending.is_some() || Fact::Failed.holds(evidence) == Some(true);
        let began_well = Fact::BeganWell.holds(evidence) == Some(true);
        let silent = diagnosis.cause.is_none() && failed && !began_well;
        let since = ending.and_then(Ending::complaint_since);
        if last_words::are_wanted(&diagnosis, self) {
            return last_words::joined(self.guessed(&asked, last_words::guesses), diagnosis);
        }
        let complaints = |rules: &Self, text: &Text<'_>| guess::of(rules, text, since, log);
        silent.then(|| self.guessed(&asked, complaints)).flatten().unwrap_or(diagnosis)
    }

    /// By what the last complaints are about, when nothing is told.
    fn guessed(
        &self,
        asked: &Asked<'_>,
        guesses: impl Fn(&Self, &Text<'_>) -> Vec<Guess>,
    ) -> Option<Diagnosis> {
        let of_log = |text: &Text<'_>| text.is_of_the_end(asked.log);
        let texts = asked.texts.iter().map(|(_, text)| text).filter(|text| of_log(text));
        let found =
            texts.flat_map(|text| guesses(self, text).into_iter().map(move |guess| (text, guess)));
        let nearest =
            |(_, it): &(&Text<'_>, Guess)| (Reverse(it.known), self.get(it.place).cause.rank());
        let (text, Guess { place, at, .. }) = found.min_by_key(nearest)?;
        let (rule, proof) = (self.get(place), text.lines(at));
        let guess = Fired { rule, place, captures: Vec::new(), proof, late: true, fatal: false };
        Some(judged(vec![guess], asked.log, asked.evidence))
    }

    /// When nothing but a text is known, and the text tells how it ended.
    fn by_its_words(&self, asked: &Asked<'_>, known: Vec<Fired<'_>>, ending: Ending) -> Diagnosis {
        let evidence = ending.evidence();
        let sure: Vec<&str> = known.iter().map(|fired| fired.rule.id.as_str()).collect();
        let since = ending.complaint_since();
        let mut all = fired(self, &Asked { evidence: &evidence, since, ..*asked });
        match ending {
            Ending::Failed { code: _, at } => {
                let told = asked.text_of_tail().line(at);
                all.iter_mut().for_each(|fired| fired.told_in(&told));
                // What only the code tells is told by whoever wrote it down.
                let in_words = |d: &Diagnosis| d.rule.as_deref().is_some_and(|r| self.has_words(r));
                let diagnosis = judged(all, asked.log, asked.evidence);
                let most =
                    if in_words(&diagnosis) { Confidence::Likely } else { Confidence::Possible };
                return confidence::capped(diagnosis, &sure, most);
            }
            Ending::Complaint { .. } if !known.is_empty() => {
                return judged(known, asked.log, asked.evidence);
            }
            Ending::Complaint { since } => {
                let lines = asked.text_of_tail().lines_from(since);
                // Of a text that has nothing else, a complaint is what it is about.
                let alone = |cause| since == 0 && cause == Cause::FilePermission;
                let guess = |rule: &Rule| {
                    heard::is_shrugged_off(rule.cause)
                        && !alone(rule.cause)
                        && rule.weight == Weight::Noise
                        && rule.confidence == Confidence::Possible
                };
                all.retain(|fired| {
                    !guess(fired.rule) && fired.proof.iter().any(|it| lines.contains(&it.place))
                });
            }
        }
        confidence::capped(judged(all, asked.log, asked.evidence), &sure, Confidence::Possible)
    }

    pub(super) fn has_words(&self, rule: &str) -> bool {
        self.all().any(|it| it.id == rule && !it.patterns.is_empty())
    }
}

impl<'a> Asked<'a> {
    /// How it ended, by its own words or those of another reading (another language).
    fn ending(&self) -> Option<Ending> {
        // Of the part that the last line is in: places in another mean nothing there.
        let Part { views, .. } = &self.parts[usize::from(!self.log.end.is_empty())];
        let read = |view: &View| {
            let ending = ending::of(&Log::whole(&view.bytes))?;
            Some(ending.in_original(|at| view.original(at).start))
        };
        ending::of(self.log).or_else(|| views.iter().rev().find_map(read))
    }

    /// The part of the log that its last line is in.
    fn text_of_tail(&self) -> Text<'a> {
        let from = if self.log.end.is_empty() { Origin::Start } else { Origin::End };
        Text::new(self.log.tail(), from)
    }
}

fn judged(mut fired: Vec<Fired<'_>>, log: &Log<'_>, evidence: &Evidence) -> Diagnosis {
    without_what_follows_a_crash(&mut fired);
    fired.sort_by_key(rank);
    let Some(first) = fired.first() else { return unknown::diagnosis(log, evidence) };
    let cause = first.rule.cause;
    let mut proof: Vec<Proof> =
        fired.iter().filter(|f| f.rule.cause == cause).flat_map(|f| f.proof.clone()).collect();
    let own = first.proof.len();
    proof[own..].sort();
    let mut known = Vec::new();
    proof.retain(|proof| {
        !known.contains(proof) && {
            known.push(proof.clone());
            true
        }
    });
    proof.truncate(PROOF_LINES_MAX);
    proof.sort();
    let mut others: Vec<Other> = Vec::new();
    for fired in &fired {
        if fired.rule.cause != cause && others.iter().all(|o| o.cause != fired.rule.cause) {
            others.push(fired.as_other());
        }
    }
    others.truncate(OTHERS_MAX);
    Diagnosis {
        cause: Some(cause),
        rule: Some(first.rule.id.clone()),
        confidence: confidence::of(&fired),
        sentence: filled(&first.rule.sentence, &first.captures),
        proof,
        advice: filled(&first.rule.advice, &first.captures),
        remedy: remedy::propose(first.rule.offer.unwrap_or_default(), &first.captures, evidence)
            .map(Remedy::proposal),
        others,
    }
}

/// What a program says of its display after it crashed is what the debugger met; that the display is
/// lost is what others say after the X server crashed.
fn without_what_follows_a_crash(fired: &mut Vec<Fired<'_>>) {
    let line = |fired: &Fired<'_>| match fired.proof.first()?.place {
        Place::Line(number) => Some(number),
        _ => None,
    };
    // A panic or an assertion tells what it is about in the lines that follow.
    let by_itself = |it: &&Fired<'_>| it.rule.weight != Weight::Noise;
    let crashes = fired.iter().filter(|it| it.rule.cause == Cause::Crashed).filter(by_itself);
    let Some(crash) = crashes.filter_map(line).min() else { return };
    let display = |cause| {
        matches!(cause, Cause::DisplayWrong | Cause::DisplayNotListening | Cause::DisplayLost)
    };
    // So does what a C++ exception says.
    let of_it = |it: &Fired<'_>| {
        it.proof.first().is_some_and(|it| it.text.trim_start().starts_with("what():"))
    };
    fired.retain(|it| !(display(it.rule.cause) && line(it) > Some(crash)) || of_it(it));
}

/// Roots first. What many write and run well, and what is only guessed from how it ended, counts
/// less than a crash, and more than the bare fact that nothing was seen; what is guessed from a
/// shell's code, or from neither words nor a code nor a signal, counts less than words. An abort says
/// only that something was wrong: what was told likely just before it is what. Then the surer, then the
/// order of the table.
fn rank(fired: &Fired<'_>) -> impl Ord + use<> {
    let (rule, place) = (fired.rule, fired.place);
    let weak = weakness(fired);
    let own = rule.cause.rank();
    let among = if weak > 0 { own.max(Cause::Crashed.rank()) } else { own };
    (among, weak, own, Reverse(rule.confidence), place)
}

/// How little it tells of the root: 0 of words that count by themselves.
fn weakness(fired: &Fired<'_>) -> u8 {
    let rule = fired.rule;
    let crash = rule.cause == Cause::Crashed;
    let possible = rule.confidence == Confidence::Possible;
    let by_end = |fact: &Fact| matches!(fact, Fact::Signal(_) | Fact::ExitCode(_) | Fact::Hangup);
    let by_shell = |fact: &Fact| matches!(fact, Fact::ExitCode(126 | 127));
    // An abort is told by its signal alone, and is no guess.
    if rule.patterns.is_empty() && possible && !crash {
        return match &rule.needs {
            needs if needs.iter().any(by_shell) => 4,
            needs if needs.iter().any(by_end) => 3,
            _ => 5,
        };
    }
    let telling = !possible && fired.late;
    match rule.weight {
        Weight::Noise if fired.fatal || telling && rule.cause == Cause::GlMissing => 0,
        Weight::Noise if telling => 1,
        Weight::Noise => 3,
        _ if crash && possible => 2,
        // The cluster's name for a kind of failure, which says nothing of why.
        _ if possible && rule.speaker == Speaker::Cluster => 2,
        _ => 0,
    }
}

fn fired<'r>(rules: &'r Rules, asked: &Asked<'_>) -> Vec<Fired<'r>> {
    let (log, evidence) = (asked.log, asked.evidence);
    let mut all: Vec<Fired<'r>> = Vec::new();
    for (hits, text) in asked.texts {
        let mut found = Vec::new();
        let accepts = |rule: &Rule, at: usize| {
            counts(rule, evidence)
                && text.is_spoken_by(rule, at, asked.anybody_speaks)
                && !(rule.weight == Weight::Noise && text.progress.is_ready_after(text.bytes, at))
                && !(rule.weight == Weight::Complaint && text.is_warning(at, rule))
                // Of noise, the last word at most: who warns and goes on was not ended by it.
                && !(rule.weight == Weight::Noise
                    && text.is_warning(at, rule)
                    && !(text.is_of_the_end(log) && text.is_late(at, ending::LAST_LINES)))
                && !text.progress.is_overcome(rule.cause, text.bytes, at)
                && !scheduling::is_outweighed(rule.cause, text.bytes, at)
                && last_words(rule.weight)
                    .is_none_or(|lines| text.ends_so(at, lines, log, evidence))
                && rule
                    .last_lines
                    .is_none_or(|lines| text.is_of_the_end(log) && text.is_late(at, lines))
                && asked.since.is_none_or(|since| text.is_since(at, since, log))
                && (rule.near.is_empty() || text.near(at, &rule.near).is_some())
                && (rule.not_near.is_empty() || text.near(at, &rule.not_near).is_none())
        };
        for hit in hits {
            let Hit { rule: place, at, .. } = *hit;
            let rule = rules.get(place);
            // Each rule once in a text, at its first place.
            if found.contains(&place) || !accepts(rule, at) {
                continue;
            }
            found.push(place);
            if text.view.is_some() && all.iter().any(|fired| fired.place == place) {
                continue;
            }
            let late = text.is_of_the_end(log) && text.is_late(at, LATE_LINES_MAX);
            let fatal = heard::is_fatal(log::line_at(text.bytes, at).1);
            let proof = text.proof(rule, at, evidence);
            match all.iter_mut().find(|fired| fired.place == place) {
                Some(fired) => {
                    fired.proof.extend(proof);
                    fired.late |= late;
                    fired.fatal |= fatal;
                }
                None => {
                    let captures = hit.captures(text.bytes, rules);
                    all.push(Fired { rule, place, captures, proof, late, fatal });
                }
            }
        }
    }
    let by_facts = |rule: &Rule| rule.patterns.is_empty() && counts(rule, evidence);
    for (place, rule) in rules.all().enumerate().filter(|(_, rule)| by_facts(rule)) {
        let proof = facts(rule, evidence);
        all.push(Fired { rule, place, captures: Vec::new(), proof, late: false, fatal: false });
    }
    all
}

fn texts<'a>(parts: &'a [Part<'a>]) -> impl Iterator<Item = Text<'a>> {
    let readings = parts.iter().flat_map(|part| {
        let read =
            |view| Text { view: Some((view, part.bytes)), ..Text::new(&view.bytes, part.from) };
        part.views.iter().map(read)
    });
    parts.iter().map(|part| Text::new(part.bytes, part.from)).chain(readings)
}

fn parts<'a>(log: &Log<'a>, evidence: &'a Evidence) -> Vec<Part<'a>> {
    let cluster = &evidence.cluster;
    let why = match &evidence.exit {
        Some(Exit::Lost(LostReason::Told(words))) => Some(words),
        _ => None,
    };
    let fields = [
        ("exit", why),
        ("cluster.container_reason", cluster.container_reason.as_ref()),
        ("cluster.container_message", cluster.container_message.as_ref()),
        ("cluster.pod_reason", cluster.pod_reason.as_ref()),
        ("cluster.pod_message", cluster.pod_message.as_ref()),
        ("cluster.unscheduled", cluster.unscheduled.as_ref()),
        ("cluster.refusal", cluster.refusal.as_ref()),
        ("cluster.resize", cluster.resize.as_ref()),
    ];
    let field = |name, text: &'a String| Part::new(Origin::Field(name), text.as_bytes());
    let mut parts = vec![Part::new(Origin::Start, log.start), Part::new(Origin::End, log.end)];
    parts.extend(fields.into_iter().filter_map(|(name, text)| Some(field(name, text?))));
    parts.extend(heard::not_overcome(&cluster.events).map(|event| field("cluster.events", event)));
    parts
}

/// Whether the evidence lets the rule fire.
fn counts(rule: &Rule, e: &Evidence) -> bool {
    let known = |fact: &Fact| fact.holds(e) == Some(true);
    let by_weight = match rule.weight {
        Weight::Always => rule.patterns.is_empty() || !known(&Fact::WorkedUnseen),
        Weight::LastWords | Weight::LastLine => {
            let goes_on = e.exit.is_none() || known(&Fact::Stopped);
            !(known(&Fact::WorkedUnseen) || known(&Fact::RanWell) && goes_on)
        }
        Weight::Complaint => !known(&Fact::WorkedWell),
        Weight::Guess => false,
        Weight::Noise => {
            let doubtful = rule.confidence == Confidence::Possible && known(&Fact::ExitZero);
            known(&Fact::Failed) && !known(&Fact::BeganWell) && !doubtful
        }
    };
    by_weight && rule.needs.iter().all(known) && !rule.unless.iter().any(known)
}

/// In how many last lines words of this weight must be when the exit code tells no failure.
fn last_words(weight: Weight) -> Option<usize> {
    match weight {
        Weight::LastWords => Some(LAST_WORDS_LINES_MAX),
        Weight::LastLine => Some(1),
        Weight::Always | Weight::Complaint | Weight::Noise | Weight::Guess => None,
    }
}

pub(super) fn facts(rule: &Rule, e: &Evidence) -> Vec<Proof> {
    let shown = rule.needs.iter().filter_map(|fact| fact.shown(e));
    shown.map(|(field, text)| Proof { place: Place::Evidence(field.into()), text }).collect()
}

impl Fired<'_> {
    /// How it ended is told in a line of the log, not in the evidence.
    fn told_in(&mut self, line: &Proof) {
        for proof in &mut self.proof {
            if proof.place == Place::Evidence("exit".into()) {
                *proof = line.clone();
            }
        }
    }

    fn as_other(&self) -> Other {
        Other {
            cause: self.rule.cause,
            rule: self.rule.id.clone(),
            confidence: self.rule.confidence,
            sentence: filled(&self.rule.sentence, &self.captures),
        }
    }
}

/// The sentence with what the stars stood for.
fn filled(sentence: &str, captures: &[String]) -> crate::text::Text {
    let values = captures
        .iter()
        .enumerate()
        .map(|(at, it)| ((at + 1).to_string().into(), crate::text::Text::words(it)));
    crate::text::Text::filled(sentence.to_owned(), values.collect())
}
