//! Pods as places on a real kubelet: their keepers reach deskd over the pod network.

use serde_json::{Value, json};

use crate::cluster_inject::{STATE_DIR, create, injected, let_in};
use crate::support::cluster::{Cluster, Namespace, PodDesk, container, eventually};
use crate::support::counting::{COUNT, document, ticks};
use crate::support::proc;
use crate::support::task::{has_ended, has_window, is_running, stop};

/// A desktop whose applications get pods that are places, with these settings of `[kubernetes]` too.
fn desk<'a>(namespace: &'a Namespace, settings: &str) -> PodDesk<'a> {
    let_in(namespace);
    let toml = format!(
        "{}\n[kubernetes]\nplaces_port = 6001\n{settings}\n",
        include_str!("../../container/sample.toml")
    );
    let patch = json!({ "data": { "deskd.toml": toml } }).to_string();
    namespace.must(&["patch", "configmap", "deskd", "--patch", &patch], "");
    let desk = PodDesk::with_state(create(namespace, &injected(|_| {})), STATE_DIR);
    desk.add(&document(
        "eyes-image",
        "pod_application",
        &json!({ "Labels": { "oc.path": "/usr/bin/xeyes" } }),
    ));
    desk
}

/// Names of the pods that are places.
fn places(desk: &PodDesk<'_>) -> Vec<String> {
    places_of(&desk.pod.namespace.get("pods"))
}

fn places_of(pods: &Value) -> Vec<String> {
    let all = pods["items"].as_array().into_iter().flatten();
    let places = all.filter(|pod| pod["metadata"]["labels"]["deskd.io/place"].is_string());
    places.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_pod_takes_the_next_launch_and_survives_the_daemon_and_deskds_container() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("pod-places");
    let desk = desk(&namespace, "linger = \"10m\"");
    desk.add(&document(
        "count",
        "pod_application",
        &json!({ "Cmd": ["/bin/sh", "-c", COUNT], "Labels": {} }),
    ));
    let plan = desk.get("/v1/apps/eyes-image/plan");
    let waits = "a keeper starts it in its pod, which waits 600 s for the next launch of the same \
                 image, class and user";
    assert!(plan["reasons"].as_array().is_some_and(|all| all.contains(&json!(waits))), "{plan:#}");

    let first = desk.launch("eyes-image");
    let shown = desk.until("it has a window", &first, has_window);
    assert_eq!(places(&desk).len(), 1, "{shown:#}");
    let stopped = stop(&desk, &first, &json!({ "force": true }));
    assert_eq!(stopped["exit"]["signal"]["number"], 9, "{stopped:#}");
    let eyes = desk.launch("eyes-image");
    let again = desk.until("it has a window", &eyes, has_window);
    assert_eq!(again["object"]["pod"], shown["object"]["pod"], "{again:#}");
    // The same image and class, while that runs.
    let count = desk.launch("count");
    desk.until("it runs", &count, is_running);
    assert_eq!(places(&desk).len(), 2);

    let daemon = eventually("there is a daemon", || desk.pod.daemon());
    proc::kill(daemon);
    eventually("another daemon", || desk.pod.daemon().filter(|pid| *pid != daemon));
    for task in [&eyes, &count] {
        desk.until("it runs on", task, is_running);
    }
    let before = ticks(&desk, &count);
    eventually("it goes on", || (ticks(&desk, &count) > before + 20).then_some(()));

    // The end of deskd's container, and its return.
    let own = desk.pod.processes("deskd-keeper");
    assert_eq!(own.len(), 1, "those of other pods are theirs");
    proc::kill(own[0]);
    desk.pod.wait_for("deskd's container is back", |pod| {
        let deskd = container(pod, "deskd")?;
        (deskd["restartCount"] == 1 && deskd["ready"] == true).then_some(())
    });
    for task in [&eyes, &count] {
        desk.until("it runs on", task, is_running);
    }
    let before = ticks(&desk, &count);
    eventually("it goes on", || (ticks(&desk, &count) > before + 20).then_some(()));
    let stopped = stop(&desk, &eyes, &json!({}));
    assert_eq!(stopped["state"], "ended", "{stopped:#}");
    let third = desk.launch("eyes-image");
    let third = desk.until("it has a window", &third, has_window);
    assert_eq!(third["object"]["pod"], shown["object"]["pod"], "{third:#}");
    assert_eq!(places(&desk).len(), 2);
}

#[test]
fn what_the_kernel_kills_for_want_of_memory_is_told_so_and_its_pod_takes_the_next_launch() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("pod-memory");
    let small = "linger = \"10m\"\n[execute_class.small]\n\
                 requests = { memory = \"32Mi\" }\nlimits = { memory = \"64Mi\" }";
    let desk = desk(&namespace, small);
    for (name, script) in [
        // `tail` keeps what has no line end; the shell around it lives on and says how that ended.
        ("hungry", "exec tail /dev/zero"),
        ("parent", "tail /dev/zero; exit 3"),
        ("modest", "echo done"),
    ] {
        let command = json!(["/bin/sh", "-c", script]);
        let labels = json!({ "oc.executeclassname": "small" });
        let config = json!({ "Cmd": command, "Labels": labels });
        desk.add(&document(name, "pod_application", &config));
    }
    for name in ["hungry", "parent"] {
        let task = desk.launch(name);
        let ended = desk.until("it ended", &task, has_ended);
        assert_eq!(ended["diagnosis"]["cause"], "out_of_memory", "{ended:#}");
        assert_eq!(ended["diagnosis"]["rule"], "oom-killed", "the kernel's count is the proof");
    }
    let task = desk.launch("modest");
    let ended = desk.until("it ended", &task, has_ended);
    assert_eq!((&ended["exit"]["code"], desk.log(&task).as_str()), (&json!(0), "done\n"));
    assert_eq!(places(&desk).len(), 1, "all three in one pod");
}

#[test]
fn a_logout_ends_what_waits_for_a_launch_before_the_desktop_is_gone() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("pod-logout");
    let desk = desk(&namespace, "warm = { eyes-image = 2 }");
    let ready = |place: &&Value| place["idle"] == true && place["warm"] == true;
    eventually("two pods wait for a launch", || {
        let desktop = desk.get("/v1/desktop");
        (desktop["kubernetes"]["places"].as_array()?.iter().filter(ready).count() == 2)
            .then_some(())
    });
    let own = desk.pod.name.clone();
    namespace.must(&["delete", "pod", &own, "--wait=false"], "");
    eventually("the desktop is gone", || {
        let pods = namespace.get("pods");
        let mut all = pods["items"].as_array().into_iter().flatten();
        if all.any(|pod| pod["metadata"]["name"] == *own) {
            return None;
        }
        // Kubernetes' own collector begins only now.
        assert_eq!(places_of(&pods), Vec::<String>::new());
        Some(())
    });
}
