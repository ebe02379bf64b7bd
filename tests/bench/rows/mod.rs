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
mod health;
mod idle;
mod kill;
mod memory;
mod size;
mod start;
mod together;

/// Measures.
pub type Measure = fn(&mut Bench) -> Result<Vec<Row>>;

/// Name on the command line and function.
pub const ROWS: &[(&str, Measure)] = &[
    ("start", start::run),
    ("start-ordinary", start::run_ordinary),
    ("start-big", start::run_big),
    ("together", together::run),
    ("capture", capture::run),
    ("follower", follower::run),
    ("burst", burst::run),
    ("followers", followers::run),
    ("health", health::run),
    ("health-busy", health::run_busy),
    ("memory", memory::run),
    ("cold", cold::run),
    ("kill", kill::run),
    ("idle", idle::run),
    ("diagnose", diagnose::run),
    ("size", size::run),
];
