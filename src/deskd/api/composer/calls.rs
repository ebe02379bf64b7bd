//! The calls of `composer`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::apps::check_args;
use super::super::error::ApiError;
use super::super::guard::Peer;
use super::super::log_text;
use super::super::sse;
use super::super::state::{ApiState, Shared};
use super::container::{ContainerName, Phase, app_of, launch, names, status};
use super::envelope::{AnyJson, Success};
use crate::config::ComposerVersion;
use crate::supervisor::{LaunchAdmission, LaunchError, LaunchRequest, Snapshot, StopRequest};
use deskd_core::app::App;
use deskd_core::id::AppId;
use deskd_core::origin::same_image;
use deskd_core::plan::LaunchSpec;
use deskd_core::task::Task;

/// How long a removal waits for the end of what it stopped, in seconds; below the time of a request.
const REMOVE_WAIT_S: u64 = 15;

/// `listcontainer`.
pub(super) async fn list(State(state): State<ApiState>) -> Result<Success, ApiError> {
    entries(&state, |_| true).map(|entries| Success(entries.into()))
}

/// Which phase.
#[derive(Debug, Deserialize)]
pub(super) struct ByPhase {
    phase: Phase,
}

/// `list_applications_by_phase` (4.x): a bare list.
pub(super) async fn list_by_phase(
    State(state): State<ApiState>,
    AnyJson(ByPhase { phase }): AnyJson<ByPhase>,
) -> Result<Response, ApiError> {
    let entries = entries(&state, |task| phase.has(task))?;
    Ok(axum::Json(entries).into_response())
}

fn entries(state: &Shared, wanted: impl Fn(&Task) -> bool) -> Result<Vec<Value>, ApiError> {
    let composer = state.facade()?;
    let snapshot = state.handle.snapshot();
    let tasks = snapshot.tasks.iter().filter(|task| wanted(task));
    let entry =
        |task: &Arc<Task>| composer.entry(task, app_of(&snapshot, task), &snapshot.desktop.name);
    Ok(tasks.map(entry).collect())
}

/// `logcontainer`.
pub(super) async fn log(
    State(state): State<ApiState>,
    Extension(peer): Extension<Peer>,
    AnyJson(name): AnyJson<ContainerName>,
) -> Result<Success, ApiError> {
    let task = name.task(&state.handle.snapshot())?;
    let _permit = state.stream_permit(peer)?;
    let text = log_text::whole(state.handle.log_reader(&task)?).await?;
    Ok(Success(text.into()))
}

/// `envcontainer`.
pub(super) async fn env(
    State(state): State<ApiState>,
    AnyJson(name): AnyJson<ContainerName>,
) -> Result<Success, ApiError> {
    let task = name.task(&state.handle.snapshot())?;
    let env = state.handle.env(task.clone()).await;
    let env = env.ok_or_else(|| ApiError::UnknownTask(task.to_string()))?;
    let env: Map<_, _> = env.into_iter().map(|var| (var.name, var.value.into())).collect();
    Ok(Success(env.into()))
}

/// `stopcontainer`: true when it is being stopped, or had ended.
pub(super) async fn stop(
    State(state): State<ApiState>,
    AnyJson(name): AnyJson<ContainerName>,
) -> Result<Success, ApiError> {
    let task = name.task(&state.handle.snapshot())?;
    state.handle.stop(task, StopRequest::default()).await?;
    Ok(Success(true.into()))
}

/// `removecontainer`: stops it first, as abcdesktop's deletion of a pod does.
pub(super) async fn remove(
    State(state): State<ApiState>,
    AnyJson(name): AnyJson<ContainerName>,
) -> Result<Success, ApiError> {
    let task = name.task(&state.handle.snapshot())?;
    state.handle.stop(task.clone(), StopRequest::default()).await?;
    let mut snapshots = state.handle.watch();
    let over = |snapshot: &Arc<Snapshot>| snapshot.task(&task).is_none_or(|task| task.is_over());
    let ended = tokio::time::timeout(Duration::from_secs(REMOVE_WAIT_S), snapshots.wait_for(over));
    // Whatever came of it: the removal itself says what is the case.
    drop(ended.await);
    state.handle.remove(task).await?;
    Ok(Success(true.into()))
}

/// The dictionary of an application, as far as it says which one; the rest is what the client knows
/// of it. deskd's own time zone counts, not that of the browser (`timezone`).
#[derive(Debug, Deserialize)]
pub(super) struct Run {
    image: String,
    #[serde(default)]
    args: Option<Args>,
}

/// What the user opens: one word, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Args {
    One(String),
    Many(Vec<String>),
}

impl Run {
    fn request(self, snapshot: &Snapshot) -> Result<LaunchRequest, ApiError> {
        let app = named(snapshot, &self.image)
            .ok_or_else(|| ApiError::UnknownApp(self.image.chars().take(80).collect()))?;
        let args = match self.args {
            None => Vec::new(),
            Some(Args::One(word)) => {
                Some(word).filter(|word| !word.is_empty()).into_iter().collect()
            }
            Some(Args::Many(words)) => words,
        };
        check_args(&args)?;
        let spec = LaunchSpec { args, ..LaunchSpec::default() };
        Ok(LaunchRequest { app, spec, idempotency_key: None })
    }
}

/// By its image, with or without tag and registry, or by its id.
pub(super) fn named(snapshot: &Snapshot, image: &str) -> Option<AppId> {
    let by_id = snapshot.apps.iter().find(|app| app.id.as_str() == image);
    let of = |app: &&Arc<App>| {
        let container = app.container.as_deref();
        container.is_some_and(|container| {
            same_image(&container.image, image) || container.image_id.as_deref() == Some(image)
        })
    };
    let found = snapshot.apps.iter().find(of).or(by_id);
    found.map(|app| app.id.clone())
}

/// `ocrun`: JSON in 3.x, events in 4.x.
pub(super) async fn ocrun(
    State(state): State<ApiState>,
    Extension(peer): Extension<Peer>,
    AnyJson(run): AnyJson<Run>,
) -> Result<Response, ApiError> {
    let version = state.facade()?.config.version;
    let request = run.request(&state.handle.snapshot())?;
    if version == ComposerVersion::V3 {
        let result = start(&state, request).await?;
        return Ok(Success(result).into_response());
    }
    let permit = state.stream_permit(peer)?;
    let said = json!({ "status": 100, "message": format!("starting {}", request.app) });
    let events = stream::once(async move { message(&said) }).chain(stream::once(async move {
        let _permit = permit;
        match start(&state, request).await {
            Ok(Value::Object(mut result)) => {
                result.insert("status".into(), 200.into());
                result.insert("message".into(), "ok".into());
                message(&result.into())
            }
            Ok(other) => message(&other),
            Err(error) => {
                let (status, code) = error.status_and_code();
                let status = status.as_u16();
                message(&json!({ "status": status, "message": error.to_string(), "code": code }))
            }
        }
    }));
    Ok(sse::response(events))
}

fn message(data: &Value) -> Bytes {
    let mut out = Vec::new();
    sse::event(&mut out, "message", None, data);
    out.into()
}

/// `{container_id, state, type, wm_class}`.
async fn start(state: &Shared, request: LaunchRequest) -> Result<Value, ApiError> {
    let composer = state.facade()?;
    let launched = state.handle.launch_all(vec![request]).await.pop();
    let admission = launched.map_or(Err(LaunchError::KeeperAway), |launched| launched.admission)?;
    let (LaunchAdmission::Started(task) | LaunchAdmission::AlreadyLaunched(task)) = admission;
    state.counters.launch("started");
    let snapshot = state.handle.snapshot();
    let app = app_of(&snapshot, &task);
    let (_, id) = names(&task, &snapshot.desktop.name);
    Ok(json!({
        "container_id": id,
        "state": status(&task),
        "type": composer.kind(&task),
        "wm_class": launch(app),
    }))
}
