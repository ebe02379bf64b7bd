//! Which process a window belongs to: what the server saw against what the client claims. Pure.

/// What is known about the process behind a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Evidence<'a> {
    /// The pid the server took from the socket (XRes LocalClientPID), if it is of our PID
    /// namespace.
    pub(super) server: Option<u32>,
    /// `_NET_WM_PID`.
    pub(super) claim: Option<u32>,
    /// `WM_CLIENT_MACHINE`: the claim means something only on that host (EWMH).
    pub(super) machine: Option<&'a str>,
}

/// The pid and whether the claim contradicts it.
pub(super) fn pid(evidence: Evidence<'_>, host: &str) -> (Option<u32>, bool) {
    let Evidence { server, claim, machine } = evidence;
    // A server of another PID namespace sees clients that are invisible to it as pid 0.
    let known = |pid: &u32| *pid != 0;
    match (server.filter(known), claim.filter(known)) {
        (Some(server), claim) => (Some(server), claim.is_some_and(|claim| claim != server)),
        (None, claim) if machine.is_none_or(|machine| machine == host) => (claim, false),
        (None, _) => (None, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_believed_and_a_claim_only_where_the_server_knows_nothing() {
        let case = |server, claim, machine| pid(Evidence { server, claim, machine }, "pod");
        assert_eq!(case(Some(7), None, None), (Some(7), false));
        assert_eq!(case(Some(7), Some(7), Some("pod")), (Some(7), false));
        assert_eq!(case(Some(7), Some(8), Some("pod")), (Some(7), true));
        assert_eq!(case(None, Some(8), Some("pod")), (Some(8), false));
        assert_eq!(case(None, Some(8), None), (Some(8), false));
        assert_eq!(case(Some(0), Some(8), None), (Some(8), false));
        assert_eq!(case(None, Some(8), Some("another-pod")), (None, false));
        assert_eq!(case(None, None, None), (None, false));
        assert_eq!(case(Some(0), Some(0), None), (None, false));
    }
}
