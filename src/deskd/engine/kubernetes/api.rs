//! Requests to the API server: one way for all of them, each counted. Bodies are read as bytes, so
//! that callers keep only what they need.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use kube::client::Body;
use kube::core::Status;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::calls::{Calls, Verb};
use super::identity::{EngineConfig, chain};

/// Time for one request and its answer; streams only have to begin within it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that is read as a whole, in bytes: 500 pods of 64 KiB.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Credentials are not read anew more often than this.
const RENEW_INTERVAL: Duration = Duration::from_secs(1);

/// Why there is no answer that is of use.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API server said no.
    #[error("the API server answered {}: {}", .0.code, .0.message)]
    Answer(Box<Status>),
    /// No answer came; the request may have been carried out nevertheless.
    #[error("{0}")]
    Lost(String),
    /// It never reached the API server.
    #[error("{0}")]
    Unreachable(String),
}

impl ApiError {
    /// HTTP status of the answer.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Answer(status) => Some(status.code),
            Self::Lost(_) | Self::Unreachable(_) => None,
        }
    }
}

/// What is asked.
#[derive(Debug)]
pub struct Ask {
    /// The verb it counts as.
    pub verb: Verb,
    /// The resource it counts as.
    pub resource: &'static str,
    /// Path and query.
    pub path: String,
    /// JSON.
    pub body: Option<Value>,
}

/// The API server.
#[derive(Debug)]
pub struct Api {
    config: EngineConfig,
    calls: Calls,
    client: Mutex<Option<Renewed>>,
}

struct Renewed {
    client: kube::Client,
    at: Instant,
}

impl std::fmt::Debug for Renewed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewed").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Api {
    /// Not connected yet.
    #[must_use]
    pub fn new(config: EngineConfig, calls: Calls) -> Self {
        Self { config, calls, client: Mutex::new(None) }
    }

    /// Sends and reads the answer as a whole.
    pub async fn text(&self, ask: Ask) -> Result<Bytes, ApiError> {
        let what = (ask.verb, ask.resource);
        let stream = self.stream(ask).await?;
        let limited = http_body_util::Limited::new(stream.body, ANSWER_BYTES_MAX);
        let read = tokio::time::timeout(REQUEST_TIMEOUT, limited.collect()).await;
        let lost = |why: String| {
            self.calls.count(what.0, what.1, None);
            ApiError::Lost(format!("the API server's answer broke off: {why}"))
        };
        match read {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(lost(chain(&*error))),
            Err(_) => Err(lost("it took too long".to_owned())),
        }
    }

    /// Sends and reads the answer as JSON.
    pub async fn json<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, ApiError> {
        let text = self.text(ask).await?;
        serde_json::from_slice(&text)
            .map_err(|error| ApiError::Lost(format!("the API server's answer is odd: {error}")))
    }

    /// Sends, and returns as soon as the answer begins.
    pub async fn stream(&self, ask: Ask) -> Result<Chunks, ApiError> {
        let Ask { verb, resource, path, body } = ask;
        let client = self.client().await?;
        let request = request(verb, &path, body)?;
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, client.send(request)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                self.calls.count(verb, resource, None);
                return Err(not_answered(&error));
            }
            Err(_) => {
                self.calls.count(verb, resource, None);
                let seconds = REQUEST_TIMEOUT.as_secs();
                return Err(ApiError::Lost(format!(
                    "the API server did not answer within {seconds} s"
                )));
            }
        };
        let code = answer.status().as_u16();
        self.calls.count(verb, resource, Some(code));
        if answer.status().is_success() {
            return Ok(Chunks { body: answer.into_body() });
        }
        if code == 401 {
            self.forget_client();
        }
        let limited = http_body_util::Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        let read = tokio::time::timeout(REQUEST_TIMEOUT, limited.collect()).await;
        let text = read.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
        Err(ApiError::Answer(Box::new(status(code, &text))))
    }

    async fn client(&self) -> Result<kube::Client, ApiError> {
        {
            let known = self.client.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(renewed) = &*known {
                return Ok(renewed.client.clone());
            }
        }
        let client = self.config.client().await;
        let client = client.map_err(|error| ApiError::Unreachable(error.to_string()))?;
        let renewed = Renewed { client: client.clone(), at: Instant::now() };
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(renewed);
        Ok(client)
    }

    /// The token was not accepted: kubelet may have replaced it since it was read.
    fn forget_client(&self) {
        let mut known = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        known.take_if(|renewed| renewed.at.elapsed() > RENEW_INTERVAL);
    }
}

/// A body that arrives in pieces.
#[derive(Debug)]
pub struct Chunks {
    body: Body,
}

impl Chunks {
    /// The next piece; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        while let Some(frame) = self.body.frame().await {
            let lost = |error: &dyn std::error::Error| {
                ApiError::Lost(format!("the API server's answer broke off: {}", chain(error)))
            };
            let frame = frame.map_err(|error| lost(&error))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

fn request(verb: Verb, path: &str, body: Option<Value>) -> Result<Request<Body>, ApiError> {
    let (method, kind) = match verb {
        Verb::Get | Verb::List | Verb::Watch => (Method::GET, "application/json"),
        Verb::Create => (Method::POST, "application/json"),
        Verb::Patch => (Method::PATCH, "application/strategic-merge-patch+json"),
        Verb::Delete => (Method::DELETE, "application/json"),
    };
    let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, kind)
        .header(header::ACCEPT, "application/json")
        .body(Body::from(body))
        .map_err(|error| ApiError::Unreachable(format!("not a request: {error}")))
}

/// Whether an error came before anything was sent.
fn not_answered(error: &kube::Error) -> ApiError {
    let text = chain(error);
    let text = text.trim_start_matches("ServiceError: ").trim_start_matches("HyperError: ");
    let sentence = format!("the Kubernetes API server cannot be reached: {text}");
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        // hyper-util says `client error (Connect)`; its type is not exported through kube.
        if cause.to_string().contains("(Connect)") {
            return ApiError::Unreachable(sentence);
        }
        next = cause.source();
    }
    ApiError::Lost(sentence)
}

/// The error as the API server described it; proxies answer with something else.
fn status(code: u16, text: &[u8]) -> Status {
    match serde_json::from_slice::<Status>(text) {
        Ok(status) if status.code != 0 => status,
        Ok(status) => status.with_code(code),
        Err(_) => {
            let words: String = String::from_utf8_lossy(text).trim().chars().take(500).collect();
            Status::failure(&words, "").with_code(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_no_status_keeps_its_code_and_words() {
        let odd = status(502, b"<html>bad gateway</html>");
        assert_eq!((odd.code, odd.message.as_str()), (502, "<html>bad gateway</html>"));
        let proper = br#"{"kind":"Status","code":403,"reason":"Forbidden","message":"no"}"#;
        assert_eq!(status(403, proper).reason, "Forbidden");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_was_not_reached() {
        let client = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let client = kube::Client::try_from(client).unwrap();
        let error = client.send(request(Verb::Get, "/x", None).unwrap()).await.unwrap_err();
        let error = not_answered(&error);
        assert!(matches!(error, ApiError::Unreachable(_)), "{error:?}");
        assert!(error.to_string().contains("cannot be reached"), "{error}");
    }
}
