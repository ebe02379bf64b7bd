//! Which process a window belongs to: what the server saw against what the client claims. Pure.

use deskd_core::window::PidOrigin;

/// What the server's numbers of processes mean here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerPids {
    /// It knows this very connection by our number: they are ours.
    Ours,
    /// It knows this connection by 0, so it does not see our PID namespace, and whoever has another
    /// number is in its own, as in a pod without shareProcessNamespace.
    OfAnotherNamespace,
    /// It tells none, or ours under another number: a namespace around ours.
    Unknown,
}

/// What is known about the process behind a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Evidence<'a> {
    /// The pid the server took from the socket (XRes LocalClientPID).
    pub(super) server: Option<u32>,
    /// `_NET_WM_PID`.
    pub(super) claim: Option<u32>,
    /// `WM_CLIENT_MACHINE`: the claim means something only on that host (EWMH).
    pub(super) machine: Option<&'a str>,
}

/// The pid, what it is worth, and whether the claim contradicts it.
pub(super) fn pid(
    evidence: Evidence<'_>,
    server_pids: ServerPids,
    host: &str,
) -> (Option<u32>, PidOrigin, bool) {
    let Evidence { server, claim, machine } = evidence;
    // A server of another PID namespace sees clients that are invisible to it as pid 0.
    let known = |pid: &u32| *pid != 0;
    let claim = claim.filter(known);
    match (server_pids, server.filter(known)) {
        (ServerPids::Ours, Some(server)) => {
            (Some(server), PidOrigin::Server, claim.is_some_and(|claim| claim != server))
        }
        (ServerPids::OfAnotherNamespace, Some(_)) => (None, PidOrigin::Elsewhere, false),
        _ => (claim.filter(|_| machine.is_none_or(|it| it == host)), PidOrigin::Window, false),
    }
}

#[cfg(test)]
mod tests {
    use super::ServerPids::{OfAnotherNamespace, Ours, Unknown};
    use super::*;

    fn case(
        pids: ServerPids,
        server: Option<u32>,
        claim: Option<u32>,
        machine: Option<&str>,
    ) -> (Option<u32>, PidOrigin, bool) {
        pid(Evidence { server, claim, machine }, pids, "pod")
    }

    #[test]
    fn the_server_is_believed_and_a_claim_only_where_the_server_knows_nothing() {
        let by_server = |disputed| (Some(7), PidOrigin::Server, disputed);
        assert_eq!(case(Ours, Some(7), None, None), by_server(false));
        assert_eq!(case(Ours, Some(7), Some(7), Some("pod")), by_server(false));
        assert_eq!(case(Ours, Some(7), Some(8), Some("pod")), by_server(true));
        let by_claim = |pid| (pid, PidOrigin::Window, false);
        assert_eq!(case(Ours, None, Some(8), Some("pod")), by_claim(Some(8)));
        assert_eq!(case(Ours, None, Some(8), None), by_claim(Some(8)));
        assert_eq!(case(Ours, Some(0), Some(8), None), by_claim(Some(8)));
        assert_eq!(case(Ours, None, Some(8), Some("another-pod")), by_claim(None));
        assert_eq!(case(Unknown, Some(7), Some(8), Some("pod")), by_claim(Some(8)));
        assert_eq!(case(Ours, None, None, None), by_claim(None));
        assert_eq!(case(Ours, Some(0), Some(0), None), by_claim(None));
    }

    #[test]
    fn what_a_server_sees_that_does_not_see_deskd_is_no_process_of_deskds() {
        let elsewhere = (None, PidOrigin::Elsewhere, false);
        assert_eq!(case(OfAnotherNamespace, Some(57), Some(57), Some("pod")), elsewhere);
        let claimed = (Some(9), PidOrigin::Window, false);
        assert_eq!(case(OfAnotherNamespace, Some(0), Some(9), Some("pod")), claimed);
        // Over TCP.
        assert_eq!(case(OfAnotherNamespace, None, Some(9), Some("pod")), claimed);
    }
}
