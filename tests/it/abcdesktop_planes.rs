//! Two control planes, one desktop: what deskd starts is in abcdesktop's list and ends with its logout,
//! and what abcdesktop starts is a task of deskd's.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::abcdesktop::{Abcdesktop, Shared, Way, document, shared};
use crate::support::cluster::{Cluster, eventually};
use crate::support::pyos::{DESKTOP, GRAPHICAL};
use crate::support::task::{has_ended, has_window, is_running, stop};

/// How much longer a logout may take while an ephemeral application of deskd's runs. What is far above
/// the desktop's own time is a wait for something that has happened already.
const LOGOUT_MORE_MAX: Duration = Duration::from_secs(5);

/// The two games of abcdesktop's documents, started by deskd.
fn story_of_deskd(shared: &Shared) {
    let pyos = shared.desktop.pyos();
    let (gtk, qt) = (shared.desk.launch("2048-alpine"), shared.desk.launch("2048-ubuntu"));
    let here = shared.desk.until("its window is there", &gtk, has_window);
    let there = shared.desk.until("its window is there", &qt, has_window);
    let engines = (&here["engine"], &there["engine"]);
    assert_eq!(engines, (&json!("ephemeral_container"), &json!("pod_application")));
    for task in [&here, &there] {
        assert_eq!(
            (&task["state"], &task["origin"]),
            (&json!("running"), &json!("deskd")),
            "{task}"
        );
    }
    let names = [&here["object"]["container"], &there["object"]["pod"]]
        .map(|name| name.as_str().expect("a name"));
    assert!(names[1].starts_with("robin-app-"), "{names:?}");
    eventually("abcdesktop lists both as running", || {
        let listed = pyos.list();
        let is_listed =
            |name: &&str| listed.iter().any(|app| app.id == **name && app.status == "Running");
        names.iter().all(is_listed).then_some(())
    });
    let ended = stop(&shared.desk, &gtk, &json!({}));
    assert_eq!(ended["exit"], json!({ "code": 0 }), "the program's: {ended}");
    let ended = stop(&shared.desk, &qt, &json!({}));
    assert_eq!(ended["exit"], json!({ "entry_point": 0 }), "nobody sees the program: {ended}");
    assert!(shared.desk.log(&qt).contains("Started a new game"), "{}", shared.desk.log(&qt));
    let runs = |name: &str| {
        pyos.list().iter().filter(|app| app.id == name && app.status == "Running").count()
    };
    eventually("the pod does not run in abcdesktop's list", || (runs(names[1]) == 0).then_some(()));
    // The place stays, for the next launch of the image: one entry for however many.
    let again = shared.desk.launch("2048-alpine");
    let shown = shared.desk.until("its window is there", &again, has_window);
    assert_eq!((&shown["object"]["container"], runs(names[0])), (&json!(names[0]), 1));
    stop(&shared.desk, &again, &json!({}));
}

/// The same two, started by abcdesktop.
fn story_of_pyos(shared: &Shared) {
    let pyos = shared.desktop.pyos();
    let here = pyos.start_ephemeral(&document("2048-alpine"));
    let there = pyos.start_pod(&document("2048-ubuntu"));
    let [gtk, qt] = [&here, &there].map(|name| row(shared, name));
    for (task, app) in [(&gtk, "2048-alpine"), (&qt, "2048-ubuntu")] {
        let running = shared
            .desk
            .until("it runs and has a window", task, |task| has_window(task).and(is_running(task)));
        assert_eq!(
            (&running["origin"], &running["app"]),
            (&json!("other"), &json!(app)),
            "{running}"
        );
        assert_eq!(running["maker"], "abcdesktop", "{running}");
    }
    shared.desk.until("its output is there", &qt, |_| {
        shared.desk.log(&qt).contains("Started a new game").then_some(())
    });
    // Nobody can end an ephemeral container of another's PID namespace, and deskd says so.
    let answer = shared.desk.ask("POST", &format!("/v1/tasks/{gtk}/stop")).json(&json!({})).send();
    assert_eq!(answer.refusal(409), "cannot_stop", "{}", answer.text());
    // Its user closes it; abcdesktop ends the other.
    shared.desk.pod.exec(GRAPHICAL, &["pkill", "-x", "gnome-2048"]);
    let ended = shared.desk.until("it has ended", &gtk, has_ended);
    assert_eq!(ended["exit"], json!({ "entry_point": 0 }), "nobody sees the program: {ended}");
    // (Its entry point is a shell, which as a first process does not hear SIGTERM.)
    let delete = ["delete", "pod", &there, "--grace-period=1", "--wait=false"];
    shared.desktop.namespace.must(&delete, "");
    shared.desk.until("it has ended", &qt, has_ended);
}

/// The id of the row that shows this container or pod of others.
fn row(shared: &Shared, name: &str) -> String {
    eventually("deskd lists it", || {
        let tasks = shared.desk.get("/v1/tasks");
        let tasks = tasks.as_array().or(tasks["tasks"].as_array())?.clone();
        let is = |task: &&Value| {
            [&task["object"]["pod"], &task["object"]["container"]].contains(&&json!(name))
        };
        tasks.iter().find(is).map(|task| task["id"].as_str().expect("an id").to_owned())
    })
}

#[test]
fn the_2048_story_with_both_games_of_deskds_in_a_desktop_of_the_policy() {
    let Some(shared) = shared(Way::Policy) else { return };
    story_of_deskd(shared);
}

#[test]
fn the_2048_story_with_both_games_of_deskds_in_a_desktop_of_deskd_inject() {
    let Some(shared) = shared(Way::Command) else { return };
    story_of_deskd(shared);
}

#[test]
fn the_2048_story_with_both_games_of_abcdesktops_in_a_desktop_of_the_policy() {
    let Some(shared) = shared(Way::Policy) else { return };
    story_of_pyos(shared);
}

#[test]
fn the_2048_story_with_both_games_of_abcdesktops_in_a_desktop_of_deskd_inject() {
    let Some(shared) = shared(Way::Command) else { return };
    story_of_pyos(shared);
}

#[test]
fn a_logout_ends_all_that_deskd_started_and_takes_no_longer_for_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let desktop = Abcdesktop::new(cluster, "logout", Way::Policy);
    let (_, login) = desktop.login();
    let idle = desktop.pyos().logout();
    let (desk, again) = desktop.login();
    let (here, there) = (desk.launch("2048-alpine"), desk.launch("2048-ubuntu"));
    for task in [&here, &there] {
        desk.until("its window is there", task, has_window);
    }
    let busy = desktop.pyos().logout();
    println!("login {login:.1?} and {again:.1?}, logout {idle:.1?}, with applications {busy:.1?}");
    assert!(busy < idle + LOGOUT_MORE_MAX, "{busy:?} {idle:?}");
    eventually("no pod is left", || {
        let pods = desktop.namespace.get("pods");
        let left = pods["items"].as_array().into_iter().flatten();
        let left: Vec<_> = left.filter(|pod| pod["metadata"]["name"] != DESKTOP).collect();
        left.is_empty().then_some(())
    });
}
