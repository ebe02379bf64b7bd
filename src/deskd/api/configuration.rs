//! What the running daemon goes by, for `deskd doctor` and for people who look after it: no secrets.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::state::ApiState;
use crate::config::{Config, DisplaySettings};

/// The configuration of the running daemon, as far as it says where things are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunningConfiguration {
    /// The file it came from; absent: none was needed.
    #[schema(value_type = Option<String>)]
    pub file: Option<PathBuf>,
    /// What is wrong with that file, which is therefore not used.
    pub file_errors: Option<String>,
    /// The TCP address, with the port that was really bound; absent: none.
    #[schema(value_type = Option<String>)]
    pub listen: Option<SocketAddr>,
    /// Where sockets, token, logs and task records live.
    #[schema(value_type = String)]
    pub state_dir: PathBuf,
    /// The unix socket.
    #[schema(value_type = String)]
    pub socket: PathBuf,
    /// The file of the bearer token.
    #[schema(value_type = String)]
    pub token_file: PathBuf,
    /// Credentials for the API server; absent: those of the pod's service account.
    #[schema(value_type = Option<String>)]
    pub kubeconfig: Option<PathBuf>,
    /// The directory of application documents.
    #[schema(value_type = Option<String>)]
    pub apps_directory: Option<PathBuf>,
    /// The display.
    pub display: RunningDisplay,
}

/// The display that the daemon supervises, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunningDisplay {
    /// Such as `:0`.
    pub name: String,
    /// The cookie file that applications get.
    #[schema(value_type = Option<String>)]
    pub xauthority: Option<PathBuf>,
    /// Readiness needs TCP 6000 + N.
    pub require_tcp: bool,
    /// Readiness needs MIT-SHM.
    pub require_shm: bool,
    /// Limit of one handshake, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// A server silent for this long hangs, in milliseconds.
    pub hang_timeout_ms: u64,
}

impl RunningConfiguration {
    /// Of a configuration; `xauthority` is the cookie file that applications get, which may be made
    /// from `XAUTH_KEY`.
    #[must_use]
    pub fn new(config: &Config, xauthority: Option<PathBuf>) -> Self {
        let DisplaySettings { name, require_tcp, require_shm, .. } = config.display.clone();
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            file: config.file.clone(),
            file_errors: config.file_errors.clone(),
            listen: config.listen,
            state_dir: config.state_dir.clone(),
            socket: config.socket.clone(),
            token_file: config.token_file.clone(),
            kubeconfig: config.kubeconfig.clone(),
            apps_directory: config.apps_directory.clone(),
            display: RunningDisplay {
                name,
                xauthority: xauthority.or_else(|| config.display.xauthority.clone()),
                require_tcp,
                require_shm,
                handshake_timeout_ms: ms(config.display.handshake_timeout),
                hang_timeout_ms: ms(config.display.hang_timeout),
            },
        }
    }
}

/// What the daemon runs with: files, address, display. No secrets.
#[utoipa::path(get, path = "/v1/configuration", tag = "desktop",
    responses((status = 200, description = "The configuration in use", body = RunningConfiguration)))]
pub async fn configuration(State(state): State<ApiState>) -> Json<RunningConfiguration> {
    Json(state.configuration.clone())
}
