//! The only door to the driver.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use super::busy::Busy;
use super::input::Input;
use super::snapshot::Snapshot;
use super::timing::Launched;
use crate::display::{DisplayQuestions, Pulse};
use crate::engine::kubernetes::Calls;
use crate::readiness::Freshness;
use deskd_core::app::{App, DirectoryApp};
use deskd_core::id::{AppId, TaskId};
use deskd_core::plan::{LaunchSpec, Plan};
use deskd_core::redact::EnvVar;
pub use deskd_core::run::ask::{
    LaunchAdmission, LaunchError, LaunchRequest, RemedyError, RemoveError, StopAdmission,
    StopError, StopRequest,
};
use deskd_core::task::Task;
use deskd_keeper::logs::LogReader;

/// Why no image is pulled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PullError {
    /// No such app.
    #[error("there is no application `{0}`")]
    UnknownApp(AppId),
    /// A program of this container.
    #[error("application `{0}` comes in no image: it is a program of deskd's container")]
    NoImage(AppId),
    /// The API cannot be asked.
    #[error("no image can be pulled: the Kubernetes API cannot be used: {0}")]
    Kubernetes(String),
    /// The daemon is ending.
    #[error("deskd is ending; ask again")]
    Ending,
}

/// What became of an application that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppChange {
    /// It is new.
    Added,
    /// It replaced an older description (or was equal to it).
    Updated,
}

/// Why applications were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    /// There is none.
    #[error("there is no application `{0}`")]
    Unknown(AppId),
    /// It belongs to the configuration file.
    #[error("application `{0}` comes from the configuration file and can only be changed there")]
    FromConfig(AppId),
    /// It belongs to a file of the watched directory.
    #[error(
        "application `{app}` comes from the file {} and can only be changed there: change or remove \
         the file", file.display()
    )]
    FromDirectory {
        /// Which.
        app: AppId,
        /// The file.
        file: PathBuf,
    },
    /// There is no room for them.
    #[error(
        "too many applications were added, or too large ones: remove some (`deskd app remove APP`)"
    )]
    TooMany,
    /// The driver is gone.
    #[error("deskd is shutting down and changes nothing any more")]
    Ending,
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogOpenError {
    /// No such task.
    #[error("there is no task `{0}`")]
    UnknownTask(TaskId),
    /// The store said no.
    #[error(transparent)]
    Read(#[from] deskd_keeper::logs::ReadError),
}

/// The end of a task's log as it grows. `changed().await` wakes when `borrow()` moves on; the
/// channel closes when the task is removed. All followers of a task share one watch.
pub type LogFollow = watch::Receiver<u64>;

/// Who looks at what, for whoever wants to know whether they still do, or to ask them.
#[derive(Debug, Clone)]
pub(super) struct Looks {
    pub(super) pulse: Arc<Pulse>,
    pub(super) questions: DisplayQuestions,
    pub(super) checks: Arc<Freshness>,
}

/// Cheap to clone; everything the API may do.
#[derive(Debug, Clone)]
pub struct Handle {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    inputs: mpsc::Sender<Input>,
    busy: Arc<Busy>,
    looks: Looks,
    logs_dir: Arc<Path>,
    calls: Calls,
}

impl Handle {
    pub(super) fn new(
        snapshots: watch::Receiver<Arc<Snapshot>>,
        inputs: mpsc::Sender<Input>,
        busy: Arc<Busy>,
        logs_dir: Arc<Path>,
        calls: Calls,
        looks: Looks,
    ) -> Self {
        Self { snapshots, inputs, busy, looks, logs_dir, calls }
    }

    /// For how long nobody has looked at the display, if that is longer than a look takes: what the
    /// snapshot says about it is not known any more.
    #[must_use]
    pub fn display_silent_for(&self) -> Option<Duration> {
        self.looks.pulse.silent_for()
    }

    /// The operator's checks that are not made any more, and since when.
    pub fn stale_checks(&self) -> impl Iterator<Item = (&str, Duration)> {
        self.looks.checks.stale()
    }

    /// To ask the display.
    #[must_use]
    pub fn display_questions(&self) -> &DisplayQuestions {
        &self.looks.questions
    }

    /// The newest snapshot; microseconds, never waits for the driver.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Snapshots as they come; a slow reader skips to the newest.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Whether the driver is stuck: for how long it has been busy with one batch of inputs.
    #[must_use]
    pub fn stalled_for(&self) -> Duration {
        self.busy.busy_for()
    }

    /// Launches each, with one record of all in the journal and one write to the keeper; waits for its answers,
    /// which are in the order of the requests.
    pub async fn launch_all(&self, requests: Vec<LaunchRequest>) -> Vec<Launched> {
        let (asked, answers): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .map(|request| {
                let (reply, answer) = oneshot::channel();
                ((request, reply), answer)
            })
            .unzip();
        // Without a driver all replies are dropped.
        let _ = self.inputs.send(Input::Launch(asked)).await;
        let mut launched = Vec::with_capacity(answers.len());
        for answer in answers {
            let gone = |_| Launched::refused(LaunchError::KeeperAway);
            launched.push(answer.await.unwrap_or_else(gone));
        }
        launched
    }

    /// The plan a launch would have now.
    pub async fn explain(&self, app: AppId, spec: LaunchSpec) -> Result<Plan, LaunchError> {
        self.ask(|reply| Input::Explain(app, spec, reply))
            .await
            .unwrap_or(Err(LaunchError::KeeperAway))
    }

    /// Begins to stop a task; does not wait for its end.
    pub async fn stop(
        &self,
        task: TaskId,
        request: StopRequest,
    ) -> Result<StopAdmission, StopError> {
        self.ask(|reply| Input::Stop(task, request, reply))
            .await
            .unwrap_or(Err(StopError::KeeperAway))
    }

    /// Applies the remedy that the task's diagnosis proposes; does not wait for its run.
    pub async fn remedy(&self, task: TaskId) -> Result<Arc<Task>, RemedyError> {
        self.ask(|reply| Input::Remedy(task, reply)).await.unwrap_or(Err(RemedyError::Ending))
    }

    /// Removes an ended task and its log.
    pub async fn remove(&self, task: TaskId) -> Result<(), RemoveError> {
        let unknown = RemoveError::UnknownTask(task.clone());
        self.ask(|reply| Input::Remove(task, reply)).await.unwrap_or(Err(unknown))
    }

    /// The environment a task was given, redacted.
    pub async fn env(&self, task: TaskId) -> Option<Vec<EnvVar>> {
        self.ask(|reply| Input::Env(task, reply)).await.flatten()
    }

    /// Adds or replaces applications: all of them, or on an error none.
    pub async fn put_apps(&self, apps: Vec<App>) -> Result<Vec<AppChange>, AppError> {
        self.ask(|reply| Input::PutApps(apps, reply)).await.unwrap_or(Err(AppError::Ending))
    }

    /// Removes an application that was added over the API.
    pub async fn remove_app(&self, app: AppId) -> Result<(), AppError> {
        self.ask(|reply| Input::RemoveApp(app, reply)).await.unwrap_or(Err(AppError::Ending))
    }

    /// Replaces all applications of the watched directory; false when the driver is gone.
    pub async fn set_directory_apps(&self, apps: Vec<DirectoryApp>) -> bool {
        self.ask(|reply| Input::DirectoryApps(apps, reply)).await.is_some()
    }

    /// Pulls an app's image on the nodes; the image. How far it is, is in the snapshots.
    pub async fn pull(&self, app: AppId) -> Result<String, PullError> {
        self.ask(|reply| Input::Pull(app, reply)).await.unwrap_or(Err(PullError::Ending))
    }

    /// A reader of a task's log.
    pub fn log_reader(&self, task: &TaskId) -> Result<LogReader, LogOpenError> {
        if self.snapshot().task(task).is_none() {
            return Err(LogOpenError::UnknownTask(task.clone()));
        }
        Ok(LogReader::open(&self.logs_dir, task)?)
    }

    /// Wakes when a task's log grows beyond what was seen.
    pub async fn follow_log(&self, task: TaskId) -> Result<LogFollow, LogOpenError> {
        let unknown = LogOpenError::UnknownTask(task.clone());
        self.ask(|reply| Input::FollowLog(task, reply)).await.unwrap_or(Err(unknown))
    }

    /// Requests to the Kubernetes API so far.
    #[must_use]
    pub fn kubernetes_calls(&self) -> &Calls {
        &self.calls
    }

    /// Where the logs are (`<state>/logs`).
    #[must_use]
    pub fn logs_dir(&self) -> &Path {
        &self.logs_dir
    }

    /// Looks at the display again now and returns when that is done.
    pub async fn probe(&self) -> Arc<Snapshot> {
        self.ask(Input::Probe).await;
        self.snapshot()
    }

    /// Nothing when the driver is gone: the daemon is ending.
    async fn ask<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> Input) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.inputs.send(input(reply)).await.ok()?;
        answer.await.ok()
    }
}
