//! Why a container does not run yet, in one sentence that names the thing and the remedy. Pure.

use super::manifest::COOKIE_CONTAINER;
use super::objects::{Container, ContainerStatus, Pod, Waiting};
use super::status::{condition, node_name};

/// The runtime's word for an image that it cannot mount.
const IMAGE_VOLUME: &str = "ImageVolumeMountFailed";

/// The sentence, and whether nothing will change by itself; nothing when nothing is known yet.
pub fn sentence(
    pod: &Pod,
    name: &str,
    ephemeral: bool,
    waiting: Option<&Waiting>,
) -> Option<(String, bool)> {
    let containers = if ephemeral { &pod.spec.ephemeral_containers } else { &pod.spec.containers };
    if !ephemeral && let Some(found) = of_init(pod) {
        return Some(found);
    }
    let container = containers.iter().find(|container| container.name == name);
    if let Some(waiting) = waiting {
        let said = waiting.message.as_deref().unwrap_or("no reason was given").trim();
        let image = container.map_or_else(Image::default, |it| Image::meant(said, it, pod));
        return Some(of_container(pod, &image, &waiting.reason, said));
    }
    if !ephemeral && pod.spec.node_name.is_none() {
        return Some(of_scheduling(pod));
    }
    // Bound to a node, and kubelet has not said anything yet.
    Some((format!("waiting for the node {} to start it", node_name(pod)), false))
}

/// What keeps an init container from being started, and with it everything after it.
fn of_init(pod: &Pod) -> Option<(String, bool)> {
    let held = |status: &&ContainerStatus| {
        let waiting = status.state.waiting.as_ref();
        waiting.is_some_and(|waiting| !is_prepared(&waiting.reason))
    };
    let status = pod.status.init_container_statuses.iter().find(held)?;
    let waiting = status.state.waiting.as_ref()?;
    let container = pod.spec.init_containers.iter().find(|it| it.name == status.name)?;
    let said = waiting.message.as_deref().unwrap_or("no reason was given").trim();
    let image = Image::meant(said, container, pod);
    let (sentence, stuck) = of_container(pod, &image, &waiting.reason, said);
    Some((format!("{sentence}{}", hint(&status.name)), stuck))
}

/// What deskd's own init container is for.
pub(super) fn hint(container: &str) -> &'static str {
    match container {
        COOKIE_CONTAINER => " (it makes the display's cookie file: check `image` in [kubernetes])",
        _ => "",
    }
}

/// A reason that says nothing but that it takes its time.
fn is_prepared(reason: &str) -> bool {
    matches!(reason, "" | "ContainerCreating" | "PodInitializing")
}

/// An image that a container needs.
struct Image<'a> {
    name: &'a str,
    /// Empty for the container's own.
    of_volume: String,
}

impl Default for Image<'_> {
    fn default() -> Self {
        Self { name: "its image", of_volume: String::new() }
    }
}

impl<'a> Image<'a> {
    /// The one that `said` is about: kubelet gives the reason of a container for the image of a volume
    /// that it mounts too.
    fn meant(said: &str, container: &'a Container, pod: &'a Pod) -> Self {
        let own = container.image.as_str();
        let mut volumes = pod.spec.volumes.iter().filter_map(|volume| {
            let (volume, image) =
                (volume["name"].as_str()?, volume["image"]["reference"].as_str()?);
            container
                .volume_mounts
                .iter()
                .any(|mount| mount.name == volume)
                .then_some((volume, image))
        });
        // The runtime writes names out: `docker.io/library/x:latest` for `x`.
        let about = |image: &str| {
            said.contains(&format!("\"{image}\"")) || !said.contains(own) && said.contains(image)
        };
        match volumes.find(|(_, image)| *image != own && about(image)) {
            Some((volume, name)) => Self { name, of_volume: format!(" of its volume {volume}") },
            None => Self { name: own, of_volume: String::new() },
        }
    }
}

fn of_container(pod: &Pod, image: &Image<'_>, reason: &str, said: &str) -> (String, bool) {
    let node = node_name(pod);
    let Image { name: image, of_volume } = image;
    match reason {
        _ if is_prepared(reason) => {
            (format!("the node {node} prepares it: the image {image} is pulled if need be"), false)
        }
        "ErrImagePull" => {
            (format!("the image {image}{of_volume} could not be pulled: {said}"), false)
        }
        "ImagePullBackOff" => (
            format!(
                "the image {image}{of_volume} cannot be pulled, the node {node} tries again ever more \
                 rarely: check its name, that it exists, and the pull secrets ({said})"
            ),
            true,
        ),
        "InvalidImageName" => (
            format!("`{image}`{of_volume} is not the name of an image: correct the application"),
            true,
        ),
        "ErrImageNeverPull" => (
            format!(
                "the node {node} has no image {image}{of_volume}, and the pull policy is Never: \
                 load it there, or change the policy"
            ),
            true,
        ),
        "RegistryUnavailable" => {
            (format!("the registry of the image {image}{of_volume} does not answer: {said}"), false)
        }
        "CreateContainerConfigError" => (
            format!(
                "the node {node} cannot make the container as it is described: {said} (a secret \
                 or a key that is missing, or an image that wants to run as root)"
            ),
            true,
        ),
        _ if reason == IMAGE_VOLUME || said.contains(IMAGE_VOLUME) => {
            (format!("the node {node} cannot mount an image as a volume of it: {said}"), true)
        }
        "CreateContainerError" | "RunContainerError" => {
            (format!("the node {node} cannot start the container: {said}"), true)
        }
        other => (format!("the node {node} does not start it yet ({other}): {said}"), false),
    }
}

fn of_scheduling(pod: &Pod) -> (String, bool) {
    let scheduled = condition(pod, "PodScheduled").filter(|found| found.status == "False");
    let Some(condition) = scheduled else {
        return ("waiting for the scheduler to choose a node".to_owned(), false);
    };
    let said = condition.message.as_deref().unwrap_or("no reason was given");
    match condition.reason.as_deref() {
        Some("SchedulingGated") => {
            (format!("something else in the cluster holds it back (scheduling gate): {said}"), true)
        }
        _ => (unschedulable(said), true),
    }
}

/// `0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) didn't match ... . preemption: ...`
fn unschedulable(said: &str) -> String {
    let reasons = said.split_once("nodes are available: ").map_or(said, |(_, rest)| rest);
    // The rest is about preemption and says nothing new.
    let reasons = reasons.split(". ").next().unwrap_or(reasons).trim_end_matches('.');
    let mut missing = Vec::new();
    let mut others = Vec::new();
    for reason in reasons.split(", ") {
        let words = reason.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        match words.strip_prefix("Insufficient ") {
            Some(resource) if !missing.contains(&resource) => missing.push(resource),
            Some(_) => {}
            None => others.push(in_words(words)),
        }
    }
    let mut parts = Vec::new();
    if !missing.is_empty() {
        parts.push(format!("not enough {} is free", missing.join(" and ")));
    }
    others.dedup();
    parts.extend(others);
    format!("no node can take it: {}. The scheduler said: {said}", parts.join("; "))
}

fn in_words(reason: &str) -> String {
    if reason.contains("didn't match Pod's node affinity/selector") {
        "no other node has the labels its node selector wants".to_owned()
    } else if reason.contains("untolerated taint") {
        format!("a taint keeps it away ({reason})")
    } else if reason.contains("were unschedulable") {
        "a node is closed for new pods (cordoned)".to_owned()
    } else {
        reason.to_owned()
    }
}
