//! Everything that can change the task table. Closed: nothing else does.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::handle::{
    AppChange, AppError, LaunchError, LaunchRequest, LogFollow, LogOpenError, PullError,
    RemedyError, RemoveError, StopAdmission, StopError, StopRequest,
};
use super::timing::Launched;
use crate::engine::kubernetes::Event;
use deskd_core::app::{App, DirectoryApp};
use deskd_core::display::DisplayStatus;
use deskd_core::health::Check;
use deskd_core::id::{AppId, TaskId};
use deskd_core::plan::{LaunchSpec, Plan};
use deskd_core::redact::EnvVar;
use deskd_core::run::Ancestry;
use deskd_core::task::Task;
use deskd_core::window::{CloseOutcome, WindowEvent, WindowId};
use deskd_core::wire::FromKeeper;

/// Inputs waiting for the driver; the API and the keeper's socket wait when it is full.
pub const INPUTS_MAX: usize = 1024;

/// Where an answer goes. It is sent after the snapshot that shows it.
pub type Reply<T> = oneshot::Sender<T>;

/// One thing that happened or is asked for.
#[derive(Debug)]
pub enum Input {
    /// Launch apps, together.
    Launch(Vec<(LaunchRequest, Reply<Launched>)>),
    /// Make the plan a launch would have.
    Explain(AppId, LaunchSpec, Reply<Result<Plan, LaunchError>>),
    /// Stop a task.
    Stop(TaskId, StopRequest, Reply<Result<StopAdmission, StopError>>),
    /// Apply the remedy of a task's diagnosis.
    Remedy(TaskId, Reply<Result<Arc<Task>, RemedyError>>),
    /// Remove an ended task.
    Remove(TaskId, Reply<Result<(), RemoveError>>),
    /// Show a task's environment.
    Env(TaskId, Reply<Option<Vec<EnvVar>>>),
    /// Add or replace apps, all or none.
    PutApps(Vec<App>, Reply<Result<Vec<AppChange>, AppError>>),
    /// Remove an app.
    RemoveApp(AppId, Reply<Result<(), AppError>>),
    /// The apps of the watched directory, all of them.
    DirectoryApps(Vec<DirectoryApp>, Reply<()>),
    /// Follow a log.
    FollowLog(TaskId, Reply<Result<LogFollow, LogOpenError>>),
    /// Look at the display again.
    Probe(Reply<()>),
    /// The keeper said something.
    Keeper(FromKeeper),
    /// The Kubernetes engine said something.
    Kubernetes(Event),
    /// Pull an app's image on the nodes.
    Pull(AppId, Reply<Result<String, PullError>>),
    /// The connection to the keeper ended.
    KeeperLost,
    /// The display was looked at.
    Display(Box<DisplayStatus>),
    /// Something happened to a window, with the processes above the one that owns it.
    Window(WindowEvent, Ancestry),
    /// A look that was asked for is over.
    Looked(Box<DisplayStatus>, Reply<()>),
    /// One of the operator's checks has another verdict.
    Checked(usize, Check),
    /// Windows were asked to close.
    WindowsAsked(TaskId, Vec<(WindowId, CloseOutcome)>),
}

impl From<Event> for Input {
    fn from(event: Event) -> Self {
        Self::Kubernetes(event)
    }
}

impl From<FromKeeper> for Input {
    fn from(message: FromKeeper) -> Self {
        Self::Keeper(message)
    }
}
