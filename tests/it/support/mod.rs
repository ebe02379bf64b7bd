//! Helpers shared by the integration tests.

pub(crate) mod keeper;
mod keeper_host;
pub(crate) mod proc;
pub(crate) mod wait;
pub(crate) mod xvnc;
