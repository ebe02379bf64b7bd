//! Engines carry plans out; they decide nothing.

pub mod local;
