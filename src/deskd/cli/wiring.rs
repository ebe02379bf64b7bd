//! Where the command line meets the rooms that run.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::config::{Config, Env};
use crate::{api, daemon, telemetry};
use deskd_core::exit::Exit;
use deskd_keeper::logs::Limits;
use deskd_keeper::{self, KeeperConfig, KeeperError};

use super::failure::Failure;

/// `deskd run`: becomes the keeper and returns when it is over. No async, no network here.
///
/// The daemon gets the configuration as it was checked now, from a memory file, so that a file
/// that is broken later does not keep a restarted daemon from working.
pub fn keeper(config: Config) -> Result<Exit, Failure> {
    let doing = "start";
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Internal, doing, error);
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let memory = memfd_create(c"deskd-config", MFdFlags::MFD_CLOEXEC).map_err(|e| failed(&e))?;
    let mut memory = File::from(memory);
    let json = serde_json::to_vec(&config).map_err(|error| failed(&error))?;
    memory.write_all(&json).map_err(|error| failed(&error))?;
    drop(json);
    let limits = Limits {
        task_bytes: config.log_store.task_limit_bytes,
        total_bytes: config.log_store.total_limit_bytes,
    };
    let config_fd = deskd_keeper::DAEMON_FILE_FD.to_string();
    let arguments = ["daemon", "--config-fd", &config_fd].map(OsString::from);
    let keeper = KeeperConfig {
        state_dir: config.state_dir.clone(),
        limits,
        grace: config.stop.shutdown_grace,
        daemon_argv: std::iter::once(program.into_os_string()).chain(arguments).collect(),
        listen: config.listen,
        daemon_file: Some(Arc::new(memory.into())),
        daemon_env: Vec::new(),
        tasks_max: config.tasks_max as usize,
    };
    telemetry::init(config.log_filter.as_deref());
    drop(config);
    deskd_keeper::run(keeper).map_err(|error| {
        // An address that cannot be had is for the operator.
        let operator = matches!(error, KeeperError::Listen { .. });
        let exit = if operator { Exit::Config } else { Exit::Internal };
        let why = anyhow::Error::new(error);
        Failure::new(exit, doing, format!("{why:#}"))
    })
}

/// `deskd daemon`: becomes the daemon and returns when it is over.
pub fn daemon(config: Config, env: &Env) -> Result<Exit, Failure> {
    let listener = config.listen.map(|_| listener_on_stdin()).transpose();
    let listener = listener
        .map_err(|error| Failure::io("take the listening socket from standard input", &error))?;
    Ok(daemon::main(config, env, listener))
}

/// What the keeper bound. A duplicate: standard input itself stays as it is until the end.
fn listener_on_stdin() -> std::io::Result<TcpListener> {
    Ok(std::io::stdin().as_fd().try_clone_to_owned()?.into())
}

/// `deskd openapi`.
pub fn openapi() -> String {
    api::openapi_json()
}
