//! Two control planes, one desktop: what abcdesktop's pyos makes is a task of deskd's list, and what
//! deskd makes is in pyos' list. No kubelet and no pyos here: the admin makes objects as pyos does,
//! and says what kubelet would.

use serde_json::{Value, json};

use crate::panel;
use crate::support::control_plane::{ControlPlane, Namespace};
use crate::support::kube_desk::{
    KubeDesk, POD, Particulars, add_ephemeral, available, document, document_of, set_status,
};
use crate::support::wait;
use crate::support::xvnc::Xvnc;

const IMAGE: &str = "abcdesktopio/2048-alpine.d:3.0";
const EPHEMERAL: &str = "balloon-2048-alpine-05d62";
const APP_POD: &str = "balloon-app-2048-ubuntu-1a2b3";
/// What the operator changes so that deskd may end what pyos made.
const STOPS_OTHERS: (&str, &str) = (
    "name: stopsOthers\n      expression: \"false\"",
    "name: stopsOthers\n      expression: \"true\"",
);

/// As pyos labels the pod of a desktop.
fn desktop_labels() -> Value {
    json!({
        "abcdesktop/role": "desktop", "type": "x11server", "netpol/ocuser": "true",
        "access_provider": "anonymous", "access_providertype": "anonymous",
        "access_userid": "balloon", "access_username": "balloon",
        "xauthkey": "a48c1c9bcd7924e2c693b277054180",
    })
}

/// A display, and a deskd in a pod that is labelled so.
fn started(edits: &[(&str, &str)]) -> Option<(Xvnc, KubeDesk<'static>)> {
    started_after(edits, &|_| {})
}

/// The same, after something was done to the pod.
fn started_after(
    edits: &[(&str, &str)],
    before: &dyn Fn(&Namespace<'_>),
) -> Option<(Xvnc, KubeDesk<'static>)> {
    if !available() {
        return None;
    }
    let display = Xvnc::start();
    let plane = ControlPlane::shared();
    let labels = &desktop_labels();
    let particulars = Particulars { labels, edits, before, ..Particulars::default() };
    let desk = KubeDesk::start_with(plane, "", Some(&display), &particulars);
    desk.until_known();
    Some((display, desk))
}

/// As pyos starts an application in the desktop's pod.
fn ephemeral(name: &str) -> Value {
    json!({
        "name": name, "image": IMAGE, "imagePullPolicy": "IfNotPresent",
        "command": ["/composer/appli-docker-entrypoint.sh"],
        "env": [
            { "name": "DISPLAY", "value": ":0.0" },
            { "name": "XAUTH_KEY", "value": "a48c1c9bcd7924e2c693b277054180" },
            { "name": "APP", "value": "/usr/bin/gnome-2048" },
            { "name": "NODE_NAME", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } },
            { "name": "ABCDESKTOP_EXECUTE_RUNTIME", "value": "ephemeral_container" },
        ],
    })
}

/// And in a pod.
fn app_pod(name: &str, user: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": {
            "type": "pod_application", "access_provider": "anonymous",
            "access_providertype": "anonymous", "access_userid": user, "access_username": user,
        } },
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "nodeName": "node-1",
            "automountServiceAccountToken": false,
            "containers": [{
                "name": name, "image": "abcdesktopio/2048-ubuntu.d:3.0",
                "command": ["/composer/appli-docker-entrypoint.sh"],
                "env": [{ "name": "ABCDESKTOP_EXECUTE_RUNTIME", "value": "pod_application" }],
            }],
        },
    })
}

fn state(name: &str, state: &Value) -> Value {
    json!({ "name": name, "ready": false, "restartCount": 0, "image": IMAGE, "imageID": "",
        "containerID": "containerd://3", "state": state })
}

fn running() -> Value {
    json!({ "running": { "startedAt": "2026-11-24T05:30:00Z" } })
}

fn terminated(code: i64) -> Value {
    json!({ "terminated": { "exitCode": code, "reason": "Error", "containerID": "containerd://3",
        "startedAt": "2026-11-24T05:30:00Z", "finishedAt": "2026-11-24T05:31:00Z" } })
}

impl KubeDesk<'_> {
    fn ephemeral_is(&self, name: &str, now: &Value) {
        self.set_status(POD, &json!({ "ephemeralContainerStatuses": [state(name, now)] }));
    }

    fn pod_is(&self, name: &str, phase: &str, now: &Value) {
        self.set_status(name, &json!({ "phase": phase, "containerStatuses": [state(name, now)] }));
    }

    /// The task once it is as wanted.
    fn until_task(&self, what: &str, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, || {
            let tasks = self.desk.get("/v1/tasks");
            let task = tasks.as_array()?.iter().find(|task| task["id"] == id)?.clone();
            wanted(&task).then_some(task)
        })
    }
}

#[test]
fn what_deskd_makes_is_named_and_labelled_as_pyos_does_it() {
    let Some((_display, desk)) = started(&[]) else { return };
    desk.add(&document("2048-ubuntu", Some("pod_application"), &json!({})));
    desk.add(&document("2048-alpine", Some("ephemeral_container"), &json!({})));
    let (pod, container) = (desk.desk.launch("2048-ubuntu"), desk.desk.launch("2048-alpine"));
    // As pyos lists, counts and deletes.
    let selector = "access_userid=balloon,type=pod_application,access_provider=anonymous";
    let found = desk.namespace.kubectl_json(&["get", "pods", "--selector", selector]);
    let [found] = found["items"].as_array().expect("pods").as_slice() else { panic!("{found}") };
    assert_eq!(found["metadata"]["name"], format!("balloon-app-{pod}"));
    let labels = &found["metadata"]["labels"];
    let access = (&labels["access_providertype"], &labels["access_username"]);
    assert_eq!(access, (&json!("anonymous"), &json!("balloon")));
    assert_eq!(labels["netpol/ocapplication"], "true");
    assert!(!labels.to_string().contains("a48c1c9b"), "a cookie: {labels}");
    assert_eq!(desk.ephemeral()[0]["name"], format!("balloon-{container}"));
    // They are tasks once, and deskd's.
    let tasks = desk.desk.get("/v1/tasks");
    let origins: Vec<_> =
        tasks.as_array().expect("tasks").iter().map(|task| &task["origin"]).collect();
    assert_eq!(origins, ["deskd", "deskd"]);
    // Nor is a label shown that is a cookie.
    let desktop = desk.desk.get("/v1/desktop").to_string();
    assert!(!desktop.contains("a48c1c9b"), "{desktop}");
}

#[test]
fn an_ephemeral_container_of_pyos_is_a_task_that_is_followed_and_cannot_be_stopped() {
    let Some((_display, desk)) = started(&[]) else { return };
    desk.add(&document_of(IMAGE, "2048-alpine", None, &json!({ "oc.displayname": "2048" })));
    add_ephemeral(&desk.namespace, &[ephemeral(EPHEMERAL)]);
    let task = desk.until_task("it is listed", EPHEMERAL, |_| true);
    assert_eq!((&task["origin"], &task["maker"]), (&json!("other"), &json!("abcdesktop")));
    assert_eq!((&task["app"], &task["display_name"]), (&json!("2048-alpine"), &json!("2048")));
    assert_eq!(task["engine"], "ephemeral_container");
    assert_eq!(task["command"], json!(["/composer/appli-docker-entrypoint.sh"]));
    desk.ephemeral_is(EPHEMERAL, &running());
    desk.until_task("it runs", EPHEMERAL, |task| task["state"] == "running");

    let refused = desk.desk.ask("POST", &format!("/v1/tasks/{EPHEMERAL}/stop")).send();
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("cannot_stop")));
    assert!(refused.text().contains("close its windows"), "{}", refused.text());
    assert_eq!(task["no_stop"]["code"], "processes_unseen");
    let remedy = desk.desk.ask("POST", &format!("/v1/tasks/{EPHEMERAL}/remedy")).send();
    assert_eq!(remedy.json()["code"], "no_remedy", "{}", remedy.text());
    let env = desk.desk.get(&format!("/v1/tasks/{EPHEMERAL}/env")).to_string();
    assert!(env.contains("gnome-2048") && !env.contains("a48c1c9b"), "{env}");

    desk.ephemeral_is(EPHEMERAL, &terminated(139));
    let task = desk.until_task("it ended", EPHEMERAL, |task| task["state"] == "ended");
    assert_eq!(task["exit"]["signal"]["name"], "SIGSEGV");
    // One without output need not wait for it to be explained.
    add_ephemeral(&desk.namespace, &[ephemeral("fry-x-00002")]);
    let failed = json!({ "terminated": { "exitCode": 128, "reason": "StartError",
        "message": "exec: \"/composer/nope\": stat /composer/nope: no such file or directory" } });
    desk.ephemeral_is("fry-x-00002", &failed);
    let task = desk.until_task("it is explained", "fry-x-00002", |it| it["diagnosis"].is_object());
    assert_eq!(task["diagnosis"]["cause"], "program_not_found", "{task}");
    assert!(task["diagnosis"]["remedy"].is_null(), "{task}");
}

#[test]
fn what_ended_before_is_listed_and_what_was_removed_stays_away_over_a_restart() {
    let before = |namespace: &Namespace<'_>| {
        add_ephemeral(namespace, &[ephemeral(EPHEMERAL), ephemeral("fry-x-00002")]);
        let statuses = [state(EPHEMERAL, &terminated(3)), state("fry-x-00002", &running())];
        set_status(namespace, POD, &json!({ "ephemeralContainerStatuses": statuses }));
    };
    let Some((_display, desk)) = started_after(&[], &before) else { return };
    let task = desk.until_task("the ended one is listed", EPHEMERAL, |t| t["state"] == "ended");
    assert_eq!(task["exit"], json!({ "entry_point": 3 }), "of abcdesktop's entry point");
    desk.until_task("the other one runs", "fry-x-00002", |task| task["state"] == "running");
    let path = format!("/v1/tasks/{EPHEMERAL}");
    assert_eq!(desk.desk.ask("DELETE", &path).send().status, 204);

    let killed = desk.desk.kill_daemon();
    desk.desk.until_back(killed);
    desk.until_known();
    let other = desk.until_task("the other one is on record", "fry-x-00002", |_| true);
    assert_eq!((&other["state"], &other["origin"]), (&json!("running"), &json!("other")));
    // Told of in the order of the pod: the removed one would have come before.
    desk.ephemeral_is("fry-x-00002", &terminated(0));
    desk.until_task("the other one ended", "fry-x-00002", |task| task["state"] == "ended");
    assert_eq!(desk.desk.ask("GET", &path).send().status, 404);
    assert_eq!(desk.ephemeral().len(), 2, "nothing was done to the pod");
}

#[test]
fn a_pod_of_pyos_for_this_user_is_a_task_until_pyos_deletes_it() {
    let Some((_display, desk)) = started(&[]) else { return };
    desk.namespace.apply(&app_pod("leela-app-x-00001", "leela"));
    desk.namespace.apply(&app_pod(APP_POD, "balloon"));
    desk.pod_is(APP_POD, "Running", &running());
    let task = desk.until_task("it runs", APP_POD, |task| task["state"] == "running");
    assert_eq!((&task["origin"], &task["engine"]), (&json!("other"), &json!("pod_application")));
    assert_eq!(
        (&task["app"], &task["object"]["container"]),
        (&json!("2048-ubuntu"), &json!(APP_POD))
    );
    desk.until_task("it cannot be stopped", APP_POD, |task| {
        task["no_stop"]["code"] == "not_permitted"
    });
    let refused = desk.desk.ask("POST", &format!("/v1/tasks/{APP_POD}/stop")).send();
    assert!(refused.text().contains("stopsOthers"), "{}", refused.text());

    // As pyos does at logout.
    desk.namespace.kubectl(&["delete", "pod", APP_POD, "--grace-period=0", "--force"]);
    let task = desk.until_task("it ended", APP_POD, |task| task["state"] == "ended");
    assert!(
        task["stop_steps"][0]["detail"].as_str().expect("a step").contains("deleted by"),
        "{task}"
    );
    let tasks = desk.desk.get("/v1/tasks");
    assert_eq!(tasks.as_array().expect("tasks").len(), 1, "another user's is not shown: {tasks}");
}

#[test]
fn where_the_operator_lets_it_deskd_stops_a_pod_of_pyos_with_grace() {
    let Some((_display, desk)) = started(&[STOPS_OTHERS]) else { return };
    desk.namespace.apply(&app_pod(APP_POD, "balloon"));
    desk.pod_is(APP_POD, "Running", &running());
    desk.until_task("it runs and can be stopped", APP_POD, |task| {
        task["state"] == "running" && task["no_stop"].is_null()
    });
    let stop = desk.desk.ask("POST", &format!("/v1/tasks/{APP_POD}/stop"));
    assert_eq!(stop.json(&json!({ "grace_ms": 20_000 })).send().status, 202);
    let pod = wait::until("it is being deleted", || {
        let pod = desk.namespace.kubectl_json(&["get", "pod", APP_POD]);
        pod["metadata"]["deletionTimestamp"].is_string().then_some(pod)
    });
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_u64().expect("a grace");
    assert!((1..=20).contains(&grace), "{grace}");
    desk.pod_is(APP_POD, "Failed", &terminated(143));
    let task = desk.until_task("it ended", APP_POD, |task| task["exit"].is_object());
    assert_eq!(task["exit"]["signal"]["name"], "SIGTERM", "{task}");
}

#[test]
fn a_flood_of_others_is_bounded_and_takes_no_room_from_deskds_own() {
    let Some((_display, desk)) = started(&[]) else { return };
    let flood: Vec<_> = (0..300).map(|number| ephemeral(&format!("fry-x-{number:05}"))).collect();
    add_ephemeral(&desk.namespace, &flood);
    let statuses: Vec<_> =
        (0..300).map(|number| state(&format!("fry-x-{number:05}"), &terminated(0))).collect();
    desk.set_status(POD, &json!({ "ephemeralContainerStatuses": statuses }));
    desk.add(&document("2048-ubuntu", Some("pod_application"), &json!({})));
    let own = desk.desk.launch("2048-ubuntu");
    desk.until_task("its own is there", &own, |_| true);
    wait::until("all that are shown ended", || {
        let tasks = desk.desk.get("/v1/tasks");
        let tasks = tasks.as_array()?;
        let others: Vec<_> = tasks.iter().filter(|task| task["origin"] == "other").collect();
        assert!(others.len() <= 256, "{}", others.len());
        (others.len() == 256 && others.iter().all(|task| task["state"] == "ended")).then_some(())
    });
}

#[test]
fn the_panel_says_whose_it_is_and_why_it_cannot_be_stopped() {
    if !panel::available() {
        return;
    }
    let Some((_display, desk)) = started(&[]) else { return };
    add_ephemeral(&desk.namespace, &[ephemeral(EPHEMERAL)]);
    desk.ephemeral_is(EPHEMERAL, &running());
    desk.until_task("it runs", EPHEMERAL, |task| task["state"] == "running");

    let browser = panel::log_in(&desk.desk, false);
    let row = format!("[data-task=\"{EPHEMERAL}\"]");
    browser.until(&format!(
        "return document.querySelector('{row} .state')?.textContent === 'Running'"
    ));
    let mark = browser.until(&format!(
        "return document.querySelector('{row} .words small:last-child').textContent"
    ));
    assert_eq!(mark, "started by abcdesktop");
    let stop = format!("{row} [data-act=stop]");
    browser
        .until(&format!("return document.querySelector('{stop}').getAttribute('aria-disabled')"));
    browser.click(&format!("{row} [data-act=unfold]"));
    browser.screenshot("others");
    browser.click(&stop);
    browser.until("return document.body.innerText.includes('close its windows')");
    panel::assert_clean(&browser);
    assert_eq!(desk.task(EPHEMERAL)["state"], "running");
}
