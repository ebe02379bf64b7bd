//! `deskd diagnose` of 10 MB: the whole program, from its start to its end, beside the same with an
//! empty log, which is what starting it costs.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::bench::Bench;
use crate::os;
use crate::report::Row;
use crate::stats::{Samples, figure};
use crate::subject::{Kind, deskd_binary};

/// Bytes of each log.
const LOG_BYTES: usize = 10_000_000;
/// Runs of each.
const RUNS: usize = 41;
/// At most, milliseconds, more than for an empty log.
const MS_MAX: f64 = 20.0;
/// What the program dies of; after the start that is looked at and before the end of the log.
const LAST_WORDS: &[u8] = b"terminate called after throwing an instance of 'std::bad_alloc'\n";
/// A line of which nothing is known, and which looks much like others.
const PLAIN_LINE: &[u8] = b"[1234:5678:0101/000000.000:INFO:CONSOLE(1)] \"cannot find the error of a failed thing\", source: x\n";

/// `pieces` again and again, then the last words.
fn log(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut log = Vec::with_capacity(LOG_BYTES + (64 << 10));
    for piece in pieces.iter().cycle() {
        if log.len() >= LOG_BYTES {
            break;
        }
        log.extend_from_slice(piece);
    }
    log.truncate(LOG_BYTES);
    log.push(b'\n');
    log.extend_from_slice(LAST_WORDS);
    log
}

/// What real programs that were well wrote: Chromium, Qt, GTK, games, players.
fn noise() -> Result<Vec<Vec<u8>>> {
    let root = Path::new(env!("DESKD_ROOT")).join("tests/fixtures/failures/read");
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let case = entry?;
        if case.file_name().to_string_lossy().starts_with("healthy-") {
            logs.push(std::fs::read(case.path().join("log")).unwrap_or_default());
        }
    }
    logs.sort();
    ensure!(logs.iter().any(|log| !log.is_empty()), "no log of a program that is well");
    Ok(logs)
}

/// Nanoseconds of one run.
fn once(command: &mut Command) -> Result<u64> {
    let begun = os::now_ns();
    let output = command.stdin(Stdio::null()).output()?;
    let ns = os::now_ns() - begun;
    ensure!(output.status.code().is_some_and(|code| code <= 1), "{output:?}");
    Ok(ns)
}

/// Beside `grep -c` of one word, which reads the same.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let logs = [
        ("one line again and again", log(&[PLAIN_LINE.to_vec()])),
        ("noise of real programs", log(&noise()?)),
    ];
    let mut rows = Vec::new();
    for (name, bytes) in logs {
        let what = format!("diagnosis of 10 MB, {name}, p50 / p99 ms");
        let mut row = Row::new(what, "p50 at most 20 more than for an empty log");
        let (file, empty) = (bench.dir.join("log"), bench.dir.join("empty"));
        std::fs::write(&file, bytes).context("a log")?;
        std::fs::write(&empty, "").context("an empty log")?;
        let (mut floor, mut start, mut deskd) =
            (Samples::default(), Samples::default(), Samples::default());
        for _ in 0..RUNS {
            floor.push(once(Command::new("grep").args(["-c", "bad_alloc"]).arg(&file))?);
            start.push(once(Command::new(deskd_binary()).arg("diagnose").arg(&empty))?);
            deskd.push(once(Command::new(deskd_binary()).arg("diagnose").arg(&file))?);
        }
        let cell =
            |samples: &Samples| format!("{} / {}", figure(samples.p50()), figure(samples.p99()));
        row.floor = cell(&floor);
        row.cell(Kind::Deskd, format!("{} ({} when empty)", cell(&deskd), figure(start.p50())));
        row.met = Some(deskd.p50() - start.p50() <= MS_MAX);
        rows.push(row);
    }
    Ok(rows)
}
