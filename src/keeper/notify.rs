//! systemd's side: readiness, status and watchdog (sd_notify(3)). Without `NOTIFY_SOCKET` it does
//! nothing and never wakes anybody.
//!
//! The keeper is the service's main process, so it forwards what the daemon says. The watchdog is
//! fed only when the daemon answered a ping: a daemon that hangs is noticed.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Variables that are the keeper's alone: neither daemon nor applications inherit them.
pub const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// The service manager.
#[derive(Debug)]
pub struct Notify {
    watchdog: Option<Watchdog>,
}

#[derive(Debug)]
struct Watchdog {
    period: Duration,
    ping_at: Instant,
    number: u64,
}

impl Notify {
    /// As the environment says.
    #[must_use]
    pub fn from_environment(now: Instant) -> Self {
        let watchdog = sd_notify::watchdog_enabled().map(|timeout| {
            let period = timeout / 2;
            Watchdog { period, ping_at: now + period, number: 0 }
        });
        Self { watchdog }
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

    /// When the next ping is due.
    #[must_use]
    pub fn ping_at(&self) -> Option<Instant> {
        self.watchdog.as_ref().map(|watchdog| watchdog.ping_at)
    }

    /// The number of a ping that is due.
    pub fn take_ping(&mut self, now: Instant) -> Option<u64> {
        let watchdog = self.watchdog.as_mut().filter(|watchdog| now >= watchdog.ping_at)?;
        watchdog.number += 1;
        watchdog.ping_at = now + watchdog.period;
        Some(watchdog.number)
    }

    /// The daemon answered; an answer to an earlier ping does not count.
    pub fn pong(&self, number: u64) {
        if self.watchdog.as_ref().is_some_and(|watchdog| watchdog.number == number) {
            send(&[NotifyState::Watchdog]);
        }
    }
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}
