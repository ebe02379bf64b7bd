//! Configuration: a TOML file and the environment become one validated [`Config`].
//!
//! ```text
//!  file text + env lookup --parse (pure)--> Draft --resolve (reads files)--> Config
//!                             |                          |
//!                             +-> every problem at once  +-> problems of single apps
//! ```
//!
//! Whatever is wrong with the text is a [`Problem`] with key, line and column, and all are
//! reported together. Whatever is wrong outside of it (a `.desktop` file or an icon that is not
//! there) is a problem of that application and does not keep the rest from working.
//!
//! The keeper loads the configuration once and hands it to each daemon as JSON, so that a file
//! broken later does not stop a restarted daemon. Secrets are not part of it: `XAUTH_KEY` stays in
//! the environment, the token in its file.
//!
//! Deliberately not here: what a value does. Every key is described in `docs/configuration.md`.

mod activity;
mod apps;
mod checks;
mod classes;
mod cluster_names;
mod composer;
mod desktop_files;
mod draft;
mod env;
pub mod keys;
mod kubernetes;
mod panel;
mod parse;
mod problem;
mod rules;
mod section;
mod state_dir;
mod traces;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use activity::ActivityConfig;
pub use composer::{ComposerConfig, ComposerVersion};
use deskd_core::app::App;
use deskd_core::kubernetes::PodIdentity;
use deskd_core::named_check::NamedCheck;
use deskd_core::policy::Policy;
use deskd_core::why::RemedyMode;
use deskd_keeper::files;
pub use draft::Draft;
pub use env::{Env, inherited_env};
pub use panel::{Panel, PathPrefix};
pub use parse::parse;
pub use problem::{ConfigErrors, Origin, Position, Problem};
pub use rules::OperatorRules;
pub use state_dir::{default_state_dir, state_dir_candidates};
pub use traces::TracesEndpoint;
pub use values::{Complaint, duration};

/// JSON schema of the file, for editors: made of [`keys`] and the tables of `docs/configuration.md` by
/// `tests/it/config_schema.rs`, which compares it with what the parser takes.
pub const SCHEMA: &str = include_str!("../../../docs/configuration.schema.json");

/// TCP port when `listen` is not given.
pub const LISTEN_PORT_DEFAULT: u16 = 29791;
/// `log_store.task_limit` when not given, in bytes.
pub const TASK_LIMIT_BYTES_DEFAULT: u64 = 8 << 20;
/// `log_store.total_limit` when not given, in bytes.
pub const TOTAL_LIMIT_BYTES_DEFAULT: u64 = 128 << 20;
/// Smallest limit of the log store, in bytes: below it a single busy second is all it would keep.
pub const LOG_LIMIT_BYTES_MIN: u64 = 64 << 10;
/// `tasks_max` when not given.
pub const TASKS_MAX_DEFAULT: u32 = 1000;
/// Largest `tasks_max`.
pub const TASKS_MAX_MAX: u32 = 10_000;
/// Time windows get to close, when not given, in milliseconds.
pub const CLOSE_WINDOWS_MS_DEFAULT: u64 = 3_000;
/// Time between SIGTERM and SIGKILL, when not given, in milliseconds.
pub const TERM_MS_DEFAULT: u64 = 5_000;
/// Time for a whole shutdown, when nothing says how long the pod has, in milliseconds.
pub const SHUTDOWN_GRACE_MS_DEFAULT: u64 = 25_000;
/// How much earlier than kubelet's SIGKILL deskd wants to be done, in milliseconds.
pub const SHUTDOWN_MARGIN_MS: u64 = 3_000;
/// Limit of one X11 handshake, when not given, in milliseconds.
pub const HANDSHAKE_TIMEOUT_MS_DEFAULT: u64 = 2_000;
/// A server silent for this long hangs, when not given, in milliseconds.
pub const HANG_TIMEOUT_MS_DEFAULT: u64 = 5_000;
/// Longest time any key may ask for, in seconds: a day is a typing error.
pub const DURATION_S_MAX: u64 = 24 * 3600;
/// Largest configuration file, in bytes.
pub const CONFIG_FILE_BYTES_MAX: u64 = 4 << 20;
/// The configuration file when none is named. It need not be there, also when `DESKD_CONFIG` names
/// it: a pod mounts it from a ConfigMap that may not exist.
pub const CONFIG_FILE_DEFAULT: &str = "/etc/deskd/deskd.toml";
/// The X display when `DISPLAY` is not set.
pub const DISPLAY_DEFAULT: &str = ":0";

/// Everything deskd was told, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The file it came from.
    pub file: Option<PathBuf>,
    /// What is wrong with that file, which is therefore not used: [`Config::load_lenient`].
    #[serde(default)]
    pub file_errors: Option<String>,
    /// TCP address of the API; absent: none.
    pub listen: Option<SocketAddr>,
    /// Where sockets, token, logs and task records live.
    pub state_dir: PathBuf,
    /// The API's unix socket.
    pub socket: PathBuf,
    /// The API's bearer token.
    pub token_file: PathBuf,
    /// How browsers reach the panel.
    pub panel: Panel,
    /// `[activity]`.
    #[serde(default)]
    pub activity: ActivityConfig,
    /// `[composer]`; absent: abcdesktop's own calls are not answered.
    #[serde(default)]
    pub composer: Option<ComposerConfig>,
    /// `otlp_traces`; absent: launches are not sent anywhere.
    #[serde(default)]
    pub otlp_traces: Option<TracesEndpoint>,
    /// `DESKD_LOG`: tracing filter; absent: the default level.
    pub log_filter: Option<String>,
    /// Most tasks kept, ended ones included.
    pub tasks_max: u32,
    /// Directory of application documents that is watched; absent: none.
    pub apps_directory: Option<PathBuf>,
    /// What is done with the remedies of diagnoses.
    pub remedy: RemedyMode,
    /// Directory of an operator's own rules of diagnosis; absent: none.
    #[serde(default)]
    pub rules_directory: Option<PathBuf>,
    /// Limits of the log store.
    pub log_store: LogStoreConfig,
    /// How tasks are stopped.
    pub stop: StopConfig,
    /// The display.
    pub display: DisplaySettings,
    /// Who and where this pod is.
    pub pod: PodIdentity,
    /// `[kubernetes]`, `[execute_class.NAME]`, `[network_rule.NAME]`, `[user]`.
    pub policy: Policy,
    /// Credentials for the API server: `kubernetes.kubeconfig` or `KUBECONFIG`; absent: those of the
    /// pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// `[check.NAME]`, sorted by name.
    #[serde(default)]
    pub checks: Vec<NamedCheck>,
    /// The applications of `[app.NAME]`, sorted by id.
    pub apps: Vec<App>,
}

/// `[log_store]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStoreConfig {
    /// Of one task, in bytes.
    pub task_limit_bytes: u64,
    /// Of all tasks together, in bytes.
    pub total_limit_bytes: u64,
    /// Where applications' output goes besides.
    #[serde(default)]
    pub forward: Forward,
}

/// Where applications' output goes besides the log store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Forward {
    /// Nowhere.
    #[default]
    None,
    /// As JSON to deskd's own standard output.
    Stdout,
}

/// `[stop]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopConfig {
    /// From the polite request to the windows until SIGTERM.
    pub close_windows: Duration,
    /// From SIGTERM until SIGKILL.
    pub term: Duration,
    /// From SIGTERM of deskd itself until nothing of it is left.
    pub shutdown_grace: Duration,
}

/// `[display]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisplaySettings {
    /// Such as `:0`.
    pub name: String,
    /// The cookie file: `XAUTHORITY`, else `~/.Xauthority` when `HOME` is known.
    pub xauthority: Option<PathBuf>,
    /// Readiness needs TCP 6000 + N.
    pub require_tcp: bool,
    /// A handshake is made there: readiness needs it, or application pods do.
    pub check_tcp: bool,
    /// Readiness needs MIT-SHM.
    pub require_shm: bool,
    /// Limit of one handshake.
    pub handshake_timeout: Duration,
    /// A server silent for this long hangs.
    pub hang_timeout: Duration,
}

impl Config {
    /// Reads `path` (else the file named by `DESKD_CONFIG`, else [`CONFIG_FILE_DEFAULT`] if it is
    /// there) and the environment.
    pub fn load(path: Option<&Path>, env: &Env) -> Result<Self, ConfigErrors> {
        let (draft, path) = draft(path, env)?;
        Ok(draft.resolve(path, env))
    }

    /// Like [`Config::load`], but a file with errors is left out, and with it the remote engines: what
    /// it would have said about them is not known. In somebody else's pod a deskd that does not start
    /// keeps the pod's other containers from starting.
    pub fn load_lenient(path: Option<&Path>, env: &Env) -> Result<Self, ConfigErrors> {
        let errors = match Self::load(path, env) {
            Ok(config) => return Ok(config),
            Err(errors) => errors,
        };
        let path = match &errors {
            ConfigErrors::Unreadable { path, .. } => Some(path.clone()),
            ConfigErrors::Invalid { path, .. } => path.clone(),
        };
        let Ok(draft) = parse("", |name| env.get(name)) else { return Err(errors) };
        let mut config = draft.resolve(path, env);
        config.policy.engines.clear();
        config.file_errors = Some(errors.report());
        Ok(config)
    }
}

/// Like [`Config::load`], but looks nothing up and creates nothing.
pub fn read(path: Option<&Path>, env: &Env) -> Result<Draft, ConfigErrors> {
    draft(path, env).map(|(draft, _)| draft)
}

/// With the file it was read from.
fn draft(path: Option<&Path>, env: &Env) -> Result<(Draft, Option<PathBuf>), ConfigErrors> {
    let (path, text) = match path {
        Some(path) => (Some(path.to_owned()), read_file(path)?),
        None => {
            let named = env.get("DESKD_CONFIG").unwrap_or_else(|| CONFIG_FILE_DEFAULT.to_owned());
            match read_file(Path::new(&named)) {
                Err(error) if named == CONFIG_FILE_DEFAULT && error.is_not_found() => {
                    (None, String::new())
                }
                text => (Some(named.into()), text?),
            }
        }
    };
    match parse(&text, |name| env.get(name)) {
        Ok(draft) => Ok((draft, path)),
        Err(problems) => Err(ConfigErrors::Invalid { path, problems }),
    }
}

/// The unix socket a client should use: what the environment or the configuration file says, else
/// the one that exists in a default state directory. A file with errors does not matter here: the
/// running daemon may have been started before it was broken.
#[must_use]
pub fn client_socket(path: Option<&Path>, env: &Env) -> PathBuf {
    if let Some(socket) = env.get(SOCKET_VARIABLE) {
        return socket.into();
    }
    let draft = read(path, env).ok().or_else(|| parse("", |name| env.get(name)).ok());
    if let Some(socket) = draft.and_then(|draft| draft.socket()) {
        return socket;
    }
    let sockets = state_dir_candidates(env).into_iter().map(|dir| dir.join(SOCKET_NAME));
    let existing = sockets.clone().find(|socket| socket.exists());
    existing.or_else(|| sockets.clone().next()).unwrap_or_default()
}

/// The variable that names the unix socket; `--socket` is the same.
pub const SOCKET_VARIABLE: &str = "DESKD_SOCKET";
/// File name of the unix socket in the state directory.
const SOCKET_NAME: &str = "deskd.sock";
/// File name of the token in the state directory.
const TOKEN_NAME: &str = "token";

fn read_file(path: &Path) -> Result<String, ConfigErrors> {
    let unreadable = |source| ConfigErrors::Unreadable { path: path.to_owned(), source };
    let bytes = files::read_named(path, CONFIG_FILE_BYTES_MAX).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = format!("the file is not UTF-8 (byte {at})");
        unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, text))
    })
}
