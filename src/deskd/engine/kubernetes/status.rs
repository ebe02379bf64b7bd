//! From a pod as the API gives it to what became of a run. Pure.
//!
//! The states of containers come first: a container's end is seen while the pod's phase still says
//! `Pending` or `Running` (measured). What only the pod knows (evicted, deadline, node lost) is
//! read after.

use nix::sys::signal::Signal;

use super::Observation;
use super::manifest::COOKIE_CONTAINER;
use super::objects::{Condition, Container, ContainerStatus, Pod, State, Terminated};
use super::{evidence, waiting};
use deskd_core::task::{Exit, UnixMs};
use deskd_core::why::evidence::ClusterEvidence;
use deskd_core::why::reason::{EndReason, Ended, LostReason};

/// What kubelet gives as the exit code of a container whose program it could not start.
const START_ERROR_CODE: i32 = 128;
/// The number of SIGKILL.
const SIGKILL: i32 = Signal::SIGKILL as i32;
/// Highest signal number; a container killed by signal n has exit code 128 + n.
const SIGNAL_MAX: i32 = 64;
/// Milliseconds after a pod's grace in which kubelet still may report its end.
const LOST_AFTER_MS: UnixMs = 10_000;

/// What was seen of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What became of it; nothing: no news (not even waiting is known).
    pub what: Option<Observation>,
    /// It ran, so there may be output to be read.
    pub has_log: bool,
    /// Its node prepares it, and says how that goes in events alone.
    pub is_prepared: bool,
    /// When to look again although nothing changed: a node that is gone reports no end.
    pub look_again_at: Option<UnixMs>,
    /// What the pod says about it, in the cluster's own words.
    pub said: ClusterEvidence,
    /// The program that its entry point starts, if it is one.
    pub program: Option<String>,
}

/// The states of the ordinary or the ephemeral containers.
pub(super) fn statuses(pod: &Pod, ephemeral: bool) -> &[ContainerStatus] {
    match ephemeral {
        true => &pod.status.ephemeral_container_statuses,
        false => &pod.status.container_statuses,
    }
}

/// The ordinary or the ephemeral containers.
fn specs(pod: &Pod, ephemeral: bool) -> &[Container] {
    match ephemeral {
        true => &pod.spec.ephemeral_containers,
        false => &pod.spec.containers,
    }
}

/// What is seen of the container called `name` of `pod` at `now`.
#[must_use]
pub fn look(pod: &Pod, name: &str, ephemeral: bool, now: UnixMs) -> Seen {
    let status = statuses(pod, ephemeral).iter().find(|status| status.name == name);
    let said = evidence::said(pod, name, ephemeral);
    let program = specs(pod, ephemeral).iter().find(|spec| spec.name == name);
    let program = program.and_then(Container::program).map(str::to_owned);
    if let Some(end) = status.and_then(terminated) {
        let made = !status.is_some_and(never_made);
        let at = end_of(end, now);
        let what = if made { ended(pod, end, now) } else { before_it_ran(pod, at) };
        let has_log = made && !never_started(end);
        return Seen {
            what: Some(what),
            has_log,
            is_prepared: false,
            look_again_at: None,
            said,
            program,
        };
    }
    let has_log = status.is_some_and(|status| status.state.running.is_some());
    let lost_at = lost_at(pod);
    let look_again_at = lost_at.filter(|at| *at > now);
    let what = if lost_at.is_some_and(|at| at <= now) {
        Some(pod_ended(pod, now))
    } else if let Some(State { running: Some(running), .. }) = status.map(|status| &status.state) {
        let at = running.started_at.as_deref().and_then(unix_ms).unwrap_or(now);
        Some(Observation::Running { at, pid: None, node: pod.spec.node_name.clone() })
    } else if matches!(pod.status.phase.as_str(), "Failed" | "Succeeded") {
        let made = status.is_some_and(|status| !status.container_id.is_empty());
        let deleted = pod.metadata.deletion_timestamp.is_some();
        Some(if deleted && !made { before_it_ran(pod, now) } else { pod_ended(pod, now) })
    } else {
        let waiting = status.and_then(|status| status.state.waiting.as_ref());
        Some(Observation::Waiting(waiting::reason(pod, name, ephemeral, waiting)))
    };
    let waits = matches!(&what, Some(Observation::Waiting(why)) if !why.reason.is_stuck());
    let is_prepared = waits && pod.spec.node_name.is_some();
    Seen { what, has_log, is_prepared, look_again_at, said, program }
}

/// What a deleted pod was last seen as; nothing when that does not tell how its container ended.
#[must_use]
pub fn last_look(pod: &Pod, name: &str, now: UnixMs) -> Option<Observation> {
    let seen = look(pod, name, false, now);
    match seen.what {
        Some(Observation::Ended { .. }) => seen.what,
        _ if pod_reason(pod).is_some() => Some(pod_ended(pod, now)),
        _ => None,
    }
}

/// How the container ended, or why it never ran.
pub(super) fn terminated(status: &ContainerStatus) -> Option<&Terminated> {
    if let Some(end) = &status.state.terminated {
        return Some(end);
    }
    // An ephemeral container whose command does not exist waits for ever; its end is in the past.
    let before = status.last_state.terminated.as_ref()?;
    let waits = status.state.waiting.as_ref()?;
    let failed = waits.reason == "RunContainerError" || never_started(before);
    failed.then_some(before)
}

fn never_started(end: &Terminated) -> bool {
    matches!(end.reason.as_deref(), Some("StartError" | "ContainerCannotRun"))
}

/// Its pod ended while it waited, for its image for example: kubelet then says of it what it says of
/// a container that it has lost, but there is none that it could have lost.
pub(super) fn never_made(status: &ContainerStatus) -> bool {
    let end = status.state.terminated.as_ref();
    let unknown = end.and_then(|end| end.reason.as_deref()) == Some("ContainerStatusUnknown");
    unknown && status.container_id.is_empty()
}

fn before_it_ran(pod: &Pod, at: UnixMs) -> Observation {
    let exit = Exit::Lost(LostReason::BeforeItRan);
    Observation::Ended { exit, reason: pod_reason(pod), at }
}

fn end_of(end: &Terminated, now: UnixMs) -> UnixMs {
    end.finished_at.as_deref().and_then(unix_ms).unwrap_or(now)
}

fn ended(pod: &Pod, end: &Terminated, now: UnixMs) -> Observation {
    let at = end_of(end, now);
    let words = end.message.clone();
    if never_started(end) {
        return without_status(Ended { reason: EndReason::StartError, words }, at);
    }
    let reason = match end.reason.as_deref() {
        Some("OOMKilled") if end.exit_code == START_ERROR_CODE + SIGKILL => {
            Some(EndReason::OomKilled)
        }
        Some("OOMKilled") => Some(EndReason::OomKilledChild),
        Some("ContainerStatusUnknown") => Some(EndReason::LostSight { node: node(pod) }),
        _ => None,
    };
    let exit = match end.reason.as_deref() {
        Some("ContainerStatusUnknown") => Exit::Lost(LostReason::Unseen),
        _ => exit(end.exit_code),
    };
    let reason = reason.map(|reason| Ended { reason, words }).or_else(|| pod_reason(pod));
    Observation::Ended { exit, reason, at }
}

/// No status tells how its program ended: what happened to the pod or the container is all there is.
fn without_status(reason: Ended, at: UnixMs) -> Observation {
    let exit = Exit::Lost(LostReason::Ended(Box::new(reason.clone())));
    Observation::Ended { exit, reason: Some(reason), at }
}

/// A container reports a signal's number added to 128.
fn exit(code: i32) -> Exit {
    let number = code - START_ERROR_CODE;
    if !(1..=SIGNAL_MAX).contains(&number) {
        return Exit::Code(code);
    }
    let name = Signal::try_from(number)
        .map_or_else(|_| format!("signal {number}"), |signal| signal.as_str().to_owned());
    Exit::Signal { number, name, core_dumped: false }
}

/// The pod is over and its container's status does not tell how.
fn pod_ended(pod: &Pod, now: UnixMs) -> Observation {
    let reason = pod_reason(pod).unwrap_or_else(|| {
        let word = pod.status.reason.as_deref().unwrap_or(&pod.status.phase).to_owned();
        Ended { reason: EndReason::PodEnded { word }, words: pod.status.message.clone() }
    });
    without_status(reason, now)
}

/// What happened to the pod as a whole.
fn pod_reason(pod: &Pod) -> Option<Ended> {
    let node = node(pod);
    let reason = match pod.status.reason.as_deref() {
        Some("Evicted") => EndReason::Evicted { node },
        Some("DeadlineExceeded") => EndReason::Deadline,
        Some("NodeLost") => EndReason::NodeLost { node },
        Some("Preempting" | "Preempted") => EndReason::Preempted { node },
        Some("NodeShutdown" | "Terminated" | "Shutdown") => EndReason::NodeShutdown { node },
        Some("NodeAffinity") => EndReason::NotAdmitted { node, affinity: true },
        Some("UnexpectedAdmissionError") => EndReason::NotAdmitted { node, affinity: false },
        word => match word.and_then(|word| word.strip_prefix("OutOf")) {
            Some(resource) => EndReason::OutOf { node, resource: resource.to_owned() },
            None => return disruption(pod).or_else(|| init_failed(pod)),
        },
    };
    Some(Ended { reason, words: pod.status.message.clone() })
}

/// An init container ended otherwise than well: nothing after it is started. One that was ended with
/// its pod has not failed.
fn init_failed(pod: &Pod) -> Option<Ended> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let of = |status: &ContainerStatus| {
        let end = status.state.terminated.as_ref().filter(|end| end.exit_code != 0)?;
        let reason = EndReason::InitFailed {
            pod: pod.metadata.name.clone(),
            container: status.name.clone(),
            cookie: status.name == COOKIE_CONTAINER,
            code: (!never_started(end)).then_some(end.exit_code),
        };
        Some(Ended { reason, words: end.message.clone() })
    };
    pod.status.init_container_statuses.iter().find_map(of)
}

/// The condition `DisruptionTarget`: somebody other than deskd wants the pod gone.
fn disruption(pod: &Pod) -> Option<Ended> {
    let condition = condition(pod, "DisruptionTarget").filter(|found| found.status == "True")?;
    let node = node(pod);
    let reason = match condition.reason.as_deref().unwrap_or_default() {
        "PreemptionByScheduler" => EndReason::PreemptedByScheduler,
        "DeletionByTaintManager" => EndReason::NodeLost { node },
        "DeletionByPodGC" => EndReason::NodeGone { node },
        "EvictionByEvictionAPI" => EndReason::MovedAway { node },
        "TerminationByKubelet" => EndReason::ByKubelet { node },
        word => EndReason::Disrupted { word: word.to_owned() },
    };
    Some(Ended { reason, words: condition.message.clone() })
}

/// When a pod that is being deleted from a node that does not answer counts as ended.
fn lost_at(pod: &Pod) -> Option<UnixMs> {
    let deleted = pod.metadata.deletion_timestamp.as_deref().and_then(unix_ms)?;
    let condition = condition(pod, "DisruptionTarget")?;
    let lost = condition.reason.as_deref() == Some("DeletionByTaintManager");
    lost.then_some(deleted + LOST_AFTER_MS)
}

pub(super) fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a Condition> {
    pod.status.conditions.iter().find(|condition| condition.r#type == kind)
}

/// Its node, if it has one.
pub(super) fn node(pod: &Pod) -> Option<String> {
    pod.spec.node_name.clone()
}

/// Milliseconds since the epoch; nothing for the year 1970, which stands for "unknown".
fn unix_ms(text: &str) -> Option<UnixMs> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_millisecond()).filter(|ms| *ms > 0)
}

#[cfg(test)]
mod tests;
