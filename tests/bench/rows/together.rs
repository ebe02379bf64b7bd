//! Many starts at once, until the last of the programs runs.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::floor;
use crate::os::{self, now_ns};
use crate::report::Row;
use crate::stats::{figure, median};
use crate::subject::{Kind, Setup, Subject};

/// Programs.
const COUNT: u32 = 200;
/// Times each subject does it.
const ROUNDS: u32 = 5;
/// s6 and runit do not start a service again within a second.
const PAUSE_MS: u64 = 1_200;
/// Longest wait for all of them.
const LIMIT_MS: u64 = 20_000;

/// Collects all reports, then ends the programs; when the last one ran.
fn collect(bench: &mut Bench, first_tag: u32) -> Result<u64> {
    let mut pids = Vec::new();
    let mut last = 0;
    while pids.len() < COUNT as usize {
        let report = bench.fifo.next(LIMIT_MS).with_context(|| format!("{} ran", pids.len()))?;
        if (first_tag..first_tag + COUNT).contains(&report.tag) {
            pids.push(report.pid);
            last = last.max(report.ns);
        }
    }
    pids.iter().for_each(|&pid| os::kill_9(pid));
    os::wait_until(LIMIT_MS, || {
        os::reap();
        !pids.iter().any(|&pid| os::lives(pid))
    });
    Ok(last)
}

/// All of them by one subject; milliseconds.
fn once(bench: &mut Bench, subject: &mut dyn Subject, names: &[String]) -> Result<f64> {
    subject.reconnect()?;
    let asked = now_ns();
    subject.start_all(names)?;
    let last = collect(bench, 0)?;
    subject.forget()?;
    Ok(last.saturating_sub(asked) as f64 / 1e6)
}

/// Floor and subjects in turns.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut row = Row::new(format!("{COUNT} starts at once until all run, ms"), "ahead of s6");
    let services = bench.services(COUNT, "stay", 0, &[]);
    let names: Vec<String> = services.iter().map(|service| service.name.clone()).collect();
    let setup = Setup { services, ..Setup::default() };
    let mut subjects = bench.boot_all(&setup, &mut row);
    let mut figures: BTreeMap<Kind, Vec<f64>> = BTreeMap::new();
    let mut floors = Vec::new();
    for _ in 0..ROUNDS {
        let asked = now_ns();
        for tag in 0..COUNT {
            floor::spawn(&bench.argv("stay", tag, &[]), None)?;
        }
        floors.push(collect(bench, 0)?.saturating_sub(asked) as f64 / 1e6);
        let mut go_on = Vec::with_capacity(subjects.len());
        for mut subject in subjects {
            match once(bench, &mut *subject, &names) {
                Ok(ms) => {
                    figures.entry(subject.kind()).or_default().push(ms);
                    go_on.push(subject);
                }
                Err(error) => {
                    // Its programs are of no other's figure.
                    eprintln!("{} failed: {error:#}", subject.kind().name());
                    figures.remove(&subject.kind());
                    row.cell(subject.kind(), "failed");
                }
            }
        }
        subjects = go_on;
        os::pause_ms(PAUSE_MS);
    }
    row.floor = figure(median(&floors));
    for (&kind, values) in &figures {
        row.cell(kind, figure(median(values)));
    }
    if let Some(ours) = figures.get(&Kind::Deskd).map(|values| median(values)) {
        row.ratio = format!("{:.2}", ours / median(&floors));
        row.met = figures.get(&Kind::S6).map(|values| ours < median(values));
    }
    Ok(vec![row])
}
