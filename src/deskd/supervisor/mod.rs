//! The supervisor: one driver task owns the tasks; everybody else holds a [`Handle`].
//!
//! Everything that happens arrives as one closed `enum Input`; what follows for tasks is decided by
//! `deskd_core::run`, and the driver carries its effects out. After each batch of inputs it publishes
//! one numbered [`Snapshot`]. Readers never lock anything.

mod apps;
mod busy;
mod diagnosis;
mod driver;
mod engines;
mod follow;
mod handle;
mod health;
mod input;
pub mod journal;
mod lookup;
mod publish;
mod pulls;
mod replies;
mod settings;
mod snapshot;
pub mod start;
mod timing;
mod windows;

pub use deskd_core::why::reason::{RefusalCode, Refused};
pub use follow::Follows;
pub use handle::{
    AppChange, AppError, Handle, LaunchAdmission, LaunchError, LaunchRequest, LogFollow,
    LogOpenError, PullError, RemedyError, RemoveError, StopAdmission, StopError, StopRequest,
};
pub use lookup::architecture;
pub use settings::Settings;
pub use snapshot::{Changes, Desktop, Snapshot};
pub use timing::{LaunchTimes, Launched};
