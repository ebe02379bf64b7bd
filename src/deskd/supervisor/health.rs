//! What the driver knows about health beside the display, and the desktop made from both.

use std::sync::Arc;

use super::settings::Settings;
use super::snapshot::Desktop;
use deskd_core::display::DisplayStatus;
use deskd_core::health::{Check, HealthFacts, KeeperStatus, checks};
use deskd_core::plan::KubernetesFacts;
use deskd_core::text;
use deskd_core::text::Text;
use deskd_core::wire::DaemonEnd;

/// The daemon's release.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Health beside the display.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// The keeper answers.
    pub(super) keeper_connected: bool,
    /// How the daemon before this one ended, if there was one.
    pub(super) predecessor: Option<DaemonEnd>,
    /// What the keeper told of itself.
    pub(super) keeper: KeeperStatus,
    /// The display was looked at once.
    pub(super) looked: bool,
    /// What is wrong with the log store.
    pub(super) log_trouble: Option<String>,
    /// A shutdown is under way.
    pub(super) draining: bool,
    /// Verdicts of the operator's checks.
    pub(super) named: Vec<Check>,
}

impl Health {
    pub(super) fn desktop(
        &self,
        settings: &Settings,
        display: &DisplayStatus,
        kubernetes: &Arc<KubernetesFacts>,
        journal_trouble: Option<&str>,
        generation: u64,
    ) -> Desktop {
        let facts = HealthFacts {
            display,
            kubernetes: &kubernetes.api,
            tcp_wanted: settings.tcp_wanted,
            shm_wanted: settings.shm_wanted,
            keeper_connected: self.keeper_connected,
            predecessor: self.predecessor.as_ref(),
            keeper: &self.keeper,
            version: VERSION,
            log_trouble: self.log_trouble.as_deref(),
            journal_trouble,
            configuration_errors: settings.configuration_errors.as_deref(),
            draining: self.draining,
            named: &self.named,
        };
        let checks = checks(&facts);
        let ready = checks.iter().all(|check| check.ok || !check.required);
        Desktop {
            name: settings.name.clone(),
            version: VERSION.to_owned(),
            keeper: self.keeper.clone(),
            display: display.clone(),
            kubernetes: kubernetes.clone(),
            sentence: sentence(&checks, display),
            checks,
            ready,
            started: self.looked && self.keeper_connected,
            draining: self.draining,
            generation,
        }
    }
}

fn sentence(checks: &[Check], display: &DisplayStatus) -> Text {
    let failing =
        |required: bool| checks.iter().find(move |check| !check.ok && check.required == required);
    match failing(true).or_else(|| failing(false)) {
        Some(check) => check.detail.clone().capitalized(),
        None => {
            text!("Display {display} works, shared memory proved", display = display.display)
        }
    }
}
