//! All routes, and the document that describes them. They are made from the same lists, so that
//! neither can miss what the other has.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::{PathItemExt as _, paste, routes};

use super::error::{ApiError, ErrorBody};
use super::limits::BODY_BYTES_MAX;
use super::state::ApiState;
use super::{
    activity, apps, composer, configuration, desktop, events, guard, icons, launches, log_stream,
    log_text, metrics, panel, probes, pulls, refusals, tasks,
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

/// Open to everybody. `$make` gets the list.
macro_rules! open_routes {
    ($make:ident) => {
        $make![probes::livez, probes::readyz, probes::startupz, metrics::metrics]
    };
}

/// Below `/v1`.
macro_rules! v1_routes {
    ($make:ident) => {
        $make![
            desktop::desktop,
            desktop::probe,
            configuration::configuration,
            activity::activity,
            apps::list_apps,
            apps::put_apps,
            apps::get_app,
            apps::delete_app,
            apps::plan,
            icons::icon,
            pulls::pull,
            pulls::list_pulls,
            tasks::list_tasks,
            launches::launch,
            tasks::get_task,
            tasks::remove,
            tasks::stop,
            tasks::wait,
            tasks::diagnosis,
            tasks::remedy,
            tasks::env,
            log_text::log_text,
            log_stream::stream_log,
            events::events,
            desktop::panel_login,
        ]
    };
}

/// The router alone: the document takes 2 MB and some milliseconds, and a daemon never needs it.
macro_rules! served {
    ($($module:ident :: $handler:ident),* $(,)?) => {
        paste! {
            Router::<ApiState>::new()$(.route(
                &<$module::[<__path_ $handler>] as utoipa::Path>::path(),
                <$module::[<__path_ $handler>] as utoipa::Path>::methods().into_iter().fold(
                    MethodRouter::new(),
                    |router, method| router.on(method.to_method_filter(), $module::$handler),
                ),
            ))*
        }
    };
}

/// What is written about them.
macro_rules! described {
    ($($module:ident :: $handler:ident),* $(,)?) => {
        OpenApiRouter::<ApiState>::new()$(.routes(routes!($module::$handler)))*
    };
}

/// `docs/openapi.json`, with a final newline.
#[must_use]
pub fn openapi_json() -> String {
    let routes = OpenApiRouter::with_openapi(Document::openapi());
    let (_, mut document) =
        routes.merge(open_routes!(described)).merge(v1_routes!(described)).split_for_parts();
    refusals::describe(&mut document);
    let mut json = document.to_pretty_json().unwrap_or_default();
    json.push('\n');
    json
}

/// The service both doors answer with.
pub(super) fn router(state: ApiState) -> Router {
    let v1 = v1_routes!(served)
        .fallback(async || ApiError::UnknownPath)
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(state.clone(), guard::guard));
    let facade = state.composer.as_ref().map(|_| composer::router(&state)).unwrap_or_default();
    open_routes!(served)
        .route("/", get(panel::index))
        .route("/login", get(panel::login))
        .route("/assets/{name}", get(panel::asset))
        .merge(v1)
        .merge(facade)
        .layer(axum::middleware::from_fn(guard::well_formed))
        .with_state(state)
}
