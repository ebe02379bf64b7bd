//! What is asked of tasks, and the answers.

use std::sync::Arc;
use std::time::Duration;

use crate::id::{AppId, TaskId};
use crate::plan::{LaunchSpec, Unplannable};
use crate::task::Task;
use crate::text;
use crate::text::Text;
use crate::why::reason::Refused;
use crate::wire::SpawnError;

/// A launch as asked for.
#[derive(Debug, Clone)]
pub struct LaunchRequest {
    /// What.
    pub app: AppId,
    /// Its arguments, and the engine if somebody insists on one.
    pub spec: LaunchSpec,
    /// Repeating a request with the same key gives the same task (at most 128 bytes).
    pub idempotency_key: Option<String>,
}

/// What became of a launch.
#[derive(Debug, Clone)]
pub enum LaunchAdmission {
    /// A new task, and its process exists; a remote one's object does, or will as soon as the
    /// Kubernetes API takes it.
    Started(Arc<Task>),
    /// The key was seen before: this is its task.
    AlreadyLaunched(Arc<Task>),
}

/// Why nothing was launched.
#[derive(Debug, Clone)]
pub enum LaunchError {
    /// No such app.
    UnknownApp(AppId),
    /// No engine can run it now.
    Unplannable(Unplannable),
    /// The process could not be started.
    Spawn {
        /// Which app.
        app: AppId,
        /// Why.
        error: SpawnError,
    },
    /// The Kubernetes API refused its object.
    Refused {
        /// Which app.
        app: AppId,
        /// Why.
        refusal: Box<Refused>,
    },
    /// deskd is shutting down.
    Draining,
    /// The limit on tasks.
    TooManyTasks {
        /// The limit.
        limit: usize,
    },
    /// The keeper is away; nothing is known about the launch.
    KeeperAway,
    /// The same key was used for another app or other arguments.
    KeyReused(TaskId),
}

impl LaunchError {
    /// One sentence: what is wrong, and what to do.
    #[must_use]
    pub fn sentence(&self) -> Text {
        match self {
            Self::UnknownApp(app) => text!("there is no application `{app}`", app),
            Self::Unplannable(why) => why.sentence.clone(),
            Self::Spawn { app, error } => {
                text!("{app} cannot be started: {why}", app, why = error.sentence())
            }
            Self::Refused { app, refusal } => {
                text!("{app} cannot be started: {why}", app, why = refusal.sentence())
            }
            Self::Draining => text!("deskd is shutting down and starts nothing new"),
            Self::TooManyTasks { limit } => {
                text!("there are already {limit} tasks, the limit: remove ended ones", limit)
            }
            Self::KeeperAway => {
                text!("the keeper does not answer; ask again with the same idempotency key")
            }
            Self::KeyReused(task) => {
                text!("the idempotency key was used for another launch ({task})", task)
            }
        }
    }
}

impl From<Unplannable> for LaunchError {
    fn from(why: Unplannable) -> Self {
        Self::Unplannable(why)
    }
}

/// A stop as asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct StopRequest {
    /// Time from now until SIGKILL; absent: the configured grace.
    pub grace: Option<Duration>,
    /// SIGKILL at once.
    pub force: bool,
}

/// What became of a stop.
#[derive(Debug, Clone)]
pub enum StopAdmission {
    /// It is being stopped; the task's steps say how far that is.
    Stopping(Arc<Task>),
    /// It had ended already.
    AlreadyEnded(Arc<Task>),
}

/// Why nothing was stopped.
#[derive(Debug, Clone)]
pub enum StopError {
    /// Others started it, and deskd has no way to stop it.
    NotPossible {
        /// Which.
        task: TaskId,
        /// One sentence.
        why: Text,
    },
    /// No such task.
    UnknownTask(TaskId),
    /// The keeper is away.
    KeeperAway,
}

/// Why a remedy was not applied.
#[derive(Debug, Clone)]
pub enum RemedyError {
    /// No such task.
    UnknownTask(TaskId),
    /// Nothing to apply, or not any more.
    None {
        /// Which task.
        task: TaskId,
        /// Why not.
        why: Text,
    },
    /// The run with the remedy cannot be planned.
    Launch(LaunchError),
    /// The driver is gone.
    Ending,
}

/// Why nothing was removed.
#[derive(Debug, Clone)]
pub enum RemoveError {
    /// No such task.
    UnknownTask(TaskId),
    /// It still runs.
    NotEnded(TaskId),
}

impl StopError {
    /// One sentence.
    #[must_use]
    pub fn sentence(&self) -> Text {
        match self {
            Self::NotPossible { task, why } => {
                text!("task `{task}` cannot be stopped here: {why}", task, why)
            }
            Self::UnknownTask(task) => no_task(task),
            Self::KeeperAway => text!("the keeper does not answer"),
        }
    }
}

impl RemedyError {
    /// One sentence.
    #[must_use]
    pub fn sentence(&self) -> Text {
        match self {
            Self::UnknownTask(task) => no_task(task),
            Self::None { task, why } => {
                text!("task `{task}` has no remedy that can be applied: {why}", task, why)
            }
            Self::Launch(error) => error.sentence(),
            Self::Ending => text!("deskd is shutting down and starts nothing new"),
        }
    }
}

impl From<LaunchError> for RemedyError {
    fn from(error: LaunchError) -> Self {
        Self::Launch(error)
    }
}

impl RemoveError {
    /// One sentence.
    #[must_use]
    pub fn sentence(&self) -> Text {
        match self {
            Self::UnknownTask(task) => no_task(task),
            Self::NotEnded(task) => text!("task `{task}` has not ended: stop it first", task),
        }
    }
}

fn no_task(task: &TaskId) -> Text {
    text!("there is no task `{task}`", task)
}

/// Errors that say their sentence.
macro_rules! errors {
    ($($error:ty),*) => {$(
        impl std::fmt::Display for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.sentence())
            }
        }

        impl std::error::Error for $error {}
    )*};
}

errors!(LaunchError, StopError, RemedyError, RemoveError);
