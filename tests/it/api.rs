//! The API over both doors, on a whole deskd: admission, words and codes of HTTP, applications,
//! tasks, health, metrics, and the committed document.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::support::desk::Desk;
use super::support::http::Ask;
use super::support::xvnc::{Place, Running, available};

const APPS: &str = r#"
[app.sleep]
needs_display = false
command = ["sleep", "600"]
env = { API_TOKEN = "very secret", TZ = "UTC" }

[app.draws]
command = ["xclock"]

[app.nope]
needs_display = false
command = ["/nope"]
"#;

#[test]
fn the_committed_document_is_what_the_code_says() {
    let path = concat!(env!("DESKD_ROOT"), "/docs/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == deskd::api::openapi_json(),
        "docs/openapi.json is stale: cargo run -- openapi > docs/openapi.json"
    );
}

#[test]
fn health_is_open_on_both_doors_and_names_what_fails() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    for door in [desk.unix(), desk.tcp()] {
        let get = |path: &str| Ask::new(&door, "GET", path).send();
        assert_eq!((get("/livez").status, get("/livez").text()), (200, "ok".into()));
        assert_eq!(get("/startupz").status, 200);
        let ready = get("/readyz");
        assert_eq!(ready.status, 503);
        assert!(ready.text().contains("[-]display failed: nothing listens on display :999\n"));
        assert!(ready.text().ends_with("readyz check failed\n"));
        let path = "/readyz?verbose&exclude=display&exclude=shm&exclude=nope";
        let excluded = get(path);
        assert_eq!(excluded.status, 200, "{}", excluded.text());
        assert!(excluded.text().contains("no matches for \"nope\""));
        assert!(excluded.text().contains("[+]display excluded: ok\n"));
        let metrics = get("/metrics");
        assert!(metrics.header("content-type").is_some_and(|kind| kind.contains("openmetrics")));
        for line in ["deskd_display_up 0", "deskd_tasks{state=\"running\"} 0", "# EOF"] {
            assert!(metrics.text().contains(line), "{line} is not in {}", metrics.text());
        }
    }
}

#[test]
fn tcp_needs_the_token_and_refuses_in_json() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let get = |path: &str| Ask::new(&desk.tcp(), "GET", path);
    let refused = get("/v1/tasks").send();
    assert_eq!(refused.refusal(401), "unauthorized");
    assert!(refused.header("www-authenticate").is_some());
    let wrong = get("/v1/tasks").header("authorization", "Bearer 0123456789abcdef").send();
    assert_eq!(wrong.refusal(401), "unauthorized");
    let bearer = format!("Bearer {}", desk.token());
    get("/v1/tasks").header("authorization", &bearer).send().expect(200);
    let page = get("/").send();
    assert_eq!(page.status, 401);
    assert!(page.text().contains("deskd panel") && page.text().contains("<html"));
    let login = Ask::new(&desk.tcp(), "POST", "/v1/panel/login").header("authorization", &bearer);
    assert_eq!(login.send().refusal(403), "unix_socket_only");
    let token = desk.dir.path().join("state/token");
    assert_eq!(std::fs::metadata(token).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_unix_socket_is_for_its_own_user_and_root() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let mode = std::fs::metadata(desk.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let socket = desk.socket();
    let connect = |uid: u32| {
        let binary = desk.dir.path().join("deskd");
        let argv = [binary.to_str().unwrap(), "--socket", socket.to_str().unwrap(), "task", "list"];
        let mut child = Running::start(&mut Place::default().uid(uid).command(&argv));
        child.0.wait().unwrap().code()
    };
    assert_eq!(connect(super::support::xvnc::POD_UID), Some(0));
    assert_eq!(connect(4097), Some(4), "another user was let in");
}

#[test]
fn a_panel_session_is_opened_once_and_checked_for_host_and_origin() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let url = desk.login_url();
    let path = url.strip_prefix(&format!("http://{}", desk.tcp)).expect("the panel's address");
    let get = |path: &str| Ask::new(&desk.tcp(), "GET", path);
    let guess = get(path).header("sec-purpose", "prefetch").send();
    assert_eq!(guess.status, 503, "a prefetch used the login up");
    let opened = get(path).send();
    assert_eq!(opened.status, 200);
    let set = opened.header("set-cookie").expect("a cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    let cookie = set.split(';').next().unwrap();
    assert_eq!(get(path).send().status, 401, "a login worked twice");
    let with = |ask: Ask| ask.header("cookie", cookie);
    let page = with(get("/")).send();
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    with(get("/v1/tasks")).send().expect(200);
    let rebound = with(get("/v1/tasks")).header("host", "evil.example:29791").send();
    assert_eq!(rebound.refusal(403), "host_not_allowed");
    let launch = || {
        let ask = Ask::new(&desk.tcp(), "POST", "/v1/tasks").json(&json!({ "app": "sleep" }));
        with(ask)
    };
    assert_eq!(launch().send().refusal(403), "origin_not_allowed");
    let other = launch().header("origin", "http://evil.example").send();
    assert_eq!(other.refusal(403), "origin_not_allowed");
    launch().header("origin", &format!("http://{}", desk.tcp)).send().expect(201);
    // A session outlives the daemon.
    let old = desk.kill_daemon();
    desk.until_back(old);
    with(get("/v1/tasks")).send().expect(200);
}

#[test]
fn a_task_lives_through_the_whole_api() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let post = |body| desk.ask("POST", "/v1/tasks").json(&body).header("idempotency-key", "k1");
    let started = post(json!({ "app": "sleep" })).send();
    let task = started.expect(201);
    let id = task["id"].as_str().unwrap();
    assert_eq!(started.header("location"), Some(format!("/v1/tasks/{id}").as_str()));
    assert_eq!(post(json!({ "app": "sleep" })).send().expect(200)["id"], id);
    let reused = post(json!({ "app": "nope" })).send();
    assert_eq!(reused.refusal(409), "idempotency_key_reused");
    let path = format!("/v1/tasks/{id}");
    assert_eq!(desk.get(&path)["state"], "running");
    let env = desk.get(&format!("{path}/env"));
    let zone = json!({ "name": "TZ", "value": "UTC", "from": "application" });
    assert!(env.as_array().unwrap().contains(&zone), "{env}");
    assert!(!env.to_string().contains("very secret"), "{env}");
    assert_eq!(desk.ask("DELETE", &path).send().refusal(409), "not_ended");
    let early = desk.ask("GET", &format!("{path}/wait?timeout_ms=20")).send();
    assert_eq!(early.refusal(408), "wait_timeout");
    desk.get(&format!("{path}/wait?state=running"));
    desk.stop(id).expect(202);
    assert_eq!(desk.ended(id)["exit"]["signal"]["name"], "SIGTERM");
    desk.stop(id).expect(200);
    desk.ask("DELETE", &path).send().expect(204);
    for (method, path) in [("GET", path.clone()), ("POST", format!("{path}/stop"))] {
        assert_eq!(desk.ask(method, &path).send().refusal(404), "unknown_task");
    }
    let metrics = Ask::new(&desk.unix(), "GET", "/metrics").send().text();
    for line in [
        "deskd_launches_total{kind=\"started\"} 1",
        "deskd_launches_total{kind=\"repeated\"} 1",
        "deskd_task_exits_total{kind=\"signal\"} 1",
        "deskd_task_runs_total 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[test]
fn several_launches_in_one_request_are_each_answered_in_order_and_started_once() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let ask = || desk.ask("POST", "/v1/tasks");
    let mut list = vec![json!({ "app": "sleep" }); 50];
    list[3] = json!({ "app": "who" });
    list[7] = json!({ "app": "nope" });
    list[9] = json!({ "app": "sleep", "args": ["a\0b"] });
    let answer = ask().json(&json!(list)).header("idempotency-key", "k").send().expect(200);
    let answers = answer.as_array().unwrap();
    assert_eq!(answers.len(), 50);
    for (place, answer) in answers.iter().enumerate() {
        let code = answer["error"]["code"].as_str();
        match place {
            3 => assert_eq!(code, Some("unknown_app")),
            7 => assert_eq!(code, Some("cannot_execute")),
            9 => assert_eq!(code, Some("invalid_body")),
            _ => assert_eq!(answer["task"]["state"], "running", "{answer}"),
        }
    }
    assert_eq!(desk.get("/v1/tasks").as_array().unwrap().len(), 47);
    let again = ask().json(&json!(list)).header("idempotency-key", "k").send().expect(200);
    assert_eq!(again[0]["task"]["id"], answers[0]["task"]["id"], "nothing is started twice");
    assert_eq!(desk.get("/v1/tasks").as_array().unwrap().len(), 47);

    assert_eq!(ask().json(&json!([])).send().expect(200), json!([]));
    let many = vec![json!({ "app": "sleep" }); 257];
    assert_eq!(ask().json(&json!(many)).send().refusal(400), "too_many_launches");
    let wrong = ask().json(&json!([{ "app": "sleep" }, { "app": 1 }])).send();
    assert_eq!(wrong.refusal(400), "invalid_body");
    assert!(wrong.text().contains("[1].app"), "{}", wrong.text());
    assert_eq!(
        desk.get("/v1/tasks").as_array().unwrap().len(),
        47,
        "all or nothing of what cannot be read"
    );
}

#[test]
fn what_cannot_be_launched_is_refused_with_its_reason() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let post = |body| desk.ask("POST", "/v1/tasks").json(&body);
    let nope = post(json!({ "app": "nope" })).send();
    assert_eq!(nope.refusal(422), "cannot_execute");
    assert!(nope.text().contains("/nope"), "{}", nope.text());
    assert_eq!(post(json!({ "app": "who" })).send().refusal(404), "unknown_app");
    let blind = post(json!({ "app": "draws" })).send();
    assert_eq!(blind.refusal(409), "display_unavailable");
    assert_eq!(blind.json()["rejected"][0]["engine"], "local");
    let plan = desk.ask("GET", "/v1/apps/draws/plan").send();
    assert_eq!(plan.refusal(409), "display_unavailable");
    for (body, field) in [
        (json!({ "app": "sleep", "args": [1] }), "args[0]"),
        (json!({ "app": "NOT AN ID" }), "app"),
        (json!({ "app": "sleep", "arg": [] }), "arg"),
        (json!({ "app": "sleep", "args": ["a\0b"] }), "args[0]"),
    ] {
        let refused = post(body).send();
        assert_eq!(refused.refusal(400), "invalid_body");
        assert!(refused.text().contains(field), "{}", refused.text());
    }
    let key = "k".repeat(129);
    let long = post(json!({ "app": "sleep" })).header("idempotency-key", &key).send();
    assert_eq!(long.refusal(400), "invalid_idempotency_key");
    let text = desk.ask("POST", "/v1/tasks").raw("text/plain", b"{}").send();
    assert_eq!(text.refusal(415), "not_json");
    let large =
        desk.ask("POST", "/v1/tasks").raw("application/json", &vec![b' '; 1_100_000]).send();
    assert_eq!(large.refusal(413), "body_too_large");
    assert_eq!(desk.ask("PATCH", "/v1/tasks").send().refusal(405), "method_not_allowed");
    assert_eq!(desk.ask("GET", "/v1/nothing").send().refusal(404), "unknown_path");
    assert_eq!(desk.get("/v1/tasks"), json!([]));
}

#[test]
fn applications_are_added_replaced_and_removed_but_not_those_of_the_file() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let put = |body| desk.ask("PUT", "/v1/apps").json(&body).send();
    let app = json!({ "id": "mine", "display_name": "My own", "needs_display": false,
        "local": { "command": ["true"], "env": { "DB_PASSWORD": "hush" } } });
    put(app.clone()).expect(201);
    put(app).expect(200);
    let shown = desk.get("/v1/apps/mine");
    assert!(!shown.to_string().contains("hush"), "{shown}");
    assert_eq!(put(shown).refusal(400), "invalid_app");
    assert_eq!(desk.get("/v1/apps?q=OWN%20my")[0]["id"], "mine");
    let plan = desk.get("/v1/apps/mine/plan?arg=a&arg=b");
    assert_eq!(plan["local"]["argv"], json!(["true", "a", "b"]));
    let insisted = desk.get("/v1/apps/mine/plan?engine=local");
    assert_eq!(insisted["rejected"][1]["why"], "this launch asks for local (`--engine`)");
    let elsewhere = desk.ask("GET", "/v1/apps/mine/plan?engine=ephemeral_container").send();
    assert_eq!(elsewhere.refusal(409), "cannot_be_placed");
    let nowhere = desk.ask("GET", "/v1/apps/mine/plan?engine=moon").send();
    assert_eq!(nowhere.refusal(400), "invalid_query");
    assert!(!plan.to_string().contains("hush"), "{plan}");
    let all = desk.get("/v1/apps").to_string();
    assert!(all.contains("\"mine\"") && !all.contains("very secret"), "{all}");
    let config = json!({ "id": "sleep", "local": { "command": ["true"] } });
    assert_eq!(put(config).refusal(409), "app_from_config");
    let delete = |id: &str| desk.ask("DELETE", &format!("/v1/apps/{id}")).send();
    assert_eq!(delete("sleep").refusal(409), "app_from_config");
    delete("mine").expect(204);
    assert_eq!(delete("mine").refusal(404), "unknown_app");
}

#[test]
fn a_launch_that_is_larger_than_the_keeper_takes_is_refused_and_harms_nothing() {
    if !available() {
        return;
    }
    let quotes = "\"".repeat(3 << 20);
    let desk = Desk::start(
        &format!(
            "[app.huge]\nneeds_display = false\ncommand = ['true']\nenv = {{ HUGE = '{quotes}' }}\n\
             [app.small]\nneeds_display = false\ncommand = ['true']\n"
        ),
        None,
    );
    let daemon = desk.daemon_pid();
    let answer = desk.ask("POST", "/v1/tasks").json(&json!({ "app": "huge" })).send();
    assert!(answer.text().contains("too long"), "{}", answer.text());
    assert_eq!(answer.refusal(422), "cannot_execute");
    desk.ended(&desk.launch("small"));
    assert_eq!(desk.daemon_pid(), daemon, "the same daemon");
    assert_eq!(desk.get("/v1/tasks").as_array().map(Vec::len), Some(1));
}
