//! The keeper: the small parent that owns processes and pipes.

pub mod wire;
