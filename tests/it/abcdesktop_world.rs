//! The desktop that the tests of abcdesktop are about, without deskd: what its fake control plane and
//! its applications do by themselves.

use crate::support::abcdesktop::{Abcdesktop, Way, document, variant};
use crate::support::cluster::{Cluster, eventually};
use crate::support::pyos::{GRAPHICAL, USER};

/// The log of an application once it has this line.
fn log_with(desktop: &Abcdesktop, pod: &str, container: &str, line: &str) -> String {
    eventually(&format!("{container} wrote {line:?}"), || {
        let output = desktop.namespace.kubectl(&["logs", pod, "--container", container], "");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().any(|written| written.contains(line)).then_some(text)
    })
}

#[test]
fn an_application_of_abcdesktop_finds_its_display_bus_sound_and_account_and_hides_how_it_ended() {
    let Some(cluster) = Cluster::shared() else { return };
    let desktop = Abcdesktop::new(cluster, "world", Way::Without);
    let pyos = desktop.pyos();
    let took = pyos.login(&desktop.manifest()).expect("a login");
    println!("login without deskd: {took:.1?}");
    let pod = pyos.desktop();

    let [bus, noise, identity, crash] =
        ["bus-names", "noise", "identity", "crash"].map(|app| pyos.start_ephemeral(&document(app)));
    let game = pyos.start_pod(&variant("2048-ubuntu", "game", "pod_application"));
    let far = pyos.start_pod(&variant("noise", "far", "pod_application"));

    log_with(&desktop, &pod.name, &bus, "the bus answered");
    log_with(&desktop, &pod.name, &noise, "played all of it");
    log_with(&desktop, &far, &far, "played all of it");
    let told = log_with(&desktop, &pod.name, &identity, "env ABCDESKTOP_EXECUTE_RUNTIME");
    for line in [
        "id=4096:4096",
        "account=robin:x:4096:4096:Robin:/home/robin:/bin/bash",
        "directory=/home/robin",
        "locale=UTF-8 LC_MESSAGES=\"en_US.UTF-8\"",
        "env XAUTH_KEY=0f1e2d3c4b5a69788796a5b4c3d2e1",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}: {told}");
    }
    eventually("its window is there", || {
        let tree = pod.exec(GRAPHICAL, &["xwininfo", "-display", ":0", "-root", "-tree"]);
        tree.contains("2048-qt").then_some(())
    });

    // Behind tee, a crash is no failure.
    let code = pod.wait_for("it has ended", |pod| {
        let statuses = pod["status"]["ephemeralContainerStatuses"].as_array()?;
        let status = statuses.iter().find(|status| status["name"] == *crash)?;
        status["state"]["terminated"]["exitCode"].as_i64()
    });
    assert_eq!(code, 0);

    let listed = pyos.list();
    assert_eq!(listed.len(), 6, "{listed:?}");
    assert!(listed.iter().any(|app| app.id == game && app.status == "Running"), "{listed:?}");
    assert!(game.starts_with(&format!("{USER}-app-game-")), "{game}");
    println!("logout without deskd: {:.1?}", pyos.logout());
    eventually("no application pod is left", || (pyos_pods(&desktop) == 0).then_some(()));
}

fn pyos_pods(desktop: &Abcdesktop) -> usize {
    desktop.namespace.get("pods")["items"].as_array().map_or(0, Vec::len)
}
