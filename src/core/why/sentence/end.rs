//! How and why a run ended.

use super::{behind, hint, or_no_reason, the_node};
use crate::text;
use crate::text::Text;
use crate::why::reason::{EndReason, Ended, Explanation, LostReason};

/// What to do about a memory limit.
fn more_memory() -> Text {
    text!("give it an execute class with a higher memory limit")
}

impl Ended {
    /// One sentence.
    #[must_use]
    pub fn sentence(&self) -> Text {
        self.reason.sentence(self.words.as_deref())
    }
}

impl EndReason {
    fn sentence(&self, words: Option<&str>) -> Text {
        let said = behind(words);
        match self {
            Self::OomKilled => text!(
                "it used more memory than its limit and was killed; {remedy}",
                remedy = more_memory()
            ),
            Self::OomKilledChild => text!(
                "a process of it was killed since it used more memory than its limit; {remedy}",
                remedy = more_memory()
            ),
            Self::StartError => {
                let words = words.map_or_else(
                    || text!("the container runtime gives no reason"),
                    |words| Text::words(start_error(words)),
                );
                text!("its program cannot be started: {words}", words)
            }
            Self::Deadline => {
                text!("it ran longer than its label io.deskd.deadline allows and was ended")
            }
            Self::PreemptedByScheduler => {
                text!(
                    "the scheduler ended its pod to make room for a more important one{said}",
                    said
                )
            }
            Self::Disrupted { word } => text!("its pod was ended ({word}){said}", word, said),
            Self::PodEnded { word } => {
                let words = or_no_reason(words);
                text!("its pod ended ({word}): {words}", word, words)
            }
            Self::InitFailed { pod, container, cookie, code } => {
                let how = match code {
                    Some(code) => text!("it ended with exit code {code}", code),
                    None => Self::StartError.sentence(words),
                };
                text!(
                    "it was not started, since the container `{container}` that prepares it failed: \
                     {how}; see `kubectl logs {pod} -c {container}`{cookie}",
                    container,
                    how,
                    pod,
                    cookie = hint(*cookie)
                )
            }
            Self::PodDeleted => text!("somebody deleted its pod"),
            Self::EntryLeft => text!(
                "it was stopped before it started; Kubernetes keeps its entry in the \
                                desktop's pod, and should the node still start it, deskd ends it at \
                                once"
            ),
            Self::CodeUntold => text!("its process ended; the node has not told its exit code"),
            of_node => of_node.of_node(said),
        }
    }

    fn of_node(&self, said: Text) -> Text {
        match self {
            Self::LostSight { node } => {
                let node = the_node(node.as_deref());
                text!("{node} lost sight of it and cannot tell how it ended", node)
            }
            Self::Evicted { node } => {
                text!("{node} evicted its pod{said}", said, node = the_node(node.as_deref()))
            }
            Self::MovedAway { node } => {
                text!(
                    "its pod was moved away from {node}{said}",
                    said,
                    node = the_node(node.as_deref())
                )
            }
            Self::NodeLost { node } => {
                let node = the_node(node.as_deref());
                text!("{node} does not answer any more, or no longer takes this pod", node)
            }
            Self::NodeGone { node } => {
                text!("{node} does not exist any more", node = the_node(node.as_deref()))
            }
            Self::Preempted { node } => {
                let node = the_node(node.as_deref());
                text!("its pod had to make room on {node} for a more important one", node)
            }
            Self::NodeShutdown { node } => {
                text!("{node} shut down{said}", said, node = the_node(node.as_deref()))
            }
            Self::ByKubelet { node } => {
                text!("{node} ended its pod{said}", said, node = the_node(node.as_deref()))
            }
            Self::NotAdmitted { node, .. } => {
                text!("{node} did not take its pod{said}", said, node = the_node(node.as_deref()))
            }
            Self::OutOf { node, resource } => {
                let node = the_node(node.as_deref());
                text!("{node} has not enough {resource} for its pod{said}", node, resource, said)
            }
            _ => said,
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
    pub fn sentence(&self) -> Text {
        match self {
            Self::BeforeItRan => text!("it was stopped before it ran"),
            Self::BeforeItStarted => text!("it was stopped before it started"),
            Self::CalledOff(actor) => text!("stopped by {actor} before it ran", actor),
            Self::NotStarted(why) => why.sentence(),
            Self::Ended(why) => why.sentence(),
            Self::Unseen => text!("nobody saw how it ended"),
            Self::WithItsPod => text!("it ended with the desktop's pod"),
            Self::PodDeleted => text!("its pod was deleted by somebody else"),
            Self::PodGone => text!("its pod is gone: it was deleted while deskd was not looking"),
            Self::KeeperKilled => {
                text!(
                    "nobody saw how it ended: deskd's keeper, which had started it, was killed before"
                )
            }
            Self::KeeperRestarted => {
                text!("deskd's container was restarted while it ran; nobody saw how it ended")
            }
            Self::PlaceEnded => {
                text!(
                    "the container that it shared with other programs of its image ended; launch it again"
                )
            }
            Self::PlaceOfAnotherVersion => text!(
                "the keeper of its container is of another release than deskd and cannot be asked; \
                 close its windows, and launch it again"
            ),
            Self::Told(words) => Text::words(words),
        }
    }
}

impl Explanation {
    /// One sentence.
    #[must_use]
    pub fn sentence(&self) -> Text {
        match self {
            Self::NotStarted { app: Some(app), why } => {
                text!("{app} cannot be started: {why}", app, why = why.sentence())
            }
            Self::NotStarted { app: None, why } => why.sentence(),
            Self::ByItself { exit, last_line } => {
                text!(
                    "ended by itself with {exit}{last_line}",
                    exit = exit.sentence(),
                    last_line = last(last_line.as_deref())
                )
            }
            Self::Lost { reason, last_line } => {
                text!(
                    "{reason}{last_line}",
                    reason = reason.sentence(),
                    last_line = last(last_line.as_deref())
                )
            }
            Self::Cluster(ended) => ended.sentence(),
            Self::Diagnosed { sentence, .. } => sentence.clone(),
            Self::Told(words) => Text::words(words),
        }
    }
}

fn last(line: Option<&str>) -> Text {
    line.map(|line| text!("; its last line was: {line}", line)).unwrap_or_default()
}
