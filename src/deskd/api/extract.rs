//! Extractors whose refusals are [`ApiError`]s, and ids in paths.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use deskd_core::id::{AppId, TaskId};
use deskd_core::text::{Language, Localized};

/// A JSON body that may be left out, or be `null`.
#[derive(Debug)]
pub struct OptionalJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let json = is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if !json {
            return Err(ApiError::MediaType);
        }
        let axum::Json(value) = axum::Json::<Option<T>>::from_bytes(&bytes)?;
        Ok(Self(value.unwrap_or_default()))
    }
}

/// A JSON body whose form decides what it is.
#[derive(Debug)]
pub struct JsonText(Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonText {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::MediaType);
        }
        Ok(Self(Bytes::from_request(request, state).await?))
    }
}

impl JsonText {
    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        self.0.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
    }

    /// As a value; the error of one that does not fit names the field.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let axum::Json(value) = axum::Json::from_bytes(&self.0)?;
        Ok(value)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.starts_with("application/json"))
}

/// The language that whoever asks wants sentences in (`Accept-Language`).
#[derive(Debug, Clone, Copy)]
pub struct Wanted(pub Language);

impl Wanted {
    /// Of a request's headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let header = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Self(header.map(Language::accepted).unwrap_or_default())
    }

    /// The answer with its sentences in that language.
    pub fn json<T: Localized + Serialize>(self, value: &T) -> Response {
        axum::Json(value.in_language(self.0)).into_response()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// Query parameters.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(ApiError::Query(rejection.body_text())),
        }
    }
}

/// The one parameter of a path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found = axum::extract::Path::from_request_parts(parts, state).await;
        // What is no text is the name of nothing.
        found.map(|axum::extract::Path(value)| Self(value)).map_err(|_| ApiError::UnknownPath)
    }
}

/// A task id from a path. What is no id names no task.
pub fn task_id(text: &str) -> Result<TaskId, ApiError> {
    text.parse().map_err(|_| ApiError::UnknownTask(text.to_owned()))
}

/// An application id from a path.
pub fn app_id(text: &str) -> Result<AppId, ApiError> {
    text.parse().map_err(|_| ApiError::UnknownApp(text.to_owned()))
}
