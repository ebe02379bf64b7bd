//! The supervisors, one file each: configuration, start, control interface, log.

pub mod deskd;
pub mod dinit;
pub mod files;
pub mod pebble;
pub mod process_compose;
pub mod runit;
pub mod s6;
pub mod supervise;
pub mod supervisord;
pub mod web;
