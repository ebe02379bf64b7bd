//! One start: from the request to the program's first instruction.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::bench::Bench;
use crate::floor;
use crate::os::{self, now_ns};
use crate::report::Row;
use crate::stats::{Samples, figure};
use crate::subject::{Kind, Setup, Subject};

/// Starts of each subject.
const ROUNDS: u32 = 200;
/// Rounds that only warm up.
const WARM_UP_ROUNDS: u32 = 12;
/// Services taken in turn: s6 and runit do not start one again within a second.
const SERVICES: u32 = 48;
/// Pause after each start, milliseconds: the supervisor reaps in peace.
const SETTLE_MS: u64 = 3;
/// deskd at most this many times the floor.
const RATIO_MAX: f64 = 1.5;
/// deskd's 99th percentile, milliseconds.
const P99_MS_MAX: f64 = 5.0;

/// deskd's answer at most, milliseconds.
const ANSWER_MS_MAX: f64 = 0.9;
/// What the daemon holds in the last row, bytes.
const BIG_BYTES: usize = 256_000_000;

const TARGET: &str = "p50 at most 1.5 of the floor and ahead of all, p99 under 5 ms";

const FLOOR_TAG: u32 = 9_999;

/// What a start is measured to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The program's first instruction.
    Runs,
    /// The answer to the request.
    Answered,
}

/// Starts one service; nanoseconds.
fn sample(bench: &mut Bench, subject: &mut dyn Subject, n: u32, until: Until) -> Result<u64> {
    let name = format!("first-{n}");
    let asked = now_ns();
    subject.start(&name)?;
    let answered = now_ns();
    let report = bench.fifo.next_of(n, 5_000)?;
    let end = if until == Until::Runs { report.ns } else { answered };
    Ok(end.saturating_sub(asked))
}

type Figures = (Samples, BTreeMap<Kind, Samples>);

/// Floor and subjects in turns, another one first in each round.
fn rounds(
    bench: &mut Bench,
    subjects: &mut [Box<dyn Subject>],
    argv: &[String],
    until: Until,
) -> Result<Figures> {
    let (mut floor, mut figures) = Figures::default();
    for round in 0..WARM_UP_ROUNDS + ROUNDS {
        let warm = round >= WARM_UP_ROUNDS;
        for turn in 0..=subjects.len() {
            let who = (turn + round as usize) % (subjects.len() + 1);
            if let Some(subject) = subjects.get_mut(who) {
                let ns = sample(bench, subject.as_mut(), round % SERVICES, until)?;
                if warm {
                    figures.entry(subject.kind()).or_default().push(ns);
                }
            } else {
                let ns = floor::start_ns(argv, FLOOR_TAG, &mut bench.fifo)?;
                if warm {
                    floor.push(ns);
                }
            }
            os::pause_ms(SETTLE_MS);
        }
        if round % SERVICES == SERVICES - 1 {
            subjects.iter_mut().try_for_each(|subject| subject.forget())?;
        }
    }
    Ok((floor, figures))
}

fn fill(row: &mut Row, floor: &Samples, figures: &BTreeMap<Kind, Samples>) {
    let pair = |s: &Samples| format!("{} / {}", figure(s.p50()), figure(s.p99()));
    row.floor = pair(floor);
    for (&kind, samples) in figures {
        row.cell(kind, pair(samples));
    }
    let Some(ours) = figures.get(&Kind::Deskd) else { return };
    let ratio = ours.p50() / floor.p50();
    row.ratio = format!("{ratio:.2}");
    let ahead = figures.iter().all(|(&kind, s)| kind == Kind::Deskd || s.p50() > ours.p50());
    row.met = Some(ratio <= RATIO_MAX && ours.p99() < P99_MS_MAX && ahead);
}

/// All subjects.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut row = Row::new("start, static program, p50 / p99 ms", TARGET);
    let setup = Setup { services: bench.services(SERVICES, "first", 0, &[]), ..Setup::default() };
    let mut subjects = bench.boot_all(&setup, &mut row);
    let argv = bench.argv("first", FLOOR_TAG, &[]);
    let (floor, figures) = rounds(bench, &mut subjects, &argv, Until::Runs)?;
    fill(&mut row, &floor, &figures);
    Ok(vec![row])
}

/// Services and floor that start an ordinary program: what users start has a libc and a dynamic
/// linker.
fn ordinary(bench: &Bench) -> (Setup, Vec<String>) {
    let mut services = bench.services(SERVICES, "first", 0, &[]);
    let mut argv = bench.argv("first", FLOOR_TAG, &[]);
    let programs = services.iter_mut().map(|service| &mut service.argv).chain([&mut argv]);
    for program in programs.filter_map(|argv| argv.first_mut()) {
        program.clone_from(&bench.ordinary);
    }
    (Setup { services, ..Setup::default() }, argv)
}

/// All subjects, with an ordinary program.
pub fn run_ordinary(bench: &mut Bench) -> Result<Vec<Row>> {
    let what = "start, dynamic program, p50 / p99 ms";
    let mut row = Row::new(what, TARGET);
    let (setup, argv) = ordinary(bench);
    let mut subjects = bench.boot_all(&setup, &mut row);
    let (floor, figures) = rounds(bench, &mut subjects, &argv, Until::Runs)?;
    fill(&mut row, &floor, &figures);
    Ok(vec![row])
}

/// deskd alone, with a big daemon.
pub fn run_big(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut row = Row::new("the same, daemon of 256 MB", TARGET);
    let (setup, argv) = ordinary(bench);
    if !bench.kinds.contains(&Kind::Deskd) {
        return Ok(vec![row]);
    }
    let Some(mut subject) = bench.boot(Kind::Deskd, &setup, &mut row) else {
        return Ok(vec![row]);
    };
    subject.fatten(BIG_BYTES)?;
    let kib = os::pss_kib(&[subject.victim()]);
    row.what = format!("the same, daemon of {} MB", kib * 1024 / 1_000_000);
    let mut subjects = vec![subject];
    let (floor, figures) = rounds(bench, &mut subjects, &argv, Until::Runs)?;
    fill(&mut row, &floor, &figures);
    Ok(vec![row])
}

/// The subjects that answer: s6 and runit take a byte and say nothing.
pub fn run_answer(bench: &mut Bench) -> Result<Vec<Row>> {
    let what = "start to the answer, static, p50 / p99 ms";
    let mut row = Row::new(what, "p50 at most 0.9, with the process started and on record");
    let setup = Setup { services: bench.services(SERVICES, "first", 0, &[]), ..Setup::default() };
    let mut subjects = bench.boot_all(&setup, &mut row);
    subjects.retain(|subject| !matches!(subject.kind(), Kind::S6 | Kind::Runit));
    let argv = bench.argv("first", FLOOR_TAG, &[]);
    let (_, figures) = rounds(bench, &mut subjects, &argv, Until::Answered)?;
    for (&kind, samples) in &figures {
        row.cell(kind, format!("{} / {}", figure(samples.p50()), figure(samples.p99())));
    }
    row.met = figures.get(&Kind::Deskd).map(|ours| ours.p50() <= ANSWER_MS_MAX);
    Ok(vec![row])
}
