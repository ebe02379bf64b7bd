//! Makes the test binary able to be a keeper.
//!
//! A keeper must be a process of its own with one thread, and the test harness has started threads
//! before any test runs. So this runs before `main`: with [`VARIABLE`] set, the process is a keeper
//! and never becomes a test harness.

#![expect(unsafe_code, reason = "a function that runs before main")]

use std::process::ExitCode;
use std::time::Duration;

use deskd_core::exit::Exit;
use deskd_keeper::logs::Limits;
use deskd_keeper::{self, KeeperConfig};

/// Set to a [`HostConfig`] as JSON.
pub(crate) const VARIABLE: &str = "DESKD_TEST_KEEPER";

/// A [`KeeperConfig`] that can be handed to another process.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct HostConfig {
    pub(crate) state_dir: std::path::PathBuf,
    pub(crate) grace_ms: u64,
    pub(crate) daemon_argv: Vec<String>,
    pub(crate) tasks_max: usize,
}

// SAFETY: `host` has the signature that the C library calls these functions with (its arguments
// are ignored), and it needs nothing that Rust's runtime sets up before main.
#[used]
#[unsafe(link_section = ".init_array")]
static HOST: extern "C" fn() = host;

#[expect(clippy::disallowed_methods, reason = "told by the test through the environment")]
extern "C" fn host() {
    let Ok(json) = std::env::var(VARIABLE) else { return };
    let told: HostConfig = serde_json::from_str(&json).expect("the test's own JSON");
    let config = KeeperConfig {
        listen: None,
        daemon_file: None,
        state_dir: told.state_dir,
        limits: Limits { task_bytes: 8 << 20, total_bytes: 64 << 20 },
        grace: Duration::from_millis(told.grace_ms),
        daemon_argv: told.daemon_argv.into_iter().map(Into::into).collect(),
        daemon_env: vec![("DESKD_TEST_ADDED".into(), "yes".into())],
        tasks_max: told.tasks_max,
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let exit = deskd_keeper::run(config).unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "the keeper failed");
        Exit::Internal
    });
    let _: ExitCode = exit.into();
    std::process::exit(i32::from(exit as u8));
}
