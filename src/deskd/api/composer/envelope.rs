//! How answers are wrapped: `{"status": 200, "result": ..., "message": "ok"}` in both generations,
//! errors in that of each.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::error::ApiError;
use crate::config::ComposerVersion;

/// What 3.x tells by HTTP too: who may not call, or sends nothing that is one.
const OF_HTTP: [StatusCode; 4] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::PAYLOAD_TOO_LARGE,
];

/// A result, wrapped.
#[derive(Debug)]
pub(super) struct Success(pub(super) Value);

impl IntoResponse for Success {
    fn into_response(self) -> Response {
        Json(json!({ "status": 200, "result": self.0, "message": "ok" })).into_response()
    }
}

/// 3.x answers whatever a call itself cannot do with HTTP 200 and the status inside; who may not
/// call, or sends no request at all, is told so by HTTP. 4.x always does. `code` is deskd's own.
pub(super) fn error(version: ComposerVersion, error: &ApiError, request_id: &str) -> Response {
    let (status, code) = error.status_and_code();
    let message = error.to_string();
    match version {
        ComposerVersion::V3 => {
            let of_http = OF_HTTP.contains(&status);
            let body = json!({ "status": status.as_u16(), "result": null, "error": message,
                "code": code, "request_id": request_id });
            (if of_http { status } else { StatusCode::OK }, Json(body)).into_response()
        }
        ComposerVersion::V4 => {
            let body = json!({ "detail": message, "code": code, "request_id": request_id });
            (status, Json(body)).into_response()
        }
    }
}

/// JSON whatever `Content-Type` says: documents are sent as `text/javascript`, as their own
/// instructions have it. What comes with a panel's cookie has shown where it comes from.
#[derive(Debug)]
pub(super) struct AnyJson<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for AnyJson<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await?;
        let axum::Json(value) = axum::Json::from_bytes(&bytes)?;
        Ok(Self(value))
    }
}
