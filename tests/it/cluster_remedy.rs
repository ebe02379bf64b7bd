//! The story of `2048-alpine-error` on a real kubelet: its program trusts shared memory and its
//! document asks for a pod of its own, where it dies. Told why, and mended.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::browser::{self, Browser, ENTER};
use crate::support::cluster::{Cluster, Namespace, Pod, PodDesk, eventually};
use crate::support::forward::forward;
use crate::support::proc;

const APP: &str = "2048-alpine-error";
/// Of its name, what nobody else's has.
const SEARCH: &str = "wrongly";

/// A desktop that has just been created, with this mode of remedies.
fn desktop<'a>(namespace: &'a Namespace, mode: &str) -> Pod<'a> {
    let before = "        - name: DESKD_CONFIG\n";
    let variable = format!("        - name: DESKD_REMEDY\n          value: \"{mode}\"\n");
    namespace.desktop(|manifest| {
        let edited = manifest.replace(before, &format!("{variable}{before}"));
        assert_ne!(edited, manifest);
        edited
    })
}

fn has_failed(task: &Value) -> Option<Value> {
    (task["state"] == "ended" && task["diagnosis"].is_object()).then(|| task.clone())
}

/// As an ephemeral container it draws.
fn is_mended(task: &Value) -> Option<Value> {
    let draws = task["windows"].as_u64() > Some(0) && task["state"] == "running";
    (draws && task["engine"] == "ephemeral_container").then(|| task.clone())
}

/// What the pods and containers of the cluster are: the application's pods, and the ephemeral
/// containers of the desktop.
fn objects(namespace: &Namespace, task: &str) -> (usize, usize) {
    let pods =
        namespace.must(&["get", "pods", "-l", &format!("deskd.io/task={task}"), "-o", "name"], "");
    let desktop = namespace.get("pod/desktop");
    let ephemeral = desktop["spec"]["ephemeralContainers"].as_array().map_or(0, Vec::len);
    (pods.lines().count(), ephemeral)
}

/// A failure of this program in a pod, as real X servers and GDK tell it.
fn assert_shm_refused(diagnosis: &Value) {
    assert_eq!(diagnosis["cause"], "shm_refused", "{diagnosis:#}");
    assert_eq!(diagnosis["confidence"], "certain", "{diagnosis:#}");
    let proof = diagnosis["proof"].to_string();
    assert!(proof.contains("(MIT-SHM) minor_code 1"), "{proof}");
    let advice = diagnosis["advice"].as_str().expect("advice");
    assert!(advice.contains("`oc.containerengine` to `ephemeral_container`"), "{advice}");
}

fn assert_remedied(task: &Value, by: &str) {
    let applied = &task["remedied"];
    let told = (&applied["by"], &applied["run"], &applied["kind"], &applied["engine"]);
    assert_eq!(
        told,
        (&json!(by), &json!(2), &json!("other_engine"), &json!("ephemeral_container")),
        "{task:#}"
    );
    let told = (&applied["sentence"], &applied["before"], &applied["after"]);
    let words = [
        "start it again as an ephemeral container",
        "as a pod of its own",
        "as an ephemeral container",
    ];
    assert_eq!(told, (&json!(words[0]), &json!(words[1]), &json!(words[2])), "{task:#}");
    assert!(applied["at"].as_i64() > task["created_at"].as_i64(), "{task:#}");
    assert_shm_refused(&applied["diagnosis"]);
    assert_eq!(task["runs"], 2, "{task:#}");
    assert_eq!(task["diagnosis"], Value::Null, "the run that goes well has none: {task:#}");
    // What happened, in order: the end of the first run, the remedy, the second run.
    let history = task["history"].as_array().expect("a history");
    let moment = |wanted: &str| {
        let found = history
            .iter()
            .position(|entry| entry["what"].as_str().is_some_and(|what| what.contains(wanted)));
        found.unwrap_or_else(|| panic!("{wanted:?} is not in {history:#?}"))
    };
    assert!(moment("exit code 0 of its entry point") < moment(words[0]), "{history:#?}");
    assert_eq!(history.last().expect("an entry")["state"], "running", "{history:#?}");
}

/// The failed pod is not left to somebody else, and the second run is the only container.
fn assert_cleaned_up(namespace: &Namespace, task: &str) {
    eventually("the pod of the first run is gone", || {
        (objects(namespace, task) == (0, 1)).then_some(())
    });
}

fn refusal(desk: &PodDesk<'_>, task: &str) -> (u16, Value) {
    let answer = desk.ask("POST", &format!("/v1/tasks/{task}/remedy")).send();
    (answer.status, answer.json()["code"].clone())
}

/// The panel of a desktop in the cluster, logged in.
fn panel(desk: &PodDesk<'_>) -> Browser {
    let inside = desk.pod.exec("deskd", &["deskd", "panel"]);
    let path = inside.trim().split_once("/login").expect("a login").1;
    let browser = Browser::start(false);
    browser.open(&format!("http://{}/login{path}", forward(&desk.door)));
    browser.until("return location.pathname === '/' && document.title.includes('·')");
    browser
}

fn text(browser: &Browser, selector: &str) -> String {
    let text = browser.run(&format!("return document.querySelector('{selector}').innerText"));
    text.as_str().expect("text").to_owned()
}

#[test]
fn a_program_that_trusts_shared_memory_dies_as_a_pod_and_runs_as_an_ephemeral_container() {
    let Some(cluster) = Cluster::shared() else { return };
    if !browser::available() {
        return;
    }
    let namespace = cluster.namespace("remedy-auto");
    let desk = PodDesk::of(desktop(&namespace, "auto"));
    let browser = panel(&desk);
    browser.keys("#search", SEARCH);
    browser.until("return document.querySelectorAll('#apps [role=option]').length === 1");
    browser.keys("#search", ENTER);
    let task = eventually("it is launched", || {
        let tasks = desk.get("/v1/tasks");
        let task = tasks.as_array()?.first()?;
        (task["app"] == APP).then(|| task["id"].as_str().expect("an id").to_owned())
    });
    let mended = desk.until("it runs as an ephemeral container", &task, is_mended);
    println!("{mended:#}");
    assert_remedied(&mended, "deskd");
    assert_cleaned_up(&namespace, &task);
    let log = desk.log(&task);
    assert!(log.contains("The program 'gnome-2048' received an X Window System error."), "{log}");
    let metrics = desk.ask("GET", "/metrics").send().text();
    assert!(metrics.contains("deskd_task_causes_total{cause=\"shm_refused\"} 1\n"), "{metrics}");

    // The row tells the story in a sentence, its details all of it.
    browser.until("return document.querySelector('[data-task] .state').textContent === 'Running'");
    let story = browser.until("return document.querySelector('.result').textContent");
    let story = story.as_str().expect("text");
    println!("{story}");
    let start = "Runs as an ephemeral container because it failed as a pod of its own: ";
    assert!(story.starts_with(start), "{story}");
    browser.click("[data-act=unfold]");
    let told = text(&browser, ".mended");
    println!("{told}");
    for words in [
        "What deskd changed",
        "by deskd: start it again as an ephemeral container",
        "a pod of its own",
        "What went wrong before",
        "(MIT-SHM)",
        "oc.containerengine",
    ] {
        assert!(told.contains(words), "{words:?} is not in: {told}");
    }
    browser.screenshot("remedy-in-a-cluster");

    // Another daemon knows all of it, and does not do it again.
    let daemon = desk.pod.daemon().expect("a daemon");
    proc::signal(daemon, Signal::SIGKILL);
    let back = desk.until("another daemon knows it", &task, |task| {
        let another = desk.pod.daemon().is_some_and(|pid| pid != daemon);
        is_mended(task).filter(|_| another)
    });
    assert_eq!((&back["remedied"], &back["runs"]), (&mended["remedied"], &json!(2)), "{back:#}");

    // It is as any other from here on: it runs, ends when it is stopped, and is not mended twice.
    assert_eq!(refusal(&desk, &task), (409, json!("no_remedy")));
    desk.until("it still runs", &task, is_mended);
    desk.ask("POST", &format!("/v1/tasks/{task}/stop")).json(&json!({})).send();
    let ended =
        desk.until("it has ended", &task, |task| (task["state"] == "ended").then(|| task.clone()));
    let cause = &ended["diagnosis"]["cause"];
    assert_eq!((&ended["runs"], cause), (&json!(2), &json!("stopped_by_user")), "{ended:#}");
    assert_eq!(refusal(&desk, &task), (409, json!("no_remedy")));
}

#[test]
fn a_remedy_that_is_suggested_waits_for_somebody_and_one_that_is_off_is_none() {
    let Some(cluster) = Cluster::shared() else { return };
    let spaces = [cluster.namespace("remedy-suggest"), cluster.namespace("remedy-off")];
    let pods = [desktop(&spaces[0], "suggest"), desktop(&spaces[1], "off")];
    let [suggest, off] = pods.map(PodDesk::of);
    let tasks = [suggest.launch(APP), off.launch(APP)];

    let failed = suggest.until("it has failed", &tasks[0], has_failed);
    assert_shm_refused(&failed["diagnosis"]);
    let proposal = &failed["diagnosis"]["remedy"];
    let told = (&proposal["kind"], &proposal["sentence"]);
    assert_eq!(told, (&json!("other_engine"), &json!("start it again as an ephemeral container")));
    assert_eq!((&failed["runs"], &failed["remedied"]), (&json!(1), &Value::Null), "{failed:#}");
    let answer = suggest.ask("POST", &format!("/v1/tasks/{}/remedy", tasks[0])).send().expect(202);
    assert_eq!(answer["id"].as_str(), Some(tasks[0].as_str()), "{answer:#}");
    let mended = suggest.until("it runs as an ephemeral container", &tasks[0], is_mended);
    assert_remedied(&mended, "a user");
    assert_cleaned_up(&spaces[0], &tasks[0]);
    assert_eq!(refusal(&suggest, &tasks[0]), (409, json!("no_remedy")), "once per task");

    let failed = off.until("it has failed", &tasks[1], has_failed);
    assert_shm_refused(&failed["diagnosis"]);
    assert_eq!(failed["diagnosis"]["remedy"], Value::Null, "{failed:#}");
    assert_eq!(refusal(&off, &tasks[1]), (409, json!("no_remedy")));
    assert_eq!(objects(&spaces[1], &tasks[1]).1, 0, "nothing was started again");
}
