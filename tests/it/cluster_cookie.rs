//! The display's cookie on a real kubelet, where deskd has it in a variable alone: every application in
//! a container finds it in a file, although its image makes none.

use serde_json::{Value, json};

use crate::support::cluster::{Cluster, Namespace, PodDesk};
use crate::support::kube_desk::document_of;
use crate::support::task::has_ended;

/// deskd gets the cookie of the X server's file (its last 16 bytes, see `container/xauthority`) in
/// `XAUTH_KEY`, and knows no file and no secret.
const START: &str = "command: [sh, -c, 'XAUTH_KEY=$(tail -c 16 /run/xauthority/Xauthority | \
    od -An -tx1 | tr -d \"[:space:]\") && export XAUTH_KEY && unset XAUTHORITY && \
    sed /xauthority_secret/d /etc/deskd/deskd.toml >/tmp/deskd.toml && \
    DESKD_CONFIG=/tmp/deskd.toml exec deskd run']";

/// Draws with what the file says, and adds to it as an entry point of abcdesktop does.
const DRAW: &str = "unset XAUTH_KEY; xdpyinfo >/dev/null && echo drawn; xauth -n list | cut -d' ' -f1 >&2; \
    xauth add :5 . aabb && xauth list | grep -c unix:5; \
    stat -c '%a %u' \"$XAUTHORITY\" ${XDG_RUNTIME_DIR-}; XAUTHORITY=/nowhere xdpyinfo >/dev/null 2>&1 || echo guarded";

fn key_alone(manifest: String) -> String {
    let edited = manifest.replace("args: [\"deskd\", \"run\"]", START);
    assert_ne!(edited, manifest);
    edited
}

fn drawing(name: &str, engine: &str) -> Value {
    let image = "localhost/deskd-desktop:latest";
    let mut document = document_of(image, name, Some(engine), &json!({}));
    let labels = &mut document[0]["Config"]["Labels"];
    labels["oc.path"] = json!("/bin/sh");
    labels["oc.args"] = json!(shell_words::join(["-c", DRAW]));
    document
}

/// `runtime`: its runtime directory is made beside the file.
fn drew(desk: &PodDesk<'_>, task: &str, runtime: bool) -> String {
    let task_shown = desk.until("it has ended", task, has_ended);
    let log = desk.log(task);
    let said: Vec<_> = log.lines().filter(|line| !line.contains(":0")).collect();
    let runtime = if runtime { &["700 4096"][..] } else { &[] };
    let expected = [&["drawn", "1", "600 4096"][..], runtime, &["guarded"]].concat();
    assert_eq!(said, expected, "{log}\n{task_shown:#}");
    log
}

#[test]
fn an_application_finds_the_cookie_in_a_file_that_its_image_did_not_make() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("cookie");
    let desk = PodDesk::of(namespace.desktop(key_alone));
    let address = desk.get("/v1/desktop")["kubernetes"]["own_pod"]["ip"].clone();
    let address = address.as_str().expect("an address");
    for engine in ["ephemeral_container", "pod_application"] {
        let name = engine.replace('_', "-");
        desk.add(&drawing(&name, engine));
        let task = desk.launch(&name);
        // The desktop of container/ shares no volume for one with ephemeral containers.
        let log = drew(&desk, &task, engine == "pod_application");
        let record = format!("{address}:0");
        assert!(log.contains("/unix:0") && log.contains(&record), "{engine}: {log}");
    }
    a_missing_image_of_deskd_is_told(&cluster.namespace("noimage"));
}

/// The application waits, and its row says for what.
fn a_missing_image_of_deskd_is_told(namespace: &Namespace) {
    let named = |manifest: String| {
        let image = "sed -e \"s,^engines.*,&\\nimage = \\x22localhost/none:1\\x22,\" -e ";
        let edited = key_alone(manifest);
        assert!(edited.contains("sed /xauthority_secret"));
        edited.replace("sed /xauthority_secret", &format!("{image}/xauthority_secret"))
    };
    let desk = PodDesk::of(namespace.desktop(named));
    desk.add(&drawing("waits", "pod_application"));
    let task = desk.launch("waits");
    desk.until("it says which image is missing", &task, |task| {
        let why = task["waiting"].as_str()?;
        (why.contains("localhost/none:1") && why.contains("`image` in [kubernetes]")).then_some(())
    });
}
