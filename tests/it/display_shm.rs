//! The MIT-SHM verdict in every constellation of processes and namespaces that pods can be in.

use serde_json::{Value, json};

use crate::display_helper::Role;
use crate::support::xvnc::{Helper, Place, Running, Xvnc, available};

fn role(role: &Role) -> Value {
    serde_json::to_value(role).expect("JSON")
}

fn probe_of(server: &Xvnc) -> Value {
    let (display, key) = (server.display(), server.key.clone());
    role(&Role::Probe { display, key, tcp: true, times: 1 })
}

fn verdicts(sysv: &str, fd: &str) -> Value {
    json!({ "sysv": sysv, "fd": fd })
}

#[test]
fn in_the_same_pod_both_kinds_of_shared_memory_work() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let status = Helper::answer(&Place::pod(), &probe_of(&server));
    assert_eq!(status["shm"], verdicts("works", "works"), "{status}");
    assert_eq!(status["unix"]["state"], "answering");
    assert_eq!(status["unix"]["path"], true);
    assert_eq!(status["unix"]["abstract_socket"], true);
    assert_eq!(status["tcp"]["state"], "answering");
    assert_eq!(status["tcp"]["port"], 6000 + server.number);
    assert_eq!(status["tcp"]["ipv4"], true);
    assert_eq!(status["server"]["width_px"], 640);
    assert_eq!(status["notes"], json!([]));
}

#[test]
fn every_depth_of_the_root_window_is_compared_rightly() {
    if !available() {
        return;
    }
    for options in [["-depth", "16"], ["-depth", "24"], ["-pixelformat", "bgr888"]] {
        let server = Xvnc::start_in(Place::pod(), &options);
        let status = Helper::answer(&Place::pod(), &probe_of(&server));
        assert_eq!(status["shm"], verdicts("works", "works"), "{options:?}");
    }
}

#[test]
fn in_another_ipc_namespace_sysv_is_refused_and_descriptors_work() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let other = Place::new_ipc().then(Place::pod());
    let status = Helper::answer(&other, &probe_of(&server));
    assert_eq!(status["shm"], verdicts("refused", "works"), "{status}");
}

#[test]
fn a_foreign_segment_with_our_id_is_wrong_memory_whatever_its_size() {
    if !available() {
        return;
    }
    // Ids count from 0 in every namespace: the server's has 0 to 7, and the probe's first is 0.
    for bytes in ["65536", "4096", "1"] {
        let make = format!(
            "for i in 0 1 2 3 4 5 6 7; do ipcmk -M {bytes} -p 0600 >/dev/null || exit; done; \
             exec \"$@\""
        );
        let place = Place::new_ipc().then(Place::pod()).then(Place::shell(&make));
        let server = Xvnc::start_in(place, &[]);
        let other = Place::new_ipc().then(Place::pod());
        let status = Helper::answer(&other, &probe_of(&server));
        assert_eq!(status["shm"], verdicts("wrong_memory", "works"), "{bytes}: {status}");
    }
}

#[test]
fn as_another_user_sysv_is_refused() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    for uid in [4097, 0] {
        let status = Helper::answer(&Place::default().uid(uid), &probe_of(&server));
        assert_eq!(status["shm"], verdicts("refused", "works"), "{status}");
    }
}

#[test]
fn over_tcp_to_the_own_pod_shared_memory_is_lost() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    for ip in ["127.0.0.1", "::1"] {
        let ip: std::net::IpAddr = ip.parse().expect("an address");
        let address = (ip, 6000 + server.number).into();
        let prove = role(&Role::ProveTcp { address, key: server.key.clone() });
        let shown = Helper::answer(&Place::pod(), &prove);
        assert_eq!(shown, verdicts("refused", "remote"), "{ip}");
    }
}

#[test]
fn from_another_pod_over_tcp_the_client_is_remote() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let network = Network::new();
    for ipc in [Place::default(), Place::new_ipc()] {
        let address = format!("{}:{}", network.host, 6000 + server.number);
        let address = address.parse().expect("an address");
        let prove = role(&Role::ProveTcp { address, key: server.key.clone() });
        let place = Place::network(&network.name).then(ipc).then(Place::pod());
        assert_eq!(Helper::answer(&place, &prove), verdicts("remote", "remote"));
    }
}

#[test]
fn a_server_without_the_extension_is_absent() {
    if !available() {
        return;
    }
    let server = Xvnc::start_in(Place::pod(), &["-extension", "MIT-SHM"]);
    let status = Helper::answer(&Place::pod(), &probe_of(&server));
    assert_eq!(status["shm"], verdicts("absent", "absent"));
    assert_eq!(status["unix"]["state"], "answering");
}

/// A network namespace with a veth pair to the tests' own; gone with the value.
struct Network {
    name: String,
    host: String,
}

impl Network {
    fn new() -> Self {
        let id = std::process::id();
        let (name, inside, outside) =
            (format!("deskd-it-{id}"), format!("dki{id}"), format!("dko{id}"));
        let (high, low) = (id / 200 % 200, id % 200);
        let (host, peer) = (format!("10.{high}.{low}.1"), format!("10.{high}.{low}.2"));
        let network = Self { name, host };
        let name = &network.name;
        ip(&format!("netns add {name}"));
        ip(&format!("link add {outside} type veth peer name {inside} netns {name}"));
        ip(&format!("addr add {}/30 dev {outside}", network.host));
        ip(&format!("link set {outside} up"));
        ip(&format!("-n {name} addr add {peer}/30 dev {inside}"));
        ip(&format!("-n {name} link set {inside} up"));
        network
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The veth pair goes with its inner end.
        ip(&format!("netns delete {}", self.name));
    }
}

fn ip(arguments: &str) {
    let argv: Vec<_> = std::iter::once("ip").chain(arguments.split(' ')).collect();
    let mut process = Running::start(&mut Place::default().command(&argv));
    assert!(process.0.wait().expect("ip").success(), "ip {arguments}");
}
