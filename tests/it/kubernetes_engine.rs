//! The Kubernetes engine on a real API server. There is no kubelet: what it would report, the tests
//! write into pods' statuses.

use std::time::Duration;

use deskd::engine::kubernetes::{Command, Event, LogMark, Observation, RefusalCode, Verb};
use deskd_core::id::AppId;
use deskd_core::origin::Origin;
use deskd_core::plan::EngineKind;
use deskd_core::plan::facts::ApiState;
use deskd_core::task::{Exit, StopStepKind};
use deskd_core::why::reason::{EndReason, WaitReason};
use deskd_core::wire::ToKeeper;
use serde_json::{Value, json};

use crate::support::control_plane::{ControlPlane, Namespace, available};
use crate::support::kube_engine::{DESKTOP, KubeEngine, SOON, make_desktop, run};
use crate::support::swallow::Swallow;
use crate::support::wait;

fn plane() -> Option<&'static ControlPlane> {
    available().then(ControlPlane::shared)
}

fn set_status(namespace: &Namespace<'_>, pod: &str, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    namespace.kubectl(&["patch", "pod", pod, "--subresource=status", "--patch", &patch]);
}

fn app_state(state: &Value) -> Value {
    let status = json!({ "name": "app", "state": state, "ready": true, "restartCount": 0,
        "image": "example.org/game:1", "imageID": "" });
    json!({ "phase": "Running", "containerStatuses": [status] })
}

fn is_running(what: &Observation) -> bool {
    matches!(what, Observation::Running { .. })
}

/// Of which app the pods are.
fn pod_app() -> AppId {
    AppId::like("game")
}

/// What the containers of a pod are called.
fn ephemeral_containers(namespace: &Namespace<'_>) -> Vec<String> {
    let pod = namespace.kubectl_json(&["get", "pod", DESKTOP]);
    let containers = pod["spec"]["ephemeralContainers"].as_array().cloned().unwrap_or_default();
    containers
        .iter()
        .filter_map(|container| container["name"].as_str())
        .map(str::to_owned)
        .collect()
}

fn app_pods(namespace: &Namespace<'_>) -> usize {
    let pods = namespace.kubectl_json(&["get", "pods", "--selector", "type=pod_application"]);
    pods["items"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_pod_is_one_write_and_is_followed_to_its_end_without_a_list() {
    let Some(plane) = plane() else { return };
    follow_a_pod(plane);
}

pub(crate) fn follow_a_pod(plane: &'static ControlPlane) {
    let namespace = plane.namespace("pod");
    let engine =
        KubeEngine::start(&plane.admin_kubeconfig(), &namespace, &make_desktop(&namespace));
    assert!(engine.until_synced(EngineKind::PodApplication).is_empty());
    engine.until_synced(EngineKind::EphemeralContainer);
    let lists = engine.calls().total(Verb::List, "pods");
    let game = run("game-0a1b2");

    let object = engine.launch_pod(&game, |_| {});
    engine.until_accepted(&game);
    engine.until_observed(
        &game,
        "it waits",
        |what| matches!(what, Observation::Waiting(why) if why.reason == WaitReason::Scheduler),
    );
    set_status(&namespace, &object.pod, &app_state(&json!({ "running": {} })));
    engine.until_observed(&game, "it runs", is_running);
    set_status(
        &namespace,
        &object.pod,
        &app_state(&json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } })),
    );
    let end = engine.until_observed(&game, "it ended", |w| matches!(w, Observation::Ended { .. }));

    let Observation::Ended { exit: Exit::Signal { number: 9, .. }, reason: Some(reason), .. } = end
    else {
        panic!("{end:?}")
    };
    assert_eq!(reason.reason, EndReason::OomKilled);
    assert_eq!(engine.calls().total(Verb::Create, "pods"), 1);
    assert_eq!(engine.calls().total(Verb::List, "pods"), lists);
    let pod = namespace.kubectl_json(&["get", "pod", &object.pod]);
    let labels = &pod["metadata"]["labels"];
    assert_eq!(
        (&labels["deskd.io/task"], &labels["deskd.io/run"]),
        (&json!("game-0a1b2"), &json!("1"))
    );

    // Removed: the pod goes, and nothing more is told of it.
    engine.tell(Command::Forget { run: game, output: true });
    wait::until("the pod is deleted", || (app_pods(&namespace) == 0).then_some(()));
}

#[test]
fn ten_launches_at_once_are_few_patches_and_one_container_each() {
    let Some(plane) = plane() else { return };
    launch_ten(plane);
}

pub(crate) fn launch_ten(plane: &'static ControlPlane) {
    let namespace = plane.namespace("batch");
    let engine =
        KubeEngine::start(&plane.admin_kubeconfig(), &namespace, &make_desktop(&namespace));
    engine.until_synced(EngineKind::EphemeralContainer);
    engine.until_synced(EngineKind::PodApplication);
    let lists = engine.calls().total(Verb::List, "pods");
    let runs: Vec<_> = (0..10).map(|number| run(&format!("game-0000{number}"))).collect();

    for game in &runs {
        engine.launch_ephemeral(game);
    }
    runs.iter().for_each(|game| engine.until_accepted(game));

    let patches = engine.calls().total(Verb::Patch, "pods/ephemeralcontainers");
    assert!(patches <= 3, "{patches} patches for ten launches");
    assert_eq!(engine.calls().total(Verb::List, "pods"), lists);
    assert_eq!(ephemeral_containers(&namespace).len(), 10);
    let facts = engine.until_facts("the entries are counted", |facts| {
        facts.own_pod.as_ref().is_some_and(|pod| pod.ephemeral_used == 10)
    });
    let own = facts.own_pod.expect("its own pod");
    assert_eq!(own.target_container.as_deref(), Some("deskd"));
    assert!(own.object_bytes > 2000, "{}", own.object_bytes);

    // Another daemon asks for the same again, not knowing that it was answered.
    let again = KubeEngine::start(
        &plane.admin_kubeconfig(),
        &namespace,
        &namespace.kubectl_json(&["get", "pod", DESKTOP]),
    );
    for game in &runs {
        again.launch_ephemeral(game);
    }
    runs.iter().for_each(|game| again.until_accepted(game));
    assert_eq!(ephemeral_containers(&namespace).len(), 10);
}

#[test]
fn one_that_is_refused_does_not_take_the_others_of_its_patch_with_it() {
    let Some(plane) = plane() else { return };
    let namespace = plane.namespace("guilty");
    let engine =
        KubeEngine::start(&plane.admin_kubeconfig(), &namespace, &make_desktop(&namespace));
    engine.until_synced(EngineKind::EphemeralContainer);
    let runs: Vec<_> = (0..4).map(|number| run(&format!("game-0000{number}"))).collect();

    for game in &runs[..2] {
        engine.launch_ephemeral(game);
    }
    let bad = run("game-bad00");
    engine.launch_ephemeral_with(&bad, |plan| plan.container.image = String::new());
    for game in &runs[2..] {
        engine.launch_ephemeral(game);
    }

    runs.iter().for_each(|game| engine.until_accepted(game));
    let refusal = engine.until_refused(&bad);
    assert_eq!(refusal.code(), RefusalCode::Invalid, "{refusal:?}");
    assert!(refusal.sentence().contains("image"), "{refusal}");
    assert_eq!(ephemeral_containers(&namespace).len(), 4);
}

#[test]
fn a_lost_answer_makes_no_second_object() {
    let Some(plane) = plane() else { return };
    let namespace = plane.namespace("lost");
    let desktop = make_desktop(&namespace);
    let way = Swallow::before(&plane.url());
    let config = way.kubeconfig(&plane.admin_kubeconfig());
    let engine = KubeEngine::start(&config, &namespace, &desktop);
    engine.until_synced(EngineKind::PodApplication);
    engine.until_synced(EngineKind::EphemeralContainer);
    engine.until_facts("rights are known", |facts| !facts.rights.is_empty());
    let (pod, ephemeral) = (run("game-00001"), run("game-00002"));

    // Answers are swallowed from now on; requests on open connections arrive.
    way.swallow(true);
    engine.launch_pod(&pod, |_| {});
    wait::until("the pod is made", || (app_pods(&namespace) == 1).then_some(()));
    engine.until_observed(&pod, "it says what it waits for", |what| {
        matches!(what, Observation::Waiting(why) if why.sentence().contains("cannot create the pod"))
    });
    way.swallow(false);
    engine.until_accepted(&pod);
    assert_eq!(app_pods(&namespace), 1);
    assert!(engine.calls().total(Verb::Create, "pods") >= 2, "it was asked for twice");

    engine.until_facts("the API answers again", |facts| facts.api == ApiState::Answers);
    engine.launch_ephemeral(&ephemeral);
    engine.until_accepted(&ephemeral);
    assert_eq!(ephemeral_containers(&namespace).len(), 1);
}

#[test]
fn an_api_server_that_is_away_only_delays() {
    if !available() {
        return;
    }
    let plane = ControlPlane::start();
    let namespace = plane.namespace("away");
    let desktop = make_desktop(&namespace);
    plane.stop_api_server();
    let engine = KubeEngine::start(&plane.admin_kubeconfig(), &namespace, &desktop);
    let away = engine.until_facts("it is away", |facts| matches!(facts.api, ApiState::Away(_)));
    let ApiState::Away(sentence) = away.api else { unreachable!() };
    assert!(sentence.contains("cannot be reached"), "{sentence}");
    let (game, stopped, pod) = (run("game-00001"), run("game-00002"), run("game-00003"));

    engine.launch_ephemeral(&game);
    engine.launch_ephemeral(&stopped);
    let object = engine.launch_pod(&pod, |_| {});
    engine.until_observed(&stopped, "it waits", |what| {
        matches!(what, Observation::Waiting(why) if why.sentence().contains("cannot be reached"))
    });
    engine.tell(Command::Stop { run: stopped.clone(), term_after: SOON, kill_after: SOON });
    assert_eq!(engine.until_refused(&stopped).code(), RefusalCode::Stopped);
    plane.start_api_server();

    engine.until_accepted(&game);
    engine.until_accepted(&pod);
    engine.until_facts("it answers", |facts| facts.api == ApiState::Answers);
    assert_eq!(ephemeral_containers(&namespace).len(), 1);

    // Versions from before a restart are too old (410 Gone) once others have changed something.
    engine.until_synced(EngineKind::PodApplication);
    namespace
        .apply(&json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" } }));
    let lists = engine.calls().total(Verb::List, "pods");
    plane.restart();
    set_status(&namespace, &object.pod, &app_state(&json!({ "running": {} })));
    engine.until_observed(&pod, "it runs", is_running);
    let again = || (engine.calls().total(Verb::List, "pods") > lists).then_some(());
    wait::until("its version is too old and everything is told again", again);
    assert_eq!(app_pods(&namespace), 1);
}

#[test]
fn a_missing_right_disables_one_engine_with_a_sentence() {
    let Some(plane) = plane() else { return };
    let namespace = plane.namespace("rights");
    let desktop = make_desktop(&namespace);
    namespace.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "r" },
        "rules": [
            { "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"] },
            { "apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["patch"] },
            { "apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"] },
        ],
    }));
    namespace.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "r" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r" },
        "subjects": [{ "kind": "ServiceAccount", "name": "default", "namespace": namespace.name }],
    }));
    let config = plane.kubeconfig_for_service_account(&namespace.name, "default", Some(DESKTOP));
    let engine = KubeEngine::start(&config, &namespace, &desktop);

    let facts = engine.until_facts("rights are known", |facts| !facts.rights.is_empty());
    let missing: Vec<_> = facts
        .rights
        .iter()
        .filter(|right| !right.allowed && right.engine.is_some())
        .map(|right| format!("{} {}", right.verb, right.resource))
        .collect();
    assert_eq!(missing, ["create pods", "delete pods"]);
    let create = facts.rights.iter().find(|right| right.verb == "create").unwrap();
    assert!(create.sentence.contains("cannot get pods of their own"), "{}", create.sentence);

    let (pod, ephemeral) = (run("game-00001"), run("game-00002"));
    engine.launch_pod(&pod, |_| {});
    let refusal = engine.until_refused(&pod);
    assert_eq!(refusal.code(), RefusalCode::Forbidden, "{refusal:?}");
    assert!(refusal.sentence().contains("container/base/rbac.yaml"), "{refusal}");
    engine.launch_ephemeral(&ephemeral);
    engine.until_accepted(&ephemeral);
}

#[test]
fn refusals_of_the_real_server_are_told_in_sentences() {
    let Some(plane) = plane() else { return };
    let namespace = plane.namespace("refusals");
    let engine =
        KubeEngine::start(&plane.admin_kubeconfig(), &namespace, &make_desktop(&namespace));
    let invalid = run("game-00001");
    engine.launch_pod(&invalid, |plan| {
        plan.limits.insert("memory".into(), "much".into());
    });
    let refusal = engine.until_refused(&invalid);
    assert_eq!(refusal.code(), RefusalCode::Invalid, "{refusal:?}");

    namespace.apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "cap" },
        "spec": { "hard": { "limits.memory": "1Gi" } },
    }));
    namespace.until("the quota counts", "resourcequota", "cap", |quota| {
        quota["status"]["hard"]["limits.memory"] == "1Gi"
    });
    let large = run("game-00002");
    engine.launch_pod(&large, |plan| {
        plan.limits.insert("memory".into(), "2Gi".into());
    });
    let refusal = engine.until_refused(&large);
    assert_eq!(refusal.code(), RefusalCode::Quota, "{refusal:?}");
    assert!(refusal.sentence().contains("exceeded quota: cap"), "{refusal}");
    let facts = engine.until_facts("the quota is known", |facts| !facts.quotas.is_empty());
    assert_eq!((&*facts.quotas[0].resource, &*facts.quotas[0].hard), ("limits.memory", "1Gi"));

    namespace.kubectl(&["delete", "resourcequota", "cap"]);
    namespace.kubectl(&["delete", "pod", DESKTOP, "--grace-period=0", "--force"]);
    let nowhere = run("game-00003");
    engine.launch_ephemeral(&nowhere);
    assert_eq!(engine.until_refused(&nowhere).code(), RefusalCode::NotFound);
}

#[test]
fn what_the_engine_creates_satisfies_pod_security_restricted() {
    let Some(plane) = plane() else { return };
    let namespace = plane.namespace("restricted");
    let desktop = make_desktop(&namespace);
    let level = "pod-security.kubernetes.io/enforce=restricted";
    plane.kubectl(&["label", "namespace", &namespace.name, level]);
    let engine = KubeEngine::start(&plane.admin_kubeconfig(), &namespace, &desktop);

    let pod = run("game-00001");
    engine.launch_pod(&pod, |_| {});
    engine.until_accepted(&pod);

    // The desktop pod itself is not restricted here, so that the check of the whole pod refuses.
    let ephemeral = run("game-00002");
    engine.launch_ephemeral(&ephemeral);
    let refusal = engine.until_refused(&ephemeral);
    assert_eq!(refusal.code(), RefusalCode::Admission, "{refusal:?}");
    assert!(refusal.sentence().contains("Pod Security level \"restricted:latest\""), "{refusal}");
    assert!(!refusal.sentence().contains("game"), "only the desktop's own containers: {refusal}");
}

#[test]
fn a_stop_deletes_the_pod_with_its_grace_and_can_be_hastened() {
    let Some(plane) = plane() else { return };
    stop(plane);
}

pub(crate) fn stop(plane: &'static ControlPlane) {
    let namespace = plane.namespace("stop");
    let engine =
        KubeEngine::start(&plane.admin_kubeconfig(), &namespace, &make_desktop(&namespace));
    let game = run("game-00001");
    let object = engine.launch_pod(&game, |_| {});
    engine.until_accepted(&game);
    // A pod that is bound to a node stays until kubelet has ended it.
    let name = object.pod.as_str();
    let binding = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
        "target": { "apiVersion": "v1", "kind": "Node", "name": "nowhere" } });
    let path = format!("/api/v1/namespaces/{}/pods/{name}/binding", namespace.name);
    let create = ["create", "--raw", &path, "--filename", "-"];
    let made = plane.kubectl_input(&plane.admin_kubeconfig(), &create, &binding.to_string());
    made.expect("a binding");
    set_status(&namespace, name, &app_state(&json!({ "running": {} })));
    engine.until_observed(&game, "it runs", is_running);

    let kill_after = Duration::from_secs(40);
    engine.tell(Command::Stop { run: game.clone(), term_after: SOON, kill_after });
    let grace = || {
        let pod = namespace.kubectl_json(&["get", "pod", name]);
        pod["metadata"]["deletionGracePeriodSeconds"].as_u64()
    };
    assert_eq!(wait::until("it is being deleted", grace), 40);
    let step = engine.until("the step is told", |event| match event {
        Event::StopStep { step, .. } => Some(step.clone()),
        _ => None,
    });
    assert_eq!(step.step, StopStepKind::Term);
    assert!(step.detail.contains("SIGKILL after 40 s"), "{}", step.detail);

    let kill_after = Duration::ZERO;
    engine.tell(Command::Stop { run: game.clone(), term_after: Duration::ZERO, kill_after });
    wait::until("it has less time", || (grace() == Some(1)).then_some(()));

    set_status(&namespace, name, &app_state(&json!({ "terminated": { "exitCode": 143 } })));
    engine.until_observed(&game, "it ended by SIGTERM", |what| {
        matches!(what, Observation::Ended { exit: Exit::Signal { number: 15, .. }, .. })
    });
}

#[test]
fn a_new_daemon_finds_everything_and_what_vanished_is_gone() {
    let Some(plane) = plane() else { return };
    adopt(plane);
}

pub(crate) fn adopt(plane: &'static ControlPlane) {
    let namespace = plane.namespace("adopt");
    let desktop = make_desktop(&namespace);
    let (pod, lost, ephemeral) = (run("game-00001"), run("game-00002"), run("game-00003"));
    let objects = {
        let first = KubeEngine::start(&plane.admin_kubeconfig(), &namespace, &desktop);
        let objects = [first.launch_pod(&pod, |_| {}), first.launch_pod(&lost, |_| {})];
        first.launch_ephemeral(&ephemeral);
        [&pod, &lost, &ephemeral].iter().for_each(|game| first.until_accepted(game));
        objects
    };

    let second = KubeEngine::start(&plane.admin_kubeconfig(), &namespace, &desktop);
    let present = second.until_synced(EngineKind::PodApplication);
    assert_eq!(present, [pod.clone(), lost.clone()].into());
    assert_eq!(second.until_synced(EngineKind::EphemeralContainer), [ephemeral].into());
    let engine = EngineKind::PodApplication;
    let (log, stopping) = (LogMark::default(), None);
    let object = objects[0].clone();
    let (app, origin) = (pod_app(), Origin::Deskd);
    second.tell(Command::Adopt { run: pod.clone(), app, origin, object, engine, log, stopping });

    namespace.kubectl(&["delete", "pod", &objects[1].pod]);
    second.until("it is gone", |event| match event {
        Event::Gone { run } => (*run == lost).then_some(()),
        _ => None,
    });
    // One whose program was never started has no output: its log is closed at once.
    let end = json!({ "terminated": { "exitCode": 128, "reason": "StartError", "message": "no" } });
    set_status(&namespace, &objects[0].pod, &app_state(&end));
    second.until("the log is done", |event| match event {
        Event::LogDone { run, trouble: None } => (*run == pod).then_some(()),
        _ => None,
    });
    let closes =
        |message: &ToKeeper| matches!(message, ToKeeper::CloseLog { task } if *task == pod.task);
    wait::until("the keeper is told", || second.stored().iter().any(closes).then_some(()));
}

#[test]
fn a_replaced_token_is_read_when_the_old_one_is_not_accepted() {
    let Some(plane) = plane() else { return };
    let namespace = plane.namespace("token");
    let desktop = make_desktop(&namespace);
    let admin = std::fs::read_to_string(plane.admin_kubeconfig()).unwrap();
    let path = plane.directory().join("rotating.kubeconfig");
    let bad = admin.replace("\"token\":\"admin\"", "\"token\":\"expired\"");
    assert_ne!(bad, admin);
    std::fs::write(&path, bad).unwrap();
    let engine = KubeEngine::start(&path, &namespace, &desktop);
    engine.until_facts(
        "it is not let in",
        |facts| matches!(&facts.api, ApiState::Away(why) if why.contains("401")),
    );

    std::fs::write(&path, admin).unwrap();

    engine.until_synced(EngineKind::PodApplication);
    engine.until_facts("it answers", |facts| facts.api == ApiState::Answers);
}

#[test]
fn a_pull_pod_is_followed_and_removed() {
    if !available() {
        return;
    }
    use deskd_core::pull::PullState;
    let plane = ControlPlane::start();
    let namespace = plane.namespace("pull");
    let engine =
        KubeEngine::start(&plane.admin_kubeconfig(), &namespace, &make_desktop(&namespace));
    engine.until_synced(EngineKind::PodApplication);
    engine.until_facts("rights are known", |facts| !facts.rights.is_empty());
    engine.tell(Command::Pull { image: "example.org/game:1".into() });
    let name = wait::until("the pod is made", || {
        let pods =
            namespace.kubectl_json(&["get", "pods", "--selector", "type=pod_application_pull"]);
        pods["items"][0]["metadata"]["name"].as_str().map(str::to_owned)
    });
    let end = json!({ "terminated": { "exitCode": 128, "reason": "StartError", "message": "no" } });
    set_status(&namespace, &name, &app_state(&end));
    engine.until("it is pulled", |event| match event {
        Event::Pull(status) => matches!(status.state, PullState::Pulled { .. }).then_some(()),
        _ => None,
    });
    wait::until("its pod is gone", || {
        let pods =
            namespace.kubectl_json(&["get", "pods", "--selector", "type=pod_application_pull"]);
        pods["items"].as_array()?.is_empty().then_some(())
    });
    assert_eq!(engine.count(|event| matches!(event, Event::Observed { .. })), 0);
}
