//! What the engines report, and what becomes of the daemon when one is lost.

use super::driver::Driver;
use deskd_core::health::{KeeperStatus, ReloadOutcome};
use deskd_core::id::TaskId;
use deskd_core::port::{Command, Event, Link};
use deskd_core::run;
use deskd_core::wire::{FromKeeper, ToKeeper};
use deskd_keeper::logs::{Bounds, LogReader};

use crate::engine::port::PortError;

impl Driver {
    pub(super) fn keeper_reports(&mut self, message: FromKeeper) {
        match &message {
            FromKeeper::Welcome { log_trouble, predecessor, release, .. } => {
                self.log_trouble.clone_from(log_trouble);
                self.predecessor.clone_from(predecessor);
                self.keeper = KeeperStatus {
                    version: release.clone(),
                    reload: ReloadOutcome::of(predecessor.as_ref()),
                };
            }
            FromKeeper::ReloadRefused { at, why } => {
                self.keeper.reload = Some(ReloadOutcome::Refused { at: *at, why: why.clone() });
            }
            FromKeeper::LogTrouble { trouble } => self.log_trouble.clone_from(trouble),
            FromKeeper::LogAdvanced { task, end } => {
                self.to_keeper.extend(self.follows.advanced(task.clone(), *end));
            }
            FromKeeper::RecordsStored { task, end } => {
                let stored = Command::OutputStored { task: task.clone(), end: *end };
                if let Err(error) = self.port.send(Link::Cluster, stored) {
                    self.lost(&error);
                }
            }
            FromKeeper::Ping { number } => self.to_keeper.push(ToKeeper::Pong { number: *number }),
            FromKeeper::VersionRefused { version } => {
                tracing::error!(version, "the keeper speaks another version of the protocol");
                self.step(run::Input::KeeperLost);
            }
            FromKeeper::Spawned { id, times, .. } => {
                self.replies.timings.answered(&id.task, *times);
            }
            FromKeeper::SpawnRefused { id, .. } => self.replies.timings.answered(&id.task, None),
            FromKeeper::Exited { id, end } => {
                tracing::info!(task = %id.task, end = %end.exit.sentence(), "task's process ended");
            }
            _ => {}
        }
        let logs = self.settings.state_dir.join("logs");
        let log_end = |task: &TaskId| {
            let Bounds { end, .. } = LogReader::open(&logs, task).ok()?.bounds().ok()?;
            Some(end)
        };
        for event in self.translator.events(message, &log_end) {
            self.engine_reports(event);
        }
    }

    pub(super) fn engine_reports(&mut self, event: Event) {
        match event {
            Event::Pull(status) => self.pull_said(status),
            Event::LogDone { run, trouble } => {
                if let Some(trouble) = trouble {
                    tracing::warn!(task = %run.task, "its output is not complete: {trouble}");
                }
            }
            event => self.step(run::Input::Engine(event)),
        }
    }

    pub(super) fn lost(&mut self, error: &PortError) {
        tracing::error!("{error}");
        if matches!(error, PortError::Keeper) {
            self.step(run::Input::KeeperLost);
        }
        self.link_failed = true;
    }

    pub(super) fn send_to_keeper(&mut self) {
        for message in std::mem::take(&mut self.to_keeper) {
            self.port.tell_keeper(&message);
        }
        if let Err(error) = self.port.flush() {
            self.lost(&error);
        }
    }
}
