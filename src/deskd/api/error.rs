//! What can go wrong with a request: the one place where status codes and stable `code`s are
//! assigned.
//!
//! A handler returns an [`ApiError`]; its response carries the error as an extension, and the
//! outermost middleware writes the body, because only there the request's id is known.

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::extract::Wanted;
use super::limits::{IDEMPOTENCY_KEY_BYTES_MAX, LAUNCHES_MAX, WAIT_MS_MAX};
use crate::supervisor::{
    AppError, LaunchError, LogOpenError, PullError, RefusalCode, RemedyError, RemoveError,
    StopError,
};
use deskd_core::app::document::DocumentError;
use deskd_core::plan::{Rejected, UnplannableCode};
use deskd_core::task::TaskState;
use deskd_core::text;
use deskd_core::text::Text;
use deskd_keeper::logs::ReadError;

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// Stable, for programs, such as `unknown_task`.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// The same as the `x-request-id` header and deskd's own log.
    pub request_id: String,
    /// Why no engine could run it (launches and plans).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
}

/// Why one launch of several was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LaunchRefusal {
    /// As in the answer to one launch.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// Why no engine could run it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
}

impl From<ApiError> for LaunchRefusal {
    fn from(error: ApiError) -> Self {
        let (_, code) = error.status_and_code();
        Self { code: code.to_owned(), message: error.to_string(), rejected: error.rejected() }
    }
}

/// Everything the API refuses.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// No such task.
    #[error("there is no task `{0}`")]
    UnknownTask(String),
    /// No such task is known yet: the daemon just started and has not heard of all of them.
    #[error("deskd has just started and does not know a task `{0}` yet: ask again")]
    Starting(String),
    /// No such application.
    #[error("there is no application `{0}`")]
    UnknownApp(String),
    /// No such path.
    #[error("there is nothing at this path; docs/api.md lists what there is")]
    UnknownPath,
    /// The path exists, the method does not.
    #[error("this path does not take this method")]
    Method,
    /// A launch or a plan.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A stop.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// A remedy.
    #[error(transparent)]
    Remedy(#[from] RemedyError),
    /// A removal.
    #[error(transparent)]
    Remove(#[from] RemoveError),
    /// A log's task is unknown, its cursor wrong, or its files cannot be read.
    #[error("{message}")]
    Log {
        /// Which of the three.
        kind: LogErrorKind,
        /// One sentence.
        message: String,
    },
    /// A task that has not failed.
    #[error("task `{0}` has no diagnosis: there is nothing to explain")]
    NoDiagnosis(String),
    /// An image cannot be pulled.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// Applications were not changed.
    #[error(transparent)]
    App(#[from] AppError),
    /// What looks like an application's document is none.
    #[error("the application document cannot be read: {0}")]
    Document(#[from] DocumentError),
    /// The application has no icon file that may be served.
    #[error("application `{0}` has no icon file (svg or png)")]
    NoIcon(String),
    /// An application document that cannot be launched as it is.
    #[error("the application is not valid: {}", .0.join("; "))]
    InvalidApp(Vec<String>),
    /// The JSON body does not fit.
    #[error("{0}")]
    Body(String),
    /// The body is larger than the limit.
    #[error("the request body is larger than {} bytes", super::limits::BODY_BYTES_MAX)]
    BodyTooLarge,
    /// Not JSON.
    #[error("the request body must be JSON: send `Content-Type: application/json`")]
    MediaType,
    /// A query parameter does not fit.
    #[error("{0}")]
    Query(String),
    /// The limit on launches of one request.
    #[error("{0} launches in one request are more than {LAUNCHES_MAX}: send several requests")]
    TooManyLaunches(usize),
    /// A header does not fit.
    #[error(
        "the Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"
    )]
    IdempotencyKey,
    /// `Last-Event-ID` is none of ours.
    #[error("Last-Event-ID `{0}` is not an id of this stream")]
    LastEventId(String),
    /// No or wrong credentials.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// A user's token, with what is wrong with it.
    #[error("{0}")]
    UserToken(String),
    /// A user's token does not change applications.
    #[error("a user's token changes no applications: use deskd's own token or its unix socket")]
    NotByUser,
    /// No user's token can be checked.
    #[error("users' tokens cannot be checked (key_file in [composer]): {0}")]
    ComposerKey(String),
    /// The peer's uid is not admitted on the unix socket.
    #[error("uid {0} is not admitted on the unix socket: only deskd's own uid and root are")]
    PeerUid(u32),
    /// The Host header names neither this machine nor a configured name.
    #[error("the host `{0}` is not one deskd answers to: add it to panel_hosts")]
    Host(String),
    /// A change was asked for by another origin's page.
    #[error("changes are only taken from deskd's own page (the Origin header does not fit)")]
    Origin,
    /// Only over the unix socket.
    #[error("this is only answered on the unix socket")]
    UnixSocketOnly,
    /// There is no TCP door for the panel.
    #[error("the panel needs a TCP address, and `listen` is `none`")]
    NoTcp,
    /// The kernel gave none.
    #[error("no random bytes are to be had")]
    RandomUnavailable,
    /// The limit on open streams.
    #[error("{0} streams are open, the limit: close one")]
    TooManyStreams(usize),
    /// No place for one more connection, but for health.
    #[error("too many connections are open: close some")]
    TooManyConnections,
    /// The handler took too long.
    #[error("no answer within {0} ms")]
    RequestTime(u128),
    /// `/wait` ran out.
    #[error("the task was not {} within {waited_ms} ms", .state.as_str())]
    WaitedInVain {
        /// The state waited for.
        state: TaskState,
        /// How long.
        waited_ms: u64,
    },
    /// The daemon is going away.
    #[error("deskd is shutting down")]
    ShuttingDown,
}

/// What is wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogErrorKind {
    /// No such task, or it never had a log.
    None,
    /// The cursor.
    Cursor,
    /// The files.
    Io,
}

impl ApiError {
    /// Status and stable code.
    #[must_use]
    pub fn status_and_code(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::UnknownTask(_)
            | Self::Stop(StopError::UnknownTask(_))
            | Self::Remedy(RemedyError::UnknownTask(_))
            | Self::Remove(RemoveError::UnknownTask(_)) => (S::NOT_FOUND, "unknown_task"),
            Self::NoDiagnosis(_) => (StatusCode::NOT_FOUND, "no_diagnosis"),
            Self::Pull(PullError::NoImage(_)) => (StatusCode::CONFLICT, "no_image"),
            Self::Pull(PullError::Kubernetes(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "kubernetes_unavailable")
            }
            Self::Pull(PullError::Ending) => (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
            Self::UnknownApp(_)
            | Self::Pull(PullError::UnknownApp(_))
            | Self::Launch(LaunchError::UnknownApp(_)) => (S::NOT_FOUND, "unknown_app"),
            Self::Starting(_) => (S::SERVICE_UNAVAILABLE, "starting"),
            Self::UnknownPath => (S::NOT_FOUND, "unknown_path"),
            Self::Method => (S::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Launch(error) | Self::Remedy(RemedyError::Launch(error)) => launch_status(error),
            Self::Remedy(RemedyError::None { .. }) => (S::CONFLICT, "no_remedy"),
            Self::Remedy(RemedyError::Ending) => (S::SERVICE_UNAVAILABLE, "shutting_down"),
            Self::Stop(StopError::NotPossible { .. }) => (S::CONFLICT, "cannot_stop"),
            Self::Stop(StopError::KeeperAway) => (S::SERVICE_UNAVAILABLE, "keeper_away"),
            Self::Remove(RemoveError::NotEnded(_)) => (S::CONFLICT, "not_ended"),
            Self::Log { kind: LogErrorKind::None, .. } => (S::NOT_FOUND, "no_log"),
            Self::Log { kind: LogErrorKind::Cursor, .. } => {
                (S::RANGE_NOT_SATISFIABLE, "bad_cursor")
            }
            Self::Log { kind: LogErrorKind::Io, .. } => {
                (S::INTERNAL_SERVER_ERROR, "log_unreadable")
            }
            Self::App(AppError::Unknown(_)) => (S::NOT_FOUND, "unknown_app"),
            Self::App(AppError::FromConfig(_)) => (S::CONFLICT, "app_from_config"),
            Self::App(AppError::FromDirectory { .. }) => (S::CONFLICT, "app_from_directory"),
            Self::App(AppError::TooMany) => (S::CONFLICT, "too_many_apps"),
            Self::App(AppError::Ending) => (S::SERVICE_UNAVAILABLE, "shutting_down"),
            Self::Document(_) => (S::BAD_REQUEST, "invalid_document"),
            Self::NoIcon(_) => (S::NOT_FOUND, "no_icon"),
            Self::InvalidApp(_) => (S::BAD_REQUEST, "invalid_app"),
            Self::Body(_) => (S::BAD_REQUEST, "invalid_body"),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::TooManyLaunches(_) => (S::BAD_REQUEST, "too_many_launches"),
            Self::MediaType => (S::UNSUPPORTED_MEDIA_TYPE, "not_json"),
            Self::Query(_) => (S::BAD_REQUEST, "invalid_query"),
            Self::IdempotencyKey => (S::BAD_REQUEST, "invalid_idempotency_key"),
            Self::LastEventId(_) => (S::BAD_REQUEST, "invalid_last_event_id"),
            Self::Unauthorized(_) => (S::UNAUTHORIZED, "unauthorized"),
            Self::UserToken(_) => (S::UNAUTHORIZED, "unauthorized"),
            Self::NotByUser => (S::FORBIDDEN, "operators_only"),
            Self::ComposerKey(_) => (S::SERVICE_UNAVAILABLE, "composer_key_unreadable"),
            Self::PeerUid(_) => (S::FORBIDDEN, "peer_not_admitted"),
            Self::Host(_) => (S::FORBIDDEN, "host_not_allowed"),
            Self::Origin => (S::FORBIDDEN, "origin_not_allowed"),
            Self::UnixSocketOnly => (S::FORBIDDEN, "unix_socket_only"),
            Self::NoTcp => (S::CONFLICT, "no_tcp"),
            Self::RandomUnavailable => (S::INTERNAL_SERVER_ERROR, "no_random"),
            Self::TooManyStreams(_) => (S::SERVICE_UNAVAILABLE, "too_many_streams"),
            Self::TooManyConnections => (S::SERVICE_UNAVAILABLE, "too_many_connections"),
            Self::RequestTime(_) => (S::SERVICE_UNAVAILABLE, "request_time"),
            Self::WaitedInVain { .. } => (S::REQUEST_TIMEOUT, "wait_timeout"),
            Self::ShuttingDown => (S::SERVICE_UNAVAILABLE, "shutting_down"),
        }
    }

    /// The task of which it says that there is none.
    #[must_use]
    pub fn unknown_task(&self) -> Option<&str> {
        match self {
            Self::UnknownTask(id) => Some(id),
            Self::Stop(StopError::UnknownTask(id))
            | Self::Remedy(RemedyError::UnknownTask(id))
            | Self::Remove(RemoveError::UnknownTask(id)) => Some(id.as_str()),
            _ => None,
        }
    }

    /// One sentence. Those that only whoever writes a program meets are in English alone.
    fn sentence(&self) -> Text {
        match self {
            Self::Launch(error) => error.sentence(),
            Self::Stop(error) => error.sentence(),
            Self::Remedy(error) => error.sentence(),
            Self::Remove(error) => error.sentence(),
            Self::ShuttingDown => text!("deskd is shutting down"),
            other => Text::words(other.to_string()),
        }
    }

    fn rejected(&self) -> Vec<Rejected> {
        match self {
            Self::Launch(LaunchError::Unplannable(why))
            | Self::Remedy(RemedyError::Launch(LaunchError::Unplannable(why))) => {
                why.rejected.clone()
            }
            _ => Vec::new(),
        }
    }

    /// The whole answer, once the request's id is known.
    #[must_use]
    pub fn into_body(self, request_id: &str, Wanted(language): Wanted) -> Response {
        let (status, code) = self.status_and_code();
        let mut rejected = self.rejected();
        for it in &mut rejected {
            it.why.translate(language);
        }
        let body = ErrorBody {
            code: code.to_owned(),
            message: self.sentence().in_language(language).into_owned(),
            request_id: request_id.to_owned(),
            rejected,
        };
        (status, Json(body)).into_response()
    }
}

fn launch_status(error: &LaunchError) -> (StatusCode, &'static str) {
    use StatusCode as S;
    match error {
        LaunchError::UnknownApp(_) => (S::NOT_FOUND, "unknown_app"),
        LaunchError::Unplannable(why) => match why.code {
            UnplannableCode::DisplayUnavailable => (S::CONFLICT, "display_unavailable"),
            UnplannableCode::NoCommand => (S::CONFLICT, "no_command"),
            UnplannableCode::NotPermitted => (S::FORBIDDEN, "not_permitted"),
            UnplannableCode::AlreadyRunning => (S::CONFLICT, "already_running"),
            UnplannableCode::TooManyRemoteTasks => (S::CONFLICT, "too_many_remote_tasks"),
            UnplannableCode::DisplayNotOnNetwork => (S::CONFLICT, "display_not_on_network"),
            UnplannableCode::KubernetesUnavailable => {
                (S::SERVICE_UNAVAILABLE, "kubernetes_unavailable")
            }
            UnplannableCode::RightMissing => (S::FORBIDDEN, "right_missing"),
            UnplannableCode::CannotBePlaced => (S::CONFLICT, "cannot_be_placed"),
        },
        LaunchError::Spawn { .. } => (S::UNPROCESSABLE_ENTITY, "cannot_execute"),
        LaunchError::Refused { refusal, .. } => refused(refusal.code()),
        LaunchError::Draining => (S::SERVICE_UNAVAILABLE, "shutting_down"),
        LaunchError::TooManyTasks { .. } => (S::CONFLICT, "too_many_tasks"),
        LaunchError::KeeperAway => (S::SERVICE_UNAVAILABLE, "keeper_away"),
        LaunchError::KeyReused(_) => (S::CONFLICT, "idempotency_key_reused"),
    }
}

/// What the Kubernetes API refused.
fn refused(code: RefusalCode) -> (StatusCode, &'static str) {
    use StatusCode as S;
    match code {
        RefusalCode::Quota => (S::CONFLICT, "quota_exceeded"),
        RefusalCode::Admission => (S::CONFLICT, "admission_denied"),
        RefusalCode::Forbidden => (S::FORBIDDEN, "right_missing"),
        RefusalCode::Invalid => (S::UNPROCESSABLE_ENTITY, "object_invalid"),
        RefusalCode::NotFound => (S::CONFLICT, "kubernetes_object_gone"),
        RefusalCode::Full => (S::CONFLICT, "too_many_ephemeral_containers"),
        RefusalCode::Stopped => (S::CONFLICT, "stopped"),
        RefusalCode::Other => (S::CONFLICT, "cannot_start"),
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let kind = match &error {
            ReadError::NoLog(_) => LogErrorKind::None,
            ReadError::BadCursor { .. } => LogErrorKind::Cursor,
            ReadError::Io { .. } => LogErrorKind::Io,
        };
        let message = match &error {
            ReadError::Io { source, .. } => format!("{error}: {source}"),
            other => other.to_string(),
        };
        Self::Log { kind, message }
    }
}

impl From<LogOpenError> for ApiError {
    fn from(error: LogOpenError) -> Self {
        match error {
            LogOpenError::UnknownTask(id) => Self::UnknownTask(id.to_string()),
            LogOpenError::Read(error) => error.into(),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::MissingJsonContentType(_) => Self::MediaType,
            JsonRejection::BytesRejection(error) => error.into(),
            // The text names the path of the field: `args[0]: invalid type: ...`.
            other => Self::Body(other.body_text()),
        }
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::BodyTooLarge
        } else {
            Self::Body(rejection.body_text())
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status_and_code().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// `wait` at most this long, as a sentence.
#[must_use]
pub fn wait_limit() -> ApiError {
    ApiError::Query(format!("timeout_ms: at most {WAIT_MS_MAX}"))
}
