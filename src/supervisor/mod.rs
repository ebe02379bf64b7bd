//! The supervisor: one driver task owns the task table; everybody else holds a [`Handle`].
//!
//! Everything that changes the table arrives as one closed `enum Input`; after each batch of
//! inputs the driver publishes one numbered [`Snapshot`]. Readers never lock the table.

mod handle;
mod snapshot;

pub use handle::{
    AppChange, Handle, LaunchAdmission, LaunchError, LaunchRequest, LogFollow, LogOpenError,
    RemoveError, StopAdmission, StopError, StopRequest,
};
pub use snapshot::{Changes, Desktop, Snapshot};
