//! Engines carry plans out; they decide nothing. What they are asked and what they report is
//! [`deskd_core::port`].

pub mod feed;
pub mod keeper;
pub mod kubernetes;
mod log_mark;
pub mod port;
pub mod stream;
