//! HTTP over the daemon's unix socket: one connection per request, answers of bounded size.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

use super::failure::Failure;
use deskd_core::exit::Exit;
use deskd_core::plan::Rejected;

/// Largest JSON answer, in bytes: 10,000 tasks with full histories fit.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Time for the head of an answer; above the daemon's own 20 s and below nobody's patience.
const HEAD_S_MAX: u64 = 30;
/// Time for the head of an answer to `/wait`, which takes up to 60 s by itself.
const WAIT_HEAD_S_MAX: u64 = 75;

/// Time a refused connection is tried again: the keeper starts a killed daemon within 0.5 s.
const REFUSED_MS_MAX: u64 = 1_000;
/// The same for a socket that is not there: a daemon that is replaced removes its own a few milliseconds before the next
/// one is made.
const ABSENT_MS_MAX: u64 = 200;
/// Pause between these tries.
const REFUSED_PAUSE_MS: u64 = 10;

/// The daemon, by its socket.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Why a request has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers on the socket.
    #[error("nothing answers on {}: {source}", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke; whether the request was carried out is unknown.
    #[error("the connection to the daemon broke: {0}")]
    Lost(String),
    /// No answer in time.
    #[error("the daemon did not answer within {0} s")]
    Slow(u64),
    /// An answer that is not a success.
    #[error("{}", body.message)]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its body.
        body: ErrorBody,
    },
    /// An answer that is not what the API says.
    #[error("cannot read the daemon's answer: {0}")]
    BadAnswer(String),
}

/// The API's error body.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ErrorBody {
    /// Stable code.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// Why no engine would do.
    pub rejected: Vec<Rejected>,
}

/// A request.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// More headers.
    pub headers: Vec<(&'static str, &'a str)>,
    /// JSON body.
    pub body: Option<&'a Value>,
}

impl Ask<'_> {
    /// A request without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: None }
    }
}

impl Client {
    /// For the daemon on `socket`.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Sends and returns the head of a successful answer; its body is still to come.
    pub async fn send(&self, ask: &Ask<'_>) -> Result<Response<Incoming>, ClientError> {
        let stream = self
            .connect()
            .await
            .map_err(|source| ClientError::Unreachable { socket: self.socket.clone(), source })?;
        let lost = |error: hyper::Error| ClientError::Lost(error_chain(&error));
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // Ends with the answer's body or the connection; its error is told to the body's reader.
        tokio::spawn(connection);
        let seconds = if ask.path.contains("/wait?") { WAIT_HEAD_S_MAX } else { HEAD_S_MAX };
        let answer = timeout(Duration::from_secs(seconds), sender.send_request(request(ask)?))
            .await
            .map_err(|_| ClientError::Slow(seconds))?
            .map_err(lost)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let bytes = whole(answer.into_body()).await.unwrap_or_default();
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| ErrorBody {
            message: format!("{status}: {}", String::from_utf8_lossy(&bytes).trim()),
            ..ErrorBody::default()
        });
        Err(ClientError::Refused { status, body })
    }

    /// The process that listens on the socket; nothing if none does, or none of this PID namespace.
    pub async fn daemon_pid(&self) -> Option<u32> {
        let pid = self.connect().await.ok()?.peer_cred().ok()?.pid()?;
        u32::try_from(pid).ok().filter(|pid| *pid > 0)
    }

    /// A refused connection is most often a daemon that was killed and is being started again.
    async fn connect(&self) -> std::io::Result<UnixStream> {
        let begun = Instant::now();
        loop {
            let result = UnixStream::connect(&self.socket).await;
            let patience_ms = match result.as_ref().map_err(std::io::Error::kind) {
                Err(ErrorKind::ConnectionRefused) => REFUSED_MS_MAX,
                Err(ErrorKind::NotFound) => ABSENT_MS_MAX,
                _ => return result,
            };
            if begun.elapsed() >= Duration::from_millis(patience_ms) {
                return result;
            }
            tokio::time::sleep(Duration::from_millis(REFUSED_PAUSE_MS)).await;
        }
    }

    /// Sends and reads the whole answer as JSON; no body is `null`.
    pub async fn json<T: DeserializeOwned>(&self, ask: &Ask<'_>) -> Result<T, ClientError> {
        Ok(self.json_and_status(ask).await?.1)
    }

    /// The same, with the status of the success.
    pub async fn json_and_status<T: DeserializeOwned>(
        &self,
        ask: &Ask<'_>,
    ) -> Result<(StatusCode, T), ClientError> {
        let answer = self.send(ask).await?;
        let status = answer.status();
        let bytes = whole(answer.into_body()).await?;
        let bytes = if bytes.is_empty() { Bytes::from_static(b"null") } else { bytes };
        let value = serde_json::from_slice(&bytes)
            .map_err(|error| ClientError::BadAnswer(error.to_string()))?;
        Ok((status, value))
    }

    /// GET, as JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(&Ask::new(Method::GET, path)).await
    }
}

/// An answer as a value of the domain.
pub fn typed<T: DeserializeOwned>(value: Value, doing: &str) -> Result<T, Failure> {
    serde_json::from_value(value)
        .map_err(|error| ClientError::BadAnswer(error.to_string()).failure(doing))
}

fn request(ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, ClientError> {
    let body = ask.body.map(Value::to_string).unwrap_or_default();
    let mut request = Request::builder().method(&ask.method).uri(&ask.path).header("host", "deskd");
    if ask.body.is_some() {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in &ask.headers {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body)).map_err(|error| ClientError::BadAnswer(error.to_string()))
}

/// The whole body, if it is not too large.
pub async fn whole(body: Incoming) -> Result<Bytes, ClientError> {
    let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    collected.map(|body| body.to_bytes()).map_err(|error| ClientError::Lost(error.to_string()))
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl ClientError {
    /// Whether asking again may help: the daemon is away, or on its way.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost(_) => true,
            Self::Refused { status, body } => {
                *status == StatusCode::SERVICE_UNAVAILABLE && body.code != "too_many_streams"
            }
            Self::Slow(_) | Self::BadAnswer(_) => false,
        }
    }

    /// As the failure of `doing`.
    #[must_use]
    pub fn failure(self, doing: &str) -> Failure {
        let exit = match &self {
            Self::Unreachable { .. } | Self::Lost(_) | Self::Slow(_) => Exit::Unreachable,
            Self::Refused { status, .. } => match *status {
                StatusCode::NOT_FOUND => Exit::NotFound,
                StatusCode::REQUEST_TIMEOUT => Exit::Timeout,
                status if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE => {
                    Exit::Internal
                }
                _ => Exit::Refused,
            },
            Self::BadAnswer(_) => Exit::Internal,
        };
        let remedy = self.remedy();
        let mut why = self.to_string();
        if let Self::Refused { body, .. } = &self {
            for Rejected { engine, why: reason } in &body.rejected {
                why.push_str(&format!("\n    {}: {reason}", engine.as_str()));
            }
        }
        let failure = Failure::new(exit, doing, why);
        match remedy {
            Some(remedy) => failure.remedy(remedy),
            None => failure,
        }
    }

    fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Unreachable { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                "run this as deskd's user or as root"
            }
            Self::Unreachable { .. } => {
                "start deskd with `deskd run`, or set its socket with --socket or DESKD_SOCKET"
            }
            Self::Slow(_) => "read deskd's own log, and run `deskd health`",
            Self::BadAnswer(_) => "use the same version of deskd as the daemon",
            Self::Refused { body, .. } => match body.code.as_str() {
                "unknown_app" => "run `deskd app list` to see the known ids",
                "unknown_task" => "run `deskd task list` to see the known ids",
                "cannot_stop" => "run `deskd task show TASK` to see who started it",
                "not_ended" => "stop it first: `deskd task stop TASK`",
                "app_from_config" => "change the configuration file and restart deskd",
                "display_unavailable" => "run `deskd probe` to see what is wrong with the display",
                "no_remedy" => {
                    "run `deskd task show TASK` to see why it failed and what deskd did about it"
                }
                "too_many_tasks" => "remove ended tasks: `deskd task remove TASK...`",
                _ => return None,
            },
            Self::Lost(_) => return None,
        };
        Some(text.to_owned())
    }
}

/// `text` as one segment or value of a URL: everything but unreserved characters is escaped.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_cannot_leave_their_place() {
        assert_eq!(escape("a b&c=/?#%"), "a%20b%26c%3D%2F%3F%23%25");
        assert_eq!(escape("\u{e9}"), "%C3%A9");
    }
}
