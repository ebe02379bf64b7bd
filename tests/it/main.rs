//! The one integration binary.

mod architecture;
mod architecture_source;
mod cli;
mod cli_daemon;
mod cli_fake;
mod config;
mod display_endpoints;
mod display_helper;
mod display_leaks;
mod display_server;
mod display_shm;
mod display_windows;
mod packaging;
mod support;
