//! Tasks: list, stop, wait, remove, environment.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::error::{ApiError, ErrorBody, wait_limit};
use super::extract::{OptionalJson, Path, Query, Wanted, task_id};
use super::guard::Peer;
use super::limits::{GRACE_MS_MAX, WAIT_MS_MAX};
use super::state::ApiState;
use crate::supervisor::{StopAdmission, StopRequest};
use deskd_core::redact::EnvVar;
use deskd_core::task::{Task, TaskState};
use deskd_core::text::Localized as _;
use deskd_core::why::Diagnosis;
use deskd_keeper::logs::LogReader;

/// Why a task failed.
#[utoipa::path(get, path = "/v1/tasks/{id}/diagnosis", tag = "tasks",
    params(("id" = String, Path, description = "Task")),
    responses((status = 200, description = "The cause, its proof, and what to do", body = Diagnosis),
              (status = 404, description = "Unknown, or `no_diagnosis`: there is nothing to explain", body = ErrorBody)))]
pub async fn diagnosis(
    State(state): State<ApiState>,
    wanted: Wanted,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let snapshot = state.handle.snapshot();
    let task = snapshot.task(&task_id(&id)?).ok_or_else(|| ApiError::UnknownTask(id.clone()))?;
    let found = task.diagnosis.as_deref().ok_or(ApiError::NoDiagnosis(id))?;
    Ok(wanted.json(found))
}

/// Apply the remedy that a task's diagnosis proposes: it runs again otherwise, once.
#[utoipa::path(post, path = "/v1/tasks/{id}/remedy", tag = "tasks",
    params(("id" = String, Path, description = "Task")),
    responses((status = 202, description = "Its next run is on its way", body = Task),
              (status = 403, description = "`not_permitted`, `right_missing`", body = ErrorBody),
              (status = 404, description = "Unknown", body = ErrorBody),
              (status = 409, description = "`no_remedy`: none is proposed, it was applied already, or it runs; and whatever a launch is refused with", body = ErrorBody),
              (status = 503, description = "`shutting_down`, `keeper_away`, `kubernetes_unavailable`", body = ErrorBody)))]
pub async fn remedy(
    State(state): State<ApiState>,
    wanted: Wanted,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let task = state.handle.remedy(task_id(&id)?).await?;
    Ok((StatusCode::ACCEPTED, wanted.json(&*task)).into_response())
}

/// All tasks, oldest first.
#[utoipa::path(get, path = "/v1/tasks", tag = "tasks",
    responses((status = 200, description = "Tasks", body = Vec<Task>)))]
pub async fn list_tasks(State(state): State<ApiState>, Wanted(language): Wanted) -> Response {
    let snapshot = state.handle.snapshot();
    let tasks: Vec<_> = snapshot.tasks.iter().map(|task| as_of_now(&state, task)).collect();
    let tasks: Vec<_> = tasks.iter().map(|task| task.in_language(language)).collect();
    axum::Json(tasks).into_response()
}

/// With the size of a log that still grows.
fn as_of_now<'a>(state: &ApiState, task: &'a Arc<Task>) -> Cow<'a, Task> {
    if task.is_over() {
        return Cow::Borrowed(task);
    }
    let log = LogReader::open(state.handle.logs_dir(), &task.id);
    let bounds = log.and_then(|mut log| log.bounds()).ok();
    match bounds {
        Some(bounds) => Cow::Owned(Task { log_bytes: bounds.end, ..Task::clone(task) }),
        None => Cow::Borrowed(task),
    }
}

/// One task.
#[utoipa::path(get, path = "/v1/tasks/{id}", tag = "tasks",
    params(("id" = String, Path, description = "Task")),
    responses((status = 200, description = "The task", body = Task),
              (status = 404, description = "Unknown", body = ErrorBody)))]
pub async fn get_task(
    State(state): State<ApiState>,
    wanted: Wanted,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let snapshot = state.handle.snapshot();
    let task = snapshot.task(&task_id(&id)?).ok_or(ApiError::UnknownTask(id))?;
    Ok(wanted.json(&*as_of_now(&state, task)))
}

/// How to stop.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stop {
    /// Milliseconds from now until SIGKILL; absent: as configured.
    #[schema(maximum = 600_000)]
    grace_ms: Option<u64>,
    /// SIGKILL at once.
    force: bool,
}

/// Begin to stop a task; does not wait for its end.
#[utoipa::path(post, path = "/v1/tasks/{id}/stop", tag = "tasks", request_body = Option<Stop>,
    params(("id" = String, Path, description = "Task")),
    responses((status = 202, description = "It is being stopped", body = Task),
              (status = 200, description = "It had ended", body = Task),
              (status = 404, description = "Unknown", body = ErrorBody),
              (status = 409, description = "`cannot_stop`: others started it, and deskd has no way to stop it", body = ErrorBody),
              (status = 503, description = "`keeper_away`", body = ErrorBody)))]
pub async fn stop(
    State(state): State<ApiState>,
    wanted: Wanted,
    Path(id): Path<String>,
    OptionalJson(stop): OptionalJson<Stop>,
) -> Result<Response, ApiError> {
    if stop.grace_ms.is_some_and(|grace_ms| grace_ms > GRACE_MS_MAX) {
        return Err(ApiError::Body(format!("grace_ms: at most {GRACE_MS_MAX}")));
    }
    let request =
        StopRequest { grace: stop.grace_ms.map(Duration::from_millis), force: stop.force };
    Ok(match state.handle.stop(task_id(&id)?, request).await? {
        StopAdmission::Stopping(task) => {
            (StatusCode::ACCEPTED, wanted.json(&*task)).into_response()
        }
        StopAdmission::AlreadyEnded(task) => wanted.json(&*task),
    })
}

/// What to wait for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    /// The state waited for (`ended` unless given); one that was passed already counts as reached.
    #[param(value_type = Option<TaskState>)]
    state: Option<TaskState>,
    /// At most this many milliseconds, at most and unless given 60,000.
    #[param(maximum = 60_000)]
    timeout_ms: Option<u64>,
}

/// Wait until a task is in a state (or beyond it).
#[utoipa::path(get, path = "/v1/tasks/{id}/wait", tag = "tasks",
    params(("id" = String, Path, description = "Task"), WaitQuery),
    responses((status = 200, description = "It is", body = Task),
              (status = 404, description = "Unknown, or removed meanwhile", body = ErrorBody),
              (status = 408, description = "Time ran out", body = ErrorBody)))]
pub async fn wait(
    State(state): State<ApiState>,
    Extension(peer): Extension<Peer>,
    language: Wanted,
    Path(id): Path<String>,
    Query(query): Query<WaitQuery>,
) -> Result<Response, ApiError> {
    let task = task_id(&id)?;
    let waited_ms = query.timeout_ms.unwrap_or(WAIT_MS_MAX);
    if waited_ms > WAIT_MS_MAX {
        return Err(wait_limit());
    }
    let wanted = query.state.unwrap_or(TaskState::Ended);
    let _permit = state.stream_permit(peer)?;
    let mut snapshots = state.handle.watch();
    let found = async {
        let reached = |it: &Task| reached(it, wanted);
        let seen = snapshots
            .wait_for(|snapshot| snapshot.task(&task).is_none_or(|it| reached(it)))
            .await
            .map_err(|_| ApiError::ShuttingDown)?;
        seen.task(&task).cloned().ok_or_else(|| ApiError::UnknownTask(id.clone()))
    };
    tokio::select! {
        found = found => found.map(|task| language.json(&*task)),
        () = tokio::time::sleep(Duration::from_millis(waited_ms)) => {
            Err(ApiError::WaitedInVain { state: wanted, waited_ms })
        }
        () = state.stop.cancelled() => Err(ApiError::ShuttingDown),
    }
}

/// A task that will run again has not ended for good.
fn reached(task: &Task, wanted: TaskState) -> bool {
    fn rank(state: TaskState) -> u8 {
        match state {
            TaskState::Planned => 0,
            TaskState::Starting => 1,
            TaskState::Running => 2,
            TaskState::Stopping => 3,
            TaskState::Ended => 4,
        }
    }
    match wanted {
        TaskState::Ended => task.state == TaskState::Ended && task.next_run_at.is_none(),
        _ => rank(task.state) >= rank(wanted),
    }
}

/// Remove an ended task and its log.
#[utoipa::path(delete, path = "/v1/tasks/{id}", tag = "tasks",
    params(("id" = String, Path, description = "Task")),
    responses((status = 204, description = "Removed"),
              (status = 404, description = "Unknown", body = ErrorBody),
              (status = 409, description = "`not_ended`", body = ErrorBody)))]
pub async fn remove(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.handle.remove(task_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The environment a task was given, redacted.
#[utoipa::path(get, path = "/v1/tasks/{id}/env", tag = "tasks",
    params(("id" = String, Path, description = "Task")),
    responses((status = 200, description = "Variables by name", body = Vec<EnvVar>),
              (status = 404, description = "Unknown", body = ErrorBody)))]
pub async fn env(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<axum::Json<Vec<EnvVar>>, ApiError> {
    let env = state.handle.env(task_id(&id)?).await;
    env.map(axum::Json).ok_or(ApiError::UnknownTask(id))
}
