//! Places on a real kubelet: a desktop pod of abcdesktop's shape, deskd brought by an image volume, and
//! with it the keeper of its ephemeral containers.

use serde_json::json;

use crate::cluster_inject::{STATE_DIR, create, injected, let_in};
use crate::support::cluster::{Cluster, PodDesk, container, eventually};
use crate::support::counting::{COUNT, document, ticks};
use crate::support::proc;
use crate::support::task::{has_ended, has_window, is_running, stop};

fn entries(desk: &PodDesk<'_>) -> usize {
    let pod = desk.pod.wait_for("it exists", |pod| Some(pod.clone()));
    pod["spec"]["ephemeralContainers"].as_array().map_or(0, Vec::len)
}

/// The keepers of the pod, as the host numbers them: deskd's own, and those of places.
fn keepers(desk: &PodDesk<'_>) -> (Vec<u32>, Vec<u32>) {
    let all = desk.pod.processes("deskd-keeper").into_iter();
    all.partition(|pid| proc::command_line(*pid).get(1).is_none_or(|word| word != "place"))
}

#[test]
fn programs_of_an_image_share_a_place_which_survives_the_daemon_and_deskds_container() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("places");
    let_in(&namespace);
    let desk = PodDesk::with_state(create(&namespace, &injected(|_| {})), STATE_DIR);
    desk.add(&document(
        "eyes-image",
        "ephemeral_container",
        &json!({ "Labels": { "oc.path": "/usr/bin/xeyes" } }),
    ));
    desk.add(&document(
        "count",
        "ephemeral_container",
        &json!({ "Cmd": ["/bin/sh", "-c", COUNT], "Labels": {} }),
    ));
    let plan = desk.get("/v1/apps/eyes-image/plan");
    let shares = "a keeper starts it in a container that all programs of its image share";
    assert!(plan["reasons"].as_array().unwrap().contains(&json!(shares)), "{plan:#}");

    // One entry, however often the image is launched.
    let count = desk.launch("count");
    desk.until("it runs", &count, is_running);
    let eyes = [desk.launch("eyes-image"), desk.launch("eyes-image")];
    for task in &eyes {
        desk.until("it has a window", task, has_window);
    }
    assert_eq!(entries(&desk), 1);

    let daemon = desk.pod.daemon().unwrap();
    proc::kill(daemon);
    eventually("another daemon", || desk.pod.daemon().filter(|pid| *pid != daemon));
    for task in &eyes {
        desk.until("it runs on", task, is_running);
    }
    let stopped = stop(&desk, &eyes[0], &json!({ "force": true }));
    assert_eq!(stopped["exit"]["signal"]["number"], 9, "{stopped:#}");

    // The end of deskd's container, and its return.
    let (own, places) = keepers(&desk);
    assert_eq!((own.len(), places.len()), (1, 1));
    proc::kill(own[0]);
    desk.pod.wait_for("deskd's container is back", |pod| {
        let deskd = container(pod, "deskd")?;
        (deskd["restartCount"] == 1 && deskd["ready"] == true).then_some(())
    });
    desk.until("it runs on", &eyes[1], is_running);
    desk.until("it runs on", &count, is_running);
    assert_eq!(keepers(&desk).1, places, "the place is the same");
    let before = ticks(&desk, &count);
    eventually("it goes on", || (ticks(&desk, &count) > before + 20).then_some(()));
    let again = desk.launch("eyes-image");
    desk.until("it has a window", &again, has_window);
    assert_eq!(entries(&desk), 1);

    // The end of the place.
    proc::kill(places[0]);
    for task in [&count, &eyes[1], &again] {
        desk.until("it ended with its place", task, has_ended);
    }
    ticks(&desk, &count);
    let next = desk.launch("eyes-image");
    desk.until("it has a window", &next, has_window);
    assert_eq!(entries(&desk), 2);
}
