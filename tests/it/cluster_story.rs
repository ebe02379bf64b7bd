//! Applications as ephemeral containers and as pods, on a real kubelet: from launch to window, log,
//! stop and exit code; across the death of the daemon and of its container.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::cluster::{Cluster, PodDesk};
use crate::support::kube_desk::document_of;
use crate::support::proc;
use crate::support::task::{has_ended, has_window, is_running, stop};

const LINES: usize = 200;

fn unchanged(manifest: String) -> String {
    manifest
}

/// Draws nothing; what it does is a shell script.
fn script(name: &str, engine: &str, script: &str) -> Value {
    let mut document =
        document_of("localhost/deskd-desktop:latest", name, Some(engine), &json!({}));
    let labels = &mut document[0]["Config"]["Labels"];
    labels["oc.path"] = json!("/bin/sh");
    labels["oc.args"] = json!(shell_words::join(["-c", script]));
    document
}

#[test]
fn the_2048_story_is_true_from_launch_to_exit_code_across_the_death_of_the_daemon() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("story");
    let desk = PodDesk::of(namespace.desktop(unchanged));
    let numbers = format!(
        "i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); sleep 0.02; done; sleep 600"
    );
    desk.add(&script("counting-pod", "pod_application", &numbers));
    desk.add(&script("counting", "ephemeral_container", &numbers));
    let mut qt = json!([crate::support::kube_desk::fixture("2048-ubuntu")]);
    qt[0]["Config"]["Labels"]["oc.executeclassname"] = json!("default");
    qt[0]["Config"]["Labels"]["oc.name"] = json!("qt-with-limits");
    desk.add(&qt);

    let gtk = desk.launch("2048-alpine");
    let qt = desk.launch("qt-with-limits");
    let counting = [desk.launch("counting"), desk.launch("counting-pod")];
    let shown = desk.until("its window is there", &gtk, has_window);
    assert_eq!(shown["engine"], "ephemeral_container");
    assert!(shown["pid"].is_u64(), "its process is in deskd's PID namespace: {shown}");
    let shown = desk.until("its window is there", &qt, has_window);
    assert_eq!((&shown["engine"], &shown["node"]), (&json!("pod_application"), &json!("node")));
    let pod = namespace.get(&format!("pod/{}", shown["object"]["pod"].as_str().expect("a pod")));
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"]["memory"], "1Gi");

    // The daemon dies while both count.
    let daemon = desk.pod.daemon().expect("a daemon");
    proc::signal(daemon, Signal::SIGKILL);
    let expected: String = (0..LINES).map(|number| format!("line {number}\n")).collect();
    for task in &counting {
        desk.until("everything is in the log, once", task, |_| {
            (desk.log(task) == expected).then_some(())
        });
    }
    assert_ne!(desk.pod.daemon(), Some(daemon));
    for task in [&gtk, &qt] {
        let back = desk.until("it is known again", task, has_window);
        assert_eq!(back["state"], "running", "{back}");
    }
    assert!(desk.log(&qt).contains("Started a new game"), "{}", desk.log(&qt));

    // Windows are asked first; both take it.
    let ended = stop(&desk, &gtk, &json!({}));
    assert_eq!(ended["exit"], json!({ "code": 0 }), "{ended}");
    assert!(ended["stop_steps"][0]["detail"].as_str().expect("a step").contains("1 of 1 windows"));
    // Another pod's processes are not seen: the code is that of its image's entry point.
    let ended = stop(&desk, &qt, &json!({}));
    assert_eq!(ended["exit"], json!({ "entry_point": 0 }), "{ended}");
    for task in &counting {
        let ended = stop(&desk, task, &json!({ "grace_ms": 3000 }));
        assert!(ended["exit"]["signal"]["name"].is_string(), "{ended}");
    }

    // What belongs to a desktop goes with it.
    let last = desk.launch("qt-with-limits");
    let shown = desk.until("its window is there", &last, has_window);
    let pod = format!("pod/{}", shown["object"]["pod"].as_str().expect("a pod"));
    namespace.must(&["delete", "pod", "desktop", "--wait=false"], "");
    let gone = || namespace.get(&pod).is_null().then_some(());
    crate::support::cluster::eventually("the application's pod is gone", gone);
}

#[test]
fn an_image_is_pulled_on_the_node_before_somebody_waits_for_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("pulls");
    let desk = PodDesk::of(namespace.desktop(unchanged));
    desk.add(&document_of("localhost/nowhere:1", "nowhere", None, &json!({})));
    for app in ["2048-ubuntu", "nowhere"] {
        assert_eq!(desk.ask("POST", &format!("/v1/apps/{app}/pull")).send().status, 202);
    }
    let status = |image: &str| {
        let pulls = desk.get("/v1/pulls");
        pulls.as_array().into_iter().flatten().find(|pull| pull["image"] == image).cloned()
    };
    let pulled = crate::support::cluster::eventually("the image is there", || {
        status("localhost/2048-ubuntu:latest").filter(|pull| pull["state"] == "pulled")
    });
    assert_eq!(pulled["node"], "node", "{pulled}");
    let failed = crate::support::cluster::eventually("the other one cannot be pulled", || {
        status("localhost/nowhere:1").filter(|pull| pull["state"] == "failed")
    });
    assert!(
        failed["why"].as_str().expect("a sentence").contains("localhost/nowhere:1"),
        "{failed}"
    );
    println!("{pulled}\n{failed}");
    let pods = || {
        let all = namespace.get("pods")["items"].as_array()?.len();
        (all == 1).then_some(())
    };
    crate::support::cluster::eventually("only the desktop's pod is left", pods);
}

#[test]
fn the_exit_code_of_an_ephemeral_application_is_its_own_and_a_kill_says_so() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("exits");
    let desk = PodDesk::of(namespace.desktop(unchanged));
    let seven = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    let deaf = "trap '' TERM; echo ready; setsid sleep 600 & while :; do sleep 1; done";
    desk.add(&script("seven", "ephemeral_container", seven));
    desk.add(&script("deaf", "ephemeral_container", deaf));
    desk.add(&script("three", "ephemeral_container", "echo bye; exit 3"));
    let (seven, deaf, three) = (desk.launch("seven"), desk.launch("deaf"), desk.launch("three"));
    let ended = desk.until("it has ended", &three, has_ended);
    assert_eq!(ended["exit"], json!({ "code": 3 }));
    assert!(ended["cause"].as_str().expect("a cause").contains("bye"), "{ended}");
    for task in [&seven, &deaf] {
        desk.until("it runs", task, is_running);
        desk.until("it is ready", task, |_| (desk.log(task) == "ready\n").then_some(()));
    }
    let ended = stop(&desk, &seven, &json!({}));
    assert_eq!(ended["exit"], json!({ "code": 7 }), "{ended}");
    let ended = stop(&desk, &deaf, &json!({ "grace_ms": 1000 }));
    assert_eq!(ended["exit"]["signal"]["name"], "SIGKILL", "{ended}");
    assert!(desk.pod.processes("sleep").is_empty(), "nothing survives a stop");
}

/// It is of deskd's user and in its PID namespace.
#[test]
fn an_ephemeral_application_reads_no_token_of_deskds() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("secrecy");
    let desk = PodDesk::of(namespace.desktop(unchanged));
    let looking = "cd /proc && ls -d [0-9]* | wc -l; \
        cat /run/deskd/state/token [0-9]*/root/run/deskd/state/token 2>&-; \
        cat [0-9]*/root/var/run/secrets/kubernetes.io/serviceaccount/token 2>&-; \
        cat 1/environ 2>&-; echo over";
    desk.add(&script("looking", "ephemeral_container", looking));
    let task = desk.launch("looking");
    desk.until("it has ended", &task, has_ended);
    let log = desk.log(&task);
    let (processes, rest) = log.split_once('\n').expect("a number");
    let processes: u32 = processes.trim().parse().expect("a number");
    assert!(processes >= 3, "the keeper, the daemon and the application: {log}");
    assert_eq!(rest, "over\n");
    let mounts =
        namespace.get("pod/desktop")["spec"]["ephemeralContainers"][0]["volumeMounts"].clone();
    let mounts: Vec<_> = mounts.as_array().expect("mounts").iter().map(|m| &m["name"]).collect();
    assert!(mounts.contains(&&json!("x11")) && !mounts.contains(&&json!("state")), "{mounts:?}");
}

#[test]
fn a_restart_of_deskds_container_finds_what_runs() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("restart");
    let desk = PodDesk::of(namespace.desktop(unchanged));
    desk.add(&script("pod", "pod_application", "echo begun; sleep 600"));
    desk.add(&script("here", "ephemeral_container", "echo begun; sleep 600"));
    let (pod, here) = (desk.launch("pod"), desk.launch("here"));
    for task in [&pod, &here] {
        desk.until("it runs", task, is_running);
        desk.until("its output is there", task, |_| (desk.log(task) == "begun\n").then_some(()));
    }
    let keeper = desk.pod.processes("deskd-keeper").pop().expect("a keeper");
    proc::signal(keeper, Signal::SIGKILL);
    // Its PID namespace was the ephemeral container's: that died with it.
    let ended = desk.until("the ephemeral one has ended", &here, has_ended);
    assert_eq!(ended["exit"]["signal"]["name"], "SIGKILL", "{ended}");
    let found = desk.until("the pod is followed again", &pod, is_running);
    assert_eq!(found["stale"], false);
    let ended = stop(&desk, &pod, &json!({ "grace_ms": 1000 }));
    assert_eq!(ended["state"], "ended");
    assert_eq!(desk.log(&pod), "begun\n", "not a line twice");
}
