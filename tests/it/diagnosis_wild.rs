//! The rules against reports that strangers pasted into public threads (`tests/fixtures/wild`): how
//! often the cause that solved the thread is told first, and what is told where no cause of the
//! catalogue is right. Only totals are printed of `held-out/`. The floors are what was measured
//! last: whoever does better raises them.

use deskd_core::task::Exit;
use deskd_core::why::rule::Confidence;
use deskd_core::why::{Cause, Diagnosis, Evidence};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::support::corpus::{self, percent, well};

/// `case.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what is for readers is checked to be there")]
struct Case {
    source: String,
    about: String,
    kind: String,
    speaker: Speaker,
    catalogue: Catalogue,
    cause: Option<String>,
    #[serde(default)]
    also_acceptable: Vec<Cause>,
    decided_by: DecidedBy,
    #[serde(default)]
    evidence: Evidence,
}

/// Whose words the paste has: only a program's are followed by an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Speaker {
    Program,
    Cluster,
}

/// Where the truth is, when the case was collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Catalogue {
    Known,
    Future,
    Outside,
    Healthy,
}

/// What the truth was decided from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DecidedBy {
    Thread,
    Reader,
}

impl Case {
    /// The truth, if it is one of the catalogue today: a cause that was to come is of it as soon as
    /// it is there.
    fn truth(&self) -> Option<Cause> {
        let name = self.cause.as_deref()?;
        Cause::ROOTS_FIRST.into_iter().find(|cause| cause.as_str() == name)
    }

    fn is_right(&self, told: Cause) -> bool {
        self.truth() == Some(told) || self.also_acceptable.contains(&told)
    }

    /// The log, and that a program failed: as the report says, else with exit code 1.
    fn failed(&self) -> Evidence {
        let mut evidence = self.evidence.clone();
        if self.speaker == Speaker::Program && evidence.exit.is_none() {
            evidence.exit = Some(Exit::Code(1));
        }
        evidence
    }
}

/// What was told, in numbers of cases.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// The right cause, of those whose cause is in the catalogue.
    right: usize,
    /// Anything as certain.
    certain: usize,
    /// That, and rightly.
    certain_right: usize,
    /// Of those whose cause is in no catalogue: a cause as likely or certain.
    blamed_outside: usize,
    /// Of those whose cause is to come: likewise, and no acceptable one.
    blamed_future: usize,
    /// A failure of what was healthy.
    false_alarms: usize,
}

impl Told {
    fn add(&mut self, case: &Case, diagnosis: &Diagnosis) -> bool {
        let right = diagnosis.cause.is_some_and(|told| case.is_right(told));
        let sure = diagnosis.cause.is_some() && diagnosis.confidence >= Confidence::Likely;
        if diagnosis.cause.is_some() && diagnosis.confidence == Confidence::Certain {
            self.certain += 1;
            self.certain_right += usize::from(right);
        }
        let wrong = match case.catalogue {
            Catalogue::Healthy => !well(diagnosis),
            Catalogue::Outside => sure,
            _ if case.truth().is_some() => !right,
            _ => sure && !right,
        };
        match case.catalogue {
            Catalogue::Healthy => self.false_alarms += usize::from(wrong),
            Catalogue::Outside => self.blamed_outside += usize::from(wrong),
            _ if case.truth().is_some() => self.right += usize::from(right),
            _ => self.blamed_future += usize::from(wrong),
        }
        !wrong
    }

    /// Nowhere worse than `floor`.
    fn reaches(&self, floor: &Self) -> bool {
        let certain_wrong = |told: &Self| told.certain - told.certain_right;
        self.right >= floor.right
            && certain_wrong(self) <= certain_wrong(floor)
            && self.blamed_outside <= floor.blamed_outside
            && self.blamed_future <= floor.blamed_future
            && self.false_alarms <= floor.false_alarms
    }
}

/// A half, and what is told about it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Half {
    known: usize,
    future: usize,
    outside: usize,
    healthy: usize,
    /// From the log alone.
    log_alone: Told,
    /// When it is known to have failed.
    failed: Told,
}

fn measure(name: &str, mut wrong: impl FnMut(String)) -> Half {
    let mut half = Half::default();
    for directory in corpus::cases("wild", name) {
        let case: Case = corpus::known(&directory);
        match case.catalogue {
            Catalogue::Outside => half.outside += 1,
            Catalogue::Healthy => half.healthy += 1,
            _ if case.truth().is_some() => half.known += 1,
            _ => half.future += 1,
        }
        for (told, evidence, when) in [
            (&mut half.log_alone, Evidence::default(), "log alone"),
            (&mut half.failed, case.failed(), "failed"),
        ] {
            let diagnosis = corpus::diagnosed(&directory, &evidence);
            if !told.add(&case, &diagnosis) {
                let told = diagnosis.cause.map_or("nothing", Cause::as_str);
                let truth = case.cause.as_deref().unwrap_or("no cause of the catalogue");
                let confidence = diagnosis.confidence.as_str();
                let name = corpus::name(&directory);
                wrong(format!("{name}, {when}: told {told} ({confidence}), is {truth}"));
            }
        }
    }
    half
}

fn print(name: &str, half: &Half) {
    println!(
        "{name}: {} with a cause of the catalogue, {} with one to come, {} with another, \
        {} healthy",
        half.known, half.future, half.outside, half.healthy,
    );
    for (when, told) in [("log alone", &half.log_alone), ("known to have failed", &half.failed)] {
        println!(
            "  {when}: right first {} ({} %), certain {} of which right {} ({} %); \
            told likely or certain though another {} and though to come {}, false alarms {}",
            told.right,
            percent(told.right, half.known),
            told.certain,
            told.certain_right,
            percent(told.certain_right, told.certain),
            told.blamed_outside,
            told.blamed_future,
            told.false_alarms,
        );
    }
}

/// What was measured last, from the log alone and of what is known to have failed; of what is told
/// rightly two points less.
fn floors(name: &str) -> (Told, Told) {
    let told = |right, certain_wrong, blamed_outside, blamed_future, false_alarms| Told {
        right,
        certain: certain_wrong,
        certain_right: 0,
        blamed_outside,
        blamed_future,
        false_alarms,
    };
    match name {
        "read" => (told(414, 0, 1, 0, 1), told(420, 0, 2, 0, 2)),
        _ => (told(392, 2, 5, 0, 1), told(400, 2, 8, 0, 3)),
    }
}

#[test]
fn reports_of_strangers_are_told_no_worse_than_before() {
    let mut complaints = Vec::new();
    let read = measure("read", |line| complaints.push(line));
    let held_out = measure("held-out", |_| {});
    print("read", &read);
    for complaint in &complaints {
        println!("    {complaint}");
    }
    print("held-out", &held_out);
    for (name, half) in [("read", &read), ("held-out", &held_out)] {
        let (log_alone, failed) = floors(name);
        assert!(half.log_alone.reaches(&log_alone), "{name}: {:?}", half.log_alone);
        assert!(half.failed.reaches(&failed), "{name}: {:?}", half.failed);
    }
}

#[test]
fn each_report_names_its_thread_and_is_in_the_half_that_its_name_decides() {
    for half in ["read", "held-out"] {
        for directory in corpus::cases("wild", half) {
            let (name, case) = (corpus::name(&directory), corpus::known::<Case>(&directory));
            let odd = Sha256::digest(name.as_bytes())[0] % 2 == 1;
            assert_eq!(half == "held-out", odd, "{name} is in the other half");
            assert!(case.source.starts_with("https://"), "{name}: {}", case.source);
            assert!(!case.about.is_empty() && !case.kind.is_empty(), "{name} says nothing");
            let named = case.cause.is_some();
            assert_eq!(
                named,
                matches!(case.catalogue, Catalogue::Known | Catalogue::Future),
                "{name}"
            );
            assert!(
                case.catalogue != Catalogue::Known || case.truth().is_some(),
                "{name}: no such cause"
            );
        }
    }
}
