//! Engines carry plans out; they decide nothing.

pub mod kubernetes;
pub mod local;
