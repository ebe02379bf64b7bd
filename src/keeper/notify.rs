//! systemd's side: readiness, status and watchdog (sd_notify(3)). Without `NOTIFY_SOCKET` it does
//! nothing and never wakes anybody.
//!
//! The keeper is the service's main process, so it forwards what the daemon says. The watchdog is
//! fed when the daemon answered the keeper (`heartbeat`).

use std::time::Duration;

use sd_notify::NotifyState;

/// Variables that are the keeper's alone: neither daemon nor applications inherit them.
pub const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// The service manager.
#[derive(Debug)]
pub struct Notify {
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment says.
    #[must_use]
    pub fn from_environment() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled() }
    }

    /// How often it wants to hear that deskd lives, if it does.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The daemon is ready, or not.
    pub fn status(&self, ready: bool, status: &str) {
        // One line: systemd's protocol has one assignment per line.
        let status = status.replace(['\n', '\r'], " ");
        let status = NotifyState::Status(&status);
        if ready {
            let main_pid = NotifyState::MainPid(std::process::id());
            send(&[NotifyState::Ready, main_pid, status]);
        } else {
            send(&[status]);
        }
    }

    /// SIGTERM arrived.
    pub fn stopping(&self) {
        send(&[NotifyState::Stopping]);
    }

    /// The daemon answered.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            send(&[NotifyState::Watchdog]);
        }
    }
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}
