//! What `/proc` and the control groups say: parsers that are pure functions of a text, and the readers that feed them.
//!
//! Deliberately not here: what a fact means. Who owns a process is decided in `keeper::tree`.

mod cgroup;
mod file_system;
mod process;

pub use cgroup::MemoryCgroup;
pub use file_system::file_system_usage;
pub use process::{
    ProcessStat, env_value, ignored_signals, look_at, pids, read_cgroup, read_env_value,
    read_soft_limit, read_stat, soft_limit,
};

pub mod sockets;
