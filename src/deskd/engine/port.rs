//! The daemon's end of the port to the engines: a command goes to the keeper, to the Kubernetes
//! engine, or to both (a container's output is in the keeper's log store).

use std::path::PathBuf;

use super::keeper::LocalEngine;
use super::kubernetes::CommandSender;
use super::log_mark::log_mark;
use deskd_core::port::{Command, Event, Link, keeper};
use deskd_core::why::reason::RefusalReason;
use deskd_core::wire::frame::{FrameError, encode};
use deskd_core::wire::{MESSAGE_BYTES_MAX, SpawnError, ToKeeper};

/// The engines.
#[derive(Debug)]
pub struct Port {
    keeper: LocalEngine,
    /// Messages for the keeper that belong together: one write.
    to_keeper: Vec<u8>,
    cluster: CommandSender,
    state_dir: PathBuf,
}

/// Why a command did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The keeper is away or does not keep up: only another daemon, which asks it anew, can know what
    /// is the case.
    #[error("the keeper does not take messages")]
    Keeper,
    /// The Kubernetes engine ended or does not keep up.
    #[error("the Kubernetes engine does not keep up")]
    Cluster,
}

impl Port {
    /// The engines of the desktop whose log store is in `state_dir`.
    #[must_use]
    pub fn new(keeper: LocalEngine, cluster: CommandSender, state_dir: PathBuf) -> Self {
        Self { keeper, to_keeper: Vec::new(), cluster, state_dir }
    }

    /// Passes a command on, to the keeper with the next [`flush`](Self::flush). What cannot be asked of
    /// anybody is answered at once.
    ///
    /// # Errors
    /// An engine is gone.
    pub fn send(&mut self, link: Link, command: Command) -> Result<Option<Event>, PortError> {
        if let Some(message) = keeper::message(link, &command) {
            if let Err(error) = encode(&message, &mut self.to_keeper) {
                return Ok(too_long(command, &error));
            }
            if self.to_keeper.len() >= MESSAGE_BYTES_MAX {
                self.flush()?;
            }
        }
        if link == Link::Cluster && !self.cluster.send(self.resumed(command)) {
            return Err(PortError::Cluster);
        }
        Ok(None)
    }

    /// Tells the keeper what is about no task, with the next [`flush`](Self::flush).
    pub fn tell_keeper(&mut self, message: &ToKeeper) {
        // None of these is larger than a message may be.
        let _ = encode(message, &mut self.to_keeper);
    }

    /// Sends what the keeper is to be told.
    ///
    /// # Errors
    /// The keeper is gone.
    pub fn flush(&mut self) -> Result<(), PortError> {
        if self.to_keeper.is_empty() {
            return Ok(());
        }
        let messages = std::mem::take(&mut self.to_keeper);
        self.keeper.send(messages).then_some(()).ok_or(PortError::Keeper)
    }

    /// Output goes on from where it is stored.
    fn resumed(&self, mut command: Command) -> Command {
        if let Command::Adopt { run, log, .. } = &mut command {
            *log = log_mark(&self.state_dir, &run.task);
        }
        command
    }
}

/// Only a Spawn can be larger than the keeper takes.
fn too_long(command: Command, error: &FrameError) -> Option<Event> {
    let Command::Start { run, .. } = command else { return None };
    let why = format!("its command line and environment are too long: {error}");
    let refusal = RefusalReason::Spawn(SpawnError::Invalid(why)).into();
    Some(Event::Refused { run, refusal })
}
