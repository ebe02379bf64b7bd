//! Bytes of the stripped binary.

use anyhow::Result;

use crate::bench::Bench;
use crate::report::Row;
use crate::subject::Kind;

/// Megabytes of 10^6 bytes.
const MB_MAX: f64 = 12.0;

/// Compiled subjects only: s6 and runit are many small programs, supervisord is Python.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut row = Row::new("stripped binary, MB", "at most 12");
    for &kind in &[Kind::Deskd, Kind::Pebble, Kind::ProcessCompose] {
        let Some(binary) = kind.installed().filter(|_| bench.kinds.contains(&kind)) else {
            continue;
        };
        let mb = std::fs::metadata(std::fs::canonicalize(binary)?)?.len() as f64 / 1e6;
        row.cell(kind, format!("{mb:.1}"));
        if kind == Kind::Deskd {
            row.met = Some(mb <= MB_MAX);
        }
    }
    Ok(vec![row])
}
