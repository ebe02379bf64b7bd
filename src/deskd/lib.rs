//! deskd supervises a desktop pod: it proves that the X display and its shared memory work,
//! starts applications where they run best, keeps their output, and explains their failures.
//!
//! `docs/architecture.md` is the map. `deskd-core` decides, `deskd-keeper` owns the processes; this
//! crate is the daemon and the command line.

pub mod api;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod display;
pub mod engine;
pub mod forward;
pub mod listeners;
pub mod readiness;
pub mod supervisor;
pub mod telemetry;
pub mod traces;
pub mod wall;
