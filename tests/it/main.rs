//! The one integration binary.

mod cli;
mod cli_fake;
mod config;
