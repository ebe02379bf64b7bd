//! Launches: one, or a list that is recorded and passed on together.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::apps::check_args;
use super::error::{ApiError, ErrorBody, LaunchRefusal};
use super::extract::JsonText;
use super::limits::{IDEMPOTENCY_KEY_BYTES_MAX, LAUNCHES_MAX};
use super::state::ApiState;
use crate::supervisor::{
    LaunchAdmission, LaunchError, LaunchRequest, LaunchTimes, Launched as Outcome,
};
use deskd_core::id::AppId;
use deskd_core::plan::{EngineKind, LaunchSpec};
use deskd_core::task::Task;
use deskd_core::wire::StartTimes;
use deskd_keeper::clock::monotonic_ns;

/// The header that says where the time of a request went, as the W3C's Server Timing has it.
pub const SERVER_TIMING: &str = "server-timing";

/// Between the key of a list and the place of a launch in it; no key can have it.
const KEY_SEPARATOR: char = ' ';

/// A launch.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// What.
    app: AppId,
    /// Appended to the app's command.
    #[serde(default)]
    args: Vec<String>,
    /// The engine to insist on; absent: deskd chooses.
    #[serde(default)]
    engine: Option<EngineKind>,
}

impl Launch {
    fn request(self, idempotency_key: Option<String>) -> Result<LaunchRequest, ApiError> {
        check_args(&self.args)?;
        let spec = LaunchSpec { args: self.args, engine: self.engine, ..LaunchSpec::default() };
        Ok(LaunchRequest { app: self.app, spec, idempotency_key })
    }
}

/// One launch, or several.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Launches {
    /// One.
    One(Launch),
    /// Several, at most 256.
    Several(Vec<Launch>),
}

impl Launches {
    /// Its form is clear first, so that an error names the field.
    fn parse(body: &JsonText) -> Result<Self, ApiError> {
        if body.is_list() { body.parse().map(Self::Several) } else { body.parse().map(Self::One) }
    }
}

/// What became of one launch of several.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Launched {
    /// Its task: it was started, or the key was seen.
    Task(Arc<Task>),
    /// It was refused.
    Error(LaunchRefusal),
}

/// The answer, in the form of the question.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum LaunchAnswer {
    /// To one launch.
    One(Arc<Task>),
    /// To several, in their order.
    Several(Vec<Launched>),
}

/// Launch an application, or each of a list; its process exists when this answers.
#[utoipa::path(post, path = "/v1/tasks", tag = "tasks", request_body = Launches,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 128, pattern = "^[!-~]+$", description = "A repeated request with the same key answers the same task, or the same tasks; at most 128 visible ASCII characters")),
    responses((status = 201, description = "Started", body = Task),
              (status = 200, description = "The key was seen: its task. Of a list: what became of each, in its order, a task or an error of its own", body = LaunchAnswer),
              (status = 400, description = "`invalid_body`, `too_many_launches`; nothing was launched", body = ErrorBody),
              (status = 403, description = "`not_permitted`, `right_missing`", body = ErrorBody),
              (status = 404, description = "Unknown application", body = ErrorBody),
              (status = 409, description = "`display_unavailable`, `display_not_on_network`, `no_command`, `cannot_be_placed`, `already_running`, `too_many_remote_tasks`, `too_many_tasks`, `idempotency_key_reused`", body = ErrorBody),
              (status = 422, description = "`cannot_execute`", body = ErrorBody),
              (status = 503, description = "`shutting_down`, `keeper_away`, `kubernetes_unavailable`", body = ErrorBody)))]
pub async fn launch(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: JsonText,
) -> Result<Response, ApiError> {
    let began = monotonic_ns();
    let key = idempotency_key(&headers)?;
    let request = match Launches::parse(&body)? {
        Launches::One(launch) => launch.request(key)?,
        Launches::Several(launches) => {
            let answers = launch_all(&state, launches, key.as_deref()).await?;
            return Ok(axum::Json(LaunchAnswer::Several(answers)).into_response());
        }
    };
    let launched = state.handle.launch_all(vec![request]).await.pop();
    let Outcome { admission, times } =
        launched.unwrap_or_else(|| Outcome::refused(LaunchError::KeeperAway));
    let (status, task) = match counted(&state, admission)? {
        LaunchAdmission::Started(task) => (StatusCode::CREATED, task),
        LaunchAdmission::AlreadyLaunched(task) => (StatusCode::OK, task),
    };
    let location = [(LOCATION, format!("/v1/tasks/{}", task.id))];
    let timing = times.map(|times| [(SERVER_TIMING, server_timing(began, &times, monotonic_ns()))]);
    Ok((status, location, timing, axum::Json(LaunchAnswer::One(task))).into_response())
}

/// Where the time from `began` to `ended` went, as a header of the W3C's Server Timing says it: stages with their
/// durations in milliseconds.
fn server_timing(began: u64, times: &LaunchTimes, ended: u64) -> String {
    const NS_PER_MS: f64 = 1e6;
    let StartTimes { received, begun, executing, executed } = times.start;
    let stages = [
        ("driver", times.planned),
        ("journal", times.recorded),
        ("message", received),
        ("keeper", begun),
        ("clone", executing),
        ("exec", executed),
        ("answer", ended),
    ];
    let mut from = began;
    let stages = stages.map(|(name, until)| {
        let ms = until.saturating_sub(from) as f64 / NS_PER_MS;
        from = from.max(until);
        format!("{name};dur={ms:.3}")
    });
    stages.join(", ")
}

async fn launch_all(
    state: &ApiState,
    launches: Vec<Launch>,
    key: Option<&str>,
) -> Result<Vec<Launched>, ApiError> {
    if launches.len() > LAUNCHES_MAX {
        return Err(ApiError::TooManyLaunches(launches.len()));
    }
    let key = |place: usize| key.map(|key| format!("{key}{KEY_SEPARATOR}{place}"));
    let asked = launches.into_iter().enumerate().map(|(place, it)| it.request(key(place)));
    let (mut requests, mut refused) = (Vec::new(), Vec::new());
    for (place, request) in asked.enumerate() {
        match request {
            Ok(request) => requests.push(request),
            Err(error) => refused.push((place, Launched::Error(error.into()))),
        }
    }
    let answers = state.handle.launch_all(requests).await.into_iter();
    let mut answers: Vec<Launched> = answers
        .map(|launched| match counted(state, launched.admission) {
            Ok(LaunchAdmission::Started(task) | LaunchAdmission::AlreadyLaunched(task)) => {
                Launched::Task(task)
            }
            Err(error) => Launched::Error(error.into()),
        })
        .collect();
    // In the order of their places, so that each goes where it was.
    for (place, error) in refused {
        answers.insert(place, error);
    }
    Ok(answers)
}

/// Counts what became of a launch.
fn counted(
    state: &ApiState,
    answer: Result<LaunchAdmission, LaunchError>,
) -> Result<LaunchAdmission, ApiError> {
    let answer = answer.map_err(ApiError::from);
    state.counters.launch(match &answer {
        Ok(LaunchAdmission::Started(_)) => "started",
        Ok(LaunchAdmission::AlreadyLaunched(_)) => "repeated",
        Err(error) => error.status_and_code().1,
    });
    answer
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().map_err(|_| ApiError::IdempotencyKey)?;
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || text.len() > IDEMPOTENCY_KEY_BYTES_MAX || !visible {
        return Err(ApiError::IdempotencyKey);
    }
    Ok(Some(text.to_owned()))
}
