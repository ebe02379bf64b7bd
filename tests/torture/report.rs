//! What happened, in numbers.

use std::collections::BTreeMap;
use std::fmt;

use crate::fault::Fault;

/// Counts of one torture.
#[derive(Debug, Default)]
pub struct Report {
    pub seconds: u64,
    pub rounds: u64,
    faults: BTreeMap<&'static str, u64>,
    /// Tasks that ended, by application.
    pub ended: BTreeMap<String, u64>,
    /// Lines of writers that were read back in their place.
    pub lines: u64,
    pub bytes: u64,
    /// Bytes of which a gap record says that they were dropped, and why.
    pub on_record_as_dropped: u64,
}

impl Report {
    pub fn suffered(&mut self, fault: Fault) {
        *self.faults.entry(fault.name()).or_default() += 1;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.faults.values().sum();
        writeln!(out, "{} rounds in {} s, {faults} faults:", self.rounds, self.seconds)?;
        for (name, count) in &self.faults {
            writeln!(out, "  {count:6} {name}")?;
        }
        writeln!(out, "tasks that ended as they should:")?;
        for (app, count) in &self.ended {
            writeln!(out, "  {count:6} {app}")?;
        }
        write!(
            out,
            "{} lines ({} bytes) of writers in order and once, 0 lost; {} bytes on record as dropped",
            self.lines, self.bytes, self.on_record_as_dropped
        )
    }
}
