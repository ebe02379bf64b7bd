//! Where the command line meets the rooms that run.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use deskd_core::exit::Exit;
use deskd_keeper::KeeperConfig;
use deskd_keeper::custody::Estate;
use deskd_keeper::logs::Limits;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::config::{Config, Env, SOCKET_VARIABLE};
use crate::engine::feed;
use crate::{api, daemon};

use super::custodian::Custodian;
use super::failure::Failure;

/// The program that owns the processes; it is installed beside this one.
const KEEPER: &str = "deskd-keeper";

/// `deskd run`: becomes the keeper, and returns only when it cannot.
///
/// The daemon gets the configuration as it was checked now, from a memory file, so that a file
/// that is broken later does not keep a restarted daemon from working.
pub fn run(config: &Config, env: &Env) -> Failure {
    let doing = "start";
    let failed = |error: std::io::Error| Failure::io(doing, &error);
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return failed(error),
    };
    let memory = match config_in_memory(config) {
        Ok(memory) => memory,
        Err(error) => return failed(error),
    };
    let keeper = program.with_file_name(KEEPER);
    let options = keeper_config(config, program).to_options(Some(memory.as_raw_fd()));
    let mut command = std::process::Command::new(&keeper);
    // A configuration that is read anew has the same socket.
    command.args(options).envs(env.get(SOCKET_VARIABLE).map(|socket| (SOCKET_VARIABLE, socket)));
    let error = command.exec();
    let failure = Failure::new(Exit::Internal, doing, format!("{}: {error}", keeper.display()));
    match error.kind() {
        ErrorKind::NotFound => failure.remedy("install deskd-keeper in the directory of deskd"),
        _ => failure,
    }
}

/// Inherited by whatever this process becomes.
fn config_in_memory(config: &Config) -> std::io::Result<File> {
    let mut memory = File::from(memfd_create(c"deskd-config", MFdFlags::empty())?);
    memory.write_all(&serde_json::to_vec(config)?)?;
    Ok(memory)
}

fn keeper_config(config: &Config, program: PathBuf) -> KeeperConfig {
    let config_fd = deskd_keeper::DAEMON_FILE_FD.to_string();
    let arguments = ["daemon", "--config-fd", &config_fd].map(OsString::from);
    KeeperConfig {
        state_dir: config.state_dir.clone(),
        limits: Limits {
            task_bytes: config.log_store.task_limit_bytes,
            total_bytes: config.log_store.total_limit_bytes,
        },
        grace: config.stop.shutdown_grace,
        daemon_argv: std::iter::once(program.into_os_string()).chain(arguments).collect(),
        listen: config.listen,
        daemon_file: None,
        tasks_max: config.tasks_max as usize,
        estate: None,
    }
}

/// `deskd daemon`: becomes the daemon and returns when it is over.
pub fn daemon(config: Config, env: &Env) -> Result<Exit, Failure> {
    // First: what is opened meanwhile would get their numbers.
    let feed = feed::inherited();
    let custody = Custodian::begin();
    let listener = config.listen.map(|_| listener_on_stdin()).transpose();
    let listener = listener
        .map_err(|error| Failure::io("take the listening socket from standard input", &error))?;
    let program = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let next = keeper_config(&config, program);
    let exit = daemon::main(config, env, listener, feed);
    // It was asked to end, or ends because its keeper is gone.
    match custody.filter(|_| exit == Exit::Internal).and_then(Custodian::estate) {
        Some(estate) => Err(succeed(&next, &estate)),
        None => Ok(exit),
    }
}

/// The keeper was killed: this process becomes the next one. Returns only when it cannot.
fn succeed(config: &KeeperConfig, estate: &Estate) -> Failure {
    let doing = "take the place of the keeper that was killed";
    let keeper = Path::new(&config.daemon_argv[0]).with_file_name(KEEPER);
    let prepared = estate.bequeath().and_then(|will| {
        // The address is bound anew: no listener of this process stays open.
        let null = File::open("/dev/null")?;
        nix::unistd::dup2_stdin(&null)?;
        Ok(will)
    });
    let will = match prepared {
        Ok(will) => will,
        Err(error) => return Failure::io(doing, &error),
    };
    let file = estate.file.as_ref().map(|file| file.as_raw_fd());
    let options =
        ["--estate".into(), will.to_string().into()].into_iter().chain(config.to_options(file));
    let error = std::process::Command::new(&keeper).args(options).exec();
    Failure::new(Exit::Internal, doing, format!("{}: {error}", keeper.display()))
}

/// What the keeper bound. A duplicate: standard input itself stays as it is until the end.
fn listener_on_stdin() -> std::io::Result<TcpListener> {
    Ok(std::io::stdin().as_fd().try_clone_to_owned()?.into())
}

/// `deskd openapi`.
pub fn openapi() -> String {
    api::openapi_json()
}
