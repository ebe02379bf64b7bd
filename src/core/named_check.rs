//! Readiness checks that an operator names: what is looked for, and what was found, in sentences.
//! They replace programs that a kubelet or a control plane would run in the container.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::health::Check;
use crate::text;
use crate::text::Text;

/// Most of them.
pub const CHECKS_MAX: usize = 32;

/// `[check.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedCheck {
    /// Its name in `/readyz`.
    pub name: String,
    /// What is looked for.
    pub what: Wanted,
    /// It decides readiness.
    pub required: bool,
    /// Longest time for one look.
    pub timeout: Duration,
    /// From one look to the next, while it passes.
    pub interval: Duration,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// A process of this name.
    Process(String),
    /// Somebody who listens on this TCP port.
    Port(u16),
    /// Something with this path.
    File(PathBuf),
    /// A window manager that proves itself (`_NET_SUPPORTING_WM_CHECK`, EWMH).
    WindowManager,
    /// An RFB server (VNC) that greets, on this TCP port of the pod.
    RfbPort(u16),
    /// The same on a unix socket.
    RfbSocket(PathBuf),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nobody looked yet.
    Unchecked,
    /// What was looked for; with what it said of itself, if anything.
    Present(Option<String>),
    /// Not there.
    Absent,
    /// There, but not what it should be; why, as the end of a sentence.
    Wrong(String),
    /// No answer within the time for a look, in milliseconds.
    Silent(u128),
}

impl Found {
    /// Whether the check passes.
    #[must_use]
    pub fn is_present(&self) -> bool {
        matches!(self, Self::Present(_))
    }
}

/// What of the window manager could be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManagerSeen {
    /// The X server is away or hangs.
    NoDisplay,
    /// The root window names none.
    Absent,
    /// The window that the root names is gone, or does not name itself: the manager died.
    Stale,
    /// Both name the same window; with the manager's own name.
    Proved(Option<String>),
}

impl From<ManagerSeen> for Found {
    fn from(seen: ManagerSeen) -> Self {
        match seen {
            ManagerSeen::NoDisplay => Self::Wrong("the display does not answer".to_owned()),
            ManagerSeen::Absent => Self::Absent,
            ManagerSeen::Stale => {
                Self::Wrong("the one that ran here is gone, and left its mark".to_owned())
            }
            ManagerSeen::Proved(name) => Self::Present(name),
        }
    }
}

impl NamedCheck {
    /// As `/readyz` shows it.
    #[must_use]
    pub fn verdict(&self, found: &Found) -> Check {
        let what = self.what.phrase();
        let detail = match found {
            Found::Unchecked => text!("{what}: not checked yet", what),
            Found::Present(None) => text!("{what} is there", what),
            Found::Present(Some(said)) => text!("{what} is there: {said}", what, said),
            Found::Absent => text!("{what} is missing", what),
            Found::Wrong(why) => text!("{what}: {why}", what, why),
            Found::Silent(ms) => text!("{what}: no answer within {ms} ms", what, ms),
        };
        let ok = found.is_present();
        Check { name: self.name.clone(), ok, detail, required: self.required }
    }
}

impl Wanted {
    fn phrase(&self) -> Text {
        match self {
            Self::Process(name) => text!("a process `{name}`", name),
            Self::Port(port) => text!("a listener on TCP port {port}", port),
            Self::File(path) => text!("the file {path}", path = path.display()),
            Self::WindowManager => text!("a window manager"),
            Self::RfbPort(port) => text!("an RFB server on TCP port {port}", port),
            Self::RfbSocket(path) => text!("an RFB server on {display}", display = path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_names_what_is_missing_and_only_a_proof_passes() {
        let check = NamedCheck {
            name: "wm".into(),
            what: Wanted::WindowManager,
            required: true,
            timeout: Duration::from_secs(2),
            interval: Duration::from_secs(10),
        };
        for (found, ok, detail) in [
            (
                ManagerSeen::Proved(Some("KWin".into())).into(),
                true,
                "a window manager is there: KWin",
            ),
            (ManagerSeen::Absent.into(), false, "a window manager is missing"),
            (ManagerSeen::Stale.into(), false, "a window manager: the one that ran here is gone"),
            (ManagerSeen::NoDisplay.into(), false, "a window manager: the display does not"),
            (Found::Unchecked, false, "a window manager: not checked yet"),
            (Found::Silent(2000), false, "a window manager: no answer within 2000 ms"),
        ] {
            let verdict = check.verdict(&found);
            assert!(verdict.ok == ok && verdict.detail.starts_with(detail), "{verdict:?}");
        }
    }
}
