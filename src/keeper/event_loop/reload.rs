//! SIGHUP: another program, another configuration, the same applications.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::setup::release;
use super::{Keeper, KeeperError, unix_ms};
use crate::release::Reload;
use crate::{link, tried};
use deskd_core::task::Exit as Ending;
use deskd_core::wire::{DaemonEnd, FromKeeper, REFUSAL_BYTES_MAX, REFUSAL_SINCE};

/// The word that is added to the daemon's command: read the configuration anew and write it to descriptor 3.
const CHECK: &str = "--reload";
/// Read of what a check wrote, in bytes: what is no UTF-8 becomes three times as long.
const REFUSAL_TEXT_BYTES_MAX: usize = REFUSAL_BYTES_MAX / 4;

impl Keeper {
    pub(super) fn reload(&mut self, now: Instant) {
        if self.place.is_some() {
            return;
        }
        if self.shutdown.is_some() || !self.reload.is_idle() {
            return self
                .refuse_reload("deskd ends, or still takes over what the last SIGHUP asked for");
        }
        match self.check(now) {
            Ok(checking) => self.reload = checking,
            Err(error) => self.refuse_reload(&error.chain()),
        }
    }

    /// Starts the new program, to check and write down its configuration.
    fn check(&mut self, now: Instant) -> Result<Reload, KeeperError> {
        let made = memfd_create(c"deskd-config", MFdFlags::MFD_CLOEXEC);
        let file = made.map_err(tried("make a memory file"))?;
        let file = link::inheritable(file.as_fd()).map_err(KeeperError::Link)?;
        let check = release(&self.config, Some(CHECK), None)?;
        let mut files = vec![file.as_fd()];
        files.extend(self.daemon.release.file.as_ref().map(std::os::fd::AsFd::as_fd));
        let started = self.spawner.start_uncaptured(&check.command, None, &files);
        let pid = started.map_err(KeeperError::Daemon)?;
        // The same open program, whatever its name means by then.
        let command = check.command.without_last_word();
        let next = crate::release::Release { command, file: Some(file), ..check };
        Ok(Reload::checking(pid, next, now))
    }

    /// The check ended.
    pub(super) fn checked(&mut self, ending: &Ending) {
        let Reload::Checking { next, .. } = std::mem::take(&mut self.reload) else { return };
        let written = next.file.as_ref().and_then(|file| {
            let file = file.try_clone().ok()?;
            Some(File::from(file).metadata().ok()?.len())
        });
        match (ending, written) {
            (Ending::Code(0), Some(1..)) if self.shutdown.is_none() => {
                tracing::info!("the daemon is replaced, as SIGHUP asks; applications keep running");
                self.reload = Reload::stopping(next, Instant::now());
                match self.daemon.pid() {
                    Some(_) => self.signal_daemon(Signal::SIGTERM),
                    None => drop(self.turn_over()),
                }
            }
            (Ending::Code(0), Some(1..)) => {}
            (Ending::Code(0), _) => self.refuse_reload("the new program wrote no configuration"),
            (ending, _) => {
                let why = format!("the check ended with {}", ending.sentence());
                // It wrote there what it wrote to standard error.
                match next.file.and_then(|file| text(&File::from(file))) {
                    Some(text) => self.refuse_reload(&format!("{why}: {text}")),
                    None => self.refuse_reload(&why),
                }
            }
        }
    }

    /// The daemon is gone: whether it ended because the keeper asked it to.
    pub(super) fn turn_over(&mut self) -> bool {
        match std::mem::take(&mut self.reload) {
            Reload::Stopping { next, .. } => {
                let previous = std::mem::replace(&mut self.daemon.release, next);
                self.reload = Reload::Trial { previous };
                self.predecessor = Some(DaemonEnd::Replaced);
            }
            Reload::Trial { previous } => {
                tracing::error!(
                    "the new daemon did not start, so nothing is taken over: the keeper starts the program and the \
                     configuration of before; correct what the new daemon says above, and send SIGHUP again"
                );
                self.daemon.release = previous;
                self.predecessor = Some(DaemonEnd::NotStarted);
            }
            other => {
                self.reload = other;
                return false;
            }
        }
        self.daemon.start_at_once(Instant::now());
        true
    }

    /// The daemon answered.
    pub(super) fn proved(&mut self) {
        if matches!(self.reload, Reload::Trial { .. }) {
            self.reload = Reload::Idle;
            tracing::info!("the new daemon answers, and SIGHUP is done");
        }
    }

    fn refuse_reload(&mut self, why: &str) {
        tracing::error!("SIGHUP changes nothing, and the daemon keeps running: {why}");
        if self.spoken.is_some_and(|version| version >= REFUSAL_SINCE) {
            self.tell(&FromKeeper::ReloadRefused { at: unix_ms(), why: why.to_owned() });
        }
    }

    /// Whoever is waited for has no more time.
    pub(super) fn kill_late(&mut self, now: Instant) {
        if self.reload.until().is_none_or(|until| now < until) {
            return;
        }
        match self.reload.checker() {
            // It is the keeper's child and not reaped, so the pid is surely its own.
            Some(pid) => drop(kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL)),
            None => self.signal_daemon(Signal::SIGKILL),
        }
        self.reload.killed(now);
    }
}

/// The beginning of what a check wrote.
fn text(file: &File) -> Option<String> {
    let mut bytes = [0; REFUSAL_TEXT_BYTES_MAX];
    let count = file.read_at(&mut bytes, 0).ok()?;
    let text = String::from_utf8_lossy(&bytes[..count]).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
