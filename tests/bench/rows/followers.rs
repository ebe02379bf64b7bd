//! A hundred followers of one busy task: what that costs the supervisor.

use anyhow::Result;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use crate::bench::Bench;
use crate::os::{self, now_ns};
use crate::report::Row;
use crate::stats::figure;
use crate::subject::{Follow, Kind, Setup, Subject};

/// Followers.
const FOLLOWERS: usize = 100;
/// Lines a second, each its own write(2).
const LINES_PER_S: u64 = 1_000;
/// Lines in all.
const LINES: u64 = 8 * LINES_PER_S;
/// Seconds over which CPU is counted, inside the writer's life.
const WINDOW_NS: u64 = 5_000_000_000;
/// deskd less than this.
const CORES_MAX: f64 = 1.0;

/// Reads all followers for the window; lines that each got on average.
fn read_all(follows: &mut [Box<dyn Follow>]) -> Result<f64> {
    let end = now_ns() + WINDOW_NS;
    let mut lines = 0u64;
    while now_ns() < end {
        let ready: Vec<usize> = {
            let mut fds = Vec::new();
            for follow in follows.iter_mut() {
                let Some(body) = follow.body() else { continue };
                fds.push(PollFd::new(body.socket().as_fd(), PollFlags::POLLIN));
            }
            poll(&mut fds, PollTimeout::from(100u8))?;
            let any = |fd: &PollFd| fd.any().unwrap_or(false);
            fds.iter().enumerate().filter(|(_, fd)| any(fd)).map(|(n, _)| n).collect()
        };
        for n in ready {
            let Some(follow) = follows.get_mut(n) else { continue };
            follow.wait(0)?;
            follow.take_lines(&mut |_| lines += 1);
        }
    }
    Ok(lines as f64 / follows.len() as f64)
}

fn cores(bench: &mut Bench, subject: &mut dyn Subject) -> Result<(f64, f64)> {
    subject.start("pace-0")?;
    bench.fifo.next_of(1, 5_000)?;
    let mut follows = Vec::new();
    for _ in 0..FOLLOWERS {
        follows.push(subject.follow("pace-0")?);
    }
    let pids = os::own_processes(subject.root());
    let (before, begun) = (os::cpu_seconds(&pids), now_ns());
    let lines = read_all(&mut follows)?;
    let seconds = (now_ns() - begun) as f64 / 1e9;
    Ok(((os::cpu_seconds(&pids) - before) / seconds, lines / seconds))
}

/// The subjects whose followers are connections; a file's followers cost the supervisor nothing.
pub fn run(bench: &mut Bench) -> Result<Vec<Row>> {
    let what = format!("{FOLLOWERS} followers of {LINES_PER_S} lines/s, cores (lines/s)");
    let mut row = Row::new(what, "less than 1 core");
    for kind in bench.kinds.clone() {
        if !matches!(kind, Kind::Deskd | Kind::Pebble | Kind::ProcessCompose) {
            continue;
        }
        let more = [LINES.to_string(), LINES_PER_S.to_string()];
        let services = bench.services(1, "pace", 1, &[&more[0], &more[1]]);
        let setup = Setup { services, loggers: true, ..Setup::default() };
        let Some(mut subject) = bench.boot(kind, &setup, &mut row) else { continue };
        match cores(bench, subject.as_mut()) {
            Ok((cores, rate)) => {
                row.cell(kind, format!("{} ({rate:.0})", figure(cores)));
                if kind == Kind::Deskd {
                    row.met = Some(cores < CORES_MAX && rate > 0.95 * LINES_PER_S as f64);
                }
            }
            Err(error) => row.cell(kind, format!("failed: {error:#}")),
        }
        drop(subject);
        bench.clean();
    }
    Ok(vec![row])
}
