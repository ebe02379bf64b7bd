//! Pure values and decisions. Facts and the time come in as values, values come out; nothing here
//! reads a file, the environment, a socket or a clock (a test checks it).

pub mod access;
pub mod app;
pub mod container_app;
pub mod desktop_entry;
pub mod diagnosis;
pub mod display;
pub mod document;
pub mod env_var;
pub mod expansion;
pub mod health;
pub mod id;
pub mod inject;
pub mod kubernetes;
pub mod lifecycle;
pub mod origin;
pub mod plan;
pub mod policy;
pub mod pull;
pub mod quantity;
pub mod redact;
pub mod restart;
pub mod room;
pub mod shm;
pub mod task;
pub mod window;
