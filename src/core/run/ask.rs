//! What is asked of tasks, and the answers.

use std::sync::Arc;
use std::time::Duration;

use crate::id::{AppId, TaskId};
use crate::plan::{LaunchSpec, Unplannable};
use crate::task::Task;
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
#[derive(Debug, Clone, thiserror::Error)]
pub enum LaunchError {
    /// No such app.
    #[error("there is no application `{0}`")]
    UnknownApp(AppId),
    /// No engine can run it now.
    #[error(transparent)]
    Unplannable(#[from] Unplannable),
    /// The process could not be started.
    #[error("{app} cannot be started: {error}")]
    Spawn {
        /// Which app.
        app: AppId,
        /// Why.
        error: SpawnError,
    },
    /// The Kubernetes API refused its object.
    #[error("{app} cannot be started: {refusal}")]
    Refused {
        /// Which app.
        app: AppId,
        /// Why.
        refusal: Box<Refused>,
    },
    /// deskd is shutting down.
    #[error("deskd is shutting down and starts nothing new")]
    Draining,
    /// The limit on tasks.
    #[error("there are already {limit} tasks, the limit: remove ended ones")]
    TooManyTasks {
        /// The limit.
        limit: usize,
    },
    /// The keeper is away; nothing is known about the launch.
    #[error("the keeper does not answer; ask again with the same idempotency key")]
    KeeperAway,
    /// The same key was used for another app or other arguments.
    #[error("the idempotency key was used for another launch ({0})")]
    KeyReused(TaskId),
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
#[derive(Debug, Clone, thiserror::Error)]
pub enum StopError {
    /// Others started it, and deskd has no way to stop it.
    #[error("task `{task}` cannot be stopped here: {why}")]
    NotPossible {
        /// Which.
        task: TaskId,
        /// One sentence.
        why: String,
    },
    /// No such task.
    #[error("there is no task `{0}`")]
    UnknownTask(TaskId),
    /// The keeper is away.
    #[error("the keeper does not answer")]
    KeeperAway,
}

/// Why a remedy was not applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RemedyError {
    /// No such task.
    #[error("there is no task `{0}`")]
    UnknownTask(TaskId),
    /// Nothing to apply, or not any more.
    #[error("task `{task}` has no remedy that can be applied: {why}")]
    None {
        /// Which task.
        task: TaskId,
        /// Why not.
        why: &'static str,
    },
    /// The run with the remedy cannot be planned.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The driver is gone.
    #[error("deskd is shutting down and starts nothing new")]
    Ending,
}

/// Why nothing was removed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RemoveError {
    /// No such task.
    #[error("there is no task `{0}`")]
    UnknownTask(TaskId),
    /// It still runs.
    #[error("task `{0}` has not ended: stop it first")]
    NotEnded(TaskId),
}
