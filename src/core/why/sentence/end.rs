//! How and why a run ended.

use super::{behind, hint, the_node};
use crate::why::reason::{EndReason, Ended, Explanation, LostReason};

/// What to do about a memory limit.
const MORE_MEMORY: &str = "give it an execute class with a higher memory limit";

impl Ended {
    /// One sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        self.reason.sentence(self.words.as_deref())
    }
}

impl EndReason {
    fn sentence(&self, words: Option<&str>) -> String {
        let said = behind(words);
        match self {
            Self::OomKilled => format!(
                "it used more memory than its limit and was killed; {MORE_MEMORY}"
            ),
            Self::OomKilledChild => format!(
                "a process of it was killed since it used more memory than its limit; {MORE_MEMORY}"
            ),
            Self::StartError => {
                let words = words.unwrap_or("the container runtime gives no reason");
                format!("its program cannot be started: {}", start_error(words))
            }
            Self::Deadline => {
                "it ran longer than its deadline (label io.deskd.deadline) and was ended".to_owned()
            }
            Self::PreemptedByScheduler => {
                format!("the scheduler ended its pod to make room for a more important one{said}")
            }
            Self::Disrupted { word } => format!("its pod was ended ({word}){said}"),
            Self::PodEnded { word } => {
                let words = words.unwrap_or("no reason was given");
                format!("its pod ended ({word}): {words}")
            }
            Self::InitFailed { pod, container, cookie, code } => {
                let how = match code {
                    Some(code) => format!("it ended with exit code {code}"),
                    None => Self::StartError.sentence(words),
                };
                format!(
                    "it was not started, since the container `{container}` that prepares it failed: \
                     {how}; see `kubectl logs {pod} -c {container}`{}",
                    hint(*cookie)
                )
            }
            Self::PodDeleted => "somebody deleted its pod".to_owned(),
            Self::EntryLeft => "it was stopped before it started; Kubernetes keeps its entry in the \
                                desktop's pod, and should the node still start it, deskd ends it at \
                                once"
                .to_owned(),
            Self::CodeUntold => "its process ended; the node has not told its exit code".to_owned(),
            of_node => of_node.of_node(&said),
        }
    }

    fn of_node(&self, said: &str) -> String {
        match self {
            Self::LostSight { node } => {
                let node = the_node(node.as_deref());
                format!("{node} lost sight of it and cannot tell how it ended")
            }
            Self::Evicted { node } => {
                format!("{} evicted its pod{said}", the_node(node.as_deref()))
            }
            Self::MovedAway { node } => {
                format!("its pod was moved away from {}{said}", the_node(node.as_deref()))
            }
            Self::NodeLost { node } => {
                let node = the_node(node.as_deref());
                format!("{node} does not answer any more, or no longer takes this pod")
            }
            Self::NodeGone { node } => {
                format!("{} does not exist any more", the_node(node.as_deref()))
            }
            Self::Preempted { node } => {
                let node = the_node(node.as_deref());
                format!("its pod had to make room on {node} for a more important one")
            }
            Self::NodeShutdown { node } => {
                format!("{} shut down{said}", the_node(node.as_deref()))
            }
            Self::ByKubelet { node } => {
                format!("{} ended its pod{said}", the_node(node.as_deref()))
            }
            Self::NotAdmitted { node, .. } => {
                format!("{} did not take its pod{said}", the_node(node.as_deref()))
            }
            Self::OutOf { node, resource } => {
                let node = the_node(node.as_deref());
                format!("{node} has not enough {resource} for its pod{said}")
            }
            _ => said.to_owned(),
        }
    }
}

/// `failed to create containerd task: ... exec: "/nope": stat /nope: no such file or directory: unknown`
fn start_error(said: &str) -> &str {
    let tail = said.rfind("exec: ").map_or(said, |at| &said[at + "exec: ".len()..]);
    tail.trim_end().trim_end_matches(": unknown")
}

impl LostReason {
    /// In words, as after `how did it end`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let constant = match self {
            Self::BeforeItRan => "it was stopped before it ran",
            Self::BeforeItStarted => "it was stopped before it started",
            Self::CalledOff(actor) => return format!("stopped by {actor} before it ran"),
            Self::NotStarted(why) => return why.sentence(),
            Self::Ended(why) => return why.sentence(),
            Self::Unseen => "nobody saw how it ended",
            Self::WithItsPod => "it ended with the desktop's pod",
            Self::PodDeleted => "its pod was deleted by somebody else",
            Self::PodGone => "its pod is gone: it was deleted while deskd was not looking",
            Self::KeeperKilled => {
                "nobody saw how it ended: deskd's keeper, which had started it, was killed before"
            }
            Self::KeeperRestarted => {
                "deskd's container was restarted while it ran; nobody saw how it ended"
            }
            Self::PlaceEnded => {
                "the container that it shared with other programs of its image ended; launch it again"
            }
            Self::PlaceOfAnotherVersion => {
                "the keeper of its container is of another release than deskd and cannot be asked; \
                 close its windows, and launch it again"
            }
            Self::Told(words) => words,
        };
        constant.to_owned()
    }
}

impl Explanation {
    /// One sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::NotStarted { app: Some(app), why } => {
                format!("{app} cannot be started: {}", why.sentence())
            }
            Self::NotStarted { app: None, why } => why.sentence(),
            Self::ByItself { exit, last_line } => {
                format!("ended by itself with {}{}", exit.sentence(), last(last_line.as_deref()))
            }
            Self::Lost { reason, last_line } => {
                format!("{}{}", reason.sentence(), last(last_line.as_deref()))
            }
            Self::Cluster(ended) => ended.sentence(),
            Self::Diagnosed { sentence, .. } | Self::Told(sentence) => sentence.clone(),
        }
    }
}

fn last(line: Option<&str>) -> String {
    line.map(|line| format!("; its last line was: {line}")).unwrap_or_default()
}
