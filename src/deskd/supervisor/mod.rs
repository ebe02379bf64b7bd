//! The supervisor: one driver task owns the task table; everybody else holds a [`Handle`].
//!
//! Everything that changes the table arrives as one closed `enum Input`; after each batch of
//! inputs the driver publishes one numbered [`Snapshot`]. Readers never lock the table.

mod apps;
mod busy;
pub mod daemon;
mod diagnosis;
mod driver;
mod evidence;
mod facts;
mod follow;
mod handle;
mod health;
mod input;
mod journal;
mod keeper_events;
mod launch;
mod log_mark;
mod notes;
mod others;
mod pulls;
mod remedy;
mod remote;
mod settings;
mod snapshot;
mod stop;
mod table;
mod windows;

pub use deskd_core::why::reason::{RefusalCode, Refused};
pub use handle::{
    AppChange, AppError, Handle, LaunchAdmission, LaunchError, LaunchRequest, LogFollow,
    LogOpenError, PullError, RemedyError, RemoveError, StopAdmission, StopError, StopRequest,
};
pub use settings::Settings;
pub use snapshot::{Changes, Desktop, Snapshot};
