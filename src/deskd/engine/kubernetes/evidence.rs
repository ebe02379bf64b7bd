//! What a pod says about one of its containers, in the cluster's own words: evidence for a
//! diagnosis. Pure; the sentences for people are made in `status` and `waiting`.

use super::objects::Pod;
use super::status::{condition, never_made, statuses, terminated};
use deskd_core::why::evidence::ClusterEvidence;

/// Reasons to wait that every container has for a while.
const ORDINARY: [&str; 3] = ["", "ContainerCreating", "PodInitializing"];

/// What is said of the container called `name` of `pod`, without events.
#[must_use]
pub fn said(pod: &Pod, name: &str, ephemeral: bool) -> ClusterEvidence {
    let status = statuses(pod, ephemeral).iter().find(|status| status.name == name);
    // That it could not be found says nothing of one that never was.
    let made = status.filter(|status| !never_made(status));
    let ended = made.and_then(terminated).map(|end| (end.reason.clone(), end.message.clone()));
    let waiting = status.and_then(|status| status.state.waiting.as_ref());
    let waiting = waiting.filter(|waiting| !ORDINARY.contains(&waiting.reason.as_str()));
    let waiting = waiting.map(|waiting| (Some(waiting.reason.clone()), waiting.message.clone()));
    let (container_reason, container_message) = ended.or(waiting).unwrap_or_default();
    let disruption = condition(pod, "DisruptionTarget").filter(|found| found.status == "True");
    let of_disruption = |field: fn(&super::objects::Condition) -> &Option<String>| {
        disruption.and_then(|condition| field(condition).clone())
    };
    let resize = condition(pod, "PodResizePending").filter(|found| found.status == "True");
    let resize = resize.map(|condition| {
        let words = [&condition.reason, &condition.message].map(|word| word.as_deref());
        words.into_iter().flatten().collect::<Vec<_>>().join(": ")
    });
    let unscheduled = condition(pod, "PodScheduled").filter(|found| found.status == "False");
    ClusterEvidence {
        container_reason,
        container_message,
        pod_reason: pod.status.reason.clone().or_else(|| of_disruption(|c| &c.reason)),
        pod_message: pod.status.message.clone().or_else(|| of_disruption(|c| &c.message)),
        unscheduled: unscheduled.and_then(|condition| condition.message.clone()),
        resize,
        ..ClusterEvidence::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({ "spec": { "nodeName": "n1" }, "status": status })).unwrap()
    }

    fn app(state: serde_json::Value) -> ClusterEvidence {
        let status = json!({ "containerStatuses": [{ "name": "app", "state": state }] });
        said(&pod(status), "app", false)
    }

    #[test]
    fn the_words_are_the_cluster_s_own() {
        let pull = json!({ "waiting": { "reason": "ErrImagePull", "message": "not found" } });
        let found = app(pull);
        assert_eq!(found.container_reason.as_deref(), Some("ErrImagePull"));
        assert_eq!(found.container_message.as_deref(), Some("not found"));
        let killed = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
        assert_eq!(app(killed).container_reason.as_deref(), Some("OOMKilled"));
        let creating = json!({ "waiting": { "reason": "ContainerCreating" } });
        assert_eq!(app(creating), ClusterEvidence::default());
        assert_eq!(app(json!({ "running": {} })), ClusterEvidence::default());
    }

    #[test]
    fn a_pod_s_reason_is_its_own_or_that_of_its_disruption() {
        let evicted = pod(json!({ "reason": "Evicted", "message": "low on memory" }));
        let found = said(&evicted, "app", false);
        assert_eq!(found.pod_reason.as_deref(), Some("Evicted"));
        assert_eq!(found.pod_message.as_deref(), Some("low on memory"));
        let target = json!({ "type": "DisruptionTarget", "status": "True",
            "reason": "PreemptionByScheduler", "message": "preempted" });
        let preempted = said(&pod(json!({ "conditions": [target] })), "app", false);
        assert_eq!(preempted.pod_reason.as_deref(), Some("PreemptionByScheduler"));
    }

    #[test]
    fn a_resize_that_does_not_come_about_is_told_with_its_reason() {
        let message =
            "Node didn't have enough resource: cpu, requested: 1950, used: 200, capacity: 2000";
        let pending = json!({ "type": "PodResizePending", "status": "True",
            "reason": "Deferred", "message": message });
        let found = said(&pod(json!({ "conditions": [pending] })), "app", false);
        assert_eq!(found.resize, Some(format!("Deferred: {message}")));
        assert_eq!(found.pod_reason, None);
    }

    #[test]
    fn of_a_container_that_was_never_made_it_says_nothing_that_it_could_not_be_found() {
        let end = json!({ "terminated": { "exitCode": 137, "reason": "ContainerStatusUnknown",
            "message": "The container could not be located when the pod was terminated" } });
        assert_eq!(app(end.clone()), ClusterEvidence::default());
        let made = json!({ "containerStatuses": [
            { "name": "app", "state": end, "containerID": "containerd://a" },
        ] });
        let found = said(&pod(made), "app", false);
        assert_eq!(found.container_reason.as_deref(), Some("ContainerStatusUnknown"));
    }

    #[test]
    fn the_scheduler_s_words_count_while_there_is_no_node() {
        let condition = |status: &str| {
            let message = "0/1 nodes are available: 1 Insufficient cpu.";
            let condition = json!({ "type": "PodScheduled", "status": status, "message": message });
            said(&pod(json!({ "conditions": [condition] })), "app", false).unscheduled
        };
        assert!(condition("False").unwrap().contains("Insufficient cpu"));
        assert_eq!(condition("True"), None);
    }
}
