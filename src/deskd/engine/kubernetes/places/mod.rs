//! Places: containers with a keeper as their first process. `core::place` has their life; here are the
//! connection to each keeper (`link`), where those in pods of their own come in (`port`), what a daemon
//! remembers of them (`file`), and whose processes they are asked for (`questions`).

pub mod file;
pub mod link;
pub mod port;
pub mod questions;
mod visitors;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use self::port::Port;
use deskd_core::id::TaskId;
use deskd_core::kubernetes::ObjectRef;
use deskd_core::place;
use deskd_core::task::UnixMs;
use deskd_core::wire::proof::Key;
use deskd_core::wire::{RunId, SpawnRequest, ToKeeper};

/// Everything about places that the engine knows.
#[derive(Debug, Default)]
pub struct Places {
    /// Their life.
    pub life: place::Places,
    /// The origin of the clock on which pauses of theirs are counted.
    pub begun: Begun,
    /// How each is reached.
    pub links: HashMap<TaskId, Link>,
    /// The runs at them.
    pub runs: HashMap<RunId, AtPlace>,
    /// Where they are remembered; absent: nowhere, so there are none.
    pub file: Option<PathBuf>,
    /// Tasks of which the log store is to be told that nothing more comes.
    pub to_close: Vec<TaskId>,
    /// Where no keeper ever answered: what is launched there gets a container of its own.
    pub unfit: Vec<place::PlaceSpec>,
    /// What their keepers are asked about processes.
    pub questions: questions::Questions,
    /// The list of the own pod's containers is told once all places answered.
    pub list_waits: bool,
    /// Where keepers in pods come in; absent: they cannot.
    pub port: Option<Port>,
    /// Until when no pod is made a place, after one did not reach deskd.
    pub barred_until: Option<Instant>,
}

/// The moment at which it was made.
#[derive(Debug, Clone, Copy)]
pub struct Begun(Instant);

impl Begun {
    /// How long ago that was.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// The moment that is so long after it.
    #[must_use]
    pub fn at(self, after: Duration) -> Instant {
        self.0 + after
    }
}

impl Default for Begun {
    fn default() -> Self {
        Self(Instant::now())
    }
}

/// How a place is reached.
#[derive(Debug)]
pub struct Link {
    /// Shared with its keeper.
    pub key: Key,
    /// Its container.
    pub object: ObjectRef,
    /// It is in a pod of its own.
    pub far: bool,
    /// It was made before anybody asked: its pod is no run's.
    pub unasked: bool,
    /// To its keeper, while that is connected.
    pub queue: Option<mpsc::Sender<ToKeeper>>,
    /// It answered once.
    pub answered: bool,
    /// When its keeper started, once it said so.
    pub keeper_since: Option<UnixMs>,
    /// Since when its keeper should answer and does not.
    pub silent_since: Option<Instant>,
    /// The task that connects again and again; absent: it has not been started.
    pub task: Option<AbortHandle>,
    /// Since when nothing has run in its pod.
    pub idle_since: Option<Instant>,
}

/// A run at a place.
#[derive(Debug, Default)]
pub struct AtPlace {
    /// What the keeper is to be asked for; absent: it has it.
    pub request: Option<Box<SpawnRequest>>,
    /// A stop was asked for: SIGTERM and SIGKILL.
    pub stop: Option<(Instant, Instant)>,
    /// All of its output was given away: where that ends.
    pub output_end: Option<u64>,
    /// The log store has that.
    pub output_stored: bool,
    /// The log store was told that nothing more comes, or is to be.
    pub output_closed: bool,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.iter().for_each(AbortHandle::abort);
    }
}
