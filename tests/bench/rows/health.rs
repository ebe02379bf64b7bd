//! Health requests over a connection that stays open, alone and while much output is captured.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::floor;
use crate::http::Http;
use crate::os::{self, now_ns};
use crate::report::Row;
use crate::stats::{Samples, figure};
use crate::subject::{Kind, Setup, Subject};

/// Times each has its turn; the first only warms up.
const BLOCKS: usize = 101;
/// Requests in a turn.
const BLOCK_REQUESTS: usize = 100;
/// Connections that are busy at the same time.
const CONNECTIONS: usize = 8;
/// For how long, milliseconds.
const MANY_MS: u64 = 1_500;
/// deskd at most this many times bare axum.
const RATIO_MAX: f64 = 1.3;
/// Lines of 100 bytes a second while busy: 400 MB/s.
const BUSY_LINES_PER_S: u64 = 4_000_000;
/// Seconds of that.
const BUSY_S: u64 = 6;
/// deskd's 99th percentile then, milliseconds.
const BUSY_P99_MS_MAX: f64 = 10.0;

/// Bare axum and the subjects in turns.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut row = Row::new("health, one connection, p50 / p99 us", "p50 at most 1.3 of bare axum");
    let setup = Setup { services: bench.services(1, "stay", 0, &[]), ..Setup::default() };
    let mut subjects = Vec::new();
    for kind in bench.kinds.clone() {
        if matches!(kind, Kind::Deskd | Kind::Pebble | Kind::ProcessCompose) {
            subjects.extend(bench.boot(kind, &setup, &mut row));
        }
    }
    let _axum = floor::boot_axum(&bench.dir)?;
    let mut bare = Http::connect(&bench.dir.join("axum.sock"))?;
    let mut floor = Samples::default();
    let mut figures: BTreeMap<Kind, Samples> = BTreeMap::new();
    for block in 0..BLOCKS {
        let ask = |ask: &mut dyn FnMut() -> Result<()>, samples: &mut Samples| {
            for _ in 0..BLOCK_REQUESTS {
                let asked = now_ns();
                ask()?;
                if block > 0 {
                    samples.push(now_ns() - asked);
                }
            }
            anyhow::Ok(())
        };
        ask(&mut || bare.get("/livez").map(|_| ()), &mut floor)?;
        for subject in &mut subjects {
            let samples = figures.entry(subject.kind()).or_default();
            ask(&mut || subject.health().map(|_| ()), samples)?;
        }
    }
    let pair = |s: &Samples| format!("{} / {}", figure(s.p50() * 1e3), figure(s.p99() * 1e3));
    row.floor = pair(&floor);
    for (&kind, samples) in &figures {
        row.cell(kind, pair(samples));
    }
    if let Some(ours) = figures.get(&Kind::Deskd) {
        let ratio = ours.p50() / floor.p50();
        row.ratio = format!("{ratio:.2}");
        row.met = Some(ratio <= RATIO_MAX);
    }
    Ok(vec![row])
}

/// A client on a thread of its own, which asks as fast as it is answered; requests a second of all of them.
fn many(subject: &dyn Subject) -> Result<Option<f64>> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let Some(connection) = subject.health_client()? else { return Ok(None) };
        connections.push(connection);
    }
    let begun = now_ns();
    let end = begun + MANY_MS * 1_000_000;
    let clients = connections.into_iter().map(|mut client| {
        std::thread::spawn(move || -> Result<u64> {
            let mut count = 0;
            while now_ns() < end {
                client.ask()?;
                count += 1;
            }
            Ok(count)
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut requests = 0;
    for client in clients {
        requests += client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    Ok(Some(requests as f64 / ((now_ns() - begun) as f64 / 1e9)))
}

/// One subject after the other, several times.
pub fn run_many(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut row = Row::rate(format!("health, {CONNECTIONS} connections, requests/s"), "first");
    let setup = Setup { services: bench.services(1, "stay", 0, &[]), ..Setup::default() };
    for kind in bench.kinds.clone() {
        if !matches!(kind, Kind::Deskd | Kind::Pebble | Kind::ProcessCompose) {
            continue;
        }
        let Some(subject) = bench.boot(kind, &setup, &mut row) else { continue };
        if let Some(rate) = many(subject.as_ref())? {
            row.cell(kind, figure(rate));
        }
    }
    Ok(vec![row])
}

/// While a task writes 400 MB/s, as far as the subject takes that much.
fn busy(bench: &mut Bench, subject: &mut dyn Subject) -> Result<(Samples, f64)> {
    subject.start("lines-0")?;
    let begun = bench.fifo.next_of(1, 5_000)?;
    let mut samples = Samples::default();
    let end = now_ns() + (BUSY_S - 1) * 1_000_000_000;
    while now_ns() < end {
        let asked = now_ns();
        subject.health()?;
        samples.push(now_ns() - asked);
        os::pause_ms(1);
    }
    let ended = bench.fifo.next_of(1, BUSY_S * 20_000).context("the writer did not end")?;
    let bytes = (BUSY_LINES_PER_S * BUSY_S * 100) as f64;
    Ok((samples, bytes / 1e6 / ((ended.ns - begun.ns) as f64 / 1e9)))
}

/// deskd and Pebble; the others do not take 400 MB/s over a health interface.
pub fn run_busy(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut row = Row::new("health beside 400 MB/s of log, p50 / p99 ms", "p99 under 10 ms");
    for kind in bench.kinds.clone() {
        if !matches!(kind, Kind::Deskd | Kind::Pebble) {
            continue;
        }
        let lines = (BUSY_LINES_PER_S * BUSY_S).to_string();
        let services = bench.services(1, "lines", 1, &[&lines, &BUSY_LINES_PER_S.to_string()]);
        let setup = Setup { services, loggers: true, ..Setup::default() };
        let Some(mut subject) = bench.boot(kind, &setup, &mut row) else { continue };
        match busy(bench, subject.as_mut()) {
            Ok((samples, rate)) => {
                let (p50, p99) = (figure(samples.p50()), figure(samples.p99()));
                row.cell(kind, format!("{p50} / {p99} ({rate:.0})"));
                if kind == Kind::Deskd {
                    row.met = Some(samples.p99() < BUSY_P99_MS_MAX);
                }
            }
            Err(error) => row.cell(kind, format!("failed: {error:#}")),
        }
        drop(subject);
        bench.clean();
    }
    Ok(vec![row])
}
