//! libFuzzer around one target, the one that `DESKD_FUZZ_TARGET` names.

#![no_main]

mod targets;

use std::sync::LazyLock;

use nix::sys::signal::{SigHandler, Signal, signal};

static TARGET: LazyLock<&targets::Target> = LazyLock::new(|| {
    let name = std::env::var("DESKD_FUZZ_TARGET").unwrap_or_default();
    targets::ALL
        .iter()
        .find(|target| target.name == name)
        .unwrap_or_else(|| panic!("DESKD_FUZZ_TARGET names no target: `{name}`"))
});

libfuzzer_sys::fuzz_target!(
    init: {
        // As Rust's own start does it: who writes to a connection that is closed gets an error.
        // SAFETY: nothing runs in a handler, and no thread was started yet.
        let ignored = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
        ignored.expect("SIGPIPE can be ignored");
    },
    |data: &[u8]| (TARGET.run)(data)
);
