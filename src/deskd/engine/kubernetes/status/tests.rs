//! States as a real cluster gave them (Kubernetes 1.34 and 1.36), shortened.

use serde_json::{Value, json};

use super::*;

const NOW: UnixMs = 1_795_500_000_000;

fn pod(status: Value) -> Pod {
    let image = "registry/2048:1";
    serde_json::from_value(json!({
        "metadata": { "name": "p" },
        "spec": {
            "nodeName": "n1",
            "containers": [{ "name": "app", "image": image }],
            "ephemeralContainers": [{ "name": "e", "image": image }],
        },
        "status": status,
    }))
    .unwrap()
}

fn app(phase: &str, state: &Value) -> Pod {
    pod(json!({ "phase": phase, "containerStatuses": [{ "name": "app", "state": state }] }))
}

/// Checks the sentence of a container that waits.
#[track_caller]
fn waits(pod: &Pod, expected: &str, is_stuck: bool) {
    match look(pod, "app", false, NOW).what {
        Some(Observation::Waiting(why)) => {
            let sentence = why.sentence();
            assert!(sentence.contains(expected), "{sentence}");
            assert_eq!(why.reason.is_stuck(), is_stuck, "{sentence}");
        }
        other => panic!("{expected}: {other:?}"),
    }
}

#[track_caller]
fn ends(pod: &Pod, exit: &Exit, expected: &str) {
    match look(pod, "app", false, NOW).what {
        Some(Observation::Ended { exit: seen, reason, .. }) => {
            assert_eq!(&seen, exit);
            let sentence = reason.as_ref().map(Ended::sentence).unwrap_or_default();
            assert!(sentence.contains(expected), "{reason:?}: {sentence}");
        }
        other => panic!("{exit:?}: {other:?}"),
    }
}

fn signal(number: i32, name: &str) -> Exit {
    Exit::Signal { number, name: name.to_owned(), core_dumped: false }
}

#[test]
fn each_reason_to_wait_has_a_sentence_that_names_the_thing() {
    let table = [
        ("ContainerCreating", "", "the node n1 prepares it", false),
        ("ErrImagePull", "pull access denied", "registry/2048:1 could not be pulled: pull", false),
        ("ImagePullBackOff", "Back-off pulling image", "tries again ever more rarely", true),
        ("InvalidImageName", "couldn't parse", "is not the name of an image", true),
        ("ErrImageNeverPull", "not present", "with pull policy Never", true),
        ("CreateContainerConfigError", "secret \"s\" not found", "secret \"s\" not found", true),
        ("CreateContainerError", "no space", "cannot start the container: no space", true),
        ("SomethingNew", "who knows", "(SomethingNew): who knows", false),
    ];
    for (reason, message, expected, stuck) in table {
        let state = json!({ "waiting": { "reason": reason, "message": message } });
        waits(&app("Pending", &state), expected, stuck);
    }
}

#[test]
fn a_pod_without_a_node_waits_for_the_scheduler() {
    let unbound = |conditions: Value| {
        let mut pod = pod(json!({ "phase": "Pending", "conditions": conditions }));
        pod.spec.node_name = None;
        pod
    };
    let said = |reason: &str| {
        unbound(json!([{ "type": "PodScheduled", "status": "False", "reason": reason,
            "message": "0/1 nodes are available: 1 Insufficient cpu." }]))
    };
    waits(&said("Unschedulable"), "no node can take it: not enough cpu is free", true);
    waits(&said("SchedulingGated"), "scheduling gate", true);
    waits(&unbound(json!([])), "waiting for the scheduler", false);
    waits(&pod(json!({ "phase": "Pending" })), "waiting for the node n1", false);
}

#[test]
fn a_running_container_is_running_whatever_the_phase_says() {
    let state = json!({ "running": { "startedAt": "2026-11-24T05:30:26Z" } });
    let seen = look(&app("Pending", &state), "app", false, NOW);
    assert!(seen.has_log);
    let at = 1_795_498_226_000;
    let expected = Observation::Running { at, pid: None, node: Some("n1".into()) };
    assert_eq!(seen.what, Some(expected));
}

#[test]
fn ends_are_codes_signals_or_reasons() {
    let end = |code: i32, reason: &str| {
        let end = json!({ "exitCode": code, "reason": reason,
            "startedAt": "2026-11-24T05:30:26Z", "finishedAt": "2026-11-24T05:30:28Z" });
        app("Running", &json!({ "terminated": end }))
    };
    ends(&end(0, "Completed"), &Exit::Code(0), "");
    ends(&end(7, "Error"), &Exit::Code(7), "");
    ends(&end(255, "Error"), &Exit::Code(255), "");
    ends(&end(143, "Error"), &signal(15, "SIGTERM"), "");
    ends(&end(139, "Error"), &signal(11, "SIGSEGV"), "");
    ends(&end(137, "OOMKilled"), &signal(9, "SIGKILL"), "it used more memory than its limit");
    ends(&end(5, "OOMKilled"), &Exit::Code(5), "a process of it was killed since it used more");
    let unknown = Exit::Lost(LostReason::Unseen);
    let mut lost = end(137, "ContainerStatusUnknown");
    lost.status.container_statuses[0].container_id = "containerd://a".into();
    ends(&lost, &unknown, "lost sight of it");
    let seen = look(&end(0, "Completed"), "app", false, NOW);
    assert!(seen.has_log);
    assert!(matches!(seen.what, Some(Observation::Ended { at: 1_795_498_228_000, .. })));
}

#[test]
fn a_program_that_cannot_be_started_never_ran_and_has_no_log() {
    let said = "failed to create containerd task: failed to create shim task: OCI runtime create \
                failed: runc create failed: unable to start container process: exec: \"/nope\": \
                stat /nope: no such file or directory: unknown";
    let end = json!({ "exitCode": 128, "reason": "StartError", "message": said,
        "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2026-11-24T05:30:28Z" });
    let sentence =
        "its program cannot be started: \"/nope\": stat /nope: no such file or directory";
    let reason = Ended { reason: EndReason::StartError, words: Some(said.into()) };
    let exit = Exit::Lost(LostReason::Ended(Box::new(reason)));
    let state = json!({ "terminated": end });
    ends(&app("Failed", &state), &exit, sentence);
    assert!(!look(&app("Failed", &state), "app", false, NOW).has_log);

    // As an ephemeral container: it waits for ever, the end is in `lastState`.
    let status = json!({ "name": "e", "state": { "waiting": { "reason": "RunContainerError" } },
        "lastState": { "terminated": end } });
    let pod = pod(json!({ "phase": "Running", "ephemeralContainerStatuses": [status] }));
    let seen = look(&pod, "e", true, NOW);
    assert!(matches!(seen.what, Some(Observation::Ended { exit: seen, .. }) if seen == exit));
    assert!(!seen.has_log);
}

#[test]
fn a_container_that_never_was_did_not_get_lost() {
    let end = json!({ "exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": null,
        "finishedAt": null, "message": "The container could not be located when the pod was terminated" });
    let mut pod = app("Failed", &json!({ "terminated": end }));
    pod.metadata.deletion_timestamp = Some("2026-11-24T06:00:00Z".into());
    let exit = Exit::Lost(LostReason::BeforeItRan);
    let seen = look(&pod, "app", false, NOW);
    assert_eq!(seen.what, Some(Observation::Ended { exit: exit.clone(), reason: None, at: NOW }));
    assert!(!seen.has_log);
    assert_eq!(seen.said, ClusterEvidence::default());
    pod.status.reason = Some("Evicted".into());
    ends(&pod, &exit, "the node n1 evicted its pod");
}

#[test]
fn what_is_stopped_while_an_init_container_prepares_it_was_stopped_before_it_ran() {
    let mut pod = app("Failed", &json!({ "waiting": { "reason": "PodInitializing" } }));
    let ended = json!([{ "name": "cookie", "state": { "terminated": { "exitCode": 143 } } }]);
    pod.status.init_container_statuses = serde_json::from_value(ended).unwrap();
    pod.metadata.deletion_timestamp = Some("2026-11-24T06:00:00Z".into());
    let exit = Exit::Lost(LostReason::BeforeItRan);
    let what = look(&pod, "app", false, NOW).what;
    assert_eq!(what, Some(Observation::Ended { exit, reason: None, at: NOW }));
}

#[test]
fn an_image_that_is_missing_is_named_also_when_it_is_that_of_a_volume() {
    let waiting = |reason: &str, message: &str| {
        let state = json!({ "waiting": { "reason": reason, "message": message } });
        let mut pod = app("Pending", &state);
        pod.spec.volumes = serde_json::from_value(json!([
            { "name": "other", "image": { "reference": "registry/other" } },
            { "name": "tools", "image": { "reference": "tools:1", "pullPolicy": "Never" } },
            { "name": "home", "emptyDir": {} },
        ]))
        .unwrap();
        let mounts =
            json!([{ "name": "home", "mountPath": "/h" }, { "name": "tools", "mountPath": "/t" }]);
        pod.spec.containers[0].volume_mounts = serde_json::from_value(mounts).unwrap();
        pod
    };
    let never = |image: &str| {
        let message =
            format!("Container image \"{image}\" is not present with pull policy of Never");
        waiting("ErrImageNeverPull", &message)
    };
    let of_volume = "the node n1 lacks the image tools:1 of its volume tools, and with pull policy Never it is not pulled";
    waits(&never("tools:1"), of_volume, true);
    waits(
        &never("registry/2048:1"),
        "the node n1 lacks the image registry/2048:1, and with pull",
        true,
    );
    // Of a volume that this container does not mount.
    waits(
        &never("registry/other"),
        "the node n1 lacks the image registry/2048:1, and with pull",
        true,
    );
    let written_out = "failed to pull and unpack image \"docker.io/library/tools:1\": not found";
    waits(
        &waiting("ErrImagePull", written_out),
        "the image tools:1 of its volume tools could not be pulled: failed to pull",
        false,
    );
    let back_off = "Back-off pulling image \"tools:1\": ErrImagePull: not found";
    waits(
        &waiting("ImagePullBackOff", back_off),
        "tools:1 of its volume tools cannot be pulled",
        true,
    );
    let mount =
        "failed to mount image volume: ImageVolumeMountFailed: failed to ensure image subpath";
    waits(
        &waiting("CreateContainerError", mount),
        "an image, one of its volumes, cannot be mounted on the node n1: failed to mount image volume",
        true,
    );
}

#[test]
fn what_happens_to_the_pod_is_the_cause() {
    let failed = |reason: &str, message: &str| {
        pod(json!({ "phase": "Failed", "reason": reason, "message": message }))
    };
    let table = [
        ("Evicted", "The node was low on resource: memory.", "the node n1 evicted its pod: The"),
        (
            "DeadlineExceeded",
            "Pod was active on the node longer",
            "longer than its label io.deskd.deadline",
        ),
        ("NodeLost", "Node n1 which was running pod", "the node n1 does not answer"),
        ("OutOfnvidia.com/gpu", "Node didn't have", "not enough nvidia.com/gpu for its pod"),
        ("NodeShutdown", "Pod was terminated", "the node n1 shut down"),
        ("Preempting", "Preempted in order to admit", "make room on the node n1"),
        ("Novel", "told so", "its pod ended (Novel): told so"),
    ];
    for (reason, message, expected) in table {
        match look(&failed(reason, message), "app", false, NOW).what {
            Some(Observation::Ended { exit: Exit::Lost(why), .. }) => {
                let sentence = why.sentence();
                assert!(sentence.contains(expected), "{sentence}");
            }
            other => panic!("{reason}: {other:?}"),
        }
    }
    let mut deadline = app("Failed", &json!({ "terminated": { "exitCode": 137 } }));
    deadline.status.reason = Some("DeadlineExceeded".into());
    ends(&deadline, &signal(9, "SIGKILL"), "longer than its label io.deskd.deadline");
}

#[test]
fn a_pod_on_a_lost_node_ends_after_its_grace() {
    let mut lost = app("Running", &json!({ "running": {} }));
    lost.metadata.deletion_timestamp = Some("2026-11-24T06:00:00Z".into());
    lost.status.conditions = vec![Condition {
        r#type: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("DeletionByTaintManager".into()),
        message: None,
    }];
    let before = look(&lost, "app", false, NOW);
    assert!(matches!(before.what, Some(Observation::Running { .. })));
    let at = before.look_again_at.unwrap();
    assert_eq!(at, NOW + LOST_AFTER_MS);
    let after = look(&lost, "app", false, at).what;
    assert!(matches!(after, Some(Observation::Ended { exit: Exit::Lost(_), .. })));
}

#[test]
fn of_a_deleted_pod_only_an_end_or_a_cause_is_told() {
    let running = app("Running", &json!({ "running": {} }));
    assert_eq!(last_look(&running, "app", NOW), None);
    let mut preempted = running;
    preempted.status.conditions = vec![Condition {
        r#type: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("PreemptionByScheduler".into()),
        message: Some("by q".into()),
    }];
    let Some(Observation::Ended { reason: Some(ended), .. }) = last_look(&preempted, "app", NOW)
    else {
        panic!("an end");
    };
    let reason = EndReason::PreemptedByScheduler;
    assert_eq!(ended, Ended { reason, words: Some("by q".into()) });
}

#[test]
fn a_container_nobody_spoke_of_yet_waits_for_its_node() {
    let pod = pod(json!({ "phase": "Running" }));
    let seen = look(&pod, "e", true, NOW);
    assert!(matches!(seen.what, Some(Observation::Waiting(_))), "{seen:?}");
}

#[test]
fn what_keeps_an_init_container_from_its_work_is_told() {
    let with = |phase: &str, state: &serde_json::Value| {
        let waiting = json!({ "waiting": { "reason": "PodInitializing" } });
        let mut pod = app(phase, &waiting);
        pod.spec.init_containers = serde_json::from_value(json!([
            { "name": "cookie", "image": "registry/deskd:1" },
        ]))
        .unwrap();
        pod.status.init_container_statuses =
            serde_json::from_value(json!([{ "name": "cookie", "state": state }])).unwrap();
        pod
    };
    let waiting = |reason: &str| with("Pending", &json!({ "waiting": { "reason": reason } }));
    waits(&waiting("PodInitializing"), "the node n1 prepares it: the image registry/2048:1", false);
    let none = waiting("ImagePullBackOff");
    waits(&none, "the image registry/deskd:1 cannot be pulled", true);
    waits(&none, "check `image` in [kubernetes]", true);
    waits(&with("Pending", &json!({ "running": {} })), "the node n1 prepares it", false);
    let failed = with("Failed", &json!({ "terminated": { "exitCode": 2 } }));
    let Some(Observation::Ended { reason: Some(ended), .. }) =
        look(&failed, "app", false, NOW).what
    else {
        panic!()
    };
    let cause = ended.sentence();
    assert!(cause.contains("the container `cookie` that prepares it failed"), "{cause}");
    assert!(cause.contains("it ended with exit code 2; see `kubectl logs"), "{cause}");
    let absent = with(
        "Failed",
        &json!({ "terminated": { "exitCode": 128, "reason": "StartError",
            "message": "exec: \"/deskd\": stat /deskd: no such file or directory: unknown" } }),
    );
    let what = look(&absent, "app", false, NOW).what;
    assert!(format!("{what:?}").contains("stat /deskd: no such file"), "{what:?}");
}
