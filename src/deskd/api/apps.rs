//! Applications: list, show, add, remove, explain.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::app_input::AppInput;
use super::error::{ApiError, ErrorBody};
use super::extract::{JsonText, Path, Query, Wanted, app_id};
use super::icons;
use super::limits::{ARGS_BYTES_MAX, ARGS_MAX};
use super::state::ApiState;
use crate::supervisor::AppChange;
use deskd_core::app::access::Identity;
use deskd_core::app::document;
use deskd_core::app::{App, AppSource};
use deskd_core::plan::{EngineKind, LaunchSpec, Plan, Work};
use deskd_core::redact::{redacted, shown};

/// The application as it may be shown: secrets in its environment are redacted.
#[must_use]
pub fn public(app: &App) -> App {
    let mut app = app.clone();
    app.local.env = redacted_map(&app.local.env);
    if let Some(container) = &mut app.container {
        container.env = redacted_map(&container.env);
    }
    app
}

/// The applications that the user of this desktop may see, as events show them: with the address of
/// the icon in its place.
pub fn visible(apps: &[Arc<App>], identity: &Identity) -> Vec<App> {
    let permitted = apps.iter().filter(|app| app.permits(identity).is_ok());
    permitted.map(|app| App { icon: icons::address(app), ..public(app) }).collect()
}

fn redacted_map(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    env.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect()
}

/// Which applications.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AppsQuery {
    /// Words that must all occur in the id, name, keywords, categories or file types.
    q: Option<String>,
    /// One of its categories, whole.
    category: Option<String>,
    /// A file type it opens: an extension (`.odt`) or a media type (`application/pdf`).
    file_type: Option<String>,
    /// Also those that their access list denies to the user of this desktop; a problem says so.
    all: Option<bool>,
}

impl AppsQuery {
    fn selects(&self, app: &App) -> bool {
        let holds = |wanted: &Option<String>, test: fn(&App, &str) -> bool| {
            wanted.as_deref().is_none_or(|wanted| test(app, wanted))
        };
        holds(&self.q, App::matches)
            && holds(&self.category, App::is_in)
            && holds(&self.file_type, App::opens)
    }
}

/// The applications, by id; of a file type, those first that open it by default.
#[utoipa::path(get, path = "/v1/apps", tag = "apps", params(AppsQuery),
    responses((status = 200, description = "Applications", body = Vec<App>)))]
pub async fn list_apps(
    State(state): State<ApiState>,
    Query(query): Query<AppsQuery>,
) -> axum::Json<Vec<App>> {
    let snapshot = state.handle.snapshot();
    let mut apps: Vec<_> = snapshot.apps.iter().filter(|app| query.selects(app)).collect();
    if query.file_type.is_some() {
        // Stable: among themselves they stay in the order of their ids.
        apps.sort_by_key(|app| !app.default_application);
    }
    let show = |app: &Arc<App>| match app.permits(&state.identity) {
        Ok(()) => Some(public(app)),
        Err(why) if query.all == Some(true) => {
            let mut app = public(app);
            app.problems.insert(0, format!("not for this desktop: {why}"));
            Some(app)
        }
        Err(_) => None,
    };
    axum::Json(apps.into_iter().filter_map(show).collect())
}

/// An application by its id.
pub fn find(state: &ApiState, id: &str) -> Result<Arc<App>, ApiError> {
    let id = app_id(id)?;
    let snapshot = state.handle.snapshot();
    let found = snapshot.apps.iter().find(|app| app.id == id).cloned();
    found.ok_or_else(|| ApiError::UnknownApp(id.to_string()))
}

/// One application.
#[utoipa::path(get, path = "/v1/apps/{id}", tag = "apps",
    params(("id" = String, Path, description = "Application")),
    responses((status = 200, description = "The application", body = App),
              (status = 404, description = "Unknown", body = ErrorBody)))]
pub async fn get_app(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<axum::Json<App>, ApiError> {
    Ok(axum::Json(public(&*find(&state, &id)?)))
}

/// What became of an application of a document.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PutApp {
    /// Whether it is new.
    change: AppChange,
    /// The application, with what is wrong with its description.
    app: App,
}

/// The answer to `PUT`: in the form of the question.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum PutApps {
    /// One application was given.
    App(Box<App>),
    /// A document was given.
    Document(Vec<PutApp>),
}

/// Add or replace applications: one as `GET` shows it, or a document, which is what `docker inspect`
/// (a list or one object) or `crictl inspecti` prints about images. All of a document or, on an
/// error, nothing.
#[utoipa::path(put, path = "/v1/apps", tag = "apps",
    request_body(content = AppInput,
        description = "An application, or what `docker inspect` or `crictl inspecti` prints"),
    responses((status = 201, description = "At least one was added", body = PutApps),
              (status = 200, description = "All replaced older ones", body = PutApps),
              (status = 400, description = "Not valid", body = ErrorBody),
              (status = 409, description = "It comes from the configuration or the watched directory, or `too_many_apps`",
               body = ErrorBody)))]
pub async fn put_apps(State(state): State<ApiState>, body: JsonText) -> Result<Response, ApiError> {
    let value: serde_json::Value = body.parse()?;
    let is_document = document::is_document(&value);
    let apps = if is_document {
        document::read(&value, AppSource::Api)?
    } else {
        vec![body.parse::<AppInput>()?.check()?]
    };
    drop(value);
    let mut shown: Vec<App> = apps.iter().map(public).collect();
    let changes = state.handle.put_apps(apps).await?;
    let status =
        if changes.contains(&AppChange::Added) { StatusCode::CREATED } else { StatusCode::OK };
    let answer = match shown.pop() {
        Some(app) if !is_document => PutApps::App(Box::new(app)),
        last => {
            let apps = shown.into_iter().chain(last).zip(changes);
            PutApps::Document(apps.map(|(app, change)| PutApp { change, app }).collect())
        }
    };
    Ok((status, axum::Json(answer)).into_response())
}

/// Remove an application that was added over the API.
#[utoipa::path(delete, path = "/v1/apps/{id}", tag = "apps",
    params(("id" = String, Path, description = "Application")),
    responses((status = 204, description = "Removed"),
              (status = 404, description = "Unknown", body = ErrorBody),
              (status = 409, description = "It comes from the configuration or the watched directory",
               body = ErrorBody)))]
pub async fn delete_app(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.handle.remove_app(app_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The plan a launch would have now; `?arg=` (repeatable) are its arguments, `?engine=` the engine
/// to insist on.
#[utoipa::path(get, path = "/v1/apps/{id}/plan", tag = "apps",
    params(("id" = String, Path, description = "Application"),
           ("arg" = Option<Vec<String>>, Query, description = "Arguments, repeatable"),
           ("engine" = Option<EngineKind>, Query, description = "The engine to insist on")),
    responses((status = 200, description = "The plan, its environment redacted", body = Plan),
              (status = 404, description = "Unknown", body = ErrorBody),
              (status = 403, description = "`not_permitted`, `right_missing`", body = ErrorBody),
              (status = 409, description = "No engine can run it now", body = ErrorBody),
              (status = 503, description = "`kubernetes_unavailable`", body = ErrorBody)))]
pub async fn plan(
    State(state): State<ApiState>,
    wanted: Wanted,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Query(pairs) = query_pairs(&uri)?;
    let spec = launch_spec(pairs)?;
    let plan = state.handle.explain(app_id(&id)?, spec).await?;
    Ok(wanted.json(&shown_plan(plan)))
}

/// The plan as it may be shown: secrets in its environment are redacted.
#[must_use]
pub fn shown_plan(mut plan: Plan) -> Plan {
    if let Work::Local(local) = &mut plan.work {
        local.program.env = redacted_map(&local.program.env);
    }
    let env = plan.work.env_mut();
    *env = redacted(env);
    plan
}

fn launch_spec(pairs: Vec<(String, String)>) -> Result<LaunchSpec, ApiError> {
    let mut spec = LaunchSpec::default();
    for (name, value) in pairs {
        match name.as_str() {
            "arg" => spec.args.push(value),
            "engine" => spec.engine = Some(engine(&value)?),
            _ => {
                let known = "only `arg` and `engine` are known here";
                return Err(ApiError::Query(format!("{name}: unknown; {known}")));
            }
        }
    }
    check_args(&spec.args)?;
    Ok(spec)
}

fn engine(word: &str) -> Result<EngineKind, ApiError> {
    EngineKind::ALL.into_iter().find(|engine| engine.as_str() == word).ok_or_else(|| {
        let known = EngineKind::ALL.map(EngineKind::as_str).join(", ");
        ApiError::Query(format!("engine: `{word}` is none of {known}"))
    })
}

fn query_pairs(uri: &Uri) -> Result<Query<Vec<(String, String)>>, ApiError> {
    axum::extract::Query::try_from_uri(uri)
        .map(|axum::extract::Query(pairs)| Query(pairs))
        .map_err(|rejection| ApiError::Query(rejection.body_text()))
}

/// What every argument list must keep to.
pub fn check_args(args: &[String]) -> Result<(), ApiError> {
    if args.len() > ARGS_MAX {
        return Err(ApiError::Body(format!("args: more than {ARGS_MAX}")));
    }
    if args.iter().map(String::len).sum::<usize>() > ARGS_BYTES_MAX {
        return Err(ApiError::Body(format!("args: more than {ARGS_BYTES_MAX} bytes together")));
    }
    match args.iter().position(|arg| arg.contains('\0')) {
        Some(at) => Err(ApiError::Body(format!("args[{at}]: has a NUL character"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_a_limit_together_and_no_nul() {
        let args = |count: usize, arg: &str| check_args(&vec![arg.to_owned(); count]);
        assert!(args(ARGS_MAX, "ordinary").is_ok() && args(1, &"x".repeat(ARGS_BYTES_MAX)).is_ok());
        for refused in [args(ARGS_MAX + 1, ""), args(2, &"x".repeat(ARGS_BYTES_MAX)), args(1, "\0")]
        {
            assert!(matches!(refused, Err(ApiError::Body(_))), "{refused:?}");
        }
    }
}
