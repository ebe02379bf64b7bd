//! Real lines of real programs, one table per family, and properties of any log.

use super::evidence::DisplayEvidence;
use super::*;
use crate::plan::EngineKind;
use crate::task::Exit;

mod ends;
mod entry_point;
mod families;
mod properties;
mod quoted;
mod ranking;
mod reported;

fn failed() -> Evidence {
    Evidence { exit: Some(Exit::Code(1)), had_window: Some(false), ..Evidence::default() }
}

fn on(engine: EngineKind, e: Evidence) -> Evidence {
    let display = match engine {
        EngineKind::PodApplication => "10.0.0.5:0",
        _ => ":0",
    };
    let display = DisplayEvidence { given: Some(display.into()), ..e.display };
    Evidence { engine: Some(engine), display, ..e }
}

#[track_caller]
fn cause_of(log: &str, e: &Evidence) -> Diagnosis {
    let diagnosis = diagnose(&Log::whole(log.as_bytes()), e);
    for proof in &diagnosis.proof {
        if !matches!(proof.place, Place::Evidence(_)) {
            assert!(log.contains(proof.text.as_str()), "{proof:?} is not in {log:?}");
        }
    }
    diagnosis
}
