//! Helpers of the integration tests.

pub(crate) mod keeper;
mod keeper_host;
pub(crate) mod proc;
pub(crate) mod wait;
