//! The one integration binary.

mod api;
mod api_streams;
mod cli;
mod cli_fake;
mod config;
mod display_endpoints;
mod display_helper;
mod display_leaks;
mod display_server;
mod display_shm;
mod display_windows;
mod panel;
mod panel_modules;
mod support;
