//! All routes, and the document that describes them. They are made together, so that neither can
//! miss what the other has.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ErrorBody};
use super::limits::BODY_BYTES_MAX;
use super::state::ApiState;
use super::{
    apps, desktop, events, guard, health, icons, log_stream, log_text, metrics, panel, pulls, tasks,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "deskd",
        description = "Supervisor of a desktop pod. Over the unix socket (peer uid) and TCP (bearer token \
                       or panel session). Every error is an `ErrorBody` with a stable `code`; times are \
                       milliseconds since the Unix epoch.",
    ),
    components(schemas(
        ErrorBody,
        super::usage::TaskUsage,
        deskd_keeper::logs::Gap,
        events::Everything,
    )),
    tags(
        (name = "health", description = "Open on both doors"),
        (name = "desktop", description = "The display and everything at once"),
        (name = "apps", description = "What can be launched"),
        (name = "tasks", description = "What was launched"),
        (name = "logs", description = "What it wrote"),
        (name = "panel", description = "The Tasks panel"),
    )
)]
struct Document;

fn open_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::startupz))
        .routes(routes!(metrics::metrics))
}

fn v1_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(desktop::desktop))
        .routes(routes!(desktop::probe))
        .routes(routes!(apps::list_apps, apps::put_apps))
        .routes(routes!(apps::get_app, apps::delete_app))
        .routes(routes!(apps::plan))
        .routes(routes!(icons::icon))
        .routes(routes!(pulls::pull))
        .routes(routes!(pulls::list_pulls))
        .routes(routes!(tasks::list_tasks, tasks::launch))
        .routes(routes!(tasks::get_task, tasks::remove))
        .routes(routes!(tasks::stop))
        .routes(routes!(tasks::wait))
        .routes(routes!(tasks::diagnosis))
        .routes(routes!(tasks::remedy))
        .routes(routes!(tasks::env))
        .routes(routes!(log_text::log_text))
        .routes(routes!(log_stream::stream_log))
        .routes(routes!(events::events))
        .routes(routes!(desktop::panel_login))
}

/// `docs/openapi.json`, with a final newline.
#[must_use]
pub fn openapi_json() -> String {
    let routes = OpenApiRouter::with_openapi(Document::openapi());
    let (_, document) = routes.merge(open_routes()).merge(v1_routes()).split_for_parts();
    let mut json = document.to_pretty_json().unwrap_or_default();
    json.push('\n');
    json
}

/// The service both doors answer with.
pub(super) fn router(state: ApiState) -> Router {
    let v1: Router<ApiState> = v1_routes().into();
    let v1 = v1
        .fallback(async || ApiError::UnknownPath)
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(state.clone(), guard::guard));
    let open: Router<ApiState> = open_routes().into();
    open.route("/", get(panel::index))
        .route("/login", get(panel::login))
        .route("/assets/{name}", get(panel::asset))
        .merge(v1)
        .layer(axum::middleware::from_fn(guard::well_formed))
        .with_state(state)
}
