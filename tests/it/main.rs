//! The one integration binary.

mod api;
mod api_streams;
mod architecture;
mod architecture_source;
mod cli;
mod cli_daemon;
mod cli_fake;
mod config;
mod desktop;
mod desktop_disk;
mod desktop_flood;
mod display_endpoints;
mod display_helper;
mod display_leaks;
mod display_server;
mod display_shm;
mod display_windows;
mod keeper_adoption;
mod keeper_end;
mod keeper_run;
mod keeper_spawn;
mod keeper_stop;
mod packaging;
mod panel;
mod panel_modules;
mod support;
