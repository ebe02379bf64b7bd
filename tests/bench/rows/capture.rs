//! Log capture: how fast a supervisor takes and keeps lines of 100 bytes, and what CPU that costs.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::bench::Bench;
use crate::floor::Pipe;
use crate::os::{self, now_ns};
use crate::report::Row;
use crate::stats::{figure, median};
use crate::subject::{Kind, Setup, Subject};

/// Bytes of a line, as `probe.c` writes it.
const LINE_BYTES: u64 = 100;
/// Lines of 1 GiB.
const LINES: u64 = (1 << 30) / LINE_BYTES;
/// Room for the log: everything with its decoration must fit.
pub const LOG_BYTES: u64 = 4 << 30;
/// Times the floor and the fast ones are measured, in turns.
const ROUNDS: usize = 3;
/// Longest wait for one run.
const LIMIT_MS: u64 = 60_000;
/// Time for what is on its way, milliseconds.
const DRAIN_MS: u64 = 200;
/// A log that is not complete and has not grown for so long never will be, nanoseconds.
const SILENCE_NS: u64 = 2_000_000_000;
/// deskd at least, MB/s.
const RATE_MIN: f64 = 1_000.0;
/// deskd at least this many times s6-log.
const S6_RATIO_MIN: f64 = 2.5;
/// deskd at most, CPU seconds per GB.
const CPU_MAX: f64 = 0.9;

/// Lines for each subject: the slow ones get less, or the bench would take too long.
fn lines_of(kind: Kind) -> u64 {
    match kind {
        Kind::ProcessCompose => LINES / 16,
        Kind::Runit => LINES / 4,
        _ => LINES,
    }
}

/// One run's figures.
#[derive(Default)]
struct Run {
    mb_per_s: Vec<f64>,
    cpu_s_per_gb: Vec<f64>,
    kept_percent: Vec<f64>,
}

impl Run {
    fn add(&mut self, lines: u64, ns: u64, cpu_s: f64) {
        let bytes = (lines * LINE_BYTES) as f64;
        self.mb_per_s.push(bytes / 1e6 / (ns as f64 / 1e9));
        self.cpu_s_per_gb.push(cpu_s / (bytes / 1e9));
    }
}

fn floor(bench: &mut Bench, run: &mut Run) -> Result<()> {
    let file = bench.dir.join("floor.log");
    let argv = bench.argv("lines", 1, &[&LINES.to_string(), "0"]);
    let mut pipe = Pipe::spawn(&argv)?;
    let begun = bench.fifo.next_of(1, LIMIT_MS)?;
    let cpu_s = pipe.copy_to(&file)?;
    let ended = bench.fifo.next_of(1, LIMIT_MS)?;
    run.add(LINES, ended.ns - begun.ns, cpu_s);
    Ok(std::fs::remove_file(file)?)
}

/// Bytes of whole lines that are in the log now.
fn kept(subject: &mut dyn Subject) -> Result<u64> {
    let mut bytes = 0;
    subject.kept("lines-0", &mut |line| {
        if line.len() as u64 == LINE_BYTES - 1 {
            bytes += LINE_BYTES;
        }
    })?;
    Ok(bytes)
}

/// Starts the writer, waits for its end, then reads everything back.
fn subject(bench: &mut Bench, subject: &mut dyn Subject, run: &mut Run) -> Result<()> {
    let pids = os::own_processes(subject.root());
    let before = os::cpu_seconds(&pids);
    subject.start("lines-0")?;
    let begun = bench.fifo.next_of(1, LIMIT_MS)?;
    let ended = bench.fifo.next_of(1, LIMIT_MS)?;
    // What is left in the pipe, 64 KiB at most, is drained after the writer's end.
    os::pause_ms(DRAIN_MS);
    let mut cpu_s = os::cpu_seconds(&pids) - before;
    let lines = lines_of(subject.kind());
    // Some queue inside: the capture is over when the last line is in the log.
    let (mut bytes, mut over_ns, mut grew_ns) = (kept(subject)?, ended.ns, now_ns());
    while bytes < lines * LINE_BYTES && now_ns() < grew_ns + SILENCE_NS {
        os::pause_ms(DRAIN_MS);
        let more = kept(subject)?;
        if more > bytes {
            (bytes, over_ns, grew_ns) = (more, now_ns(), now_ns());
            cpu_s = os::cpu_seconds(&pids) - before;
        }
    }
    if bytes == 0 {
        bail!("none of its lines was found in its log: the bench does not read it right");
    }
    run.add(lines, over_ns - begun.ns, cpu_s);
    run.kept_percent.push(bytes as f64 * 100.0 / (lines * LINE_BYTES) as f64);
    Ok(())
}

/// The subjects one after the other (each needs gigabytes), the floor before each round.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut rate = Row::rate(
        "log capture, 1 GiB of 100-byte lines, MB/s",
        "at least 1000 and 2.5 times s6-log, every byte kept",
    );
    let mut cpu = Row::new("the same, CPU seconds per GB", "at most 0.9");
    let mut kept = Row::rate("the same, kept, %", "100");
    let mut floors = Run::default();
    let mut figures: BTreeMap<Kind, Run> = BTreeMap::new();
    for round in 0..ROUNDS {
        floor(bench, &mut floors)?;
        for kind in bench.kinds.clone() {
            let fast = matches!(kind, Kind::Deskd | Kind::S6);
            if round > 0 && !fast {
                continue;
            }
            let count = lines_of(kind).to_string();
            let services = bench.services(1, "lines", 1, &[&count, "0"]);
            let setup = Setup { services, loggers: true, log_bytes: LOG_BYTES, ..Setup::default() };
            let Some(mut booted) = bench.boot(kind, &setup, &mut rate) else { continue };
            let run = figures.entry(kind).or_default();
            if let Err(error) = subject(bench, booted.as_mut(), run) {
                eprintln!("{}: {error:#}", kind.name());
            }
            drop(booted);
            bench.clean();
        }
    }
    rate.floor = figure(median(&floors.mb_per_s));
    cpu.floor = figure(median(&floors.cpu_s_per_gb));
    for (&kind, run) in &figures {
        rate.cell(kind, figure(median(&run.mb_per_s)));
        cpu.cell(kind, figure(median(&run.cpu_s_per_gb)));
        kept.cell(kind, format!("{:.4}", median(&run.kept_percent)));
    }
    verdicts(&mut rate, &mut cpu, &mut kept, &floors, &figures);
    Ok(vec![rate, cpu, kept])
}

fn verdicts(
    rate: &mut Row,
    cpu: &mut Row,
    kept: &mut Row,
    floors: &Run,
    figures: &BTreeMap<Kind, Run>,
) {
    let Some(ours) = figures.get(&Kind::Deskd) else { return };
    let mb = median(&ours.mb_per_s);
    let cpu_s = median(&ours.cpu_s_per_gb);
    rate.ratio = format!("{:.2}", mb / median(&floors.mb_per_s));
    cpu.ratio = format!("{:.2}", cpu_s / median(&floors.cpu_s_per_gb));
    let s6 = figures.get(&Kind::S6).map_or(0.0, |run| median(&run.mb_per_s));
    rate.met = Some(mb >= RATE_MIN && mb >= S6_RATIO_MIN * s6);
    cpu.met = Some(cpu_s <= CPU_MAX);
    kept.met = Some(ours.kept_percent.iter().all(|&percent| percent == 100.0));
}
