//! The corpora that the diagnosis is measured on: logs of failures with what is known about them,
//! each in two halves.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use deskd_core::why::evidence::{LOG_END_BYTES_MAX, LOG_START_BYTES_MAX};
use deskd_core::why::{Cause, Diagnosis, Evidence, Log, diagnose};
use serde::de::DeserializeOwned;

/// The cases of a half of `tests/fixtures/{corpus}`, in the order of their names: directories with
/// a `case.json`.
pub(crate) fn cases(corpus: &str, half: &str) -> Vec<PathBuf> {
    let fixtures = Path::new(env!("DESKD_ROOT")).join("tests/fixtures");
    let mut found = Vec::new();
    let mut left = vec![fixtures.join(corpus).join(half)];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.join("case.json").is_file() {
                found.push(path);
            } else if path.is_dir() {
                left.push(path);
            }
        }
    }
    found.sort();
    found
}

/// What is known about a case.
pub(crate) fn known<T: DeserializeOwned>(directory: &Path) -> T {
    let case = std::fs::read(directory.join("case.json")).unwrap();
    serde_json::from_slice(&case).unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
}

/// The diagnosis of a case's log, as a task's log is looked at.
pub(crate) fn diagnosed(directory: &Path, evidence: &Evidence) -> Diagnosis {
    let log = std::fs::read(directory.join("log")).unwrap_or_default();
    let start = &log[..log.len().min(LOG_START_BYTES_MAX)];
    let end = &log[start.len().max(log.len().saturating_sub(LOG_END_BYTES_MAX))..];
    diagnose(&Log { start, end }, evidence)
}

/// Nothing fired, or only that it was stopped, which is no failure.
pub(crate) fn well(diagnosis: &Diagnosis) -> bool {
    matches!(diagnosis.cause, None | Some(Cause::StoppedByUser | Cause::StoppedByDeskd))
        && diagnosis.others.is_empty()
}

/// A case's name: that of its directory.
pub(crate) fn name(directory: &Path) -> String {
    directory.file_name().unwrap().to_string_lossy().into_owned()
}

/// Whole percent; of nothing, 100.
pub(crate) fn percent(part: usize, whole: usize) -> usize {
    (part * 100).checked_div(whole).unwrap_or(100)
}
