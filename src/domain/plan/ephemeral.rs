//! The ephemeral container: in this pod, so shared memory works as it does here, but without
//! resources, ports and probes, and only with volumes that the pod has.

use super::ask::{Ask, Blocker, Fit};
use super::command::Command;
use super::facts::OwnPod;
use super::remote::EphemeralPlan;
use super::{EngineKind, UnplannableCode, Work, cluster, command, env, shm, volumes};
use crate::domain::container_app::ContainerApp;
use crate::domain::room::Room;

const ENGINE: EngineKind = EngineKind::EphemeralContainer;
/// Where X servers listen.
const X11_SOCKETS: &str = "/tmp/.X11-unix";

/// Whether it can run as one, and why not.
pub(super) fn check(ask: &Ask<'_>) -> Result<Fit, Blocker> {
    let container = cluster::allowed(ENGINE, ask)?;
    let command = command::of(ask, container)?;
    ask.nothing_for_pods_only()?;
    ask.display_answers()?;
    ask.shared_memory()?;
    let pod = cluster::usable(ENGINE, ask)?;
    let target = target(ask, pod)?;
    room(ask, container, &command, pod)?;
    architecture(ask, container)?;
    if ask.app.needs_display {
        user(ask)?;
        socket(ask, pod)?;
    }
    volumes::secrets_are_here(ask)?;
    let mut reasons = vec!["it is a container of this pod".to_owned()];
    if ask.app.needs_display {
        reasons.push(ask.facts.display.shm.sysv.sentence());
    }
    reasons.push(command.reason.clone());
    reasons.push(cluster::image_note(container, ask));
    reasons.extend(shm::ephemeral_note(container, pod));
    reasons.extend(env::shm_off_note(ask));
    reasons.extend(env::ephemeral_note(ask, pod));
    reasons.extend(volumes::withheld_note(pod));
    if !pod.shares_processes {
        reasons.push(format!(
            "it ends when the container `{target}` restarts (the pod has no shareProcessNamespace)"
        ));
    }
    let work = Work::EphemeralContainer(Box::new(work(ask, container, command, pod, target)));
    Ok(Fit { work, reasons })
}

/// The configured target, else the one that was found.
fn target<'a>(ask: &Ask<'a>, pod: &'a OwnPod) -> Result<&'a str, Blocker> {
    let configured = ask.facts.policy.target_container.as_deref();
    let why = match configured.or(pod.target_container.as_deref()) {
        Some(name) if pod.containers.iter().any(|known| known == name) => return Ok(name),
        Some(name) => format!(
            "the desktop's pod has no container `{name}` for it to join (target_container); it has \
             {}",
            pod.containers.join(", ")
        ),
        None => "it is not known which container of the pod is deskd's: set POD_CONTAINER, or \
                 target_container in [kubernetes]"
            .to_owned(),
    };
    Err(Blocker::now(UnplannableCode::CannotBePlaced, why))
}

fn room(
    ask: &Ask<'_>,
    container: &ContainerApp,
    command: &Command,
    pod: &OwnPod,
) -> Result<(), Blocker> {
    let room = Room { entries: pod.ephemeral_used, bytes: pod.object_bytes };
    room.with(words(ask, container, command, pod)).map(drop).map_err(|full| {
        let why = format!(
            "the desktop's pod {full}, and ephemeral containers are never removed from a pod: \
             start a new desktop pod"
        );
        Blocker::now(UnplannableCode::CannotBePlaced, why)
    })
}

/// Bytes of what the container will have in the pod.
fn words(ask: &Ask<'_>, container: &ContainerApp, command: &Command, pod: &OwnPod) -> u64 {
    let variables = command.variables.iter().map(|(name, value)| name.len() + value.len());
    let argv = command.argv.iter().map(String::len).chain(variables);
    let env = env::ephemeral(ask, pod);
    let env = env.iter().map(|(name, value)| name.len() + value.len());
    let mounts = pod.mounts.iter().map(|mount| mount.name.len() + mount.path.len());
    (argv.chain(env).chain(mounts).sum::<usize>() + container.image.len()) as u64
}

fn architecture(ask: &Ask<'_>, container: &ContainerApp) -> Result<(), Blocker> {
    match container.architecture.as_deref() {
        Some(image) if image != ask.facts.architecture => Err(Blocker::never(format!(
            "its image is for {image} and this node is {}: describe the image for this node",
            ask.facts.architecture
        ))),
        _ => Ok(()),
    }
}

/// Another user's container has no shared memory with the X server (a segment of mode 0600 is
/// refused) and cannot be signalled by deskd: it would draw wrongly and never stop.
fn user(ask: &Ask<'_>) -> Result<(), Blocker> {
    let (wanted, own) = (ask.facts.policy.run_as.uid, ask.facts.uid);
    if wanted == own {
        return Ok(());
    }
    let why = format!(
        "containers run as user {wanted} (run_as in [kubernetes]) and the X server works with \
         user {own}, deskd's: another user has no shared memory with it and cannot be stopped; \
         make the two equal"
    );
    Err(Blocker::now(UnplannableCode::CannotBePlaced, why))
}

/// The abstract socket belongs to the pod's network, the other one to a directory.
fn socket(ask: &Ask<'_>, pod: &OwnPod) -> Result<(), Blocker> {
    if ask.facts.display.unix.abstract_socket || volumes::is_mounted(pod, X11_SOCKETS) {
        return Ok(());
    }
    let why = format!(
        "the X server listens in {X11_SOCKETS} alone, which no volume of the container holds: mount \
         a volume there in the desktop's containers"
    );
    Err(Blocker::now(UnplannableCode::CannotBePlaced, why))
}

fn work(
    ask: &Ask<'_>,
    container: &ContainerApp,
    command: Command,
    pod: &OwnPod,
    target: &str,
) -> EphemeralPlan {
    let env = env::ephemeral(ask, pod);
    EphemeralPlan {
        pod: pod.name.clone(),
        namespace: pod.namespace.clone(),
        target_container: Some(target.to_owned()),
        container: cluster::container(ask, container, command, env, pod.mounts.clone()),
    }
}
