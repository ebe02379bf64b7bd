//! The command line: what a person or a script asks of deskd.
//!
//! `run` and `daemon` are the two processes of deskd; everything else is a client of the unix
//! socket or works alone (`probe`, `check-config`, `xauthority`, `collect`, `diagnose`, `inject`, `openapi`,
//! `config-schema`, `completions`). Starting `run` must be fast, so nothing here does work before the command is known, and
//! only client commands get an async runtime.
//!
//! Deliberately not here: any decision about tasks. Commands print what the daemon says.

mod activity;
mod app;
mod args;
mod bench;
mod check;
mod client;
mod collect;
mod custodian;
mod diagnose;
mod doctor;
mod events;
mod explain;
mod failure;
mod follow;
mod health;
pub mod inject;
mod logs;
mod ocrun;
mod offline;
mod output;
mod pull;
mod reload;
mod safe;
mod shortcut;
pub mod sse;
mod task;
mod upgrade;
mod view;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;

use crate::config::{self, Env};
use args::{AppCommand, Args, Command};
use client::Client;
use deskd_core::exit::Exit;
use deskd_core::plan::LaunchSpec;
use failure::Failure;
use output::Out;

/// Runs the command line and returns its exit code.
pub fn main() -> ExitCode {
    // Where its file can be read, or was executed with a capability to read it, only this hides from processes of the same
    // user what `/proc` has of this one; else the kernel did it before.
    let _ = nix::sys::prctl::set_dumpable(false);
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let args = match shortcut::read(&words).map_or_else(Args::try_parse, Ok) {
        Ok(args) => args,
        Err(error) => {
            if error.use_stderr() {
                // It quotes what was given, whoever wrote that.
                failure::complain(&error.render().to_string());
                return Exit::Usage.into();
            }
            // --help and --version.
            let quiet = error.print();
            return if quiet.is_err() { Exit::Usage } else { Exit::Ok }.into();
        }
    };
    // Said here or there: to whatever reads it, and to whatever this process becomes, it is the variable.
    let env = Env::of_this_process();
    let env = match &args.socket {
        Some(socket) => env.with(config::SOCKET_VARIABLE, socket.clone()),
        None => env,
    };
    let mut out = Out::stdout(args.output, &env);
    let result = run(args, &env, &mut out).and_then(|exit| out.finish().map(|()| exit));
    match result {
        Ok(exit) => exit,
        // Nobody reads any more: `deskd logs ... | head` has what it wanted.
        Err(failure) if failure.is_broken_pipe() => Exit::Ok,
        Err(failure) => {
            failure.print();
            failure.exit()
        }
    }
    .into()
}

/// The command line with all of its commands, for what describes it (`man.rs`).
#[must_use]
pub fn command() -> clap::Command {
    <Args as clap::CommandFactory>::command()
}

fn run(args: Args, env: &Env, out: &mut Out) -> Result<Exit, Failure> {
    match args.command {
        Command::Run { config, lenient } => {
            Err(wiring::run(&offline::load(config.as_deref(), lenient, env)?, env))
        }
        Command::Daemon { config_fd, reload: true } => reload::check(config_fd, env),
        Command::Daemon { config_fd, reload: false } => {
            wiring::daemon(offline::config_from_fd(config_fd)?, env)
        }
        Command::Probe { config } => offline::probe(config.as_deref(), env, out),
        Command::CheckConfig { file } => check::config(&file, env, out),
        Command::Explain { app, args, engine, offline, config } if !offline.is_empty() => {
            let spec = LaunchSpec { args, engine: engine.map(Into::into), ..LaunchSpec::default() };
            let request = explain::OfflineRequest { documents: offline, app, config, spec };
            explain::offline(&request, env, out)
        }
        Command::App { command: AppCommand::Check { paths } } => check::apps(&paths, out),
        Command::Xauthority { file, display, address, runtime_dir } => {
            offline::xauthority(&file, &display, address, env)?;
            runtime_dir.map_or(Ok(Exit::Ok), |dir| offline::runtime_dir(&dir))
        }
        Command::Diagnose { files, evidence, exit } => {
            diagnose::run(&files, evidence.as_deref(), exit, env, out)
        }
        Command::Inject(request) => inject::run(&request, out),
        Command::Openapi => out.text(wiring::openapi()).map(|()| Exit::Ok),
        Command::ConfigSchema => out.text(config::SCHEMA.trim_end()).map(|()| Exit::Ok),
        Command::Completions { shell } => offline::completions(shell, out),
        Command::Collect { namespace, dry_run } => {
            runtime()?.block_on(collect::collect(namespace, dry_run, env, out))
        }
        command => client_command(command, Client::new(config::client_socket(None, env)), env, out),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("start the runtime", &error))
}

fn client_command(
    command: Command,
    client: Client,
    env: &Env,
    out: &mut Out,
) -> Result<Exit, Failure> {
    runtime()?.block_on(async {
        match command {
            Command::Health { wait, live: true } => health::live(&client, wait, out).await,
            Command::Health { wait, live: false } => health::health(&client, wait, out).await,
            Command::App { command } => app::run(&client, command, env, out).await,
            Command::Explain { app: Some(app), args, engine, .. } => {
                let spec =
                    LaunchSpec { args, engine: engine.map(Into::into), ..LaunchSpec::default() };
                explain::explain(&client, &app, &spec, out).await
            }
            Command::Launch { app, args, engine, key } => {
                let spec =
                    LaunchSpec { args, engine: engine.map(Into::into), ..LaunchSpec::default() };
                task::launch(&client, &app, &spec, key, out).await
            }
            Command::Ocrun { target, files, mime } => {
                ocrun::run(&client, ocrun::Request { target, files, mime }, out).await
            }
            Command::Task { command } => task::run(&client, command, out).await,
            Command::Logs(request) => logs::logs(&client, &request, out).await,
            Command::Events { follow } => events::events(&client, follow, out).await,
            Command::Doctor { config } => doctor::run(&client, config.as_deref(), env, out).await,
            Command::Activity { wait_idle } => activity::activity(&client, wait_idle, out).await,
            Command::Bench { command } => bench::run(&client, command, out).await,
            Command::Panel => offline::panel(&client, out).await,
            Command::Upgrade { binary } => upgrade::run(&client, binary.as_deref(), out).await,
            Command::Explain { app: None, .. }
            | Command::Run { .. }
            | Command::Daemon { .. }
            | Command::Probe { .. }
            | Command::CheckConfig { .. }
            | Command::Xauthority { .. }
            | Command::Diagnose { .. }
            | Command::Inject(_)
            | Command::Openapi
            | Command::ConfigSchema
            | Command::Completions { .. }
            | Command::Collect { .. } => unreachable!("handled without a client"),
        }
    })
}
