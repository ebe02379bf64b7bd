//! procfs

pub mod sockets;
