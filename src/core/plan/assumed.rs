//! A desktop where everything works: what is left of a plan are the words of the application's
//! document and of the configuration. For documents that are judged far from any desktop.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::KubernetesFacts;
use super::facts::{ApiState, Facts, Headroom, Machine, OwnPod, ProgramPresence};
use crate::display::{DisplayStatus, EndpointState};
use crate::kubernetes::PodIdentity;
use crate::policy::Policy;
use crate::shm::{ShmVerdict, ShmVerdicts};

/// What is assumed, for people.
pub const ASSUMPTIONS: &str = "the display and shared memory work, the cluster answers and grants \
                               every right, deskd's container does not have the program, and \
                               every image is for its node";

/// Address of a pod that nobody knows: of those for documentation (RFC 5737).
const POD_IP: &str = "192.0.2.1";
/// As many digits as a cookie has; never shown.
const COOKIE: &str = "00000000000000000000000000000000";

/// Such facts, of a desktop that this configuration describes.
#[must_use]
pub fn facts(
    policy: &Policy,
    pod: &PodIdentity,
    display: &str,
    architecture: &'static str,
) -> Facts {
    let mut status = DisplayStatus::unknown(display, 0);
    status.unix.state = EndpointState::Answering;
    status.unix.abstract_socket = true;
    status.tcp.state = EndpointState::Answering;
    status.shm = ShmVerdicts { sysv: ShmVerdict::Works, fd: ShmVerdict::Works };
    let machine = Machine {
        inherited_env: Arc::default(),
        xauthority: None,
        cookie: Some(COOKIE.to_owned()),
        uid: policy.run_as.uid,
        architecture,
        home: None,
        home_is_writable: true,
        time_zone: None,
        wall: Arc::default(),
    };
    let kubernetes = KubernetesFacts {
        api: ApiState::Answers,
        own_pod: Some(own_pod(policy, pod)),
        ..KubernetesFacts::default()
    };
    Facts {
        display: status,
        machine: machine.into(),
        program: ProgramPresence::Absent,
        need: None,
        headroom: Headroom::default(),
        kubernetes: kubernetes.into(),
        policy: policy.clone().into(),
        remote_tasks: 0,
        unique_keys: BTreeMap::new(),
    }
}

fn own_pod(policy: &Policy, pod: &PodIdentity) -> OwnPod {
    let or = |known: &Option<String>, name: &str| known.clone().unwrap_or_else(|| name.to_owned());
    let target = or(&policy.target_container, &or(&pod.container, "deskd"));
    OwnPod {
        name: or(&pod.name, "DESKTOP"),
        namespace: or(&pod.namespace, "NAMESPACE"),
        uid: or(&pod.uid, ""),
        ip: Some(or(&pod.ip, POD_IP)),
        node: pod.node.clone(),
        containers: vec![target.clone()],
        target_container: Some(target),
        ..OwnPod::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{EngineKind, LaunchSpec, plan};
    use crate::samples::{app, container_app};

    #[test]
    fn only_the_document_and_the_configuration_keep_an_application_from_running() {
        let mut app = app("2048-alpine");
        app.container = Some(Box::new(container_app()));
        let engines = vec![EngineKind::EphemeralContainer, EngineKind::PodApplication];
        let mut policy = Policy { engines, ..Policy::default() };
        let judge = |policy: &Policy, spec: &LaunchSpec| {
            let facts = facts(policy, &PodIdentity::default(), ":0", "amd64");
            plan(&app, spec, &facts)
        };
        for engine in [EngineKind::EphemeralContainer, EngineKind::PodApplication] {
            let spec = LaunchSpec { engine: Some(engine), ..LaunchSpec::default() };
            assert_eq!(judge(&policy, &spec).unwrap().engine, engine);
        }
        policy.engines.clear();
        let refused = judge(&policy, &LaunchSpec::default()).unwrap_err();
        assert!(refused.rejected.iter().any(|no| no.why.contains("`engines`")), "{refused:?}");
    }
}
