//! What is wrong in a desktop of abcdesktop's, or in a document: the desktop works without what cannot be.

use serde_json::{Value, json};

use crate::support::abcdesktop::{Abcdesktop, Way, document, injected, shared, variant};
use crate::support::cluster::{Cluster, container};
use crate::support::pyos::FakePyos;
use crate::support::task::{has_ended, has_window, stop};

const EPHEMERAL: &str = "ephemeral_container";
/// Of the fixture.
const COOKIE: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1";
/// Longest cookie that is tried, in bytes.
const COOKIE_BYTES: usize = 300;

/// A desktop with another cookie; without one: nowhere in the pod.
fn with_cookie(cookie: &str) -> String {
    let manifest = FakePyos::manifest();
    assert!(manifest.contains(COOKIE));
    let manifest = match cookie {
        "" => manifest.replace(&format!("- {{name: XAUTH_KEY, value: {COOKIE}}}"), ""),
        cookie => manifest.replace(&format!("value: {COOKIE}"), &format!("value: \"{cookie}\"")),
    };
    // A label has at most 63 characters.
    injected(&manifest.replace(&format!("xauthkey: {COOKIE}"), ""))
}

#[test]
fn whatever_the_cookie_is_the_desktop_works_and_so_do_its_applications() {
    let Some(cluster) = Cluster::shared() else { return };
    let long = "1f".repeat(COOKIE_BYTES);
    for (what, cookie) in [("none", ""), ("odd", "0f1e2"), ("long", &long)] {
        let desktop = Abcdesktop::new(cluster, &format!("cookie-{what}"), Way::Command);
        desktop.pyos().login(&with_cookie(cookie)).unwrap_or_else(|why| panic!("{what}: {why}"));
        let desk = desktop.desk();
        let pod = desktop.pyos().desktop_object();
        let restarts = &container(&pod, "deskd").expect("deskd")["restartCount"];
        assert_eq!(restarts, 0, "{what}");
        let task = desk.launch("2048-alpine");
        desk.until("its window is there", &task, has_window);
        let ended = stop(&desk, &task, &json!({}));
        assert_eq!(ended["exit"], json!({ "code": 0 }), "{what}: {ended}");
        let state = desk.get("/v1/desktop").to_string();
        assert!(cookie.is_empty() || !state.contains(cookie), "{what}: a cookie is told: {state}");
    }
}

#[test]
fn an_entry_point_that_cannot_be_run_is_named_with_what_to_do() {
    let Some(shared) = shared(Way::Policy) else { return };
    for (name, command, cause) in [
        ("missing", "/composer/none.sh", "program_not_found"),
        ("no-script", "/composer/no-script", "wrong_architecture"),
    ] {
        let mut document = variant("three", name, EPHEMERAL);
        document[0]["Config"]["Cmd"] = json!([command]);
        shared.desk.add(&document);
        let task = shared.desk.launch(name);
        let failed = shared.desk.until("it is explained", &task, |task: &Value| {
            (task["state"] == "ended" && task["diagnosis"].is_object()).then(|| task.clone())
        });
        let diagnosis = &failed["diagnosis"];
        assert_eq!(diagnosis["cause"], cause, "{failed:#}");
        assert!(failed["cause"].to_string().contains(command), "{failed:#}");
        // The program itself is there.
        shared.desk.ask("POST", &format!("/v1/tasks/{task}/remedy")).send().expect(202);
        let again = shared.desk.until("the program has run", &task, |task: &Value| {
            (task["runs"] == 2).then_some(()).and_then(|()| has_ended(task))
        });
        assert_eq!(again["exit"], json!({ "code": 3 }), "{again:#}");
    }
}

#[test]
fn dollars_and_parentheses_arrive_as_they_were_written() {
    let Some(shared) = shared(Way::Policy) else { return };
    let mut document = document("identity");
    let labels = &mut document[0]["Config"]["Labels"];
    labels["oc.name"] = json!("dollars");
    labels["oc.args"] = json!("$(HOME) $$x $HOME $(NOBODY)");
    shared.desk.add(&document);
    let task = shared.desk.launch_with(&json!({ "app": "dollars", "args": ["a $(HOME) $$ b"] }));
    shared.desk.until("it has ended", &task, has_ended);
    let log = shared.desk.log(&task);
    let arguments: Vec<_> = log.lines().filter_map(|line| line.strip_prefix("argument=")).collect();
    assert_eq!(arguments, ["$(HOME)", "$$x", "$HOME", "$(NOBODY)", "a $(HOME) $$ b"], "{log}");
}
