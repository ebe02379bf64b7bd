//! Applications: list, show, add, remove, explain, icon.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::error::{ApiError, ErrorBody};
use super::extract::{Json, Query, app_id};
use super::limits::{ARG_BYTES_MAX, ARGS_MAX, ICON_BYTES_MAX};
use super::state::ApiState;
use crate::domain::app::{App, AppSource, LocalProgram, Rlimits};
use crate::domain::id::AppId;
use crate::domain::plan::{EngineKind, LaunchSpec, Plan, Work};
use crate::domain::redact::{REDACTED, redacted};
use crate::domain::restart::RestartPolicy;
use crate::supervisor::AppChange;

/// An application to add or replace. What `GET` answers can be sent back: `source` and `problems`
/// are accepted and ignored.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppInput {
    /// Its id.
    id: AppId,
    /// For people; absent: the id.
    #[serde(default)]
    display_name: Option<String>,
    /// Absolute path of an svg or png file, or a `data:` URL.
    #[serde(default)]
    icon: Option<String>,
    /// Search words.
    #[serde(default)]
    keywords: Vec<String>,
    /// Categories.
    #[serde(default)]
    categories: Vec<String>,
    /// WM_CLASS `instance.Class` of its windows.
    #[serde(default)]
    wm_class: Option<String>,
    /// Whether it draws on the display (the default).
    #[serde(default = "yes")]
    needs_display: bool,
    /// What to do when it ends by itself.
    #[serde(default)]
    restart: RestartPolicy,
    /// How it is started.
    local: LocalInput,
    #[serde(default, rename = "source")]
    #[schema(ignore)]
    _source: Option<AppSource>,
    #[serde(default, rename = "problems")]
    #[schema(ignore)]
    _problems: Vec<String>,
}

/// How a process is started.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalInput {
    /// argv, never a shell.
    command: Vec<String>,
    /// Working directory.
    #[serde(default)]
    cwd: Option<String>,
    /// Added to the inherited environment.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// umask.
    #[serde(default)]
    umask: Option<u32>,
    /// Resource limits.
    #[serde(default)]
    rlimits: Rlimits,
    /// Nice value.
    #[serde(default)]
    nice: Option<i32>,
    /// oom_score_adj.
    #[serde(default)]
    oom_score_adj: Option<i32>,
}

fn yes() -> bool {
    true
}

impl AppInput {
    fn check(self) -> Result<App, ApiError> {
        let mut problems = Vec::new();
        let mut must = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        let local = &self.local;
        let nul = |text: &String| text.contains('\0');
        must(!local.command.is_empty() && !local.command[0].is_empty(), "local.command: empty");
        must(!local.command.iter().any(nul), "local.command: a NUL character");
        must(local.command.len() <= ARGS_MAX, "local.command: too many arguments");
        must(
            local.env.iter().all(|(name, value)| {
                !name.is_empty() && !name.contains(['=', '\0']) && !nul(value)
            }),
            "local.env: a name is empty or has `=`, or there is a NUL character",
        );
        must(
            local.env.values().all(|value| !value.contains(REDACTED)),
            "local.env: a value was redacted when it was read; give the real one",
        );
        must(local.umask.is_none_or(|umask| umask <= 0o777), "local.umask: larger than 0o777");
        must(local.nice.is_none_or(|nice| (-20..=19).contains(&nice)), "local.nice: not -20 to 19");
        must(
            local.oom_score_adj.is_none_or(|score| (-1000..=1000).contains(&score)),
            "local.oom_score_adj: not -1000 to 1000",
        );
        must(
            local.cwd.as_ref().is_none_or(|cwd| cwd.starts_with('/') && !nul(cwd)),
            "local.cwd: not an absolute path",
        );
        must(
            self.icon
                .as_ref()
                .is_none_or(|icon| icon.starts_with('/') || icon.starts_with("data:image/")),
            "icon: neither an absolute path nor a data:image/ URL",
        );
        if !problems.is_empty() {
            return Err(ApiError::InvalidApp(problems));
        }
        let LocalInput { command, cwd, env, umask, rlimits, nice, oom_score_adj } = self.local;
        Ok(App {
            display_name: self.display_name.unwrap_or_else(|| self.id.to_string()),
            id: self.id,
            icon: self.icon,
            keywords: self.keywords,
            categories: self.categories,
            wm_class: self.wm_class,
            needs_display: self.needs_display,
            restart: self.restart,
            local: LocalProgram { command, cwd, env, umask, rlimits, nice, oom_score_adj },
            container: None,
            mime_types: Vec::new(),
            file_extensions: Vec::new(),
            source: AppSource::Api,
            problems: Vec::new(),
        })
    }
}

/// The application as it may be shown: secrets in its environment are redacted.
#[must_use]
pub fn public(app: &App) -> App {
    let mut app = app.clone();
    app.local.env = redacted_map(&app.local.env);
    app
}

fn redacted_map(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let pairs = env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    redacted(pairs).into_iter().map(|var| (var.name, var.value)).collect()
}

/// Which applications.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AppsQuery {
    /// Words that must all occur in the id, name, keywords or categories.
    q: Option<String>,
}

/// The applications, by id.
#[utoipa::path(get, path = "/v1/apps", tag = "apps", params(AppsQuery),
    responses((status = 200, description = "Applications", body = Vec<App>)))]
pub async fn list_apps(
    State(state): State<ApiState>,
    Query(query): Query<AppsQuery>,
) -> axum::Json<Vec<App>> {
    let words = query.q.unwrap_or_default();
    let snapshot = state.handle.snapshot();
    axum::Json(
        snapshot.apps.iter().filter(|app| app.matches(&words)).map(|app| public(app)).collect(),
    )
}

fn find(state: &ApiState, id: &str) -> Result<Arc<App>, ApiError> {
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

/// Add or replace an application.
#[utoipa::path(put, path = "/v1/apps", tag = "apps", request_body = AppInput,
    responses((status = 201, description = "Added", body = App),
              (status = 200, description = "Replaced", body = App),
              (status = 400, description = "Not valid", body = ErrorBody),
              (status = 409, description = "It comes from the configuration", body = ErrorBody)))]
pub async fn put_app(
    State(state): State<ApiState>,
    Json(input): Json<AppInput>,
) -> Result<Response, ApiError> {
    let app = input.check()?;
    let shown = axum::Json(public(&app));
    let id = app.id.clone();
    match state.handle.put_app(app).await {
        AppChange::Added => Ok((StatusCode::CREATED, shown).into_response()),
        AppChange::Updated => Ok(shown.into_response()),
        AppChange::FromConfig => Err(ApiError::AppFromConfig(id.to_string())),
        AppChange::Removed | AppChange::NotFound => Err(ApiError::UnknownApp(id.to_string())),
    }
}

/// Remove an application that was added over the API.
#[utoipa::path(delete, path = "/v1/apps/{id}", tag = "apps",
    params(("id" = String, Path, description = "Application")),
    responses((status = 204, description = "Removed"),
              (status = 404, description = "Unknown", body = ErrorBody),
              (status = 409, description = "It comes from the configuration", body = ErrorBody)))]
pub async fn delete_app(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    match state.handle.remove_app(app_id(&id)?).await {
        AppChange::FromConfig => Err(ApiError::AppFromConfig(id)),
        AppChange::NotFound => Err(ApiError::UnknownApp(id)),
        AppChange::Added | AppChange::Updated | AppChange::Removed => Ok(StatusCode::NO_CONTENT),
    }
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
    Path(id): Path<String>,
    uri: Uri,
) -> Result<axum::Json<Plan>, ApiError> {
    let Query(pairs) = query_pairs(&uri)?;
    let spec = launch_spec(pairs)?;
    let mut plan = state.handle.explain(app_id(&id)?, spec).await?;
    if let Work::Local(local) = &mut plan.work {
        local.program.env = redacted_map(&local.program.env);
    }
    let env = plan.work.env_mut();
    let pairs = env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    *env = redacted(pairs).into_iter().map(|var| (var.name, var.value)).collect();
    Ok(axum::Json(plan))
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
    match args.iter().position(|arg| arg.len() > ARG_BYTES_MAX || arg.contains('\0')) {
        Some(at) => Err(ApiError::Body(format!(
            "args[{at}]: longer than {ARG_BYTES_MAX} bytes, or has a NUL character"
        ))),
        None => Ok(()),
    }
}

/// An application's icon file. Icons that are `data:` URLs are in the application itself.
#[utoipa::path(get, path = "/v1/apps/{id}/icon", tag = "apps",
    params(("id" = String, Path, description = "Application")),
    responses((status = 200, description = "The icon", content_type = "image/png"),
              (status = 404, description = "Unknown, or no icon file", body = ErrorBody)))]
pub async fn icon(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let app = find(&state, &id)?;
    let none = || ApiError::NoIcon(id.clone());
    let path = app.icon.as_deref().filter(|icon| icon.starts_with('/')).ok_or_else(none)?;
    let (kind, bytes) = read_icon(std::path::Path::new(path)).ok_or_else(none)?;
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "private, max-age=300"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // An svg opened by its own address must not run scripts in deskd's origin.
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    ];
    Ok((headers, bytes).into_response())
}

/// The icon's media type and bytes; nothing unless it is a regular svg or png file of a small size.
fn read_icon(path: &std::path::Path) -> Option<(&'static str, Vec<u8>)> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let kind = match path.extension()?.to_str()? {
        "svg" => "image/svg+xml",
        "png" => "image/png",
        _ => return None,
    };
    // Without blocking: a FIFO put in an icon's place must not stop the daemon.
    let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.len() > ICON_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(ICON_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let looks_right = match kind {
        "image/png" => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
        _ => memchr::memmem::find(&bytes, b"<svg").is_some(),
    };
    looks_right.then_some((kind, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(json: &str) -> Result<App, ApiError> {
        serde_json::from_str::<AppInput>(json).unwrap().check()
    }

    #[test]
    fn a_short_document_is_an_application() {
        let app = input(r#"{"id": "xclock", "local": {"command": ["xclock"]}}"#).unwrap();
        assert_eq!((app.display_name.as_str(), app.needs_display), ("xclock", true));
        assert_eq!(app.source, AppSource::Api);
    }

    #[test]
    fn every_problem_of_a_document_is_named_at_once() {
        let error = input(
            r#"{"id": "x", "icon": "x.png", "local": {"command": [], "nice": 20, "cwd": "tmp"}}"#,
        )
        .unwrap_err()
        .to_string();
        for field in ["local.command", "local.nice", "local.cwd", "icon"] {
            assert!(error.contains(field), "{error}");
        }
    }

    #[test]
    fn what_is_shown_can_be_sent_back_but_not_with_redacted_secrets() {
        let app =
            input(r#"{"id": "x", "local": {"command": ["x"], "env": {"TZ": "UTC"}}}"#).unwrap();
        let shown = serde_json::to_string(&public(&app)).unwrap();
        assert_eq!(input(&shown).unwrap(), app);
        let secret =
            input(r#"{"id": "x", "local": {"command": ["x"], "env": {"API_TOKEN": "s"}}}"#)
                .unwrap();
        let shown = serde_json::to_string(&public(&secret)).unwrap();
        assert!(!shown.contains("\"s\""), "{shown}");
        assert!(input(&shown).unwrap_err().to_string().contains("redacted"));
    }

    #[test]
    fn only_small_files_that_are_what_they_claim_are_icons() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            read_icon(&path).map(|(kind, _)| kind)
        };
        assert_eq!(write("a.png", b"\x89PNG\r\n\x1a\n..."), Some("image/png"));
        assert_eq!(write("a.svg", b"<?xml?><svg/>"), Some("image/svg+xml"));
        assert_eq!(write("b.png", b"root:x:0:0"), None);
        assert_eq!(write("c.txt", b"<svg/>"), None);
        assert_eq!(write("d.svg", &vec![b'<'; ICON_BYTES_MAX as usize + 1]), None);
        assert!(read_icon(dir.path()).is_none());
    }
}
