//! Idle: how often a supervisor's threads are switched to while nothing happens. deskd looks at a
//! real display, as in a pod, where Xvnc is installed.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::bench::Bench;
use crate::os;
use crate::report::Row;
use crate::stats::figure;
use crate::subject::{Kind, Root, Setup, Subject, in_path, until_ready};

/// Seconds counted.
const WINDOW_S: u64 = 10;
/// Time to settle before.
const SETTLE_MS: u64 = 3_000;
/// deskd at most, per second.
const SWITCHES_MAX: f64 = 1.0;

/// Xvnc on a free display; nothing where it is not installed.
fn display(dir: &Path) -> Result<Option<(Root, String)>> {
    if in_path("Xvnc").is_none() {
        return Ok(None);
    }
    let number = dir.join("display");
    let mut command = Command::new("sh");
    let options = "-displayfd 3 -SecurityTypes None -rfbport -1 -nolisten tcp -geometry 640x480";
    command.arg("-c").arg(format!("exec Xvnc {options} 3>{}", number.display()));
    let server = Root::spawn(&mut command, dir)?;
    let read = || std::fs::read_to_string(&number).unwrap_or_default().trim().to_owned();
    until_ready(|| !read().is_empty())?;
    Ok(Some((server, format!(":{}", read()))))
}

/// All subjects at the same time, each with one task that sleeps.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut row = Row::new("idle, context switches per second", "at most 1");
    row.floor = "0".to_owned();
    let display = display(&bench.dir)?;
    let name = display.as_ref().map(|(_, name)| name.clone());
    let services = bench.services(1, "stay", 0, &[]);
    let setup = Setup { services, display: name, ..Setup::default() };
    let mut subjects: Vec<Box<dyn Subject>> = bench.boot_all(&setup, &mut row);
    for subject in &mut subjects {
        subject.start("stay-0")?;
        bench.fifo.next(10_000)?;
    }
    os::pause_ms(SETTLE_MS);
    let own: Vec<Vec<i32>> =
        subjects.iter().map(|subject| os::own_processes(subject.root())).collect();
    let before: Vec<u64> = own.iter().map(|pids| os::switches(pids)).collect();
    os::pause_ms(WINDOW_S * 1_000);
    for ((subject, pids), before) in subjects.iter().zip(&own).zip(before) {
        let rate = (os::switches(pids) - before) as f64 / WINDOW_S as f64;
        row.cell(subject.kind(), figure(rate));
        if subject.kind() == Kind::Deskd {
            row.met = Some(rate <= SWITCHES_MAX);
        }
    }
    Ok(vec![row])
}
