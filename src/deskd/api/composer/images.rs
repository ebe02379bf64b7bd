//! `manager/image`: the applications that come in images. A user's token reads them; only deskd's
//! own token, or the unix socket, changes them.

use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::super::error::ApiError;
use super::super::extract::Path;
use super::super::state::ApiState;
use super::admission::ByUser;
use super::calls::named;
use super::container::launch;
use super::envelope::AnyJson;
use deskd_core::app::document;
use deskd_core::app::{App, AppSource};

/// GET: all, by the id of their image, bare.
pub(super) async fn list(State(state): State<ApiState>) -> axum::Json<Map<String, Value>> {
    let snapshot = state.handle.snapshot();
    let permitted = snapshot.apps.iter().filter(|app| app.permits(&state.identity).is_ok());
    let images = permitted.filter(|app| app.container.is_some());
    axum::Json(images.map(|app| (key(app), entry(app))).collect())
}

/// GET of one, by image or id.
pub(super) async fn show(
    State(state): State<ApiState>,
    Path(image): Path<String>,
) -> Result<axum::Json<Value>, ApiError> {
    let snapshot = state.handle.snapshot();
    let id = named(&snapshot, &image);
    let app = snapshot.apps.iter().find(|app| Some(&app.id) == id.as_ref());
    let app = app.filter(|app| app.permits(&state.identity).is_ok());
    app.map(|app| axum::Json(entry(app))).ok_or_else(|| unknown(&image))
}

/// PUT and POST: what `docker inspect` or `crictl inspecti` prints.
pub(super) async fn put(
    State(state): State<ApiState>,
    user: Option<Extension<ByUser>>,
    AnyJson(value): AnyJson<Value>,
) -> Result<Response, ApiError> {
    operators_only(user)?;
    let apps = document::read(&value, AppSource::Api)?;
    let entries: Vec<_> = apps.iter().map(entry).collect();
    state.handle.put_apps(apps).await?;
    Ok(axum::Json(entries).into_response())
}

/// DELETE, by image or id: what was removed.
pub(super) async fn delete(
    State(state): State<ApiState>,
    user: Option<Extension<ByUser>>,
    Path(image): Path<String>,
) -> Result<axum::Json<Vec<String>>, ApiError> {
    operators_only(user)?;
    let app = named(&state.handle.snapshot(), &image).ok_or_else(|| unknown(&image))?;
    state.handle.remove_app(app).await?;
    Ok(axum::Json(vec![image]))
}

fn operators_only(user: Option<Extension<ByUser>>) -> Result<(), ApiError> {
    user.map_or(Ok(()), |_| Err(ApiError::NotByUser))
}

fn unknown(image: &str) -> ApiError {
    ApiError::UnknownApp(image.chars().take(80).collect())
}

/// The image's id, else its name.
fn key(app: &App) -> String {
    let container = app.container.as_deref();
    let id = container.and_then(|container| container.image_id.clone());
    id.or_else(|| container.map(|container| container.image.clone())).unwrap_or_default()
}

/// An application in pyos' words (`json_imagetoapp` in `oc/od/apps.py`).
fn entry(app: &App) -> Value {
    let container = app.container.as_deref();
    let icon = app.icon.as_deref().and_then(|icon| icon.split_once(";base64,"));
    let label = |name: &str| container.and_then(|container| container.labels.get(name));
    json!({
        "id": container.map(|container| &container.image),
        "sha_id": container.and_then(|container| container.image_id.as_ref()),
        "name": app.id,
        "displayname": app.display_name,
        "path": container.and_then(|container| container.program.first()),
        "args": container.and_then(|container| container.args.as_ref()),
        "architecture": container.and_then(|container| container.architecture.as_ref()),
        "os": "linux",
        "launch": launch(Some(app)),
        "icon": label("oc.icon"),
        "icondata": icon.map(|(_, data)| data),
        "keyword": app.keywords,
        "cat": app.categories,
        "mimetype": app.mime_types,
        "fileextensions": app.file_extensions,
        "usedefaultapplication": app.default_application,
        "containerengine": container.and_then(|container| container.engine),
        "executeclassname": container.and_then(|container| container.execute_class.as_ref()),
        "uniquerunkey": container.and_then(|container| container.unique_run_key.as_ref()),
        "showinview": container.and_then(|container| container.show_in_view.as_ref()),
    })
}
