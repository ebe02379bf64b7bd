//! Why a run does not run yet.

use super::{behind, hint, or_no_reason, the_node};
use crate::text;
use crate::text::Text;
use crate::why::reason::{Delay, Image, WaitReason, Waiting};

impl Waiting {
    /// One sentence that names the thing and the remedy.
    #[must_use]
    pub fn sentence(&self) -> Text {
        self.reason.sentence(self.words.as_deref())
    }
}

impl WaitReason {
    fn sentence(&self, words: Option<&str>) -> Text {
        let said = or_no_reason(words);
        match self {
            Self::Request { request, delay } => {
                text!(
                    "cannot {request} yet: {said}",
                    request = request.sentence(),
                    said = delay.sentence(said)
                )
            }
            Self::Scheduler => text!("waiting for the scheduler to choose a node"),
            Self::Gated => {
                text!("something else in the cluster holds it back (scheduling gate): {said}", said)
            }
            Self::Unschedulable => unschedulable(&said),
            Self::Node { node } => {
                text!("waiting for {node} to start it", node = the_node(node.as_deref()))
            }
            Self::Prepared { node, image } => {
                let node = the_node(node.as_deref());
                text!(
                    "{node} prepares it: {image} is pulled if need be",
                    node,
                    image = image.sentence()
                )
            }
            Self::Pulling { of_volume: false } => {
                text!("the node is pulling its image{words}", words = behind(words))
            }
            Self::Pulling { of_volume: true } => {
                text!(
                    "the node is pulling the image of one of its volumes{words}",
                    words = behind(words)
                )
            }
            Self::Sandbox => {
                text!("the node cannot set up its network{words}", words = behind(words))
            }
            Self::Volume => {
                text!(
                    "one of its volumes cannot be mounted on the node{words}",
                    words = behind(words)
                )
            }
            Self::Network => text!("the node has no network yet{words}", words = behind(words)),
            Self::Device => {
                text!(
                    "the node cannot prepare a device that it claims{words}",
                    words = behind(words)
                )
            }
            Self::Init { cookie, reason } => {
                text!("{reason}{hint}", reason = reason.sentence(words), hint = hint(*cookie))
            }
            Self::Told => said,
            Self::Other { node, word } => {
                let node = the_node(node.as_deref());
                text!("{node} does not start it yet ({word}): {said}", node, word, said)
            }
            of_container => of_container.of_container(said),
        }
    }

    fn of_container(&self, said: Text) -> Text {
        match self {
            Self::PullFailed { image } => {
                text!("{image} could not be pulled: {said}", image = image.sentence(), said)
            }
            Self::PullBackOff { node, image } => text!(
                "{image} cannot be pulled, {node} tries again ever more rarely: check its name, that it \
                 exists, and the pull secrets ({said})",
                image = image.sentence(),
                said,
                node = the_node(node.as_deref())
            ),
            Self::ImageName { image: Image { name, volume } } => text!(
                "`{name}`{volume} is not the name of an image: correct the application",
                name,
                volume = of_volume(volume.as_deref())
            ),
            Self::ImageNeverPulled { node, image } => text!(
                "{node} lacks {image}, and with pull policy Never it is not pulled: load the image there, or \
                 change the policy",
                image = image.sentence(),
                node = the_node(node.as_deref())
            ),
            Self::RegistryAway { image } => {
                text!(
                    "the registry of {image} does not answer: {said}",
                    image = image.sentence(),
                    said
                )
            }
            Self::ContainerConfig { node } => text!(
                "{node} cannot make the container as it is described: {said} (a secret or a key that is \
                 missing, or an image that wants to run as root)",
                said,
                node = the_node(node.as_deref())
            ),
            Self::ImageVolume { node } => {
                let node = the_node(node.as_deref());
                text!(
                    "an image, one of its volumes, cannot be mounted on {node}: {said}",
                    node,
                    said
                )
            }
            Self::ContainerStart { node } => {
                text!(
                    "{node} cannot start the container: {said}",
                    said,
                    node = the_node(node.as_deref())
                )
            }
            _ => said,
        }
    }
}

impl Delay {
    fn sentence(self, said: Text) -> Text {
        match self {
            Self::Conflict => {
                text!("somebody else changed the object meanwhile: {said}", said)
            }
            Self::Token => {
                text!("the API server does not accept deskd's token: check whether it has expired")
            }
            Self::NamespaceNotReady => text!("the namespace is not ready: {said}", said),
            Self::RoleNotFound => text!(
                "the API server does not find the role that grants it (if it has not just started, apply the \
                 manifests of deskd's rights again): {said}",
                said
            ),
            Self::Busy => text!("the API server is busy and asks to wait"),
            Self::Error { code } => {
                text!("the Kubernetes API answered with error {code}: {said}", code, said)
            }
            Self::NoAnswer => said,
        }
    }
}

impl Image {
    fn sentence(&self) -> Text {
        if self.name.is_empty() {
            return text!("its image");
        }
        text!("the image {name}{of}", name = self.name, of = of_volume(self.volume.as_deref()))
    }
}

fn of_volume(volume: Option<&str>) -> Text {
    volume.map(|volume| text!(" of its volume {volume}", volume)).unwrap_or_default()
}

/// `0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) didn't match ... . preemption: ...`
fn unschedulable(said: &str) -> Text {
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
        parts.push(text!("not enough {missing} is free", missing = all_of(missing)));
    }
    others.dedup();
    parts.extend(others);
    text!(
        "no node can take it: {parts}. The scheduler said: {said}",
        said,
        parts = Text::joined(parts, "; ")
    )
}

/// `cpu and memory`
fn all_of(resources: Vec<&str>) -> Text {
    let all = resources.into_iter().map(Text::words);
    all.reduce(|some, last| text!("{some} and {last}", some, last)).unwrap_or_default()
}

fn in_words(reason: &str) -> Text {
    if reason.contains("didn't match Pod's node affinity/selector") {
        text!("no other node has the labels its node selector wants")
    } else if reason.contains("untolerated taint") {
        text!("a taint keeps it away ({reason})", reason)
    } else if reason.contains("were unschedulable") {
        text!("a node is closed for new pods (cordoned)")
    } else {
        Text::words(reason)
    }
}
