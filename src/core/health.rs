//! Health: named checks, and which of kubelet's three questions each one answers.

use serde::{Deserialize, Serialize};

use super::display::DisplayStatus;
use super::plan::display_sentence;
use super::plan::facts::ApiState;
use super::wire::DaemonEnd;

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
    pub detail: String,
    /// Whether it decides readiness; others are shown only.
    pub required: bool,
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
    let check = |name: &str, ok: bool, required: bool, detail: String| Check {
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
            facts.log_trouble.unwrap_or("deskd keeps the output of tasks").to_owned(),
        ),
        check(
            "journal",
            facts.journal_trouble.is_none(),
            false,
            facts.journal_trouble.unwrap_or("deskd records tasks").to_owned(),
        ),
        kubernetes(facts.kubernetes),
        check(
            "configuration",
            facts.configuration_errors.is_none(),
            false,
            facts.configuration_errors.map_or_else(
                || "the configuration is valid".to_owned(),
                |errors| {
                    let lines: Vec<_> = errors.lines().map(str::trim).collect();
                    format!("the configuration file is not used: {}", lines.join("; "))
                },
            ),
        ),
        check(
            "not-draining",
            !facts.draining,
            true,
            if facts.draining { "deskd is shutting down" } else { "deskd accepts launches" }.into(),
        ),
    ];
    own.into_iter().chain(facts.named.iter().cloned()).collect()
}

fn keeper_sentence(facts: &HealthFacts<'_>) -> String {
    match (facts.keeper_connected, facts.predecessor) {
        (false, _) => "the keeper does not answer".to_owned(),
        (true, None) => "the keeper answers".to_owned(),
        (true, Some(end)) => {
            let end = end.sentence();
            format!("the keeper answers; it started this daemon because the one before {end}")
        }
    }
}

/// Never decides readiness: everything local works without it.
fn kubernetes(api: &ApiState) -> Check {
    let (ok, detail) = match api {
        ApiState::Off(why) => (true, format!("the Kubernetes API is not used: {why}")),
        ApiState::Unknown => (true, "the Kubernetes API has not answered yet".to_owned()),
        ApiState::Away(why) => (false, format!("the Kubernetes API does not answer: {why}")),
        ApiState::Answers => (true, "the Kubernetes API answers".to_owned()),
    };
    Check { name: "kubernetes".to_owned(), ok, detail, required: false }
}

fn tcp_sentence(display: &DisplayStatus, wanted: bool) -> String {
    use super::display::EndpointState as S;
    let port = display.tcp.port;
    match &display.tcp.state {
        S::Answering => format!("TCP {port} answers"),
        S::Unchecked | S::NotListening if !wanted => {
            format!("TCP {port} is not required (X11LISTEN is not tcp)")
        }
        S::Unchecked => format!("TCP {port} has not been checked yet"),
        S::NotListening => {
            format!("nothing listens on TCP {port}: start Xvnc with `-listen tcp` (X11LISTEN=tcp)")
        }
        S::Refused(text) => format!("TCP {port} refused the cookie: {text}"),
        S::Hanging => format!("TCP {port} accepts connections but does not answer"),
    }
}
