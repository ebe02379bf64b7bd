//! The output of a run: from kubelet, through the API server, to the keeper.

mod lines;
