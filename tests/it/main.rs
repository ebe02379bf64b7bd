//! The one integration binary.

mod architecture;
mod architecture_source;
mod cli;
mod cli_fake;
mod config;
