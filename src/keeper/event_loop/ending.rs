//! The daemon's life and the keeper's end.

use std::os::fd::AsFd;

use std::time::Instant;

use nix::sys::signal::{Signal as NixSignal, kill};
use nix::unistd::Pid;
use rustix::process::Signal;

use super::Keeper;
use crate::KeeperError;
use crate::heartbeat::Due;
use crate::procfs;
use crate::shutdown::{Action, Facts, Shutdown};
use crate::signal;
use deskd_core::exit::Exit;
use deskd_core::task::Exit as Ending;
use deskd_core::wire::{DaemonEnd, FromKeeper};

impl Keeper {
    pub(super) fn start_daemon_if_due(&mut self, now: Instant) -> Result<(), KeeperError> {
        let due = self.daemon.start_at().is_some_and(|at| now >= at);
        if !due || self.is_daemons_turn() {
            return Ok(());
        }
        match self.start_daemon() {
            Ok(pid) => {
                self.daemon.started(pid, now);
                self.heartbeat.started(now);
            }
            Err(error) if !self.daemon.has_run() => return Err(error),
            Err(error) => {
                self.drop_connection();
                if self.turn_over() {
                    tracing::error!("{}", error.chain());
                    return Ok(());
                }
                let pause_ms = self.daemon.died(now).as_millis() as u64;
                tracing::error!(pause_ms, "{}", error.chain());
            }
        }
        Ok(())
    }

    fn start_daemon(&mut self) -> Result<u32, KeeperError> {
        let end = self.connect().map_err(KeeperError::Link)?;
        let feed = self.connect_feed().map_err(KeeperError::Link)?;
        let custody = self.give_custody().map_err(KeeperError::Link)?;
        let stdin = self.daemon_tcp.as_ref().map(AsFd::as_fd);
        let file = self.daemon.release.file.as_ref().map(AsFd::as_fd);
        // In the order of their numbers.
        let files = [end.as_fd(), file.unwrap_or(feed.as_fd()), feed.as_fd(), custody.as_fd()];
        let started = self.spawner.start_uncaptured(&self.daemon.release.command, stdin, &files);
        started.map_err(KeeperError::Daemon)
    }

    pub(super) fn daemon_ended(&mut self, ending: &Ending) {
        self.take_last_requests();
        self.heartbeat.over();
        let given_up = self.given_up.take();
        if self.is_daemons_turn() {
            return self.daemon.over();
        }
        if self.turn_over() {
            return;
        }
        let refused = [Exit::Usage, Exit::Config]
            .into_iter()
            .find(|exit| *ending == Ending::Code(i32::from(*exit as u8)));
        let nothing_runs = self.table.all_gone() && self.starts.is_empty();
        if self.daemon.is_first() && nothing_runs && refused.is_some() {
            // It printed why; starting it again would only print it again.
            self.exit = refused;
            return;
        }
        let end = given_up.unwrap_or_else(|| DaemonEnd::Ended(ending.clone()));
        let pause = self.daemon.died(Instant::now());
        tracing::warn!(
            pause_ms = pause.as_millis() as u64,
            "the daemon {}; the keeper starts another, and applications keep running",
            end.sentence()
        );
        self.predecessor = Some(end);
    }

    /// Asks the daemon whether it lives, and kills it when it has not answered for long.
    pub(super) fn heartbeat_if_due(&mut self, now: Instant) {
        if self.is_daemons_turn() {
            return self.heartbeat.over();
        }
        // Its answer may be among what was read and is not answered yet.
        let due = if self.requests_left { None } else { self.heartbeat.take_due(now) };
        match due {
            Some(Due::Ask(number)) => self.tell(&FromKeeper::Ping { number }),
            Some(Due::Silent) => self.give_daemon_up(now),
            None => {}
        }
    }

    fn give_daemon_up(&mut self, now: Instant) {
        let Some(pid) = self.daemon.pid() else { return };
        // Only root can be its debugger: the daemon is not dumpable.
        if let Some(tracer) = procfs::read_tracer(pid) {
            tracing::info!(pid, tracer, "the daemon does not answer; it is left to its debugger");
            return self.heartbeat.wait_anew(now);
        }
        let stopped = procfs::read_stat(pid).is_some_and(|stat| stat.state == 'T');
        let end = DaemonEnd::Silent { stopped };
        tracing::error!(pid, "the daemon {}; the keeper kills it", end.sentence());
        self.given_up = Some(end);
        self.signal_daemon(NixSignal::SIGKILL);
    }

    /// SIGTERM or SIGINT arrived.
    pub(super) fn shut_down(&mut self) {
        let now = Instant::now();
        match &mut self.shutdown {
            Some(shutdown) => shutdown.hurry(now),
            None => {
                let grace = self.config.grace;
                self.shutdown = Some(match self.place {
                    None => Shutdown::begin(now, grace),
                    Some(_) => Shutdown::of_place(now, grace),
                });
                self.notify.stopping();
                self.refuse_waiting_starts();
                // For processes that belong to no task.
                self.survey_wanted = true;
            }
        }
        if let Some(drain) = self.drain() {
            self.tell(&FromKeeper::Draining(drain));
        }
    }

    /// Takes a shutdown as far as it goes now.
    pub(super) fn go_on_ending(&mut self, now: Instant) {
        while let Some(shutdown) = &mut self.shutdown {
            let facts = Facts {
                left: self.survey_wanted
                    || self.survey_retry_at.is_some()
                    || !self.strays.is_empty()
                    || !self.starts.is_empty()
                    || !self.table.all_gone(),
                daemon: self.daemon.pid().is_some(),
                drained: self.drained,
            };
            let Some(action) = shutdown.next(now, facts) else { return };
            match action {
                Action::Terminate { kill_at } => self.terminate_all(now, kill_at),
                Action::Kill => self.survey_wanted = true,
                Action::StopDaemon => self.signal_daemon(NixSignal::SIGTERM),
                Action::KillDaemon => self.signal_daemon(NixSignal::SIGKILL),
                Action::Finish => {
                    self.exit = Some(Exit::Ok);
                    return;
                }
            }
        }
    }

    fn terminate_all(&mut self, now: Instant, kill_at: Instant) {
        self.terminated = Some(kill_at);
        let left = self.table.iter().filter(|(_, task)| !task.tree_gone);
        for key in left.map(|(key, _)| key).collect::<Vec<_>>() {
            self.table.stop_by(key, now, kill_at);
        }
        signal::send(&self.strays, &[Signal::TERM, Signal::CONT]);
    }

    pub(super) fn signal_daemon(&self, signal: NixSignal) {
        if let Some(pid) = self.daemon.pid() {
            // It is the keeper's child and not reaped, so the pid is surely its own.
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }
}
