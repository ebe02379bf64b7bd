//! A whole deskd and a real API server: what a person asks for becomes objects, once, and what the
//! cluster says becomes the state of tasks. No kubelet here: the tests say what it would say.

use std::collections::BTreeMap;

use deskd_core::expansion::expand;
use serde_json::{Value, json};

use crate::support::control_plane::ControlPlane;
use crate::support::kube_desk::{
    CONTAINER, KubeDesk, POD, Particulars, available, document, started,
};
use crate::support::wait;
use crate::support::xvnc::{Place, Xvnc};

const EPHEMERAL: &str = "ephemeral_container";
const POD_ENGINE: &str = "pod_application";

fn running(at: &str) -> Value {
    json!({ "running": { "startedAt": at } })
}

fn terminated(code: i64, reason: &str) -> Value {
    json!({ "terminated": {
        "exitCode": code, "reason": reason, "containerID": "containerd://2",
        "startedAt": "2026-11-24T05:30:00Z", "finishedAt": "2026-11-24T05:31:00Z",
    } })
}

fn app_status(phase: &str, state: &Value) -> Value {
    json!({ "phase": phase, "containerStatuses": [{
        "name": "app", "ready": false, "restartCount": 0, "image": "x", "imageID": "",
        "containerID": "containerd://2", "state": state,
    }] })
}

#[test]
fn a_pod_is_followed_from_its_creation_to_its_exit_code() {
    let Some((display, desk)) = started("") else { return };
    desk.add(&document("qt", Some(POD_ENGINE), &json!({})));
    let task = desk.desk.launch("qt");
    let pods = desk.pods();
    assert_eq!(pods.len(), 1);
    let pod = &pods[0];
    let name = pod["metadata"]["name"].as_str().expect("a name");
    assert_eq!(name, format!("{POD}-app-{task}"));
    assert_eq!(pod["metadata"]["ownerReferences"][0]["name"], POD);
    assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
    let env = pod["spec"]["containers"][0]["env"].as_array().expect("an environment");
    let of = |name: &str| env.iter().find(|var| var["name"] == name).map(|var| &var["value"]);
    assert_eq!(of("DISPLAY"), Some(&json!(format!("127.0.0.1:{}", display.number))));
    assert_eq!(of("QT_XCB_NO_MITSHM"), Some(&json!("1")));
    let shown = desk.task(&task);
    assert_eq!((&shown["state"], &shown["engine"]), (&json!("starting"), &json!(POD_ENGINE)));
    assert_eq!(shown["object"]["pod"], name);
    // Without a secret the file is made of the variable, by deskd itself.
    let cookie = &pod["spec"]["initContainers"][0];
    assert_eq!((&cookie["name"], &cookie["command"][1]), (&json!("cookie"), &json!("xauthority")));
    assert_eq!(of("XAUTHORITY"), Some(&json!("/run/deskd-x11/Xauthority")));
    let labels = pod["metadata"]["labels"].to_string();
    assert!(!labels.contains(&display.key), "a cookie in labels: {labels}");

    desk.set_status(
        name,
        &app_status(
            "Pending",
            &json!({ "waiting": {
        "reason": "ImagePullBackOff", "message": "Back-off pulling image \"localhost/qt\"" } }),
        ),
    );
    wait::until("the reason is shown", || {
        let waiting = desk.task(&task)["waiting"].as_str()?.to_owned();
        waiting.contains("localhost/qt").then_some(())
    });
    desk.set_status(name, &app_status("Running", &running("2026-11-24T05:30:00Z")));
    wait::until("it runs", || (desk.task(&task)["state"] == "running").then_some(()));
    desk.set_status(name, &app_status("Failed", &terminated(5, "OOMKilled")));
    let ended = desk.desk.ended(&task);
    assert_eq!(ended["exit"], json!({ "code": 5 }), "{ended}");
    assert!(ended["cause"].as_str().expect("a cause").contains("memory"), "{ended}");
    // Removing the task removes the pod.
    desk.desk.ask("DELETE", &format!("/v1/tasks/{task}")).send();
    wait::until("the pod is gone", || desk.pods().is_empty().then_some(()));
}

#[test]
fn text_reaches_a_container_as_it_was_whatever_kubernetes_reads_in_it() {
    const NASTY: &str = "$(HOME) $$(HOME) $$ $ $(X $) $é \\$(DISPLAY)";
    let config = format!("inherit_env = []\n[kubernetes.env]\nNASTY = '{NASTY}'\nX = \"x\"\n");
    let Some((_display, desk)) = started(&config) else { return };
    desk.add(&document("gtk", None, &json!({})));
    let answer = desk.desk.ask("POST", "/v1/tasks").json(&json!({ "app": "gtk", "args": [NASTY] }));
    assert_eq!(answer.send().status, 201);
    let containers = desk.ephemeral();
    let container = &containers[0];
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    // As kubelet does: with the variables of the container.
    let defined: BTreeMap<_, _> = container["env"]
        .as_array()
        .expect("an environment")
        .iter()
        .filter_map(|var| Some((text(&var["name"]), text(var.get("value")?))))
        .collect();
    let seen = |text: &str| expand(text, |name| defined.get(name).cloned());
    assert_eq!(seen(&defined["NASTY"]), NASTY);
    let command = container["command"].as_array().expect("a command");
    assert_eq!(seen(&text(command.last().expect("an argument"))), NASTY);
}

#[test]
fn an_ephemeral_container_is_a_patch_of_the_own_pod() {
    let Some((_display, desk)) = started("") else { return };
    desk.add(&document("gtk", None, &json!({})));
    let task = desk.desk.launch("gtk");
    let containers = desk.ephemeral();
    assert_eq!(containers.len(), 1);
    let container = &containers[0];
    assert_eq!(container["name"], task);
    assert_eq!(container["targetContainerName"], CONTAINER);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    let env = container["env"].to_string();
    assert!(!env.contains("MITSHM"), "shared memory works in this pod: {env}");
    let status = |state: &Value| {
        json!({ "ephemeralContainerStatuses": [{
            "name": task, "ready": false, "restartCount": 0, "image": "x", "imageID": "",
            "containerID": "containerd://3", "state": state,
        }] })
    };
    desk.set_status(POD, &status(&running("2026-11-24T05:30:00Z")));
    wait::until("it runs", || (desk.task(&task)["state"] == "running").then_some(()));
    desk.set_status(POD, &status(&terminated(143, "Error")));
    let ended = desk.desk.ended(&task);
    assert_eq!(ended["exit"]["signal"]["name"], "SIGTERM", "{ended}");
}

#[test]
fn a_kill_in_the_middle_of_ten_launches_makes_ten_tasks_and_no_eleventh_object() {
    let Some((_display, desk)) = started("") else { return };
    desk.add(&document("gtk", Some(EPHEMERAL), &json!({})));
    desk.add(&document("qt", Some(POD_ENGINE), &json!({})));
    let launch = |number: usize| {
        let app = if number.is_multiple_of(2) { "gtk" } else { "qt" };
        let ask = desk.desk.ask("POST", "/v1/tasks");
        ask.header("idempotency-key", &format!("launch-{number}")).json(&json!({ "app": app }))
    };
    let mut killed = 0;
    std::thread::scope(|scope| {
        for number in 0..10 {
            let ask = launch(number);
            // The daemon dies under most of them.
            scope.spawn(move || ask.try_send().is_ok());
        }
        wait::until("a launch is under way", || {
            (!desk.desk.get("/v1/tasks").as_array()?.is_empty()).then_some(())
        });
        killed = desk.desk.kill_daemon();
    });
    desk.desk.until_back(killed);
    desk.until_known();
    let mut tasks: Vec<String> = (0..10)
        .map(|number| {
            let task = wait::until("the launch is answered", || {
                let answer = launch(number).try_send().ok()?;
                [200, 201].contains(&answer.status).then(|| answer.json())
            });
            task["id"].as_str().expect("an id").to_owned()
        })
        .collect();
    tasks.sort();
    tasks.dedup();
    assert_eq!(tasks.len(), 10);
    assert_eq!(desk.desk.get("/v1/tasks").as_array().expect("tasks").len(), 10);
    wait::until("every object is there", || {
        (desk.ephemeral().len() + desk.pods().len() >= 10).then_some(())
    });
    assert_eq!((desk.ephemeral().len(), desk.pods().len()), (5, 5));
}

#[test]
fn fifty_launches_at_once_make_fifty_objects_in_few_requests_and_the_limit_refuses_the_rest() {
    let Some((_display, desk)) = started("remote_tasks_max = 50\n") else { return };
    desk.add(&document("gtk", Some(EPHEMERAL), &json!({})));
    desk.add(&document("qt", Some(POD_ENGINE), &json!({})));
    let before = requests(&desk);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..54)
            .map(|number| {
                let app = if number % 2 == 0 { "gtk" } else { "qt" };
                let ask = desk.desk.ask("POST", "/v1/tasks").json(&json!({ "app": app }));
                scope.spawn(move || ask.send().status)
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    let count = |status: u16| statuses.iter().filter(|other| **other == status).count();
    assert_eq!((count(201), count(409)), (50, 4), "{statuses:?}");
    let (ephemeral, pods) = (desk.ephemeral().len(), desk.pods().len());
    assert_eq!(ephemeral + pods, 50);
    let after = requests(&desk);
    let made = |verb: &str| after.of(verb) - before.of(verb);
    assert_eq!(made("create"), pods as u64, "one POST per pod");
    assert!(
        made("patch") <= ephemeral as u64 / 2,
        "{} patches: launches that wait go together",
        made("patch")
    );
    assert_eq!(made("list"), 0, "no list calls");
}

#[test]
fn a_launch_costs_one_write_and_no_list() {
    let Some((_display, desk)) = started("") else { return };
    for (app, engine, verb) in [("gtk", EPHEMERAL, "patch"), ("qt", POD_ENGINE, "create")] {
        desk.add(&document(app, Some(engine), &json!({})));
        let before = requests(&desk);
        desk.desk.launch(app);
        // A request counts once it is answered; the watch may show its object before.
        let more: Vec<_> = wait::until("it is counted", || {
            let more: Vec<_> = requests(&desk).since(&before);
            (!more.is_empty()).then_some(more)
        });
        assert_eq!(more, [(verb.to_owned(), 1)], "{app}");
        println!("API calls of one {engine} launch: {more:?}");
    }
}

#[test]
fn while_the_api_server_is_away_local_work_goes_on_and_everything_catches_up_after() {
    if !available() {
        return;
    }
    let plane = ControlPlane::start();
    let display = Xvnc::start();
    let local = "[app.local]\ncommand = [\"sleep\", \"60\"]\n";
    let desk = KubeDesk::start(&plane, local, Some(&display));
    desk.until_known();
    desk.add(&document("qt", Some(POD_ENGINE), &json!({})));
    let task = desk.desk.launch("qt");
    plane.stop_api_server();
    wait::until("the task is stale", || (desk.task(&task)["stale"] == true).then_some(()));
    let refused = desk.desk.ask("POST", "/v1/tasks").json(&json!({ "app": "qt" })).send();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("API"), "{}", refused.text());
    let local = desk.desk.launch("local");
    assert_eq!(desk.task(&local)["state"], "running");
    assert_eq!(desk.desk.ask("GET", "/readyz").send().status, 200, "everything local works");
    plane.start_api_server();
    wait::until("the task is up to date", || (desk.task(&task)["stale"] == false).then_some(()));
    let pod = desk.task(&task)["object"]["pod"].as_str().expect("a pod").to_owned();
    desk.set_status(&pod, &app_status("Running", &running("2026-11-24T05:30:00Z")));
    wait::until("it runs", || (desk.task(&task)["state"] == "running").then_some(()));
    desk.desk.launch("qt");
}

#[test]
fn an_added_application_s_image_is_pulled_if_configured_and_on_demand() {
    if !available() {
        return;
    }
    let desk = KubeDesk::start(ControlPlane::shared(), "pull_on_add = true\n", None);
    desk.until_known();
    desk.add(&document("qt", Some(POD_ENGINE), &json!({})));
    let pulls = |wanted: &str| {
        let pulls = desk.desk.get("/v1/pulls");
        let one = pulls.as_array()?.first()?.clone();
        (one["image"] == "localhost/qt:latest" && one["state"] == wanted).then_some(one)
    };
    let pods = || {
        let arguments = ["get", "pods", "--selector", "type=pod_application_pull"];
        let list = desk.namespace.kubectl_json(&arguments);
        list["items"].as_array().cloned().unwrap_or_default()
    };
    let pod = wait::until("a pod pulls", || pods().first().cloned());
    wait::until("its state is shown", || pulls("scheduling"));
    let name = pod["metadata"]["name"].as_str().expect("a name").to_owned();
    let container = pod["spec"]["containers"][0]["name"].as_str().expect("a name").to_owned();
    // As kubelet says it of a command that no image has.
    desk.set_status(
        &name,
        &json!({ "phase": "Failed", "containerStatuses": [{
            "name": container, "ready": false, "restartCount": 0, "image": "x", "imageID": "x",
            "state": { "terminated": { "exitCode": 128, "reason": "StartError",
                "message": "exec: no such file or directory",
                "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2026-11-24T05:31:00Z" } },
        }] }),
    );
    wait::until("it is there", || pulls("pulled"));
    wait::until("the pod is removed", || pods().is_empty().then_some(()));
    let asked = desk.desk.ask("POST", "/v1/apps/qt/pull").send();
    assert_eq!((asked.status, &asked.json()["image"]), (202, &json!("localhost/qt:latest")));
    wait::until("another pod pulls", || (!pods().is_empty()).then_some(()));
}

#[test]
fn an_image_s_own_command_is_run_and_when_it_is_not_there_the_program_can_be() {
    let Some((_display, desk)) = started("") else { return };
    let mut app = document("qt", Some(POD_ENGINE), &json!({ "oc.args": "--size 5" }));
    app[0]["Config"]["Cmd"] = json!(["/composer/start.sh"]);
    desk.add(&app);
    let task = desk.desk.launch("qt");
    let command = |pod: &Value| pod["spec"]["containers"][0]["command"].clone();
    let first = desk.pods().first().cloned().expect("a pod");
    assert_eq!(command(&first), json!(["/composer/start.sh"]));
    let shown = desk.task(&task);
    assert_eq!(shown["command"], json!(["/composer/start.sh"]));
    let program = json!(["/usr/bin/of-no-container-of-this-test", "--size", "5"]);
    assert_eq!((&shown["entry_point"], &shown["program"]), (&json!(true), &program));

    let name = first["metadata"]["name"].as_str().expect("a name");
    let message = "failed to create containerd task: failed to create shim task: OCI runtime \
        create failed: runc create failed: unable to start container process: exec: \
        \"/composer/start.sh\": stat /composer/start.sh: no such file or directory: unknown";
    let end = json!({ "terminated": { "exitCode": 128, "reason": "StartError", "message": message,
        "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2026-11-24T05:31:00Z" } });
    desk.set_status(name, &app_status("Failed", &end));
    let explained = wait::until("it is explained", || {
        let task = desk.task(&task);
        (task["diagnosis"]["rule"] == "entry-point-not-found").then_some(task)
    });
    let sentence = explained["diagnosis"]["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("own command /composer/start.sh is not in the image"), "{sentence}");
    let advice = explained["diagnosis"]["advice"].as_str().expect("advice");
    assert!(advice.contains("`io.deskd.entrypoint` = `program`"), "{advice}");
    assert_eq!(explained["diagnosis"]["remedy"]["kind"], "run_program");

    let asked = desk.desk.ask("POST", &format!("/v1/tasks/{task}/remedy")).send();
    assert!(asked.status < 300, "{}", asked.text());
    let again = wait::until("a pod runs the program", || {
        desk.pods().iter().find(|pod| command(pod) == program).cloned()
    });
    assert_ne!(again["metadata"]["name"], first["metadata"]["name"]);
    let shown = desk.task(&task);
    assert_eq!((&shown["command"], &shown["entry_point"]), (&program, &Value::Null));
    assert_eq!(shown["remedied"]["before"], "with /composer/start.sh");
}

#[test]
fn application_pods_may_live_in_a_namespace_of_their_own() {
    if !available() {
        return;
    }
    let plane = ControlPlane::shared();
    let apps = plane.namespace("apps");
    let display = Xvnc::start();
    let config = format!("apps_namespace = \"{}\"\n", apps.name);
    let particulars = Particulars { apps: Some(&apps.name), ..Particulars::default() };
    let desk = KubeDesk::start_with(plane, &config, Some(&display), &particulars);
    desk.until_known();
    desk.add(&document("qt", Some(POD_ENGINE), &json!({})));
    let task = desk.desk.launch("qt");
    assert!(desk.pods().is_empty(), "not in the desktop's");
    let pods = apps.kubectl_json(&["get", "pods"])["items"].clone();
    let metadata = &pods[0]["metadata"];
    assert_eq!(metadata["labels"]["deskd.io/desktop-namespace"], desk.namespace.name);
    assert!(metadata["ownerReferences"].is_null(), "an owner in another namespace is not allowed");
    assert_eq!(desk.task(&task)["object"]["namespace"], apps.name);
    desk.desk.stop(&task);
    wait::until("the pod is gone", || {
        (apps.kubectl_json(&["get", "pods"])["items"] == json!([])).then_some(())
    });
}

#[test]
fn without_tcp_a_pod_is_refused_at_once_with_the_fix() {
    if !available() {
        return;
    }
    let display = Xvnc::start_in(Place::pod(), &["-nolisten", "tcp"]);
    let desk = KubeDesk::start(ControlPlane::shared(), "", Some(&display));
    desk.until_known();
    desk.add(&document("qt", Some(POD_ENGINE), &json!({})));
    let refused = desk.desk.ask("POST", "/v1/tasks").json(&json!({ "app": "qt" })).send();
    assert_eq!(refused.json()["code"], "display_not_on_network", "{}", refused.text());
    assert!(refused.text().contains("X11LISTEN=tcp"), "{}", refused.text());
    assert!(desk.pods().is_empty());
}

#[test]
fn a_pod_that_somebody_deleted_is_an_end_with_a_reason() {
    let Some((_display, desk)) = started("") else { return };
    desk.add(&document("qt", Some(POD_ENGINE), &json!({})));
    let task = desk.desk.launch("qt");
    let pod = desk.task(&task)["object"]["pod"].as_str().expect("a pod").to_owned();
    desk.set_status(&pod, &app_status("Running", &running("2026-11-24T05:30:00Z")));
    wait::until("it runs", || (desk.task(&task)["state"] == "running").then_some(()));
    desk.namespace.kubectl(&["delete", "pod", &pod, "--grace-period=0", "--force"]);
    let ended = desk.desk.ended(&task);
    assert!(ended["exit"]["reason"].as_str().is_some_and(|why| why.contains("deleted")), "{ended}");
}

#[test]
fn tasks_without_a_record_are_found_again_by_their_labels() {
    let Some((_display, desk)) = started("") else { return };
    desk.add(&document("qt", Some(POD_ENGINE), &json!({})));
    let task = desk.desk.launch("qt");
    // As after a restart of the container whose state directory did not outlive it.
    let journal = desk.desk.dir.path().join("state/tasks.jsonl");
    std::fs::write(&journal, "").expect("an empty journal");
    let killed = desk.desk.kill_daemon();
    desk.desk.until_back(killed);
    let found = wait::until("the task is there again", || {
        let answer = desk.desk.ask("GET", &format!("/v1/tasks/{task}")).send();
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!((&found["app"], &found["engine"]), (&json!("qt"), &json!(POD_ENGINE)));
    desk.desk.stop(&task);
    wait::until("its pod is gone", || desk.pods().is_empty().then_some(()));
}

/// Requests to the API server so far, by verb.
struct Requests(std::collections::BTreeMap<String, u64>);

impl Requests {
    fn of(&self, verb: &str) -> u64 {
        self.0.get(verb).copied().unwrap_or(0)
    }

    fn since(&self, before: &Self) -> Vec<(String, u64)> {
        let more = |(verb, count): (&String, &u64)| (verb.clone(), count - before.of(verb));
        self.0.iter().map(more).filter(|(_, count)| *count > 0).collect()
    }
}

fn requests(desk: &KubeDesk<'_>) -> Requests {
    let text = desk.desk.ask("GET", "/metrics").send().text();
    let mut requests = std::collections::BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("deskd_kubernetes_requests_total{")) {
        let verb = line.split("verb=\"").nth(1).and_then(|rest| rest.split('"').next());
        let count: u64 = line.rsplit(' ').next().expect("a number").parse().expect("a number");
        *requests.entry(verb.expect("a verb").to_owned()).or_insert(0) += count;
    }
    Requests(requests)
}
