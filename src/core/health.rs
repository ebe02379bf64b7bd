//! Health: named checks, and which of kubelet's three questions each one answers.

use serde::{Deserialize, Serialize};

use super::display::DisplayStatus;
use super::plan::display_sentence;
use super::plan::facts::ApiState;
use super::task::UnixMs;
use super::wire::DaemonEnd;
use crate::text;
use crate::text::Text;

/// Names of deskd's own checks.
pub const CHECK_NAMES: [&str; 9] = [
    "display",
    "x11-tcp",
    "shm",
    "keeper",
    "log-store",
    "journal",
    "kubernetes",
    "configuration",
    "not-draining",
];

/// A named check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Check {
    /// Stable name, such as `display`, `shm`, `x11-tcp`, `keeper`, `log-store`; `?exclude=` takes it.
    pub name: String,
    /// Whether it passes.
    pub ok: bool,
    /// One sentence.
    pub detail: Text,
    /// Whether it decides readiness; others are shown only.
    pub required: bool,
}

/// The keeper, as far as it told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeeperStatus {
    /// Its release, such as `0.1.0`; absent: an earlier one, which does not tell it.
    pub version: Option<String>,
    /// What became of the last SIGHUP; absent: this daemon knows of none.
    pub reload: Option<ReloadOutcome>,
}

/// What became of a SIGHUP, which asks for another program or configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// This daemon is the new one.
    Done,
    /// The new daemon did not start, and this is the program and the configuration of before.
    RolledBack,
    /// Nothing changed.
    Refused {
        /// When, in milliseconds since the Unix epoch.
        at: UnixMs,
        /// Why, for people.
        why: String,
    },
}

impl ReloadOutcome {
    /// What the end of the daemon before says of it.
    #[must_use]
    pub fn of(predecessor: Option<&DaemonEnd>) -> Option<Self> {
        match predecessor {
            Some(DaemonEnd::Replaced) => Some(Self::Done),
            Some(DaemonEnd::NotStarted) => Some(Self::RolledBack),
            Some(DaemonEnd::Ended(_) | DaemonEnd::Silent { .. }) | None => None,
        }
    }
}

/// What readiness is made from.
#[derive(Debug, Clone)]
pub struct HealthFacts<'a> {
    /// The display now.
    pub display: &'a DisplayStatus,
    /// The Kubernetes API.
    pub kubernetes: &'a ApiState,
    /// TCP 6000 is required (`X11LISTEN=tcp` or a remote engine).
    pub tcp_wanted: bool,
    /// Shared memory is required.
    pub shm_wanted: bool,
    /// The keeper answers.
    pub keeper_connected: bool,
    /// How the daemon before this one ended, if there was one.
    pub predecessor: Option<&'a DaemonEnd>,
    /// What the keeper told of itself.
    pub keeper: &'a KeeperStatus,
    /// The daemon's release.
    pub version: &'a str,
    /// Last trouble of the log store, if it has not passed.
    pub log_trouble: Option<&'a str>,
    /// Why tasks cannot be recorded, if they cannot.
    pub journal_trouble: Option<&'a str>,
    /// What is wrong with the configuration file, if it was left out.
    pub configuration_errors: Option<&'a str>,
    /// deskd is shutting down.
    pub draining: bool,
    /// The verdicts of the operator's own checks.
    pub named: &'a [Check],
}

/// The readiness checks, in the order they are shown.
#[must_use]
pub fn checks(facts: &HealthFacts<'_>) -> Vec<Check> {
    let display = facts.display;
    let check = |name: &str, ok: bool, required: bool, detail: Text| Check {
        name: name.to_owned(),
        ok,
        detail,
        required,
    };
    let tcp = &display.tcp;
    let own = vec![
        check("display", display.answers(), true, display_sentence(display)),
        check(
            "x11-tcp",
            tcp.state.answers() || !facts.tcp_wanted,
            facts.tcp_wanted,
            tcp_sentence(display, facts.tcp_wanted),
        ),
        check("shm", display.shm.sysv.works(), facts.shm_wanted, display.shm.sysv.sentence()),
        check("keeper", facts.keeper_connected, true, keeper_sentence(facts)),
        check(
            "log-store",
            facts.log_trouble.is_none(),
            false,
            facts.log_trouble.map_or_else(|| text!("deskd keeps the output of tasks"), Text::words),
        ),
        check(
            "journal",
            facts.journal_trouble.is_none(),
            false,
            facts.journal_trouble.map_or_else(|| text!("deskd records tasks"), Text::words),
        ),
        kubernetes(facts.kubernetes),
        check(
            "configuration",
            facts.configuration_errors.is_none(),
            false,
            facts.configuration_errors.map_or_else(
                || text!("the configuration is valid"),
                |errors| {
                    let lines: Vec<_> = errors.lines().map(str::trim).collect();
                    text!("the configuration file is not used: {lines}", lines = lines.join("; "))
                },
            ),
        ),
        check(
            "not-draining",
            !facts.draining,
            true,
            if facts.draining {
                text!("deskd is shutting down")
            } else {
                text!("deskd accepts launches")
            },
        ),
    ];
    own.into_iter().chain(facts.named.iter().cloned()).collect()
}

fn keeper_sentence(facts: &HealthFacts<'_>) -> Text {
    if !facts.keeper_connected {
        return text!("the keeper does not answer");
    }
    let mut parts = vec![text!("the keeper answers")];
    parts.extend(version_sentence(facts.keeper.version.as_deref(), facts.version));
    if let Some(ReloadOutcome::Refused { why, .. }) = &facts.keeper.reload {
        let first = why.lines().next().unwrap_or_default();
        parts.push(text!("the last SIGHUP changed nothing: {why}", why = first));
    }
    if let Some(end) = facts.predecessor {
        let end = end.sentence();
        parts.push(text!("it started this daemon because the one before {end}", end));
    }
    Text::joined(parts, "; ")
}

/// That keeper and daemon are of different releases, if they are.
#[must_use]
pub fn version_sentence(keeper: Option<&str>, daemon: &str) -> Option<Text> {
    match keeper {
        Some(keeper) if keeper == daemon => None,
        Some(keeper) => {
            Some(text!("its version is {keeper}, and the daemon's {daemon}", keeper, daemon))
        }
        None => Some(text!("its version is an earlier one than the daemon's, {daemon}", daemon)),
    }
}

/// Never decides readiness: everything local works without it.
fn kubernetes(api: &ApiState) -> Check {
    let (ok, detail) = match api {
        ApiState::Off(why) => (true, text!("the Kubernetes API is not used: {why}", why)),
        ApiState::Unknown => (true, text!("the Kubernetes API has not answered yet")),
        ApiState::Away(why) => (false, text!("the Kubernetes API does not answer: {why}", why)),
        ApiState::Answers => (true, text!("the Kubernetes API answers")),
    };
    Check { name: "kubernetes".to_owned(), ok, detail, required: false }
}

fn tcp_sentence(display: &DisplayStatus, wanted: bool) -> Text {
    use super::display::EndpointState as S;
    let port = display.tcp.port;
    match &display.tcp.state {
        S::Answering => text!("TCP {port} answers", port),
        S::Unchecked | S::NotListening if !wanted => {
            text!("TCP {port} is not required (X11LISTEN is not tcp)", port)
        }
        S::Unchecked => text!("TCP {port} has not been checked yet", port),
        S::NotListening => {
            text!(
                "nothing listens on TCP {port}: start Xvnc with `-listen tcp` (X11LISTEN=tcp)",
                port
            )
        }
        S::Refused(text) => text!("TCP {port} refused the cookie: {text}", port, text),
        S::Hanging => text!("TCP {port} accepts connections but does not answer", port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_where_they_differ() {
        assert_eq!(version_sentence(Some("0.1.0"), "0.1.0"), None);
        let sentence = version_sentence(Some("0.1.0"), "0.2.0").unwrap();
        assert_eq!(sentence, "its version is 0.1.0, and the daemon's 0.2.0");
        assert!(version_sentence(None, "0.2.0").unwrap().contains("an earlier one"));
    }
}
