//! Proportional set size of all of a supervisor's processes, without and with tasks.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::bench::Bench;
use crate::os;
use crate::report::Row;
use crate::subject::{Kind, Setup, Subject};

/// Tasks.
const COUNT: u32 = 100;
/// Longest wait for their start.
const LIMIT_MS: u64 = 20_000;
/// Time to settle before memory is read.
const SETTLE_MS: u64 = 1_000;
/// The keeper at most, MB of 10^6 bytes.
const KEEPER_MB_MAX: f64 = 1.5;
/// Everything at most without tasks, MB.
const EMPTY_MB_MAX: f64 = 6.0;
/// Everything at most with 100 tasks, MB.
const FULL_MB_MAX: f64 = 7.5;

fn mb(pids: &[i32]) -> f64 {
    os::pss_kib(pids) as f64 * 1024.0 / 1e6
}

/// The keeper's and everything's MB.
fn weigh(subject: &dyn Subject) -> (f64, f64) {
    (mb(&[subject.root()]), mb(&os::own_processes(subject.root())))
}

/// Boots with `count` services (s6 and runit: with loggers, as their output would be kept), starts
/// them all and weighs.
fn measure(bench: &mut Bench, kind: Kind, count: u32, row: &mut Row) -> Result<Option<(f64, f64)>> {
    let services = bench.services(count, "stay", 0, &[]);
    let names: Vec<String> = services.iter().map(|service| service.name.clone()).collect();
    let setup = Setup { services, loggers: true, ..Setup::default() };
    let Some(mut subject) = bench.boot(kind, &setup, row) else { return Ok(None) };
    if count > 0 {
        subject.start_all(&names)?;
    }
    for _ in 0..count {
        bench.fifo.next(LIMIT_MS)?;
    }
    os::pause_ms(SETTLE_MS);
    let weight = weigh(subject.as_ref());
    drop(subject);
    bench.clean();
    Ok(Some(weight))
}

/// One subject after the other, so that none shares pages with another.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut keeper = Row::new("PSS of the keeper with 0 / 100 tasks, MB", "at most 1.5");
    let mut all = Row::new("PSS of everything with 0 / 100 tasks, MB", "at most 6 / 7.5");
    let mut figures = BTreeMap::new();
    for kind in bench.kinds.clone() {
        let empty = measure(bench, kind, 0, &mut all)?;
        let full = measure(bench, kind, COUNT, &mut all)?;
        if let (Some(empty), Some(full)) = (empty, full) {
            all.cell(kind, format!("{:.1} / {:.1}", empty.1, full.1));
            figures.insert(kind, (empty, full));
        }
    }
    if let Some((empty, full)) = figures.get(&Kind::Deskd) {
        keeper.cell(Kind::Deskd, format!("{:.2} / {:.2}", empty.0, full.0));
        keeper.met = Some(empty.0 <= KEEPER_MB_MAX && full.0 <= KEEPER_MB_MAX);
        all.met = Some(empty.1 <= EMPTY_MB_MAX && full.1 <= FULL_MB_MAX);
    }
    Ok(vec![keeper, all])
}
