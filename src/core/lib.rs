//! What deskd decides, and the values that it decides about.
//!
//! Pure: facts and the time come in as values, values come out. Nothing here reads a file, the
//! environment, a socket or a clock, and nothing here may depend on a crate that does
//! (`Cargo.toml` is the wall, `.clippy.toml` guards the standard library).

pub mod app;
pub mod display;
pub mod duration;
pub mod env_var;
pub mod exit;
pub mod expansion;
pub mod health;
pub mod id;
pub mod idle;
pub mod inject;
pub mod kubernetes;
pub mod named_check;
pub mod origin;
pub mod place;
pub mod plan;
pub mod policy;
pub mod port;
pub mod pull;
pub mod quantity;
pub mod redact;
pub mod restart;
pub mod room;
pub mod run;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
pub mod shm;
pub mod stage;
pub mod task;
pub mod text;
pub mod wall;
pub mod why;
pub mod window;
pub mod wire;
