//! A proof leaves nothing behind: no segment, pixmap, descriptor or client, whoever is killed.

use deskd::display::handshake::ServerConnection;
use nix::sys::signal::Signal;
use serde_json::Value;
use x11rb::protocol::res::ConnectionExt as _;

use crate::display_helper::Role;
use crate::support::xvnc::{
    Helper, PATIENCE, Place, Running, Xvnc, available, eventually, observer,
};

/// An IPC namespace of the test's own: other tests make segments, too.
struct Ipc(Running);

impl Ipc {
    fn new() -> Self {
        let holder = Running::start(&mut Place::new_ipc().command(&["sleep", "infinity"]));
        let own = std::fs::read_link("/proc/self/ns/ipc").expect("a namespace");
        let theirs = format!("/proc/{}/ns/ipc", holder.pid());
        eventually("a new namespace", || {
            std::fs::read_link(&theirs).is_ok_and(|theirs| theirs != own).then_some(())
        });
        Self(holder)
    }

    fn pod(&self) -> Place {
        Place::ipc_of(self.0.pid()).then(Place::pod())
    }

    /// Segments that exist.
    fn segments(&self) -> usize {
        let cat = self.pod().command(&["cat", "/proc/sysvipc/shm"]).output().expect("cat");
        String::from_utf8_lossy(&cat.stdout).lines().count() - 1
    }
}

fn endless_probes(server: &Xvnc, times: u32) -> Value {
    let (display, key) = (server.display(), server.key.clone());
    serde_json::to_value(Role::Probe { display, key, tcp: false, times }).expect("JSON")
}

/// Clients and their resources, as `xrestop` shows them.
fn resources(observer: &ServerConnection) -> Vec<(u32, u64, u64)> {
    observer.stream().begin(PATIENCE);
    let clients = observer.res_query_clients().expect("sent").reply().expect("clients").clients;
    let count = |id: u32| {
        let types = observer.res_query_client_resources(id).expect("sent").reply();
        types.map_or(0, |types| types.types.iter().map(|kind| u64::from(kind.count)).sum())
    };
    let bytes = |id: u32| {
        let bytes = observer.res_query_client_pixmap_bytes(id).expect("sent").reply();
        bytes.map_or(0, |reply| u64::from(reply.bytes_overflow) << 32 | u64::from(reply.bytes))
    };
    clients
        .iter()
        .map(|c| (c.resource_base, count(c.resource_base), bytes(c.resource_base)))
        .collect()
}

/// Shared memory the server has mapped, and its descriptors.
fn mapped(server: &Xvnc) -> (usize, usize) {
    let proc = format!("/proc/{}", server.running().pid());
    let maps = std::fs::read_to_string(format!("{proc}/maps")).expect("maps");
    let ours = maps.lines().filter(|line| line.contains("SYSV") || line.contains("memfd:deskd"));
    (ours.count(), std::fs::read_dir(format!("{proc}/fd")).expect("descriptors").count())
}

#[test]
fn a_thousand_probes_leave_the_segments_and_the_servers_resources_as_before() {
    if !available() {
        return;
    }
    let ipc = Ipc::new();
    let server = Xvnc::start_in(ipc.pod(), &["-listen", "tcp"]);
    let observer = observer(&server);
    let before = (resources(&observer), mapped(&server), ipc.segments());
    let mut helper = Helper::start(&ipc.pod(), &endless_probes(&server, 1000));
    let mut works = 0;
    while let Some(status) = helper.try_next() {
        works += u32::from(status["shm"]["sysv"] == "works" && status["shm"]["fd"] == "works");
    }
    assert_eq!(works, 1000);
    eventually("everything as before", || {
        let after = (resources(&observer), mapped(&server), ipc.segments());
        (after == before).then_some(())
    });
}

#[test]
fn a_server_killed_in_the_middle_of_probes_leaves_no_segment() {
    if !available() {
        return;
    }
    let ipc = Ipc::new();
    let mut server = Xvnc::start_in(ipc.pod(), &[]);
    let mut helper = Helper::start(&ipc.pod(), &endless_probes(&server, u32::MAX));
    for round in 0..25 {
        helper.until(|status| status["shm"]["sysv"] == "works");
        // Another moment of a probe each time.
        (0..round).for_each(|_| drop(helper.next()));
        server.kill();
        let status = helper.until(|status| status["unix"]["state"] != "answering");
        assert_eq!(status["unix"]["state"], "not_listening", "{status}");
        assert_eq!(status["shm"]["sysv"], "unreachable");
        server.restart();
    }
    helper.until(|status| status["shm"]["fd"] == "works");
    drop(helper);
    eventually("no segment", || (ipc.segments() == 0).then_some(()));
}

#[test]
fn a_prober_killed_in_the_middle_leaves_nothing() {
    if !available() {
        return;
    }
    let ipc = Ipc::new();
    let server = Xvnc::start_in(ipc.pod(), &[]);
    let observer = observer(&server);
    let before = (resources(&observer), mapped(&server));
    for round in 0..25 {
        let mut helper = Helper::start(&ipc.pod(), &endless_probes(&server, u32::MAX));
        (0..=round).for_each(|_| drop(helper.next()));
        helper.process.signal(Signal::SIGKILL);
    }
    eventually("everything as before", || {
        let after = (resources(&observer), mapped(&server));
        (after == before && ipc.segments() == 0).then_some(())
    });
}
