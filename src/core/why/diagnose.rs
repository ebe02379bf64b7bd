//! From a log and evidence to a diagnosis: which rules fire, and which of them is the cause.

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::evidence::Evidence;
use super::fact::Fact;
use super::log::{self, Log};
use super::reason::LostReason;
use super::remedy::{self, Proposal, Remedy};
use super::rule::{Confidence, NEAR_LINES, Rule, Speaker, Weight};
use super::rules::Rules;
use super::scan::Hit;
use super::{pattern, unknown};
use crate::task::Exit;

/// Lines of proof shown.
pub const PROOF_LINES_MAX: usize = 6;
/// Lines from the end of a log in which last words are, of a program whose exit code is 0: GDK
/// writes six after the error.
const LAST_WORDS_LINES_MAX: usize = 12;
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
    pub sentence: String,
    /// The lines and facts that show it; without a cause, the last lines that look like errors.
    pub proof: Vec<Proof>,
    /// What to change where, for the integrator; may be empty.
    pub advice: String,
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
    pub sentence: String,
}

/// A line or fact that shows it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
pub struct Proof {
    /// Where.
    pub place: Place,
    /// Its words: of a line, as they are there (bytes that are no UTF-8 replaced).
    pub text: String,
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

/// A text that patterns are looked for in.
struct Text<'a> {
    bytes: &'a [u8],
    from: Origin,
}

enum Origin {
    Start,
    End,
    Field(&'static str),
}

/// A rule that fired.
struct Fired<'r> {
    rule: &'r Rule,
    /// Its place in the table.
    place: usize,
    captures: Vec<String>,
    proof: Vec<Proof>,
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
        judged(fired(self, log, evidence), log, evidence)
    }
}

fn judged(mut fired: Vec<Fired<'_>>, log: &Log<'_>, evidence: &Evidence) -> Diagnosis {
    fired.sort_by_key(|fired| rank(fired.rule, fired.place));
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
        confidence: first.rule.confidence,
        sentence: filled(&first.rule.sentence, &first.captures),
        proof,
        advice: filled(&first.rule.advice, &first.captures),
        remedy: remedy::propose(first.rule.offer.unwrap_or_default(), &first.captures, evidence)
            .map(Remedy::proposal),
        others,
    }
}

/// Roots first. What many write and run well, and what is only guessed from how it ended, counts
/// less than a crash, and more than the bare fact that nothing was seen; what is guessed from a
/// shell's code, or from neither words nor a code nor a signal, counts less than words. Then the
/// surer, then the order of the table.
fn rank(rule: &Rule, place: usize) -> impl Ord + use<> {
    let guess = rule.patterns.is_empty() && rule.confidence == Confidence::Possible;
    let by_end = |fact: &Fact| matches!(fact, Fact::Signal(_) | Fact::ExitCode(_) | Fact::Hangup);
    let by_shell = |fact: &Fact| matches!(fact, Fact::ExitCode(126 | 127));
    let weak = match guess {
        true if rule.needs.iter().any(by_shell) => 2,
        true if rule.needs.iter().any(by_end) => 1,
        true => 3,
        false => u8::from(rule.weight == Weight::Noise),
    };
    let own = rule.cause.rank();
    let among = if weak > 0 { own.max(Cause::Crashed.rank()) } else { own };
    (among, weak, own, std::cmp::Reverse(rule.confidence), place)
}

fn fired<'r>(rules: &'r Rules, log: &Log<'_>, evidence: &Evidence) -> Vec<Fired<'r>> {
    let mut all: Vec<Fired<'r>> = Vec::new();
    for text in texts(log, evidence) {
        let accepts = |rule: &Rule, at: usize| {
            counts(rule, evidence)
                && (rule.speaker == Speaker::Anybody || text.may_be_the_clusters(evidence))
                && last_words(rule.weight)
                    .is_none_or(|lines| text.ends_so(at, lines, log, evidence))
                && (rule.near.is_empty() || near(text.bytes, at, rule).is_some())
        };
        for Hit { rule: place, at, captures } in rules.scanner().scan(text.bytes, rules, accepts) {
            let rule = rules.get(place);
            let proof = text.proof(rule, at, evidence);
            match all.iter_mut().find(|fired| fired.place == place) {
                Some(fired) => fired.proof.extend(proof),
                None => all.push(Fired { rule, place, captures, proof }),
            }
        }
    }
    let by_facts = |rule: &Rule| rule.patterns.is_empty() && counts(rule, evidence);
    for (place, rule) in rules.all().enumerate().filter(|(_, rule)| by_facts(rule)) {
        all.push(Fired { rule, place, captures: Vec::new(), proof: facts(rule, evidence) });
    }
    all
}

fn texts<'a>(log: &Log<'a>, evidence: &'a Evidence) -> Vec<Text<'a>> {
    let mut texts = vec![
        Text { bytes: log.start, from: Origin::Start },
        Text { bytes: log.end, from: Origin::End },
    ];
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
    let field = |name, text: &'a String| Text { bytes: text.as_bytes(), from: Origin::Field(name) };
    texts.extend(fields.into_iter().filter_map(|(name, text)| Some(field(name, text?))));
    texts.extend(not_overcome(&cluster.events).map(|event| field("cluster.events", event)));
    texts
}

/// Events without those before its last step forward: what kept it from being scheduled, or its
/// image from being pulled, is over then.
fn not_overcome(events: &[String]) -> impl Iterator<Item = &String> {
    let forward = |event: &String| {
        ["Scheduled: ", "Pulled: ", "Created: ", "Started: "].iter().any(|r| event.starts_with(r))
    };
    let from = events.iter().rposition(forward).map_or(0, |place| place + 1);
    events[from..].iter()
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
        Weight::Always | Weight::Complaint | Weight::Noise => None,
    }
}

/// The line near `at` that the rule wants: where it begins, and the line.
fn near<'a>(text: &'a [u8], at: usize, rule: &Rule) -> Option<(usize, &'a [u8])> {
    let wanted = |line: &[u8]| rule.near.iter().any(|p| pattern::matches(p, line).is_some());
    let (from, line) = log::line_at(text, at);
    let (mut before, mut after) = (from, from + line.len());
    if wanted(line) {
        return Some((from, line));
    }
    for _ in 0..NEAR_LINES {
        if after < text.len() {
            let (from, line) = log::line_at(text, after + 1);
            if wanted(line) {
                return Some((from, line));
            }
            after = from + line.len();
        }
        if before > 0 {
            let (from, line) = log::line_at(text, before - 1);
            if wanted(line) {
                return Some((from, line));
            }
            before = from;
        }
    }
    None
}

fn facts(rule: &Rule, e: &Evidence) -> Vec<Proof> {
    let shown = rule.needs.iter().filter_map(|fact| fact.shown(e));
    shown.map(|(field, text)| Proof { place: Place::Evidence(field.into()), text }).collect()
}

impl Text<'_> {
    fn may_be_the_clusters(&self, e: &Evidence) -> bool {
        matches!(self.from, Origin::Field(_)) || e.exit.is_none() && e.had_window.is_none()
    }

    /// Whether the line at `at` may be what the program ended with: of a program that is not known
    /// to have failed, it must be among so many last lines.
    fn ends_so(&self, at: usize, lines: usize, log: &Log<'_>, e: &Evidence) -> bool {
        if Fact::WorkedWell.holds(e) != Some(true) {
            return true;
        }
        match self.from {
            Origin::Field(_) => true,
            Origin::Start if !log.end.is_empty() => false,
            Origin::Start | Origin::End => {
                let text = self.bytes.trim_ascii_end();
                memchr::memrchr_iter(b'\n', text).nth(lines - 1).is_none_or(|end| at > end)
            }
        }
    }

    fn proof(&self, rule: &Rule, at: usize, e: &Evidence) -> Vec<Proof> {
        let mut proof = vec![self.line(at)];
        if let Some((from, _)) = near(self.bytes, at, rule).filter(|_| !rule.near.is_empty()) {
            proof.push(self.line(from));
        }
        proof.extend(facts(rule, e));
        proof
    }

    fn line(&self, at: usize) -> Proof {
        let (from, line) = log::line_at(self.bytes, at);
        let place = match self.from {
            Origin::Start => Place::Line(log::line_number(self.bytes, from)),
            Origin::End => Place::LineFromEnd(log::line_from_end(self.bytes, from)),
            Origin::Field(name) => Place::Evidence(name.into()),
        };
        Proof { place, text: log::shown(line, at - from).into_owned() }
    }
}

impl Fired<'_> {
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
fn filled(sentence: &str, captures: &[String]) -> String {
    let mut text = sentence.to_owned();
    for (number, capture) in captures.iter().enumerate() {
        // A captured `{2}` must not be filled in its turn: braces of programs are shown as round.
        let capture = capture.replace('{', "(").replace('}', ")");
        text = text.replace(&format!("{{{}}}", number + 1), &capture);
    }
    text
}
