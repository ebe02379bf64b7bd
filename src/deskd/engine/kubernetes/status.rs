//! From a pod as the API gives it to what became of a run. Pure.
//!
//! The states of containers come first: a container's end is seen while the pod's phase still says
//! `Pending` or `Running` (measured). What only the pod knows (evicted, deadline, node lost) is
//! read after.

use nix::sys::signal::Signal;

use super::Observation;
use super::objects::{Condition, Container, ContainerStatus, Pod, State, Terminated};
use super::{evidence, waiting};
use deskd_core::task::{Exit, UnixMs};
use deskd_core::why::evidence::ClusterEvidence;

/// What kubelet gives as the exit code of a container whose program it could not start.
const START_ERROR_CODE: i32 = 128;
/// Highest signal number; a container killed by signal n has exit code 128 + n.
const SIGNAL_MAX: i32 = 64;
/// What became of a container that was never made, of a pod that is over.
pub(super) const BEFORE_IT_RAN: &str = "it was stopped before it ran";
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
        waiting::sentence(pod, name, ephemeral, waiting)
            .map(|(why, stuck)| Observation::Waiting { why, stuck })
    };
    let waits = matches!(what, Some(Observation::Waiting { stuck: false, .. }));
    let is_prepared = waits && pod.spec.node_name.is_some();
    Seen { what, has_log, is_prepared, look_again_at, said, program }
}

/// What a deleted pod was last seen as; nothing when that does not tell how its container ended.
#[must_use]
pub fn last_look(pod: &Pod, name: &str, now: UnixMs) -> Option<Observation> {
    let seen = look(pod, name, false, now);
    match seen.what {
        Some(Observation::Ended { .. }) => seen.what,
        _ if pod_cause(pod).is_some() => Some(pod_ended(pod, now)),
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
    let exit = Exit::Reason(BEFORE_IT_RAN.to_owned());
    Observation::Ended { exit, cause: pod_cause(pod), at }
}

fn end_of(end: &Terminated, now: UnixMs) -> UnixMs {
    end.finished_at.as_deref().and_then(unix_ms).unwrap_or(now)
}

fn ended(pod: &Pod, end: &Terminated, now: UnixMs) -> Observation {
    let at = end_of(end, now);
    if never_started(end) {
        let why = start_error(end);
        return Observation::Ended { exit: Exit::Reason(why.clone()), cause: Some(why), at };
    }
    let cause = match end.reason.as_deref() {
        Some("OOMKilled") if end.exit_code == START_ERROR_CODE + 9 => Some(
            "it used more memory than its limit and was killed (OOMKilled); give it an execute \
             class with a higher memory limit"
                .to_owned(),
        ),
        Some("OOMKilled") => Some(
            "a process of it was killed since it used more memory than its limit (OOMKilled); \
             give it an execute class with a higher memory limit"
                .to_owned(),
        ),
        Some("ContainerStatusUnknown") => Some(format!(
            "the node {} lost sight of it and cannot tell how it ended",
            node_name(pod)
        )),
        _ => pod_cause(pod),
    };
    let exit = match end.reason.as_deref() {
        Some("ContainerStatusUnknown") => Exit::Reason("nobody saw how it ended".to_owned()),
        _ => exit(end.exit_code),
    };
    Observation::Ended { exit, cause, at }
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

fn start_error(end: &Terminated) -> String {
    let said = end.message.as_deref().unwrap_or("the container's program could not be started");
    // `failed to create containerd task: ... exec: "/nope": stat /nope: no such file or directory: unknown`
    let tail = said.rfind("exec: ").map_or(said, |at| &said[at + "exec: ".len()..]);
    let tail = tail.trim_end().trim_end_matches(": unknown");
    format!("its program cannot be started: {tail}")
}

/// The pod is over and its container's status does not tell how.
fn pod_ended(pod: &Pod, now: UnixMs) -> Observation {
    let cause = pod_cause(pod).unwrap_or_else(|| {
        let word = pod.status.reason.as_deref().unwrap_or(&pod.status.phase);
        let said = pod.status.message.as_deref().unwrap_or("no reason was given");
        format!("its pod ended ({word}): {said}")
    });
    Observation::Ended { exit: Exit::Reason(cause.clone()), cause: Some(cause), at: now }
}

/// What happened to the pod as a whole.
fn pod_cause(pod: &Pod) -> Option<String> {
    let status = &pod.status;
    let said = status.message.as_deref().unwrap_or_default();
    let node = node_name(pod);
    let cause = match status.reason.as_deref() {
        Some("Evicted") => format!("the node {node} evicted its pod: {said}"),
        Some("DeadlineExceeded") => {
            "it ran longer than its deadline (label io.deskd.deadline) and was ended".to_owned()
        }
        Some("NodeLost") => lost(node),
        Some("Preempting" | "Preempted") => {
            format!("its pod had to make room on the node {node} for a more important one")
        }
        Some("NodeShutdown" | "Terminated" | "Shutdown") => {
            format!("the node {node} shut down: {said}")
        }
        Some("NodeAffinity" | "UnexpectedAdmissionError") => {
            format!("the node {node} did not take its pod: {said}")
        }
        Some(word) if word.starts_with("OutOf") => {
            let resource = &word["OutOf".len()..];
            format!("the node {node} has not enough {resource} for its pod: {said}")
        }
        _ => disruption(pod).or_else(|| init_failed(pod))?,
    };
    Some(cause.trim_end_matches([' ', ':']).to_owned())
}

/// An init container ended otherwise than well: nothing after it is started. One that was ended with
/// its pod has not failed.
fn init_failed(pod: &Pod) -> Option<String> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let of = |status: &ContainerStatus| {
        let end = status.state.terminated.as_ref().filter(|end| end.exit_code != 0)?;
        let how = match never_started(end) {
            true => start_error(end),
            false => format!("it ended with exit code {}", end.exit_code),
        };
        let name = &status.name;
        Some(format!(
            "it was not started, since the container `{name}` that prepares it failed: {how}; see \
             `kubectl logs {} -c {name}`{}",
            pod.metadata.name,
            waiting::hint(name)
        ))
    };
    pod.status.init_container_statuses.iter().find_map(of)
}

/// The condition `DisruptionTarget`: somebody other than deskd wants the pod gone.
fn disruption(pod: &Pod) -> Option<String> {
    let condition = condition(pod, "DisruptionTarget").filter(|found| found.status == "True")?;
    let said = condition.message.as_deref().unwrap_or_default();
    let node = node_name(pod);
    Some(match condition.reason.as_deref().unwrap_or_default() {
        "PreemptionByScheduler" => {
            format!("the scheduler ended its pod to make room for a more important one: {said}")
        }
        "DeletionByTaintManager" => lost(node),
        "DeletionByPodGC" => format!("the node {node} does not exist any more"),
        "EvictionByEvictionAPI" => format!("its pod was moved away from the node {node}: {said}"),
        "TerminationByKubelet" => format!("the node {node} ended its pod: {said}"),
        other => format!("its pod was ended ({other}): {said}"),
    })
}

fn lost(node: &str) -> String {
    format!("the node {node} does not answer any more, or no longer takes this pod")
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

pub(super) fn node_name(pod: &Pod) -> &str {
    pod.spec.node_name.as_deref().unwrap_or("it was on")
}

/// Milliseconds since the epoch; nothing for the year 1970, which stands for "unknown".
fn unix_ms(text: &str) -> Option<UnixMs> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(time.as_millisecond()).filter(|ms| *ms > 0)
}

#[cfg(test)]
mod tests;
