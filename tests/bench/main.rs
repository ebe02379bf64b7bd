//! The bench of deskd: every figure beside its floor and its peers, all measured in one run.
//!
//! `tests/bench/run [--write=TABLE] [--list] [--only=KIND,...] [--rounds=N] [ROW...]`. It starts real supervisors and a
//! real program (`probe.c`), and prints a table; the ratios count, the absolute times are those of a
//! noisy machine. Deliberately not a test: it fails only when it cannot measure.

#![expect(
    clippy::disallowed_methods,
    reason = "the bench starts supervisors, paces itself and reads its own environment"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

mod bench;
mod fifo;
mod floor;
mod http;
mod os;
mod report;
mod rounds;
mod rows;
mod stats;
mod subject;
mod subjects;

use rows::ROWS;
use subject::Kind;

/// What the command line asks for.
#[derive(Default)]
struct Arguments {
    /// The table of `docs/performance.md` that is written.
    write: Option<String>,
    list: bool,
    axum: Option<PathBuf>,
    only: Vec<String>,
    /// Rounds of the rows that are measured more than once.
    rounds: Option<u32>,
    rows: Vec<String>,
}

fn arguments() -> Result<Arguments> {
    let mut parsed = Arguments::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => parsed.list = true,
            // cargo bench adds it.
            "--bench" => {}
            "--axum" => parsed.axum = Some(args.next().context("--axum needs a path")?.into()),
            _ if arg.starts_with("--only=") => {
                let kinds = arg.trim_start_matches("--only=").split(',');
                parsed.only = kinds.map(str::to_owned).collect();
            }
            _ if arg.starts_with("--write=") => {
                parsed.write = Some(arg.trim_start_matches("--write=").to_owned());
            }
            _ if arg.starts_with("--rounds=") => {
                parsed.rounds = Some(arg.trim_start_matches("--rounds=").parse()?);
            }
            _ if ROWS.iter().any(|(name, _, _)| *name == arg) => parsed.rows.push(arg),
            _ => bail!("unknown row or option `{arg}`; --list names the rows"),
        }
    }
    Ok(parsed)
}

fn measure(arguments: &Arguments) -> Result<Vec<report::Row>> {
    let asked = |kind: &Kind| {
        arguments.only.is_empty() || arguments.only.iter().any(|name| name == kind.name())
    };
    let kinds = Kind::ALL.into_iter().filter(asked).collect();
    let mut bench = bench::Bench::prepare(kinds)?;
    let mut all = Vec::new();
    for (name, rounds, run) in ROWS {
        if !arguments.rows.is_empty() && !arguments.rows.iter().any(|row| row == name) {
            continue;
        }
        let begun = os::now_ns();
        let rounds = if *rounds > 1 { arguments.rounds.unwrap_or(*rounds) } else { 1 };
        match repeat(&mut bench, rounds, *run) {
            Ok(rows) => {
                rows.iter().for_each(report::Row::print);
                all.extend(rows);
            }
            Err(error) => println!("{name}: could not be measured: {error:#}\n"),
        }
        eprintln!("({name} took {:.1} s)", (os::now_ns() - begun) as f64 / 1e9);
        bench.clean();
    }
    Ok(all)
}

/// The rows of one function, each of several rounds.
fn repeat(bench: &mut bench::Bench, rounds: u32, run: rows::Measure) -> Result<Vec<report::Row>> {
    let mut measured = Vec::new();
    for _ in 0..rounds {
        measured.push(run(bench)?);
        bench.clean();
    }
    let count = measured.first().map_or(0, Vec::len);
    let of_row = |n| measured.iter().filter_map(|rows| rows.get(n).cloned()).collect::<Vec<_>>();
    Ok((0..count).filter_map(|n| rounds::merged(&of_row(n))).collect())
}

fn run() -> Result<()> {
    let arguments = arguments()?;
    if let Some(socket) = &arguments.axum {
        return floor::serve_axum(socket);
    }
    if arguments.list {
        ROWS.iter().for_each(|(name, _, _)| println!("{name}"));
        return Ok(());
    }
    nix::sys::prctl::set_child_subreaper(true)?;
    let rows = measure(&arguments)?;
    if let Some(table) = &arguments.write {
        let file = Path::new(env!("DESKD_ROOT")).join("docs/performance.md");
        report::write(&file, table, &rows, &heading())?;
        println!("written to {}", file.display());
    }
    Ok(())
}

/// What the table was measured on.
fn heading() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d");
    let class = if os::is_real_time() { "real-time" } else { "ordinary" };
    format!(
        "Measured {date} on {cores} cores in the {class} scheduling class, Linux {}.",
        kernel.trim()
    )
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
