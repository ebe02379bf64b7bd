//! The rows of the table, one file each. A row boots what it needs, measures, and returns figures.

use anyhow::Result;

use crate::bench::Bench;
use crate::report::Row;

mod burst;
mod capture;
mod cold;
mod diagnose;
mod follower;
mod followers;
mod growth;
mod health;
mod idle;
mod kill;
mod memory;
mod size;
mod start;
mod together;

/// Measures.
pub type Measure = fn(&mut Bench) -> Result<Vec<Row>>;

/// Name on the command line, rounds, and function.
pub const ROWS: &[(&str, u32, Measure)] = &[
    ("start", 3, start::run),
    ("start-ordinary", 3, start::run_ordinary),
    ("start-answer", 3, start::run_answer),
    ("start-big", 1, start::run_big),
    ("together", 3, together::run),
    ("capture", 1, capture::run),
    ("follower", 3, follower::run),
    ("burst", 1, burst::run),
    ("followers", 1, followers::run),
    ("health", 3, health::run),
    ("health-8", 3, health::run_many),
    ("health-busy", 1, health::run_busy),
    ("growth", 1, growth::run),
    ("memory", 1, memory::run),
    ("cold", 3, cold::run),
    ("kill", 1, kill::run),
    ("kill-first", 1, kill::run_first),
    ("idle", 1, idle::run),
    ("diagnose", 1, diagnose::run),
    ("size", 1, size::run),
];
