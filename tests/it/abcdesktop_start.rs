//! deskd in pods that abcdesktop's control plane makes: it starts there, unnoticed.

use crate::support::abcdesktop::{Shared, Way, shared};
use crate::support::cluster::container;

/// The desktop's own state, and deskd's.
fn works(shared: &Shared) {
    let pyos = shared.desktop.pyos();
    println!("login with deskd: {:.1?}", shared.login);
    let state = shared.desk.ask("POST", "/v1/desktop/probe").send().expect(200);
    // 15 bytes of a cookie, found where the X server has them.
    assert_eq!(state["display"]["shm"]["sysv"], "works", "{state:#}");
    assert_eq!(state["display"]["tcp"]["state"], "answering", "{state:#}");
    // No `fsGroup` lets deskd read its token.
    assert_eq!(state["kubernetes"]["api"], "answers", "{state:#}");
    assert_eq!(state["kubernetes"]["own_pod"]["name"], shared.desk.pod.name, "{state:#}");
    let pod = pyos.desktop_object();
    for name in ["deskd", "x-anonymous-robin", "o-anonymous-robin"] {
        assert_eq!(container(&pod, name).expect("a container")["restartCount"], 0, "{name}");
    }
    assert_eq!(shared.warnings, [""; 0]);
}

#[test]
fn deskd_works_in_a_desktop_that_the_policy_put_it_into() {
    let Some(shared) = shared(Way::Policy) else { return };
    works(shared);
}

#[test]
fn deskd_works_in_a_desktop_whose_manifest_deskd_inject_wrote() {
    let Some(shared) = shared(Way::Command) else { return };
    works(shared);
}
