//! abcdesktop's own calls (`/API/composer/...`, `/API/manager/image`), answered from deskd's tasks
//! and applications, so that its Tasks panel works with deskd behind it.
//!
//! ```text
//!  ABCAuthorization: Bearer JWT --+-- admission --+-- calls  (ocrun, listcontainer, ...)
//!  deskd's token, unix socket ----+               +-- images (documents; changes: not by JWT)
//!                                                      |
//!                                    envelope: 3.x (HTTP 200, status inside) or 4.x
//! ```
//!
//! Shapes as in pyos (`controllers/composer_controller.py`, `oc/cherrypy.py` of 3.2) and its web
//! client. Deliberately not here: what else pyos does (logins, desktops, secrets).

mod admission;
mod calls;
mod container;
mod envelope;
mod images;
mod jwt;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use super::error::ApiError;
use super::limits::BODY_BYTES_MAX;
use super::state::{ApiState, Shared};
use crate::config::ComposerConfig;
use jwt::Key;

/// The facade, turned on.
#[derive(Debug)]
pub struct Composer {
    config: ComposerConfig,
    /// What users' tokens are signed with, or why there is none.
    key: Result<Key, String>,
}

impl Composer {
    /// Reads the key. Without one the facade refuses everybody's token and says why: in somebody
    /// else's pod deskd has to start.
    #[must_use]
    pub fn new(config: ComposerConfig) -> Self {
        let key = Key::load(&config.key_file).map_err(|error| {
            let why = format!("{}: {error}", config.key_file.display());
            tracing::error!("users' tokens cannot be checked: {why}");
            why
        });
        Self { config, key }
    }
}

impl Shared {
    /// The facade; its routes exist only where it is on.
    fn facade(&self) -> Result<&Composer, ApiError> {
        self.composer.as_ref().ok_or(ApiError::UnknownPath)
    }
}

/// The calls.
pub fn router(state: &ApiState) -> Router<ApiState> {
    Router::new()
        .route("/API/composer/ocrun", post(calls::ocrun))
        .route("/API/composer/listcontainer", post(calls::list))
        .route("/API/composer/list_applications_by_phase", post(calls::list_by_phase))
        .route("/API/composer/logcontainer", post(calls::log))
        .route("/API/composer/envcontainer", post(calls::env))
        .route("/API/composer/stopcontainer", post(calls::stop))
        .route("/API/composer/removecontainer", post(calls::remove))
        .route("/API/manager/image", get(images::list).put(images::put).post(images::put))
        .route("/API/manager/image/{*image}", get(images::show).delete(images::delete))
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(state.clone(), admission::guard))
}
