//! Why a run does not run yet.

use std::borrow::Cow;

use super::{behind, hint, the_node};
use crate::why::reason::{Delay, Image, WaitReason, Waiting};

/// Where the cluster gives no reason.
const NO_REASON: &str = "no reason was given";

impl Waiting {
    /// One sentence that names the thing and the remedy.
    #[must_use]
    pub fn sentence(&self) -> String {
        self.reason.sentence(self.words.as_deref())
    }
}

impl WaitReason {
    fn sentence(&self, words: Option<&str>) -> String {
        let said = words.unwrap_or(NO_REASON);
        match self {
            Self::Request { request, delay } => {
                format!("cannot {request} yet: {}", delay.sentence(said))
            }
            Self::Scheduler => "waiting for the scheduler to choose a node".to_owned(),
            Self::Gated => {
                format!("something else in the cluster holds it back (scheduling gate): {said}")
            }
            Self::Unschedulable => unschedulable(said),
            Self::Node { node } => format!("waiting for {} to start it", the_node(node.as_deref())),
            Self::Prepared { node, image } => {
                let node = the_node(node.as_deref());
                format!("{node} prepares it: {image} is pulled if need be")
            }
            Self::Pulling { of_volume: false } => {
                format!("the node is pulling its image{}", behind(words))
            }
            Self::Pulling { of_volume: true } => {
                format!("the node is pulling the image of one of its volumes{}", behind(words))
            }
            Self::Sandbox => {
                format!("the node cannot make its network and sandbox{}", behind(words))
            }
            Self::Volume => format!("the node cannot mount one of its volumes{}", behind(words)),
            Self::Network => format!("the node's network is not ready{}", behind(words)),
            Self::Device => {
                format!("the node cannot prepare a device that it claims{}", behind(words))
            }
            Self::Init { cookie, reason } => format!("{}{}", reason.sentence(words), hint(*cookie)),
            Self::Told => said.to_owned(),
            Self::Other { node, word } => {
                let node = the_node(node.as_deref());
                format!("{node} does not start it yet ({word}): {said}")
            }
            of_container => of_container.of_container(said),
        }
    }

    fn of_container(&self, said: &str) -> String {
        match self {
            Self::PullFailed { image } => format!("{image} could not be pulled: {said}"),
            Self::PullBackOff { node, image } => format!(
                "{image} cannot be pulled, {} tries again ever more rarely: check its name, that it \
                 exists, and the pull secrets ({said})",
                the_node(node.as_deref())
            ),
            Self::ImageName { image: Image { name, volume } } => format!(
                "`{name}`{} is not the name of an image: correct the application",
                of_volume(volume.as_deref())
            ),
            Self::ImageNeverPulled { node, image } => format!(
                "{} lacks {image}, and the pull policy is Never: load the image there, or change the \
                 policy",
                the_node(node.as_deref())
            ),
            Self::RegistryAway { image } => {
                format!("the registry of {image} does not answer: {said}")
            }
            Self::ContainerConfig { node } => format!(
                "{} cannot make the container as it is described: {said} (a secret or a key that is \
                 missing, or an image that wants to run as root)",
                the_node(node.as_deref())
            ),
            Self::ImageVolume { node } => {
                let node = the_node(node.as_deref());
                format!("{node} cannot mount an image as one of its volumes: {said}")
            }
            Self::ContainerStart { node } => {
                format!("{} cannot start the container: {said}", the_node(node.as_deref()))
            }
            _ => said.to_owned(),
        }
    }
}

impl Delay {
    fn sentence(self, said: &str) -> Cow<'_, str> {
        match self {
            Self::Conflict => format!("somebody else changed the object meanwhile: {said}").into(),
            Self::Token => {
                "the API server does not accept deskd's token: check whether it has expired".into()
            }
            Self::NamespaceNotReady => format!("the namespace is not ready: {said}").into(),
            Self::Busy => "the API server is busy and asks to wait".into(),
            Self::Error { code } => {
                format!("the API server answered with error {code}: {said}").into()
            }
            Self::NoAnswer => said.into(),
        }
    }
}

impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.is_empty() {
            return f.write_str("its image");
        }
        write!(f, "the image {}{}", self.name, of_volume(self.volume.as_deref()))
    }
}

fn of_volume(volume: Option<&str>) -> String {
    volume.map(|volume| format!(" of its volume {volume}")).unwrap_or_default()
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
