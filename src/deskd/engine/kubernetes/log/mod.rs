//! The output of a run: from kubelet, through the API server, to the keeper.

mod lines;
mod reader;

pub use reader::Reader;
