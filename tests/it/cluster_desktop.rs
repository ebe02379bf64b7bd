//! The desktop pod of `container/pod.yaml` on a real kubelet.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::cluster::{Cluster, Pod, container, eventually};
use crate::support::http::Ask;
use crate::support::proc;

/// deskd's.
const PORT: u16 = 29791;

/// Uses the variables that kubelet gives to every container.
const CLIENT: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  restartPolicy: Never
  containers:
    - name: client
      image: localhost/deskd-desktop:latest
      imagePullPolicy: Never
      command: [bash, -c]
      args: ["exec 3<>/dev/tcp/$KUBERNETES_SERVICE_HOST/$KUBERNETES_SERVICE_PORT && echo reached"]
"#;

/// Holds the X server back until somebody lets it start.
fn held_back(manifest: String) -> String {
    let held = "command: [sh, -c, 'until [ -e /run/desktop/go ]; do sleep 0.1; done; \
                exec desktop-xvnc']";
    let edited = manifest.replace("args: [\"desktop-xvnc\"]", held);
    assert_ne!(edited, manifest);
    edited
}

fn asked(pod: &Pod<'_>, path: &str) -> u16 {
    Ask::new(&pod.door(PORT), "GET", path).send().status
}

fn restarts(pod: &Value, name: &str) -> u64 {
    container(pod, name).map_or(0, |status| status["restartCount"].as_u64().unwrap_or(0))
}

fn x_server(pod: &Pod<'_>) -> u32 {
    let servers = pod.processes("Xvnc");
    assert_eq!(servers.len(), 1, "{servers:?}");
    servers[0]
}

#[test]
fn the_desktop_pod_is_ready_exactly_while_its_x_server_works() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("desktop");
    let pod = namespace.desktop(held_back);

    // The sidecar has started, the X server's container runs, the X server does not.
    pod.wait_for("both containers run", |pod| {
        let running =
            |name| container(pod, name).is_some_and(|c| c["state"]["running"].is_object());
        (running("deskd") && running("graphical")).then_some(())
    });
    assert_eq!([asked(&pod, "/startupz"), asked(&pod, "/livez")], [200, 200]);
    assert_eq!(asked(&pod, "/readyz"), 503);
    let unready = pod.wait_until_ready(false);
    pod.exec("graphical", &["touch", "/run/desktop/go"]);
    pod.wait_until_ready(true);
    assert_eq!(asked(&pod, "/readyz"), 200);
    shared_memory_works(&pod);

    // It hangs.
    proc::signal(x_server(&pod), Signal::SIGSTOP);
    let hanging = pod.wait_until_ready(false);
    assert!(hanging >= unready, "{hanging} {unready}");
    assert_eq!([asked(&pod, "/readyz"), asked(&pod, "/livez")], [503, 200]);
    proc::signal(x_server(&pod), Signal::SIGCONT);
    pod.wait_until_ready(true);

    // It dies: kubelet starts its container again, and deskd's is none the wiser. (kubelet may be so
    // quick that the pod's condition does not change.)
    proc::signal(x_server(&pod), Signal::SIGKILL);
    pod.wait_for("the X server was started again", |pod| {
        (restarts(pod, "graphical") == 1).then_some(())
    });
    eventually("deskd says that it works", || (asked(&pod, "/readyz") == 200).then_some(()));
    pod.wait_until_ready(true);
    shared_memory_works(&pod);
    pod.wait_for("deskd was not restarted", |pod| (restarts(pod, "deskd") == 0).then_some(()));
}

fn shared_memory_works(pod: &Pod<'_>) {
    let token = pod.exec("deskd", &["cat", "/run/deskd/state/token"]);
    let bearer = format!("Bearer {}", token.trim());
    let ask = Ask::new(&pod.door(PORT), "POST", "/v1/desktop/probe");
    let desktop = ask.header("authorization", &bearer).send().expect(200);
    assert_eq!(desktop["display"]["shm"]["sysv"], "works", "{desktop:#}");
    assert_eq!(desktop["display"]["tcp"]["state"], "answering", "{desktop:#}");
}

#[test]
fn a_pod_reaches_the_api_server_where_kubelet_says_it_is() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("api");
    namespace.apply(CLIENT);
    namespace.wait_for("it ends", "pod/client", |pod| {
        (pod["status"]["phase"] == "Succeeded").then_some(())
    });
    assert_eq!(namespace.must(&["logs", "client"], ""), "reached\n");
}

/// Application, and the engine its document asks for.
const GAMES: [(&str, &str); 2] =
    [("2048-alpine", "ephemeral_container"), ("2048-ubuntu", "pod_application")];

#[test]
fn both_games_of_the_documents_draw_on_one_desktop() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("games");
    let pod = namespace.desktop(|manifest| manifest);
    pod.wait_until_ready(true);
    let tasks = GAMES.map(|(app, engine)| (pod.exec("deskd", &["deskd", "launch", app]), engine));
    for (task, engine) in tasks {
        let show = ["deskd", "task", "show", task.trim(), "--output", "json"];
        let task = pod.wait_for("its window is shown", |_| {
            let task: Value = serde_json::from_str(&pod.exec("deskd", &show)).expect("JSON");
            assert_ne!(task["state"], "ended", "{task:#}");
            task["first_window_ms"].is_number().then_some(task)
        });
        assert_eq!(task["engine"], engine, "{task:#}");
        assert_eq!(task["state"], "running", "{task:#}");
    }
    assert_eq!(pod.processes("gnome-2048").len(), 1, "an ephemeral container is the pod's");
    assert_eq!(pod.processes("2048-qt").len(), 0, "a pod of its own is not");
}

/// The API server, through which `kubectl proxy` asks, sends its own address as `Host`.
#[test]
fn the_panel_is_used_through_kubectl_proxy_without_any_setting() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("proxied");
    let pod = namespace.desktop(|manifest| manifest);
    pod.wait_until_ready(true);
    let below = format!("/api/v1/namespaces/{}/pods/{}:{PORT}/proxy", namespace.name, pod.name);
    let ask = |method: &str, path: &str| {
        Ask::new(&cluster.api(), method, &format!("{below}{path}"))
            .header("origin", "http://127.0.0.1:8001")
    };
    let printed = pod.exec("deskd", &["deskd", "panel"]);
    let code = printed.split_once("/login?code=").expect("a link").1;
    let code = code.split_whitespace().next().expect("a code");
    let entered = ask("GET", &format!("/login?code={code}")).send();
    assert_eq!(entered.status, 200, "{}", entered.text());
    let cookie = entered.header("set-cookie").expect("a session");
    let cookie = cookie.split(';').next().expect("a cookie");
    let own = |method, path| {
        ask(method, path).header("cookie", cookie).header("sec-fetch-site", "same-origin")
    };
    assert_eq!(own("GET", "/").send().status, 200);
    let task = own("POST", "/v1/tasks").json(&json!({ "app": "xclock" })).send().expect(201);
    assert_eq!(own("GET", "/v1/tasks").send().expect(200)[0]["id"], task["id"]);
    for other in ["cross-site", "same-site"] {
        let foreign = ask("POST", "/v1/tasks").header("cookie", cookie);
        let refused =
            foreign.header("sec-fetch-site", other).json(&json!({ "app": "xclock" })).send();
        assert_eq!(refused.status, 403, "{other}: {}", refused.text());
    }
}
