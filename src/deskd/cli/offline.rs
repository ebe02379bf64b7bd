//! Commands that need no daemon (or, `panel`, hardly anything of it).

use std::fs::Permissions;
use std::io::{ErrorKind, Read as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use clap::CommandFactory as _;
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::args::Args;
use super::client::{Ask, Client};
use super::failure::{Failure, note};
use super::output::{Out, Tone, printable};
use crate::config::{self, Config, ConfigErrors, Env};
use crate::daemon::display_config;
use crate::display::{self, Cookie, Servers};
use deskd_core::display::{DisplayStatus, EndpointState};
use deskd_core::exit::Exit;
use deskd_core::plan::display_sentence;

/// Mode of a directory that is for its owner alone.
const PRIVATE: u32 = 0o700;

/// Loads the configuration or tells everything that is wrong with it; if `lenient`, both.
pub fn load(file: Option<&Path>, lenient: bool, env: &Env) -> Result<Config, Failure> {
    let load = if lenient { Config::load_lenient } else { Config::load };
    let config = load(file, env).map_err(|errors| invalid(&errors, Exit::Config))?;
    if let Some(errors) = &config.file_errors {
        note(&format!(
            "the configuration file has errors, so neither it nor any remote engine is used:\n{errors}"
        ));
    }
    Ok(config)
}

fn invalid(errors: &ConfigErrors, exit: Exit) -> Failure {
    Failure::report(exit, format!("{}deskd: cannot start: {errors}", errors.report()))
}

/// Reads what `run` wrote for the daemon.
pub fn config_from_fd<T: DeserializeOwned>(fd: i32) -> Result<T, Failure> {
    let doing = format!("read the configuration from file descriptor {fd}");
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(Exit::Internal, &doing, why)
            .remedy("only `deskd run` starts `daemon`: use `deskd run`")
    };
    let mut text = String::new();
    // Opened by its name: the new descriptor is ours to own, and a memory file is read from its
    // start however often it was read before.
    std::fs::File::open(format!("/proc/self/fd/{fd}"))
        .and_then(|file| file.take(CONFIG_JSON_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| failed(&error))?;
    serde_json::from_str(&text).map_err(|error| failed(&error))
}

/// Largest configuration handed to a daemon, in bytes.
const CONFIG_JSON_BYTES_MAX: u64 = 64 << 20;

/// `deskd probe`.
pub fn probe(file: Option<&Path>, env: &Env, out: &mut Out) -> Result<Exit, Failure> {
    let draft = config::read(file, env).map_err(|errors| invalid(&errors, Exit::Config))?;
    let status = crate::display::probe(&display_config(draft.display(), env));
    if out.is_json() {
        out.json(&status)?
    } else {
        show(&status, out)?
    }
    let well = status.answers() && status.shm.sysv.works();
    Ok(if well { Exit::Ok } else { Exit::Unhealthy })
}

fn show(status: &DisplayStatus, out: &mut Out) -> Result<(), Failure> {
    let state = |state: &EndpointState| match state {
        EndpointState::Unchecked => "not checked".to_owned(),
        EndpointState::NotListening => "nothing listens".to_owned(),
        EndpointState::Refused(why) => format!("refused: {why}"),
        EndpointState::Hanging => "accepts connections but does not answer".to_owned(),
        EndpointState::Answering => "answers".to_owned(),
    };
    let tone = if status.answers() { Tone::Good } else { Tone::Bad };
    out.text(out.toned(&printable(&display_sentence(status)), tone))?;
    let server = status.server.as_ref().map(|server| {
        format!("{} {}, {}x{}", server.vendor, server.release, server.width_px, server.height_px)
    });
    out.fields(&[
        ("  unix socket", state(&status.unix.state)),
        ("  TCP", format!("port {}: {}", status.tcp.port, state(&status.tcp.state))),
        ("  server", server.unwrap_or_default()),
        ("  SysV shared memory", status.shm.sysv.sentence().into()),
        ("  memfd shared memory", status.shm.fd.sentence().into()),
        ("  notes", status.notes.join("\n")),
    ])
}

/// `deskd xauthority`.
pub fn xauthority(
    file: &Path,
    name: &str,
    address: Option<IpAddr>,
    env: &Env,
) -> Result<Exit, Failure> {
    let doing = format!("write {}", file.display());
    let wrong = |why: &dyn std::fmt::Display| Failure::new(Exit::Usage, &doing, why);
    let number = display::name::parse(name).map_err(|error| wrong(&error))?;
    let remedy = "set XAUTH_KEY to the hexadecimal digits that `xauth list` prints";
    let key = env.get("XAUTH_KEY").unwrap_or_default();
    let cookie = Cookie::from_hex(&key).map_err(|why| {
        wrong(&format_args!("XAUTH_KEY is not a valid cookie: {why}")).remedy(remedy)
    })?;
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok());
    let servers = Servers { host: host.as_deref(), address };
    display::write_xauthority(file, &cookie, number, servers)
        .map_err(|error| Failure::io(&doing, &error))?;
    Ok(Exit::Ok)
}

/// `deskd xauthority --runtime-dir`: one that is there already is made private.
pub fn runtime_dir(dir: &Path) -> Result<Exit, Failure> {
    let made = match std::fs::DirBuilder::new().mode(PRIVATE).create(dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            std::fs::set_permissions(dir, Permissions::from_mode(PRIVATE))
        }
        other => other,
    };
    made.map_err(|error| Failure::io(&format!("make {}", dir.display()), &error))?;
    Ok(Exit::Ok)
}

/// `deskd completions`.
pub fn completions(shell: clap_complete::Shell, out: &mut Out) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "deskd", &mut script);
    out.bytes(&script)?;
    Ok(Exit::Ok)
}

/// `deskd panel`: the one-time login alone on stdout.
pub async fn panel(client: &Client, out: &mut Out) -> Result<Exit, Failure> {
    let doing = "create a login for the panel";
    let ask = Ask::new(Method::POST, "/v1/panel/login");
    let answer: Value = client.json(&ask).await.map_err(|error| error.failure(doing))?;
    match answer.get("url").and_then(Value::as_str) {
        _ if out.is_json() => out.json(&answer)?,
        Some(url) => out.text(printable(url))?,
        None => return Err(Failure::new(Exit::Internal, doing, "the daemon sent no URL")),
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    #[test]
    fn every_daemon_reads_the_same_memory_file_from_its_start() {
        let env = Env::from_pairs([("DESKD_STATE_DIR", "/nowhere")]);
        let config = Config::load(None, &env).unwrap();
        let memory = memfd_create(c"deskd-config", MFdFlags::MFD_CLOEXEC).unwrap();
        let mut memory = std::fs::File::from(memory);
        memory.write_all(&serde_json::to_vec(&config).unwrap()).unwrap();
        for _ in 0..2 {
            assert_eq!(config_from_fd::<Config>(memory.as_raw_fd()).unwrap(), config);
        }
        assert!(config_from_fd::<Config>(i32::MAX).is_err());
    }
}
