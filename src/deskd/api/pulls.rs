//! Images pulled on the nodes before somebody waits for them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::error::{ApiError, ErrorBody};
use super::extract::{Path, app_id};
use super::state::ApiState;
use deskd_core::pull::PullStatus;

/// A pull that was asked for.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PullAsked {
    /// The image; `GET /v1/pulls` says how far it is.
    pub image: String,
}

/// Pull the application's image on the nodes it may run on.
#[utoipa::path(post, path = "/v1/apps/{id}/pull", tag = "apps",
    params(("id" = String, Path, description = "Application")),
    responses((status = 202, description = "Asked for", body = PullAsked),
              (status = 404, description = "Unknown", body = ErrorBody),
              (status = 409, description = "`no_image`", body = ErrorBody),
              (status = 503, description = "`kubernetes_unavailable`", body = ErrorBody)))]
pub async fn pull(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let image = state.handle.pull(app_id(&id)?).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(PullAsked { image })).into_response())
}

/// How far pulls are, per image and node; the last that changed at the end.
#[utoipa::path(get, path = "/v1/pulls", tag = "apps",
    responses((status = 200, description = "Pulls", body = Vec<PullStatus>)))]
pub async fn list_pulls(State(state): State<ApiState>) -> axum::Json<Vec<PullStatus>> {
    axum::Json(state.handle.snapshot().pulls.to_vec())
}
