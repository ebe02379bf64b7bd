//! What `/proc` and the control groups say: parsers that are pure functions of a text, and the readers that feed them.
//!
//! Deliberately not here: what a fact means. Who owns a process is decided in `keeper::tree`.

mod cgroup;
mod file_system;
mod pidfd;
mod process;
mod program;
mod wait_status;

pub use cgroup::MemoryCgroup;
pub use file_system::file_system_usage;
pub use pidfd::{pidfd, status_of_ended, wait_status};
pub use process::{
    ProcessStat, env_value, ignored_signals, limits, look_at, own_children, pids, read_arguments,
    read_cgroup, read_children, read_env_value, read_exe, read_hard_limits, read_stat, read_tracer,
};
pub use program::find_program;
pub use wait_status::exit_of;

pub mod sockets;
