//! abcdesktop's own calls on a whole deskd: what its Tasks panel does, in both generations, with
//! tokens as pyos signs them (tests/fixtures/composer), and everything that is no such token.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use serde_json::{Value, json};

use super::support::desk::Desk;
use super::support::http::{Answer, Ask};
use super::support::xvnc::{available, eventually};

const FIXTURES: &str = concat!(env!("DESKD_ROOT"), "/tests/fixtures/composer");

fn token(name: &str) -> String {
    std::fs::read_to_string(format!("{FIXTURES}/{name}.jwt")).unwrap().trim().to_owned()
}

/// A desktop of anna's whose facade speaks a generation.
fn desk(version: &str) -> Desk {
    let apps = r#"
[app.says]
display_name = "Says"
needs_display = false
command = ["sh", "-c", "echo hello $1; sleep 600", "says"]
env = { API_TOKEN = "very secret", COLOUR = "red" }
wm_class = "says.Says"
"#;
    let config = format!(
        "[composer]\nkey_file = \"{FIXTURES}/key.pem\"\nowner = \"anna\"\nversion = \"{version}\"\n{apps}"
    );
    Desk::start(&config, None)
}

/// `odApiClient.sendRequest` of the web client.
fn send(desk: &Desk, jwt: &str, call: &str, body: &Value) -> Answer {
    let ask = Ask::new(&desk.tcp(), "POST", &format!("/API/composer/{call}"));
    ask.header("ABCAuthorization", &format!("Bearer {jwt}")).json(body).send()
}

fn result(answer: &Answer) -> Value {
    let body = answer.expect(200);
    assert_eq!((&body["status"], &body["message"]), (&json!(200), &json!("ok")), "{body}");
    body["result"].clone()
}

#[test]
fn the_tasks_panel_of_3_x_lists_reads_stops_and_removes() {
    if !available() {
        return;
    }
    let (desk, anna) = (desk("3"), token("anna"));
    assert_eq!(result(&send(&desk, &anna, "listcontainer", &json!({}))), json!([]));
    let run = json!({ "image": "says", "args": "a file", "timezone": "Europe/Paris" });
    let run = result(&send(&desk, &anna, "ocrun", &run));
    assert_eq!((&run["state"], &run["wm_class"]), (&json!("Running"), &json!("says.Says")));
    let list = result(&send(&desk, &anna, "listcontainer", &json!({})));
    let row = &list[0];
    assert_eq!((&row["id"], &row["oc.displayname"]), (&run["container_id"], &json!("Says")));
    assert_eq!((&row["status"], &row["runtime"]), (&json!("Running"), &json!("kubernetes")));
    assert_ne!(row["type"], "ephemeralcontainer", "the panel would grey out Kill and Remove");
    let name = json!({ "podname": row["podname"], "containerid": row["id"] });
    eventually("its output", || {
        let log = result(&send(&desk, &anna, "logcontainer", &name));
        (log == "hello a file\n").then_some(())
    });
    let env = result(&send(&desk, &anna, "envcontainer", &name));
    assert_eq!((&env["COLOUR"], &env["API_TOKEN"]), (&json!("red"), &json!("[redacted]")));
    assert_eq!(result(&send(&desk, &anna, "stopcontainer", &name)), json!(true));
    eventually("its end", || {
        let list = result(&send(&desk, &anna, "listcontainer", &json!({})));
        (list[0]["status"] == "Terminated").then_some(())
    });
    assert_eq!(result(&send(&desk, &anna, "removecontainer", &name)), json!(true));
    assert_eq!(result(&send(&desk, &anna, "listcontainer", &json!({}))), json!([]));

    // What it cannot do is told in the body, with HTTP 200.
    let gone = send(&desk, &anna, "stopcontainer", &name).expect(200);
    assert_eq!((&gone["status"], &gone["code"]), (&json!(404), &json!("unknown_task")), "{gone}");
    assert_eq!(gone["result"], Value::Null);
    assert!(gone["error"].as_str().unwrap().contains("there is no task"), "{gone}");
    let number = json!({ "podname": 5, "containerid": "x" });
    let wrong = send(&desk, &anna, "logcontainer", &number).expect(200);
    assert!(wrong["error"].as_str().unwrap().contains("podname"), "{wrong}");
}

#[test]
fn in_4_x_a_launch_is_a_stream_a_phase_a_bare_list_and_an_error_a_status() {
    if !available() {
        return;
    }
    let (desk, anna) = (desk("4"), token("anna"));
    let ask = Ask::new(&desk.tcp(), "POST", "/API/composer/ocrun");
    let ask = ask.header("ABCAuthorization", &format!("Bearer {anna}"));
    let mut events = ask.json(&json!({ "image": "says" })).events();
    let said = events.next().unwrap();
    assert_eq!((said.name.as_str(), &said.data["status"]), ("message", &json!(100)));
    let run = events.next().unwrap().data;
    assert_eq!((&run["status"], &run["state"]), (&json!(200), &json!("Running")), "{run}");
    assert!(events.next().is_none(), "the stream ends");

    let phase =
        |phase: &str| send(&desk, &anna, "list_applications_by_phase", &json!({ "phase": phase }));
    let running = phase("Running").expect(200);
    assert_eq!(running[0]["id"], run["container_id"]);
    assert_eq!(phase("Terminated").expect(200), json!([]));
    let bad = phase("Sleeping").expect(400);
    assert!(bad["detail"].as_str().unwrap().contains("Sleeping"), "{bad}");
    // Remove ends what runs, as the deletion of a pod does.
    let name = json!({ "podname": running[0]["podname"], "containerid": run["container_id"] });
    assert_eq!(result(&send(&desk, &anna, "removecontainer", &name)), json!(true));
    assert_eq!(phase("Running").expect(200), json!([]));
    send(&desk, &anna, "stopcontainer", &name).expect(404);
    send(&desk, &anna, "ocrun", &json!({ "image": "nothing/here:1" })).expect(404);
}

#[test]
fn who_has_no_token_of_this_user_changes_and_sees_nothing() {
    if !available() {
        return;
    }
    let desk = desk("3");
    for (name, word) in [
        ("berta", "another user"),
        ("expired", "expired"),
        ("none", "RS256"),
        ("hs256", "RS256"),
        ("hs256-as-rs256", "signature"),
        ("other-key", "signature"),
        ("audience", "audience"),
        ("endless", "exp"),
    ] {
        let refused = send(&desk, &token(name), "ocrun", &json!({ "image": "says" }));
        let body = refused.expect(401);
        assert!(body["error"].as_str().unwrap().contains(word), "{name}: {body}");
    }
    let path = "/API/composer/listcontainer";
    Ask::new(&desk.tcp(), "POST", path).json(&json!({})).send().expect(401);
    let twice = Ask::new(&desk.tcp(), "POST", path).json(&json!({}));
    let bearer = format!("Bearer {}", token("anna"));
    let twice = twice.header("ABCAuthorization", &bearer).header("ABCAuthorization", &bearer);
    twice.send().expect(401);
    assert_eq!(desk.get("/v1/tasks"), json!([]), "something was launched");
    // The token opens the facade, and nothing else of deskd's.
    let v1 = Ask::new(&desk.tcp(), "GET", "/v1/tasks").header("ABCAuthorization", &bearer);
    v1.send().expect(401);
    let large = "x".repeat(2 << 20);
    send(&desk, &token("anna"), "ocrun", &json!({ "image": large })).expect(413);
    // deskd's own token does too.
    let own = Ask::new(&desk.tcp(), "POST", path).json(&json!({}));
    own.header("authorization", &format!("Bearer {}", desk.token())).send().expect(200);
}

#[test]
fn documents_are_read_by_the_user_and_changed_by_the_operator() {
    if !available() {
        return;
    }
    let (desk, anna) = (desk("3"), token("anna"));
    let labels = json!({ "oc.path": "/usr/games/2048-qt", "oc.displayname": "2048" });
    let document = json!([{ "Id": "sha256:0a1b", "RepoTags": ["abcdesktopio/2048:3.2"],
        "Config": { "Labels": labels } }]);
    let text = document.to_string();
    let ask = |method: &str, path: &str| {
        Ask::new(&desk.tcp(), method, &format!("/API/manager/image{path}"))
    };
    let as_user = |ask: Ask| ask.header("ABCAuthorization", &format!("Bearer {anna}"));
    let as_operator = |ask: Ask| ask.header("authorization", &format!("Bearer {}", desk.token()));
    let put = || ask("PUT", "").raw("text/javascript", text.as_bytes());
    as_user(put()).send().expect(403);
    let added = as_operator(put()).send().expect(200);
    assert_eq!(added[0]["displayname"], "2048");
    let all = as_user(ask("GET", "")).send().expect(200);
    assert_eq!(all["sha256:0a1b"]["id"], "abcdesktopio/2048:3.2", "{all}");
    let one = as_user(ask("GET", "/abcdesktopio/2048:3.2")).send().expect(200);
    assert_eq!(one["path"], "/usr/games/2048-qt");
    as_user(ask("DELETE", "/abcdesktopio/2048:3.2")).send().expect(403);
    let removed = as_operator(ask("DELETE", "/abcdesktopio/2048:3.2")).send().expect(200);
    assert_eq!(removed, json!(["abcdesktopio/2048:3.2"]));
    let bad = as_operator(ask("PUT", "").raw("text/javascript", b"[{}]")).send().expect(200);
    assert_eq!((&bad["status"], &bad["code"]), (&json!(400), &json!("invalid_document")));
}

#[test]
fn without_a_key_there_is_no_facade_and_with_a_broken_one_it_says_why() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    let path = "/API/composer/listcontainer";
    let bearer = format!("Bearer {}", desk.token());
    let ask = Ask::new(&desk.tcp(), "POST", path).header("authorization", &bearer);
    assert_eq!(ask.json(&json!({})).send().status, 404);

    let config = "[composer]\nkey_file = \"/nowhere/key.pem\"\nowner = \"anna\"\nversion = \"4\"\n";
    let desk = Desk::start(config, None);
    let refused = send(&desk, &token("anna"), "listcontainer", &json!({})).expect(503);
    assert!(refused["detail"].as_str().unwrap().contains("/nowhere/key.pem"), "{refused}");
    assert!(desk.log().contains("/nowhere/key.pem"));
}
