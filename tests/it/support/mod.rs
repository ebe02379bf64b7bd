//! Helpers shared by the integration tests.

pub(crate) mod abcdesktop;
pub(crate) mod binaries;
pub mod browser;
pub(crate) mod charts;
pub(crate) mod cluster;
pub(crate) mod control_plane;
pub(crate) mod corpus;
pub(crate) mod counting;
pub mod desk;
pub(crate) mod far;
pub mod forward;
pub(crate) mod hardened;
pub mod http;
pub(crate) mod keeper;
pub(crate) mod kube_desk;
pub(crate) mod kube_engine;
pub(crate) mod needs;
pub(crate) mod place;
pub(crate) mod proc;
pub(crate) mod pyos;
pub(crate) mod rights;
pub(crate) mod swallow;
pub(crate) mod task;
pub(crate) mod wait;
pub(crate) mod wiretap;
pub mod xvnc;
