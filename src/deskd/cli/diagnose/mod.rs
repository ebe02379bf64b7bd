//! `deskd diagnose`: why a program failed, from its log, without a daemon.
//!
//! Deliberately not here: any knowledge of failures. That is `deskd_core::why`.

mod read;
mod state;

use std::path::Path;

use serde::Serialize;

use super::failure::{Failure, note};
use super::output::{Out, Tone, printable};
use crate::cli::safe::Safe;
use crate::config::{self, Env, OperatorRules};
use deskd_core::exit::Exit;
use deskd_core::why::rules::LazyRules;
use deskd_core::why::{Diagnosis, Evidence, Log, Place};

/// Largest file of evidence, in bytes.
const EVIDENCE_BYTES_MAX: u64 = 4 << 20;

/// A log and what it shows.
#[derive(Debug, Serialize)]
struct Diagnosed {
    file: String,
    #[serde(flatten)]
    diagnosis: Diagnosis,
}

/// Diagnoses each log by itself. Documents of states beside logs are evidence for them.
pub fn run(
    files: &[impl AsRef<Path>],
    evidence: Option<&Path>,
    exit: Option<u8>,
    env: &Env,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let mut evidence = evidence.map_or_else(|| Ok(Evidence::default()), read_evidence)?;
    if let Some(code) = exit {
        evidence.exit = Some(deskd_core::task::Exit::Code(i32::from(code)));
    }
    let mut logs = Vec::new();
    let mut states = Vec::new();
    for file in files {
        let log = read::log(file.as_ref())?;
        match log.whole().and_then(state::evidence) {
            Some(state) => states.push((file.as_ref(), state)),
            None => logs.push((file.as_ref(), log)),
        }
    }
    let beside: Vec<Evidence> = states.iter().map(|(_, state)| state.clone()).collect();
    let rules = rules(env);
    let mut all = Vec::new();
    let mut diagnose = |file: &Path, log: &Log<'_>, evidence: &Evidence| {
        let diagnosis = rules.get().diagnose(log, evidence);
        all.push(Diagnosed { file: file.display().to_string(), diagnosis });
    };
    for (file, log) in &logs {
        diagnose(file, &log.view(), &state::completed(evidence.clone(), &beside));
    }
    if logs.is_empty() {
        for (file, state) in states {
            diagnose(file, &Log::default(), &state::completed(evidence.clone(), &[state]));
        }
    }
    if out.is_json() {
        out.json(&all)?;
    } else {
        for (number, one) in all.iter().enumerate() {
            if number > 0 {
                out.text("\n")?;
            }
            show(one, all.len() > 1, out)?;
        }
    }
    let explained = all.iter().all(|one| one.diagnosis.cause.is_some());
    Ok(if explained { Exit::Ok } else { Exit::Unhealthy })
}

/// deskd's own, and those of the configuration, if there is one.
fn rules(env: &Env) -> LazyRules {
    let directory = match config::read(None, env) {
        Ok(draft) => draft.rules_directory().map(Path::to_owned),
        Err(_) => {
            note(
                "the configuration is not valid (`deskd check-config`): deskd's own rules alone are used",
            );
            None
        }
    };
    let OperatorRules { rules, problems } =
        directory.as_deref().map(OperatorRules::read).unwrap_or_default();
    problems.iter().for_each(|problem| note(problem));
    LazyRules::new(rules)
}

fn read_evidence(file: &Path) -> Result<Evidence, Failure> {
    use std::io::Read as _;
    let doing = format!("read the evidence in {}", file.display());
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(EVIDENCE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| read::unreadable(&doing, &error))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::new(Exit::Usage, &doing, error)
            .remedy("docs/diagnosis.md has its fields; what is not known is left out")
    })
}

fn show(one: &Diagnosed, named: bool, out: &mut Out) -> Result<(), Failure> {
    let diagnosis = &one.diagnosis;
    if named {
        out.text(out.toned(&printable(&one.file), Tone::Dim))?;
    }
    let tone = if diagnosis.cause.is_some() { Tone::Bad } else { Tone::Plain };
    out.text(out.toned(&printable(&diagnosis.sentence), tone))?;
    for proof in &diagnosis.proof {
        let place = match &proof.place {
            Place::Line(number) => format!("line {number}"),
            Place::LineFromEnd(1) => "last line".into(),
            Place::LineFromEnd(number) => format!("line {number} from the end"),
            Place::Evidence(field) => field.clone(),
        };
        let place = out.toned(&printable(&place), Tone::Dim);
        out.text(Safe::from("  ").and(place).and(format!(": {}", printable(&proof.text))))?;
    }
    let cause = diagnosis.cause.map(|cause| {
        let rule = diagnosis.rule.as_deref().unwrap_or_default();
        format!("{} ({}, rule {rule})", cause.as_str(), diagnosis.confidence.as_str())
    });
    let others: Vec<_> =
        diagnosis.others.iter().map(|o| format!("{}: {}", o.cause.as_str(), o.sentence)).collect();
    out.fields(&[
        ("cause", cause.unwrap_or_default()),
        ("what to do", diagnosis.advice.to_string()),
        (
            "deskd can",
            diagnosis.remedy.as_ref().map(|r| r.sentence.to_string()).unwrap_or_default(),
        ),
        ("also seen", others.join("\n")),
    ])
}
