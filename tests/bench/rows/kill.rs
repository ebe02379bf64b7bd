//! `kill -9` of the supervisor while ten programs write: what is lost, what is doubled.
//!
//! deskd: the daemon is killed, its keeper starts it again; in a second row its first process, the keeper. Peers: the
//! first process in both. A first process is started again at once, as an init would.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, bail};

use crate::bench::Bench;
use crate::os;
use crate::report::Row;
use crate::subject::{Kind, Setup, Subject};

/// Programs.
const WRITERS: u32 = 10;
/// Lines of each, numbered.
const LINES: u64 = 5_000;
/// A second.
const LINES_PER_S: u64 = 1_000;
/// When the supervisor is killed, milliseconds after the last program's start.
const KILL_AFTER_MS: u64 = 1_500;
/// Time for the programs to end and their output to be stored.
const REST_MS: u64 = LINES * 1_000 / LINES_PER_S + 1_500;

/// What was found afterwards.
struct Damage {
    processes_lost: usize,
    processes_doubled: usize,
    lines_lost: u64,
    lines_doubled: u64,
}

/// Whether a process is one of the writers of this run.
fn is_writer(pid: i32) -> bool {
    os::is_probe(pid) && os::argv(pid).get(1).is_some_and(|mode| mode == "pace")
}

fn writers() -> HashSet<i32> {
    let me = nix::unistd::getpid().as_raw();
    os::descendants(me).into_iter().filter(|&pid| os::lives(pid) && is_writer(pid)).collect()
}

/// Every line of a writer must be kept once.
fn lines(subject: &mut dyn Subject, n: u32, damage: &mut Damage) {
    let mut seen: HashMap<u64, u64> = HashMap::new();
    let kept = subject.kept(&format!("pace-{n}"), &mut |line| {
        let number = line.rsplit(|&b| b == b' ').next().unwrap_or_default();
        let number = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
        if let Some(number) = number {
            *seen.entry(number).or_default() += 1;
        }
    });
    if let Err(error) = kept {
        eprintln!("{}: pace-{n}: {error:#}", subject.kind().name());
    }
    damage.lines_lost += (0..LINES).filter(|number| !seen.contains_key(number)).count() as u64;
    damage.lines_doubled += seen.values().map(|&times| times - 1).sum::<u64>();
}

fn kill(
    bench: &mut Bench,
    subject: &mut dyn Subject,
    names: &[String],
    victim: i32,
) -> Result<Damage> {
    if !names.is_empty() {
        subject.start_all(names)?;
    }
    for _ in 0..WRITERS {
        bench.fifo.next(10_000)?;
    }
    let before = writers();
    if before.len() != WRITERS as usize {
        bail!("{} writers run", before.len());
    }
    os::pause_ms(KILL_AFTER_MS);
    os::kill_9(victim);
    os::pause_ms(20);
    os::reap();
    subject.revive()?;
    os::pause_ms(REST_MS);
    let after = writers();
    let mut damage = Damage {
        processes_lost: before.difference(&after).count(),
        processes_doubled: after.difference(&before).count(),
        lines_lost: 0,
        lines_doubled: 0,
    };
    (0..WRITERS).for_each(|n| lines(subject, n, &mut damage));
    Ok(damage)
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// The process that a careless `kill -9` of "the supervisor" hits.
    Careless,
    /// The first one.
    First,
}

/// Of deskd the daemon.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    measure(bench, Victim::Careless, "kill -9: processes, lines lost / doubled")
}

/// Of deskd the keeper.
pub fn run_first(bench: &mut Bench) -> Result<Vec<Row>> {
    measure(bench, Victim::First, "the same, of the first process")
}

/// One subject after the other.
fn measure(bench: &mut Bench, victim: Victim, what: &str) -> Result<Vec<Row>> {
    let mut row = Row::new(what, "0 / 0, 0 / 0");
    let more = [LINES.to_string(), LINES_PER_S.to_string()];
    for kind in bench.kinds.clone() {
        let mut services = bench.services(WRITERS, "pace", 1, &[&more[0], &more[1]]);
        let names: Vec<String> = services.iter().map(|service| service.name.clone()).collect();
        // What an operator configures for programs that shall run: started with the supervisor.
        // deskd remembers what runs; its keeper is asked for nothing.
        let auto = kind != Kind::Deskd;
        services.iter_mut().for_each(|service| service.autostart = auto);
        let setup = Setup { services, loggers: true, ..Setup::default() };
        let Some(mut subject) = bench.boot(kind, &setup, &mut row) else { continue };
        let names = if auto { Vec::new() } else { names };
        let pid = if victim == Victim::First { subject.root() } else { subject.victim() };
        match kill(bench, subject.as_mut(), &names, pid) {
            Ok(d) => {
                row.cell(
                    kind,
                    format!(
                        "{} / {}, {} / {}",
                        d.processes_lost, d.processes_doubled, d.lines_lost, d.lines_doubled
                    ),
                );
                if kind == Kind::Deskd {
                    let lost = d.processes_lost + d.processes_doubled;
                    row.met = Some(lost == 0 && d.lines_lost + d.lines_doubled == 0);
                }
            }
            Err(error) => row.cell(kind, format!("failed: {error:#}")),
        }
        drop(subject);
        bench.clean();
    }
    Ok(vec![row])
}
