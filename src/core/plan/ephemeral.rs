//! The ephemeral container: in this pod, so shared memory works as it does here, but without
//! resources, ports and probes, and only with volumes that the pod has.

use super::ask::{Ask, Blocker, Fit};
use super::command::Command;
use super::facts::OwnPod;
use super::home::Surroundings;
use super::remote::{ContainerPlan, EphemeralPlan};
use super::{EngineKind, UnplannableCode, Work, cluster, command, env, place, shm, volumes};
use crate::app::container::ContainerApp;
use crate::env_var::{EnvSource, EnvVar};
use crate::room::Room;
use crate::text;

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
    let shared = volumes::of_ephemeral(ask, container, pod);
    let around = Surroundings::new(ask, container, pod, ENGINE, shared);
    let env = env::of_container(ask, container, &command, pod, &around);
    let reason = command.reason.clone();
    let mut work = work(ask, container, command, target, (pod, &around), env.vars);
    let (keeper, place) = place::of(ask, &work.container, pod);
    work.place = keeper;
    room(&work, pod)?;
    architecture(ask, container)?;
    if ask.app.needs_display {
        user(ask)?;
        socket(ask, &around)?;
    }
    volumes::secrets_are_here(ask)?;
    let mut reasons = vec![text!("it runs in a container of this pod")];
    if ask.app.needs_display {
        reasons.push(ask.facts.display.shm.sysv.sentence());
    }
    reasons.push(reason);
    reasons.push(cluster::image_note(container, ask));
    reasons.extend(shm::ephemeral_note(container, pod));
    reasons.extend(env::shm_off_note(ask));
    reasons.extend(around.notes);
    reasons.extend(env.notes);
    let at_place = work.place.is_some();
    reasons.extend(place);
    if !pod.shares_processes && !at_place {
        reasons.push(text!(
            "it ends when the container `{target}` restarts (the pod has no shareProcessNamespace)",
            target
        ));
    }
    Ok(Fit { work: Work::EphemeralContainer(Box::new(work)), reasons })
}

/// The configured target, else the one that was found.
fn target<'a>(ask: &Ask<'a>, pod: &'a OwnPod) -> Result<&'a str, Blocker> {
    let configured = ask.facts.policy.target_container.as_deref();
    let why = match configured.or(pod.target_container.as_deref()) {
        Some(name) if pod.containers.iter().any(|known| known == name) => return Ok(name),
        Some(name) => text!(
            "the desktop's pod has no container `{name}` (target_container): set it to one of {containers}",
            name,
            containers = pod.containers.join(", ")
        ),
        None => text!(
            "deskd does not know which container of the pod is its own: set POD_CONTAINER, or \
         target_container in [kubernetes]"
        ),
    };
    Err(Blocker::now(UnplannableCode::CannotBePlaced, why))
}

fn room(work: &EphemeralPlan, pod: &OwnPod) -> Result<(), Blocker> {
    let room = Room { entries: pod.ephemeral_used, bytes: pod.object_bytes };
    room.with(words(&work.container)).map(drop).map_err(|full| {
        let why = text!(
            "the desktop's pod {full}, and ephemeral containers are never removed from a pod: \
             start a new desktop pod",
            full = full.sentence()
        );
        Blocker::now(UnplannableCode::CannotBePlaced, why)
    })
}

/// Bytes of what the container will have in the pod: `plan` as it is, variables that kubelet fills as
/// the fields that they name.
fn words(plan: &ContainerPlan) -> u64 {
    let argv = plan.argv.iter().map(String::len);
    let env = plan.env.iter().map(|var| {
        let field = match &var.from {
            EnvSource::Field(path) => path.len(),
            _ => var.value.len(),
        };
        var.name.len() + field
    });
    let mounts = plan.mounts.iter().map(|mount| mount.name.len() + mount.path.len());
    let others = [plan.image.len(), plan.cwd.as_ref().map_or(0, String::len)];
    argv.chain(env).chain(mounts).chain(others).sum::<usize>() as u64
}

fn architecture(ask: &Ask<'_>, container: &ContainerApp) -> Result<(), Blocker> {
    match container.architecture.as_deref() {
        Some(image) if image != ask.facts.machine.architecture => Err(Blocker::never(text!(
            "its image is for {image} and this node is {architecture}: use an image for this node",
            image,
            architecture = ask.facts.machine.architecture
        ))),
        _ => Ok(()),
    }
}

/// Another user's container has no shared memory with the X server (a segment of mode 0600 is
/// refused) and cannot be signalled by deskd: it would draw wrongly and never stop.
fn user(ask: &Ask<'_>) -> Result<(), Blocker> {
    let (wanted, own) = (ask.facts.policy.run_as.uid, ask.facts.machine.uid);
    if wanted == own {
        return Ok(());
    }
    let why = text!(
        "containers run as user {wanted} (run_as in [kubernetes]), and deskd and the X server run \
         as user {own}: processes of another user cannot share memory with the X server, and deskd \
         cannot stop them; make the two users equal",
        wanted,
        own
    );
    Err(Blocker::now(UnplannableCode::CannotBePlaced, why))
}

/// The abstract socket belongs to the pod's network, the other one to a directory.
fn socket(ask: &Ask<'_>, around: &Surroundings) -> Result<(), Blocker> {
    let mounted = volumes::holds(&around.mounts, X11_SOCKETS);
    if ask.facts.display.unix.abstract_socket || mounted {
        return Ok(());
    }
    let why = text!(
        "the X server listens only in {sockets}, which none of the container's volumes \
         contains: mount a volume there in the desktop's containers, and name it in `volumes` in \
         [kubernetes]",
        sockets = X11_SOCKETS
    );
    Err(Blocker::now(UnplannableCode::CannotBePlaced, why))
}

fn work(
    ask: &Ask<'_>,
    container: &ContainerApp,
    command: Command,
    target: &str,
    (pod, around): (&OwnPod, &Surroundings),
    env: Vec<EnvVar>,
) -> EphemeralPlan {
    EphemeralPlan {
        pod: pod.name.clone(),
        namespace: pod.namespace.clone(),
        target_container: Some(target.to_owned()),
        prepare: around.prepare.clone(),
        cookie: around.cookie.copy.clone(),
        container: cluster::container(ask, container, command, env, around),
        place: None,
        grace_s: container.grace_s,
    }
}
