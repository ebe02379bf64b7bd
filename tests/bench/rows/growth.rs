//! What a start costs as deskd grows: tasks that it knows, tasks that run, panels that watch. deskd alone: its peers know
//! no ended tasks and have no panel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::Result;

use crate::bench::Bench;
use crate::http::Body;
use crate::os::{self, now_ns};
use crate::report::Row;
use crate::stats::{Samples, figure};
use crate::subject::{Kind, Setup, Subject};

/// Known tasks, running ones, and panels.
const KNOWN: [u32; 4] = [10, 100, 1_000, 5_000];
const RUNNING: [u32; 3] = [10, 100, 500];
const PANELS: [u32; 3] = [1, 10, 100];
/// Starts of each measurement; they are tasks too.
const STARTS: u32 = 60;
/// Tasks started at once on the way.
const BATCH: u32 = 50;
/// Longest wait for one of them.
const LIMIT_MS: u64 = 20_000;
/// Time to settle before memory is read.
const SETTLE_MS: u64 = 500;
/// Kept at most, with some to spare.
const TASKS_MAX: u32 = 6_000;
/// Between the smallest and the largest.
const RATIO_MAX: f64 = 2.0;
const TARGET: &str = "the last at most twice the first";

/// The program that ends at once, and the one that stays.
const ENDS: &str = "first-0";
const STAYS: &str = "stay-0";

fn boot(bench: &Bench, row: &mut Row) -> Option<Box<dyn Subject>> {
    let mut services = bench.services(1, "first", 0, &[]);
    services.extend(bench.services(1, "stay", 1, &[]));
    let setup = Setup { services, tasks_max: TASKS_MAX, ..Setup::default() };
    bench.boot(Kind::Deskd, &setup, row)
}

/// Starts `count` programs, a batch at a time.
fn start(bench: &mut Bench, subject: &mut dyn Subject, service: &str, count: u32) -> Result<()> {
    subject.reconnect()?;
    let mut left = count;
    while left > 0 {
        let batch = left.min(BATCH);
        subject.start_all(&vec![service.to_owned(); batch as usize])?;
        for _ in 0..batch {
            bench.fifo.next(LIMIT_MS)?;
        }
        left -= batch;
    }
    Ok(())
}

/// The median of some starts, milliseconds.
fn start_ms(bench: &mut Bench, subject: &mut dyn Subject) -> Result<f64> {
    subject.reconnect()?;
    let mut samples = Samples::default();
    for _ in 0..STARTS {
        let asked = now_ns();
        subject.start(ENDS)?;
        samples.push(bench.fifo.next_of(0, LIMIT_MS)?.ns.saturating_sub(asked));
        os::pause_ms(2);
    }
    Ok(samples.p50())
}

fn fill(row: &mut Row, figures: &[f64]) {
    let texts: Vec<String> = figures.iter().map(|&value| figure(value)).collect();
    row.cell(Kind::Deskd, texts.join(" / "));
    if let (Some(first), Some(last)) = (figures.first(), figures.last()) {
        row.met = Some(*last <= RATIO_MAX * first);
    }
}

/// "10 / 100 / 500 running".
fn what(before: &str, counts: &[u32], after: &str) -> String {
    let texts: Vec<String> = counts.iter().map(u32::to_string).collect();
    format!("{before} {} {after}", texts.join(" / "))
}

fn known(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut time = Row::new(what("start,", &KNOWN, "tasks known, p50 ms"), TARGET);
    let mut memory = Row::new("PSS of everything then, MB", "");
    let Some(mut subject) = boot(bench, &mut time) else { return Ok(vec![time]) };
    let (mut times, mut weights, mut tasks) = (Vec::new(), Vec::new(), 0);
    for count in KNOWN {
        start(bench, subject.as_mut(), ENDS, count.saturating_sub(tasks))?;
        tasks = tasks.max(count);
        os::pause_ms(SETTLE_MS);
        let pids = os::own_processes(subject.root());
        weights.push(os::pss_kib(&pids) as f64 * 1024.0 / 1e6);
        times.push(start_ms(bench, subject.as_mut())?);
        tasks += STARTS;
    }
    fill(&mut time, &times);
    fill(&mut memory, &weights);
    memory.met = None;
    Ok(vec![time, memory])
}

fn running(bench: &mut Bench) -> Result<Row> {
    let mut row = Row::new(what("start,", &RUNNING, "tasks running, p50 ms"), TARGET);
    let Some(mut subject) = boot(bench, &mut row) else { return Ok(row) };
    let (mut times, mut tasks) = (Vec::new(), 0);
    for count in RUNNING {
        start(bench, subject.as_mut(), STAYS, count - tasks)?;
        tasks = count;
        times.push(start_ms(bench, subject.as_mut())?);
    }
    fill(&mut row, &times);
    Ok(row)
}

fn panels(bench: &mut Bench) -> Result<Row> {
    let mut row = Row::new(what("start,", &PANELS, "panels, p50 ms"), TARGET);
    let Some(mut subject) = boot(bench, &mut row) else { return Ok(row) };
    let (mut times, mut open) = (Vec::new(), Vec::new());
    for count in PANELS {
        while open.len() < count as usize {
            open.push(subject.panel()?);
        }
        // What they are told is read, as browsers do.
        let mut reader = Reader::of(std::mem::take(&mut open));
        times.push(start_ms(bench, subject.as_mut())?);
        open = reader.end();
    }
    fill(&mut row, &times);
    Ok(row)
}

/// A thread that reads panels' streams.
struct Reader {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Body>>>,
}

impl Reader {
    fn of(mut panels: Vec<Body>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                for panel in &mut panels {
                    let _ = panel.wait(0);
                    panel.take_lines(&mut |_| ());
                }
                os::pause_ms(5);
            }
            panels
        });
        Self { over, thread: Some(thread) }
    }

    fn end(&mut self) -> Vec<Body> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

/// Three ways to grow.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    if !bench.kinds.contains(&Kind::Deskd) {
        return Ok(Vec::new());
    }
    let mut rows = known(bench)?;
    bench.clean();
    rows.push(running(bench)?);
    bench.clean();
    rows.push(panels(bench)?);
    Ok(rows)
}
