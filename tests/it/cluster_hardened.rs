//! The desktop pod on a real kubelet under Pod Security `restricted`, with a read-only root, for any user
//! and in a user namespace: display, shared memory, and applications of all engines.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::cluster::{Cluster, PodDesk, eventually};
use crate::support::hardened::{ANY_USER, VARIANTS, Variant, edited};
use crate::support::proc;
use crate::support::task::{has_window, stop};

fn variant(name: &str) -> Variant {
    *VARIANTS.iter().find(|variant| variant.name == name).expect(name)
}

/// A local application, one in an ephemeral container and one in a pod: from their windows to their ends.
fn story(variant: Variant) {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace(variant.name);
    let label = ["label", "namespace", &namespace.name];
    cluster.must(&[&label[..], &["pod-security.kubernetes.io/enforce=restricted"]].concat(), "");
    let desk = PodDesk::of(namespace.desktop(|manifest| edited(&manifest, variant)));

    let desktop = desk.get("/v1/desktop");
    let failed = |check: &&Value| check["ok"] == false;
    let checks = desktop["checks"].as_array().expect("checks");
    assert!(checks.iter().find(failed).is_none(), "{checks:#?}");
    let uid = desk.pod.exec("deskd", &["id", "-u"]);
    assert_eq!(uid.trim(), variant.uid.expect("a user").to_string());
    let map = desk.pod.exec("deskd", &["cat", "/proc/self/uid_map"]);
    let mapped = map.split_whitespace().nth(1) != Some("0");
    assert_eq!(mapped, variant.user_namespace, "{map}");

    let engines = [
        ("xclock", "local"),
        ("2048-alpine", "ephemeral_container"),
        ("2048-ubuntu", "pod_application"),
    ];
    let tasks = engines.map(|(app, engine)| {
        let task = desk.launch(app);
        let shown = desk.until("its window is there", &task, has_window);
        assert_eq!(shown["engine"], engine, "{shown}");
        task
    });
    // The daemon dies, and they live on.
    let daemon = desk.pod.daemon();
    proc::signal(daemon.expect("a daemon"), Signal::SIGKILL);
    eventually("there is another", || desk.pod.daemon().filter(|it| daemon != Some(*it)));
    for task in &tasks {
        let known = desk.until("its window is there again", task, has_window);
        assert_eq!((&known["state"], &known["runs"]), (&json!("running"), &json!(1)), "{known}");
    }
    for task in &tasks {
        let ended = stop(&desk, task, &json!({}));
        assert!(ended["exit"].is_object(), "{ended}");
    }
}

#[test]
fn restricted_and_with_a_read_only_root_everything_works() {
    story(variant("plain"));
}

#[test]
fn any_user_of_no_passwd_file_will_do() {
    assert_eq!(variant("any-user").uid, Some(ANY_USER));
    story(variant("any-user"));
}

#[test]
fn in_a_user_namespace_everything_works() {
    story(variant("user-namespace"));
}
