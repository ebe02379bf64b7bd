//! Why a container does not run yet. Pure.

use super::manifest::COOKIE_CONTAINER;
use super::objects::{self, Container, ContainerStatus, Pod};
use super::status::{condition, node};
use deskd_core::why::reason::{Image, WaitReason, Waiting};

/// The runtime's word for an image that it cannot mount.
const IMAGE_VOLUME: &str = "ImageVolumeMountFailed";

/// Why; `waiting` is what the container's status says.
pub fn reason(
    pod: &Pod,
    name: &str,
    ephemeral: bool,
    waiting: Option<&objects::Waiting>,
) -> Waiting {
    let containers = if ephemeral { &pod.spec.ephemeral_containers } else { &pod.spec.containers };
    if !ephemeral && let Some(found) = of_init(pod) {
        return found;
    }
    let container = containers.iter().find(|container| container.name == name);
    if let Some(waiting) = waiting {
        return of_container(pod, container, waiting);
    }
    if !ephemeral && pod.spec.node_name.is_none() {
        return of_scheduling(pod);
    }
    // Bound to a node, and kubelet has not said anything yet.
    WaitReason::Node { node: node(pod) }.into()
}

/// What keeps an init container from being started, and with it everything after it.
fn of_init(pod: &Pod) -> Option<Waiting> {
    let held = |status: &&ContainerStatus| {
        let waiting = status.state.waiting.as_ref();
        waiting.is_some_and(|waiting| !is_prepared(&waiting.reason))
    };
    let status = pod.status.init_container_statuses.iter().find(held)?;
    let waiting = status.state.waiting.as_ref()?;
    let container = pod.spec.init_containers.iter().find(|it| it.name == status.name)?;
    let Waiting { reason, words } = of_container(pod, Some(container), waiting);
    let cookie = status.name == COOKIE_CONTAINER;
    Some(Waiting { reason: WaitReason::Init { cookie, reason: Box::new(reason) }, words })
}

/// A reason that says nothing but that it takes its time.
fn is_prepared(reason: &str) -> bool {
    matches!(reason, "" | "ContainerCreating" | "PodInitializing")
}

/// The image that `said` is about: kubelet gives the reason of a container for the image of a volume
/// that it mounts too.
fn image_meant(said: &str, container: &Container, pod: &Pod) -> Image {
    let own = container.image.as_str();
    let mut volumes = pod.spec.volumes.iter().filter_map(|volume| {
        let (volume, image) = (volume["name"].as_str()?, volume["image"]["reference"].as_str()?);
        let mounts = container.volume_mounts.iter().any(|mount| mount.name == volume);
        mounts.then_some((volume, image))
    });
    // The runtime writes names out: `docker.io/library/x:latest` for `x`.
    let about = |image: &str| {
        said.contains(&format!("\"{image}\"")) || !said.contains(own) && said.contains(image)
    };
    match volumes.find(|(_, image)| *image != own && about(image)) {
        Some((volume, name)) => Image { name: name.to_owned(), volume: Some(volume.to_owned()) },
        None => Image { name: own.to_owned(), volume: None },
    }
}

fn of_container(pod: &Pod, container: Option<&Container>, waiting: &objects::Waiting) -> Waiting {
    let words = waiting.message.as_deref().map(str::trim);
    let said = words.unwrap_or_default();
    let image = || container.map(|it| image_meant(said, it, pod)).unwrap_or_default();
    let node = node(pod);
    let reason = match waiting.reason.as_str() {
        word if is_prepared(word) => WaitReason::Prepared { node, image: image() },
        "ErrImagePull" => WaitReason::PullFailed { image: image() },
        "ImagePullBackOff" => WaitReason::PullBackOff { node, image: image() },
        "InvalidImageName" => WaitReason::ImageName { image: image() },
        "ErrImageNeverPull" => WaitReason::ImageNeverPulled { node, image: image() },
        "RegistryUnavailable" => WaitReason::RegistryAway { image: image() },
        "CreateContainerConfigError" => WaitReason::ContainerConfig { node },
        word if word == IMAGE_VOLUME || said.contains(IMAGE_VOLUME) => {
            WaitReason::ImageVolume { node }
        }
        "CreateContainerError" | "RunContainerError" => WaitReason::ContainerStart { node },
        word => WaitReason::Other { node, word: word.to_owned() },
    };
    Waiting { reason, words: words.map(str::to_owned) }
}

fn of_scheduling(pod: &Pod) -> Waiting {
    let scheduled = condition(pod, "PodScheduled").filter(|found| found.status == "False");
    let Some(condition) = scheduled else { return WaitReason::Scheduler.into() };
    let reason = match condition.reason.as_deref() {
        Some("SchedulingGated") => WaitReason::Gated,
        _ => WaitReason::Unschedulable,
    };
    Waiting { reason, words: condition.message.clone() }
}
