//! Cold start: from the start of the supervisor to an answer from its socket (s6, runit: to an open
//! control FIFO).

use std::collections::BTreeMap;

use anyhow::Result;

use crate::bench::Bench;
use crate::os::{self, now_ns};
use crate::report::Row;
use crate::stats::{Samples, figure};
use crate::subject::{Kind, Setup};

/// Starts of each.
const ROUNDS: usize = 12;
/// deskd at most, milliseconds.
const MS_MAX: f64 = 6.0;

/// The subjects in turns.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut row = Row::new("cold start to an answering socket, p50 ms", "at most 6");
    let setup = Setup { services: bench.services(1, "stay", 0, &[]), ..Setup::default() };
    let mut figures: BTreeMap<Kind, Samples> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for kind in bench.kinds.clone() {
            let begun = now_ns();
            let Some(subject) = bench.boot(kind, &setup, &mut row) else { continue };
            figures.entry(kind).or_default().push(now_ns() - begun);
            drop(subject);
            os::pause_ms(5);
        }
    }
    for (&kind, samples) in &figures {
        row.cell(kind, figure(samples.p50()));
    }
    row.met = figures.get(&Kind::Deskd).map(|samples| samples.p50() <= MS_MAX);
    Ok(vec![row])
}
