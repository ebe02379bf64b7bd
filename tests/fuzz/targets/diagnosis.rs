//! Diagnosis of any text, with any evidence: before the first zero byte the evidence as JSON, after it the
//! start of a log, after the next its end.

use deskd_core::why::{Diagnosis, Evidence, Log, OTHERS_MAX, PROOF_LINES_MAX, Place, diagnose};

use super::halves;

pub fn run(data: &[u8]) {
    let (evidence, log) = halves(data);
    let evidence = match serde_json::from_slice(evidence) {
        Ok(evidence) => evidence,
        Err(_) if evidence.is_empty() => Evidence::default(),
        Err(_) => return,
    };
    let (start, end) = halves(log);
    let diagnosis = diagnose(&Log { start, end }, &evidence);
    check(&diagnosis);
    let lines = start.split(|byte| *byte == b'\n').count().max(1) as u64;
    for proof in &diagnosis.proof {
        if let Place::Line(line) = proof.place {
            assert!((1..=lines).contains(&line), "line {line} of {lines}");
        }
    }
    // The evidence as it is kept.
    let json = serde_json::to_value(&evidence).expect("is JSON");
    let back: Evidence = serde_json::from_value(json).expect("is read back");
    assert_eq!(back, evidence);
}

/// What every diagnosis keeps.
pub fn check(diagnosis: &Diagnosis) {
    assert!(!diagnosis.sentence.is_empty(), "nothing is said");
    assert!(diagnosis.proof.len() <= PROOF_LINES_MAX, "{} proofs", diagnosis.proof.len());
    assert!(diagnosis.others.len() <= OTHERS_MAX, "{} others", diagnosis.others.len());
    let json = serde_json::to_string(diagnosis).expect("is JSON");
    let back: Diagnosis = serde_json::from_str(&json).expect("is read back");
    assert_eq!(back, *diagnosis);
}
