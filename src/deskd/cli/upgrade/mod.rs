//! `deskd upgrade`: another program, another configuration, the same applications.
//!
//! What the keeper does at SIGHUP, with what is before and after it: a new program is checked and put where the old one
//! is, and the old one comes back if the keeper or the new daemon refuses. Who may replace the file and signal the keeper may do
//! this; nothing is asked of the daemon that it would have to permit.

mod install;

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::client::{Client, ClientError};
use super::failure::Failure;
use super::output::Out;
use crate::supervisor::Desktop;
use deskd_core::exit::Exit;
use deskd_core::health::{ReloadOutcome, version_sentence};
use deskd_keeper::procfs::{read_arguments, read_stat};
use install::Staged;

const DOING: &str = "take over the new deskd";
/// The keeper checks for 30 s at most, waits 5 s for the old daemon, and 20 s for an answer of the new one.
const OUTCOME_S_MAX: u64 = 60;
/// Time for the keeper to tell once another daemon answers.
const TELL_S_MAX: u64 = 5;
/// Time between two looks, in milliseconds.
const LOOK_MS: u64 = 50;

/// The keeper that runs, as `/proc` shows it.
#[derive(Debug)]
struct Keeper {
    pid: Pid,
    /// The program that daemons are started from.
    program: PathBuf,
}

/// Replaces the program, if one is given, and has the keeper take over what is there.
pub async fn run(client: &Client, new: Option<&Path>, out: &mut Out) -> Result<Exit, Failure> {
    let (old, before) = look(client).await.map_err(|error| error.failure(DOING))?;
    let keeper = keeper_of(old)?;
    let staged = match new {
        Some(new) if !install::is_same(new, &keeper.program) => {
            Some(Staged::copy(new, &keeper.program)?)
        }
        _ => None,
    };
    // Dropped with an error, it puts back what was there.
    let installed = staged.map(Staged::install).transpose()?;
    kill(keeper.pid, Signal::SIGHUP).map_err(|errno| not_signalled(keeper.pid, errno))?;
    let after = outcome(client, old, &before).await?;
    if let Some(installed) = installed {
        installed.keep();
    }
    tell(&before, &after, out)
}

/// The daemon's process, and what it says.
async fn look(client: &Client) -> Result<(Option<u32>, Desktop), ClientError> {
    let desktop = client.get("/v1/desktop").await?;
    Ok((client.daemon_pid().await, desktop))
}

/// The parent of the daemon.
fn keeper_of(daemon: Option<u32>) -> Result<Keeper, Failure> {
    let parent = daemon.and_then(read_stat).map(|stat| stat.ppid).filter(|pid| *pid > 0);
    let found = parent.and_then(|pid| {
        let pid_t = Pid::from_raw(i32::try_from(pid).ok()?);
        Some(Keeper { pid: pid_t, program: program(read_arguments(pid))? })
    });
    found.ok_or_else(|| {
        Failure::new(Exit::Refused, DOING, "the process that started the daemon is not to be seen")
            .remedy("run this where deskd runs: in its container, or on its host")
    })
}

/// From a keeper's command line: what follows `--`.
fn program(arguments: Vec<String>) -> Option<PathBuf> {
    let program = PathBuf::from(arguments.into_iter().skip_while(|word| word != "--").nth(1)?);
    program.is_absolute().then_some(program)
}

fn not_signalled(pid: Pid, errno: Errno) -> Failure {
    let failure = Failure::new(
        Exit::Refused,
        DOING,
        format!("the keeper (process {pid}) cannot be signalled: {}", errno.desc()),
    );
    failure.remedy(
        "run this as deskd's user or as root, and outside of the applications that deskd starts",
    )
}

/// Waits for another daemon, or for the keeper's refusal.
async fn outcome(client: &Client, old: Option<u32>, before: &Desktop) -> Result<Desktop, Failure> {
    let deadline = Instant::now() + Duration::from_secs(OUTCOME_S_MAX);
    let mut another_since = None;
    while Instant::now() < deadline {
        // It is away for a moment.
        if let Ok((daemon, now)) = look(client).await {
            let is_another = daemon.is_some() && daemon != old && now.started;
            match &now.keeper.reload {
                Some(ReloadOutcome::Done) if is_another => return Ok(now),
                Some(ReloadOutcome::RolledBack) if is_another => return Err(not_started()),
                Some(ReloadOutcome::Refused { why, .. }) if now.keeper != before.keeper => {
                    return Err(refused(why));
                }
                // It answers before its keeper knows that it does; an earlier release never tells.
                None if is_another => {
                    let since = *another_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= Duration::from_secs(TELL_S_MAX) {
                        return Err(unknown());
                    }
                }
                _ => {}
            }
        }
        sleep(Duration::from_millis(LOOK_MS)).await;
    }
    Err(unknown())
}

fn refused(why: &str) -> Failure {
    Failure::new(Exit::Refused, DOING, why).remedy("correct it and try again; nothing was changed")
}

fn not_started() -> Failure {
    let why = "the new daemon did not start, so the one of before runs again";
    Failure::new(Exit::Refused, DOING, why)
        .remedy("read in deskd's log why it did not; nothing was changed")
}

fn unknown() -> Failure {
    Failure::new(Exit::Timeout, DOING, "the keeper does not tell what became of it")
        .remedy("read deskd's log; the program of before is in its place again")
}

fn tell(before: &Desktop, after: &Desktop, out: &mut Out) -> Result<Exit, Failure> {
    let (old, new) = (&before.version, &after.version);
    let keeper = after.keeper.version.as_deref();
    if out.is_json() {
        out.json(&json!({ "before": old, "version": new, "keeper_version": keeper }))?;
        return Ok(Exit::Ok);
    }
    out.text(match old == new {
        true => format!("a new daemon runs, of version {new} as before; applications run on"),
        false => format!("the daemon is {new} now, and was {old}; applications run on"),
    })?;
    if let Some(differs) = version_sentence(keeper, new) {
        out.text(format!(
            "the keeper runs on: {differs}; it is replaced when deskd is started anew"
        ))?;
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_what_a_keeper_was_told_to_start() {
        let of = |words: &[&str]| program(words.iter().map(ToString::to_string).collect());
        let keeper = ["deskd-keeper", "--state-dir", "/s", "--", "/usr/bin/deskd", "daemon"];
        assert_eq!(of(&keeper), Some("/usr/bin/deskd".into()));
        assert_eq!(of(&["deskd-keeper", "--", "deskd", "daemon"]), None);
        assert_eq!(of(&["bash"]), None);
    }
}
