//! One line, from the program's write to a follower.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::bench::Bench;
use crate::fifo::Fifo;
use crate::floor::Pipe;
use crate::os::{self, now_ns};
use crate::report::Row;
use crate::stats::{Samples, figure};
use crate::subject::{Follow, Kind, Service, Setup, Subject};

/// Lines of each subject.
const ROUNDS: u32 = 300;
/// Lines that only warm up.
const WARM_UP_ROUNDS: u32 = 20;
/// Pause between lines, milliseconds.
const SETTLE_MS: u64 = 2;
/// Time for a follower to be in place, milliseconds: not every interface says when it is.
const SUBSCRIBE_MS: u64 = 200;
/// Longest wait for a line.
const LIMIT_MS: u64 = 3_000;
/// deskd at most, milliseconds.
const P50_MS_MAX: f64 = 0.25;

/// A program that writes when told to, and somebody who reads.
pub struct Echo {
    /// Its subject.
    pub kind: Kind,
    /// The reader.
    pub follow: Box<dyn Follow>,
    trigger: Fifo,
    _subject: Box<dyn Subject>,
}

impl Echo {
    /// Boots a subject with the program and follows it. `count`: lines of a burst.
    pub fn boot(bench: &mut Bench, kind: Kind, count: u64, row: &mut Row) -> Result<Option<Self>> {
        let path = bench.dir.join(format!("trigger-{}", kind.name()));
        let trigger = Fifo::create(&path)?;
        let argv = bench.argv("echo", 1, &[&trigger.path(), &count.to_string()]);
        let service = Service { name: "echo".into(), argv, autostart: false };
        let setup = Setup { services: vec![service], loggers: true, ..Setup::default() };
        let Some(mut subject) = bench.boot(kind, &setup, row) else { return Ok(None) };
        subject.start("echo")?;
        bench.fifo.next_of(1, LIMIT_MS)?;
        let follow = subject.follow("echo").with_context(|| kind.name())?;
        os::pause_ms(SUBSCRIBE_MS);
        Ok(Some(Self { kind, follow, trigger, _subject: subject }))
    }

    /// Tells the program to write: `l` a line, `b` a burst.
    pub fn trigger(&mut self, what: u8) -> Result<()> {
        self.trigger.put(what)
    }

    /// One line; nanoseconds from the clock in it to its arrival.
    fn sample(&mut self) -> Result<u64> {
        self.trigger(b'l')?;
        let end = now_ns() + LIMIT_MS * 1_000_000;
        let mut written = None;
        while now_ns() < end {
            let Some(at) = self.follow.wait(LIMIT_MS)? else { break };
            self.follow.take_lines(&mut |line| written = written.or(time_in(line)));
            if let Some(written) = written {
                return Ok(at.saturating_sub(written));
            }
        }
        bail!("{}: no line within {LIMIT_MS} ms", self.kind.name())
    }
}

/// The time that a line of the echo program carries: seconds and nanoseconds.
fn time_in(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let (seconds, ns) = text.trim().split_once(' ')?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000_000 + ns.parse::<u64>().ok()?)
}

/// Floor and subjects in turns.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut row = Row::new("line to a follower, p50 / p99 ms", "p50 at most 0.25 ms");
    let mut echoes = Vec::new();
    for kind in bench.kinds.clone() {
        echoes.extend(Echo::boot(bench, kind, 1, &mut row)?);
    }
    let mut trigger = Fifo::create(&bench.dir.join("trigger-floor"))?;
    let mut pipe = Pipe::spawn(&bench.argv("echo", 2, &[&trigger.path(), "1"]))?;
    bench.fifo.next_of(2, LIMIT_MS)?;
    let mut floor = Samples::default();
    let mut figures: BTreeMap<Kind, Samples> = BTreeMap::new();
    for round in 0..WARM_UP_ROUNDS + ROUNDS {
        trigger.put(b'l')?;
        let (at, line) = pipe.line(LIMIT_MS)?.context("the floor got no line")?;
        let ns = at.saturating_sub(time_in(&line).context("no time in the line")?);
        if round >= WARM_UP_ROUNDS {
            floor.push(ns);
        }
        for echo in &mut echoes {
            os::pause_ms(SETTLE_MS);
            let ns = echo.sample()?;
            if round >= WARM_UP_ROUNDS {
                figures.entry(echo.kind).or_default().push(ns);
            }
        }
    }
    row.floor = format!("{} / {}", figure(floor.p50()), figure(floor.p99()));
    for (&kind, samples) in &figures {
        row.cell(kind, format!("{} / {}", figure(samples.p50()), figure(samples.p99())));
    }
    if let Some(ours) = figures.get(&Kind::Deskd) {
        row.ratio = format!("{:.1}", ours.p50() / floor.p50());
        row.met = Some(ours.p50() <= P50_MS_MAX && ours.len() == ROUNDS as usize);
    }
    Ok(vec![row])
}
