//! What the API server refuses: for want of a right, by a quota, and only for a while.

use serde_json::json;

use crate::support::kube_desk::{document, started};
use crate::support::wait;

const EPHEMERAL: &str = "ephemeral_container";
const POD_ENGINE: &str = "pod_application";

#[test]
fn a_missing_right_turns_one_engine_off_with_a_sentence() {
    let Some((_display, desk)) = started("") else { return };
    desk.namespace.kubectl(&["delete", "rolebinding", "deskd-apps"]);
    let killed = desk.desk.kill_daemon();
    desk.desk.until_back(killed);
    desk.until_known();
    desk.add(&document("qt", Some(POD_ENGINE), &json!({})));
    desk.add(&document("gtk", Some(EPHEMERAL), &json!({})));
    let refused = desk.desk.ask("POST", "/v1/tasks").json(&json!({ "app": "qt" })).send();
    assert_eq!(refused.json()["code"], "right_missing", "{}", refused.text());
    assert!(refused.text().contains("pods"), "{}", refused.text());
    desk.desk.launch("gtk");
    assert_eq!(desk.desk.ask("GET", "/readyz").send().status, 200);
}

#[test]
fn a_stop_that_was_refused_is_carried_out_once_the_right_is_back() {
    let Some((_display, desk)) = started("") else { return };
    desk.add(&document("qt", Some(POD_ENGINE), &json!({})));
    for (kind, in_the_way) in
        [("role", "does not find the role"), ("rolebinding", "lacks the right")]
    {
        let task = desk.desk.launch("qt");
        let mut right = desk.namespace.kubectl_json(&["get", kind, "deskd-apps"]);
        right["metadata"] = json!({ "name": "deskd-apps" });
        desk.namespace.kubectl(&["delete", kind, "deskd-apps"]);
        desk.desk
            .ask("POST", &format!("/v1/tasks/{task}/stop"))
            .json(&json!({}))
            .send()
            .expect(202);
        let steps = || desk.task(&task)["stop_steps"].to_string();
        wait::until("it says what is in the way", || steps().contains(in_the_way).then_some(()));
        assert_eq!(desk.task(&task)["state"], "stopping");
        desk.namespace.apply(&right);
        wait::until("it ends", || (desk.task(&task)["state"] == "ended").then_some(()));
        assert_eq!(steps().matches(in_the_way).count(), 1, "it is told once: {}", steps());
    }
}

#[test]
fn what_the_api_server_refuses_is_an_error_of_the_launch_in_a_sentence() {
    let Some((_display, desk)) = started("") else { return };
    desk.add(&document("qt", Some(POD_ENGINE), &json!({})));
    desk.namespace.apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "cap" },
        "spec": { "hard": { "pods": "1" } },
    }));
    desk.namespace.until("the quota counts", "resourcequota", "cap", |quota| {
        quota["status"]["used"]["pods"] == "1"
    });
    let refused = desk.desk.ask("POST", "/v1/tasks").json(&json!({ "app": "qt" })).send();
    assert_eq!(refused.status, 409, "{}", refused.text());
    let text = refused.text();
    assert!(text.contains("quota") && text.contains("cap"), "{text}");
    assert_eq!(desk.desk.get("/v1/tasks"), json!([]), "a launch that was refused is no task");
}
