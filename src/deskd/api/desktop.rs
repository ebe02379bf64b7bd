//! The desktop as a whole, and the panel's one-time login.

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::error::{ApiError, ErrorBody};
use super::extract::Wanted;
use super::guard::Peer;
use super::limits::LOGIN_CODE_S;
use super::state::ApiState;
use crate::supervisor::Desktop;

/// Display, shared memory, checks.
#[utoipa::path(get, path = "/v1/desktop", tag = "desktop",
    responses((status = 200, description = "The desktop", body = Desktop)))]
pub async fn desktop(State(state): State<ApiState>, wanted: Wanted) -> Response {
    wanted.json(&*state.handle.snapshot().desktop)
}

/// Look at the display again now; answers when that is done.
#[utoipa::path(post, path = "/v1/desktop/probe", tag = "desktop",
    responses((status = 200, description = "The desktop after the look", body = Desktop)))]
pub async fn probe(State(state): State<ApiState>, wanted: Wanted) -> Response {
    wanted.json(&*state.handle.probe().await.desktop)
}

/// A one-time login of the panel.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PanelLogin {
    /// To be opened in a browser, once.
    pub url: String,
    /// How long it can be used.
    pub expires_in_s: u64,
}

/// A one-time login of the panel (unix socket only).
#[utoipa::path(post, path = "/v1/panel/login", tag = "panel",
    responses((status = 200, description = "A link that logs in once", body = PanelLogin),
              (status = 403, description = "`unix_socket_only`", body = ErrorBody),
              (status = 409, description = "`no_tcp`", body = ErrorBody)))]
pub async fn panel_login(
    State(state): State<ApiState>,
    Extension(peer): Extension<Peer>,
) -> Result<Json<PanelLogin>, ApiError> {
    if matches!(peer, Peer::Tcp { .. }) {
        return Err(ApiError::UnixSocketOnly);
    }
    let base = state.panel_url.as_ref().ok_or(ApiError::NoTcp)?;
    let code = state.sessions.new_code().map_err(|error| {
        tracing::error!(%error, "no random bytes for a login");
        ApiError::RandomUnavailable
    })?;
    Ok(Json(PanelLogin { url: format!("{base}/login?code={code}"), expires_in_s: LOGIN_CODE_S }))
}
