//! What the supervisor is told at start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::display::DisplayConfig;
use crate::engine::kubernetes::EngineConfig;
use deskd_core::app::App;
use deskd_core::display::DisplayStatus;
use deskd_core::named_check::NamedCheck;
use deskd_core::wall::WallFacts;
use deskd_core::why::RemedyMode;
use deskd_core::why::rules::LazyRules;

/// Everything the supervisor needs to know; made from the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The desktop's name: `POD_NAME`, else the host name.
    pub name: String,
    /// The host name, as X clients of this pod tell it in WM_CLIENT_MACHINE.
    pub host: String,
    /// Where `tasks.jsonl` and `logs/` are.
    pub state_dir: PathBuf,
    /// The display to supervise.
    pub display: DisplayConfig,
    /// Display number, from the display's name.
    pub display_number: u16,
    /// `XAUTHORITY` for local programs.
    pub xauthority: Option<String>,
    /// Where local programs start that name no directory; it exists.
    pub home: Option<String>,
    /// Files can be made in it.
    pub home_is_writable: bool,
    /// deskd's own time zone, as `TZ` names it.
    pub time_zone: Option<String>,
    /// What a wall between programs and deskd can do here.
    pub wall: Arc<WallFacts>,
    /// Passed on to local programs.
    pub inherited_env: Arc<[(String, String)]>,
    /// TCP 6000 decides readiness.
    pub tcp_wanted: bool,
    /// Shared memory decides readiness.
    pub shm_wanted: bool,
    /// The desktop's own pod, the way to the Kubernetes API, and what the operator decided.
    pub kubernetes: EngineConfig,
    /// The operator's readiness checks.
    pub checks: Vec<NamedCheck>,
    /// Apps of the configuration file.
    pub apps: Vec<App>,
    /// How long windows that were asked to close get before SIGTERM.
    pub close_grace: Duration,
    /// How long SIGTERM gets before SIGKILL.
    pub term_grace: Duration,
    /// Tasks kept at once, ended ones included.
    pub tasks_max: usize,
    /// What is wrong with the configuration file, if it was left out.
    pub configuration_errors: Option<String>,
    /// What is done with the remedies of diagnoses.
    pub remedy: RemedyMode,
    /// What failures are judged by.
    pub rules: Arc<LazyRules>,
}

impl Settings {
    /// The display before the first look.
    #[must_use]
    pub fn unknown_display(&self) -> DisplayStatus {
        DisplayStatus::unknown(&self.display.display, self.display_number)
    }
}
