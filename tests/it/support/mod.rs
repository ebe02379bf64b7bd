//! Helpers shared by the integration tests.

pub mod browser;
pub mod desk;
pub mod http;
pub mod xvnc;
