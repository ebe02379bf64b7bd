//! A configuration that is valid but not yet complete: what depends on the machine is open.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::apps::AppDraft;
use super::kubernetes::PolicyDraft;
use super::{
    ActivityConfig, ComposerConfig, Config, DisplaySettings, Env, LogStoreConfig, Panel,
    StopConfig, TracesEndpoint,
};
use deskd_core::app::App;
use deskd_core::kubernetes::PodIdentity;
use deskd_core::named_check::NamedCheck;
use deskd_core::policy::{Policy, RunAs};
use deskd_core::why::RemedyMode;

/// A valid configuration whose defaults and references that depend on the machine (state
/// directory, `.desktop` files, icons) are still open.
#[derive(Debug, Clone)]
pub struct Draft {
    pub(super) listen: Option<SocketAddr>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) socket: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) panel: Panel,
    pub(super) activity: ActivityConfig,
    pub(super) composer: Option<ComposerConfig>,
    pub(super) otlp_traces: Option<TracesEndpoint>,
    pub(super) log_filter: Option<String>,
    pub(super) tasks_max: u32,
    pub(super) apps_directory: Option<PathBuf>,
    pub(super) remedy: RemedyMode,
    pub(super) rules_directory: Option<PathBuf>,
    pub(super) log_store: LogStoreConfig,
    pub(super) stop: StopConfig,
    pub(super) display: DisplaySettings,
    pub(super) pod: PodIdentity,
    pub(super) kubernetes: PolicyDraft,
    pub(super) checks: Vec<NamedCheck>,
    pub(super) apps: Vec<AppDraft>,
}

impl Draft {
    /// The unix socket, if it or the state directory is said.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        let in_state_dir = || self.state_dir.as_ref().map(|dir| dir.join(super::SOCKET_NAME));
        self.socket.clone().or_else(in_state_dir)
    }

    /// The display.
    #[must_use]
    pub fn display(&self) -> &DisplaySettings {
        &self.display
    }

    /// What the operator decided about remote engines.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let run_as = self.kubernetes.run_as.clone().unwrap_or_else(own_user);
        Policy { run_as, ..self.kubernetes.policy.clone() }
    }

    /// Who and where this pod is.
    #[must_use]
    pub fn pod(&self) -> &PodIdentity {
        &self.pod
    }

    /// The directory of application documents.
    #[must_use]
    pub fn apps_directory(&self) -> Option<&Path> {
        self.apps_directory.as_deref()
    }

    /// The directory of an operator's own rules.
    #[must_use]
    pub fn rules_directory(&self) -> Option<&Path> {
        self.rules_directory.as_deref()
    }

    /// The applications alone, resolved; creates no directory.
    #[must_use]
    pub fn apps(self, env: &Env) -> Vec<App> {
        let lookup = super::desktop_files::Lookup::of_system(env);
        self.apps.into_iter().map(|app| app.resolve(&lookup)).collect()
    }

    /// Looks up what depends on the machine. Never fails: see [`deskd_core::app::App::problems`].
    #[must_use]
    pub fn resolve(self, file: Option<PathBuf>, env: &Env) -> Config {
        let policy = self.policy();
        let state_dir = self.state_dir.unwrap_or_else(|| super::default_state_dir(env));
        let lookup = super::desktop_files::Lookup::of_system(env);
        Config {
            file,
            file_errors: None,
            listen: self.listen,
            socket: self.socket.unwrap_or_else(|| state_dir.join(super::SOCKET_NAME)),
            token_file: self.token_file.unwrap_or_else(|| state_dir.join(super::TOKEN_NAME)),
            state_dir,
            panel: self.panel,
            activity: self.activity,
            composer: self.composer,
            otlp_traces: self.otlp_traces,
            log_filter: self.log_filter,
            tasks_max: self.tasks_max,
            apps_directory: self.apps_directory,
            remedy: self.remedy,
            rules_directory: self.rules_directory,
            log_store: self.log_store,
            stop: self.stop,
            display: self.display,
            pod: self.pod,
            policy,
            kubeconfig: self.kubernetes.kubeconfig,
            checks: self.checks,
            apps: self.apps.into_iter().map(|app| app.resolve(&lookup)).collect(),
        }
    }
}

/// The X server runs as deskd's user, and only a process of the same user may share memory with it.
fn own_user() -> RunAs {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    RunAs { uid, gid, groups: Vec::new() }
}
