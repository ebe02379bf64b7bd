//! The pod of its own: with resources, ports and probes, on whichever node fits, and therefore with
//! the display over TCP and without shared memory.

use std::collections::BTreeMap;

use super::ask::{Ask, Blocker, Fit};
use super::command::Command;
use super::facts::OwnPod;
use super::home::Surroundings;
use super::remote::{Owner, PodPlan};
use super::{EngineKind, UnplannableCode, Work, cluster, command, env, place, quota, volumes};
use crate::app::container::ContainerApp;
use crate::display::EndpointState;
use crate::env_var::EnvVar;
use crate::kubernetes::{
    ACCESS_LABELS, LABEL_APP, LABEL_DESKTOP, LABEL_DESKTOP_NAMESPACE, LABEL_DESKTOP_UID,
    LABEL_MANAGED_BY, LABEL_NETWORK, LABEL_TYPE, MANAGED_BY, TYPE_APPLICATION, label_value,
};
use crate::text;
use crate::text::Text;

const ENGINE: EngineKind = EngineKind::PodApplication;
/// A node's architecture; see "Well-Known Labels" of the Kubernetes documentation.
const LABEL_ARCHITECTURE: &str = "kubernetes.io/arch";

/// Whether it can run as one, and why not.
pub(super) fn check(ask: &Ask<'_>) -> Result<Fit, Blocker> {
    let container = cluster::allowed(ENGINE, ask)?;
    let command = command::of(ask, container)?;
    if ask.needs.shm {
        return Err(Blocker::never(text!(
            "it needs shared memory with the X server (io.deskd.shm=required), which a pod of its \
             own cannot have"
        )));
    }
    if !ask.needs.problems.is_empty() {
        let why = Text::joined(ask.needs.problems.iter().cloned(), "; ");
        return Err(Blocker::now(UnplannableCode::CannotBePlaced, why));
    }
    ask.display_answers()?;
    display_on_network(ask)?;
    let pod = cluster::usable(ENGINE, ask)?;
    if ask.app.needs_display && pod.ip.is_none() {
        return Err(Blocker::now(
            UnplannableCode::DisplayNotOnNetwork,
            text!("the desktop's pod has no address yet: try again in a moment"),
        ));
    }
    let namespace = namespace(ask, pod);
    let mut shared = volumes::of_pod(ask, pod, namespace)?;
    shared.dev_shm(container, pod);
    let around = Surroundings::new(ask, container, pod, ENGINE, shared);
    let env = env::of_container(ask, container, &command, pod, &around);
    let mut reasons = reasons(ask, container, &command);
    reasons.extend(around.notes.iter().cloned());
    reasons.extend(env.notes);
    let mut work = work(ask, container, command, (pod, around), env.vars);
    let (keeper, said) = place::of_pod(ask, container, &work, pod);
    work.place = keeper;
    if place::waits_for(&work, ask) {
        reasons.push(text!("a keeper starts it at once, in a pod that waits for a launch"));
    } else {
        reasons.extend(quota::check(ask, namespace)?);
        reasons.extend(said);
    }
    let work = Work::PodApplication(Box::new(work));
    Ok(Fit { work, reasons })
}

fn reasons(ask: &Ask<'_>, container: &ContainerApp, command: &Command) -> Vec<Text> {
    let mut reasons = Vec::new();
    if ask.needs.pod_only.is_empty() {
        reasons.push(match ask.needs.limits.is_empty() {
            true => text!("it gets a pod of its own, without resource limits"),
            false => text!("it gets a pod of its own"),
        });
    } else {
        let what = Text::joined(ask.needs.pod_only.iter().cloned(), ", ");
        reasons.push(text!("it asks for {what}, which only a pod of its own can have", what));
    }
    if ask.app.needs_display {
        reasons
            .push(text!("shared memory does not work over the network, so it draws more slowly"));
    }
    reasons.extend(ask.needs.pod_notes.iter().cloned());
    reasons.push(command.reason.clone());
    reasons.push(cluster::image_note(container, ask));
    if elsewhere(ask, container) {
        let architecture = container.architecture.as_deref().unwrap_or_default();
        reasons.push(text!(
            "its image is for {architecture}, so it runs on another node",
            architecture
        ));
    }
    reasons
}

/// Otherwise it would start, not find the display, and end.
fn display_on_network(ask: &Ask<'_>) -> Result<(), Blocker> {
    let tcp = &ask.facts.display.tcp;
    let port = tcp.port;
    let fix = text!("start it with `-listen tcp` (Xvnc), or set X11LISTEN=tcp for the desktop");
    let why = match &tcp.state {
        _ if !ask.app.needs_display => return Ok(()),
        EndpointState::Answering => return Ok(()),
        EndpointState::Unchecked | EndpointState::NotListening => text!(
            "a pod of its own cannot reach the display: the X server does not listen on TCP port \
             {port}; {fix}",
            port,
            fix
        ),
        EndpointState::Refused(text) => text!(
            "a pod of its own cannot use the display: the X server refuses connections on TCP port \
             {port} ({text}); check XAUTHORITY or XAUTH_KEY",
            port,
            text
        ),
        EndpointState::Hanging => text!(
            "a pod of its own cannot reach the display: the X server accepts connections on TCP \
             port {port} and does not answer",
            port
        ),
    };
    Err(Blocker::now(UnplannableCode::DisplayNotOnNetwork, why))
}

/// Of application pods.
fn namespace<'a>(ask: &Ask<'a>, pod: &'a OwnPod) -> &'a str {
    ask.facts.policy.apps_namespace.as_deref().unwrap_or(&pod.namespace)
}

/// The image cannot run on this node.
pub(super) fn elsewhere(ask: &Ask<'_>, container: &ContainerApp) -> bool {
    container.architecture.as_deref().is_some_and(|image| image != ask.facts.machine.architecture)
}

fn work(
    ask: &Ask<'_>,
    container: &ContainerApp,
    command: Command,
    (pod, around): (&OwnPod, Surroundings),
    env: Vec<EnvVar>,
) -> PodPlan {
    let policy = &ask.facts.policy;
    let namespace = namespace(ask, pod);
    let owner = Owner { name: pod.name.clone(), uid: pod.uid.clone() };
    let elsewhere = elsewhere(ask, container);
    let mut node_selector = ask.needs.node_selector.clone();
    if let Some(architecture) = container.architecture.clone().filter(|_| elsewhere) {
        node_selector.entry(LABEL_ARCHITECTURE.into()).or_insert(architecture);
    }
    PodPlan {
        namespace: namespace.to_owned(),
        owner: (namespace == pod.namespace).then_some(owner),
        labels: labels(ask, pod),
        annotations: ask.needs.annotations.clone(),
        container: cluster::container(ask, container, command, env, &around),
        cookie: around.cookie.maker,
        volumes: around.volumes,
        requests: ask.needs.requests.clone(),
        limits: ask.needs.limits.clone(),
        node_selector,
        preferred_node: pod.node.clone().filter(|_| !elsewhere),
        tolerations: ask.needs.tolerations.clone(),
        runtime_class: ask.needs.runtime_class.clone(),
        ports: container.ports.clone(),
        probe: container.probe.clone(),
        pull_secrets: policy.pull_secrets.clone(),
        grace_s: container.grace_s.unwrap_or(policy.grace_s),
        deadline_s: container.deadline_s,
        place: None,
    }
}

fn labels(ask: &Ask<'_>, pod: &OwnPod) -> BTreeMap<String, String> {
    let desktop = [
        (LABEL_DESKTOP_UID, pod.uid.as_str()),
        (LABEL_DESKTOP, &pod.name),
        (LABEL_DESKTOP_NAMESPACE, &pod.namespace),
        (LABEL_APP, ask.app.id.as_str()),
    ];
    let fixed =
        [(LABEL_MANAGED_BY, MANAGED_BY), (LABEL_TYPE, TYPE_APPLICATION), (LABEL_NETWORK, "true")];
    // So that abcdesktop lists, counts and deletes it as one of its own.
    let access =
        ACCESS_LABELS.iter().filter_map(|label| Some((*label, pod.labels.get(*label)?.as_str())));
    desktop
        .into_iter()
        .chain(fixed)
        .chain(access)
        .map(|(label, value)| (label.to_owned(), label_value(value)))
        .collect()
}
