//! Windows of real applications and of a client made for the test: who they belong to, what
//! happens to them, and how they are asked to close.

use std::collections::HashMap;

use deskd::display::Cookie;
use deskd::display::handshake::{Address, Handshake, ServerConnection, connect};
use serde_json::Value;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ChangeWindowAttributesAux, ConnectionExt as _, CreateNotifyEvent, CreateWindowAux,
    DestroyNotifyEvent, EventMask, MapNotifyEvent, PropMode, ReparentNotifyEvent, UnmapNotifyEvent,
    WindowClass,
};
use x11rb::wrapper::ConnectionExt as _;

use crate::display_helper::Role;
use crate::support::xvnc::{
    Helper, PATIENCE, Place, Running, Xvnc, available, eventually, observer,
};

fn follow_in(place: &Place, server: &Xvnc) -> Helper {
    let (display, key) = (server.display(), server.key.clone());
    let role = Role::Follow { display, key, hang_ms: 5000 };
    let mut helper = Helper::start(place, &serde_json::to_value(role).expect("JSON"));
    helper.until(|said| said["status"]["unix"]["state"] == "answering");
    helper
}

fn follow(server: &Xvnc) -> Helper {
    follow_in(&Place::pod(), server)
}

/// A server in the tests' namespaces and a display thread that follows it; nothing where these
/// tests cannot run.
fn followed() -> Option<(Xvnc, Helper)> {
    available().then(|| {
        let server = Xvnc::start();
        let helper = follow(&server);
        (server, helper)
    })
}

fn mapped(helper: &mut Helper, wanted: impl Fn(&Value) -> bool) -> Value {
    helper.until(|said| said.get("mapped").is_some_and(&wanted))["mapped"].clone()
}

/// A client of the test's own.
struct Client(ServerConnection);

impl Client {
    fn new(server: &Xvnc) -> Self {
        Self(observer(server))
    }

    fn root(&self) -> u32 {
        self.0.setup().roots[0].root
    }

    fn window(&self, parent: u32, override_redirect: bool) -> u32 {
        self.0.stream().begin(PATIENCE);
        let id = self.0.generate_id().expect("an id");
        let aux = CreateWindowAux::new().override_redirect(u32::from(override_redirect));
        let class = WindowClass::INPUT_OUTPUT;
        self.0.create_window(0, id, parent, 5, 5, 50, 50, 0, class, 0, &aux).expect("sent");
        self.sync();
        id
    }

    fn sync(&self) {
        self.0.stream().begin(PATIENCE);
        self.0.get_input_focus().expect("sent").reply().expect("an answer");
    }

    fn map(&self, id: u32) {
        self.0.map_window(id).expect("sent");
        self.sync();
    }

    fn title(&self, id: u32, title: &str) {
        let (property, kind) = (AtomEnum::WM_NAME, AtomEnum::STRING);
        let text = title.as_bytes();
        self.0.change_property8(PropMode::REPLACE, id, property, kind, text).expect("sent");
    }

    fn cardinal(&self, id: u32, name: &str, value: u32) {
        self.0.stream().begin(PATIENCE);
        let atom = self.0.intern_atom(false, name.as_bytes()).expect("sent").reply();
        let (atom, kind) = (atom.expect("an atom").atom, AtomEnum::CARDINAL);
        self.0.change_property32(PropMode::REPLACE, id, atom, kind, &[value]).expect("sent");
        self.sync();
    }
}

#[test]
fn windows_of_real_applications_have_class_title_and_a_proved_pid() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    // One that is there already, and some that come.
    let eyes = server.application(&["xeyes"]);
    let look = Client::new(&server);
    eventually("xeyes' window", || {
        look.0.stream().begin(PATIENCE);
        let tree = look.0.query_tree(look.root()).expect("sent").reply().expect("a tree");
        let visible = |id: &u32| {
            let attributes = look.0.get_window_attributes(*id).expect("sent").reply();
            attributes.is_ok_and(|a| a.map_state == x11rb::protocol::xproto::MapState::VIEWABLE)
        };
        tree.children.iter().any(visible).then_some(())
    });
    let mut helper = follow(&server);
    let window = mapped(&mut helper, |w| w["class"] == "XEyes");
    assert_eq!(window["pid"], eyes.pid());
    assert_eq!(window["title"], "xeyes");
    let clock = server.application(&["xclock", "-title", "Uhr für Größe"]);
    let window = mapped(&mut helper, |w| w["class"] == "XClock");
    assert_eq!(window["pid"], clock.pid());
    assert_eq!(window["instance"], "xclock");
    assert_eq!(window["override_redirect"], false);
    let term = server.application(&["xterm", "-title", "hello", "-e", "sleep", "1000"]);
    let window = mapped(&mut helper, |w| w["class"] == "XTerm");
    assert_eq!(window["pid"], term.pid());
    assert_eq!(window["pid_disputed"], false);
    assert_eq!(window["title"], "hello");
}

#[test]
fn a_polite_close_ends_applications_that_support_it() {
    let Some((server, mut helper)) = followed() else { return };
    // xterm hangs its program up and ends with it, so that must run first: it sets the title.
    let ready = r"printf '\033]2;ready\007'; exec sleep 1000";
    let programs: [(&[&str], _, _); 3] = [
        (&["xclock"], "XClock", "xclock"),
        (&["xeyes"], "XEyes", "xeyes"),
        (&["xterm", "-e", "sh", "-c", ready], "XTerm", "ready"),
    ];
    let mut running: Vec<Running> = Vec::new();
    let mut ids = HashMap::new();
    for (argv, class, title) in programs {
        running.push(server.application(argv));
        // Some announce WM_DELETE_WINDOW only after they have mapped their window.
        let mut window = Value::Null;
        helper.until(|said| {
            window = said.get("mapped").or(said.get("changed")).cloned().unwrap_or_default();
            window["class"] == class && window["title"] == title && window["can_close"] == true
        });
        ids.insert(window["id"].as_u64().expect("an id"), class);
    }
    let words: Vec<_> = ids.keys().map(u64::to_string).collect();
    helper.tell(&format!("close {}", words.join(" ")));
    let (mut closed, mut destroyed) = (Value::Null, 0);
    while closed.is_null() || destroyed < 3 {
        let said = helper.next();
        destroyed += u32::from(said.get("destroyed").is_some());
        if let Some(outcomes) = said.get("closed") {
            closed = outcomes.clone();
        }
    }
    for outcome in closed.as_array().expect("outcomes") {
        assert_eq!(outcome[1], "asked");
    }
    for mut application in running {
        eventually("its exit", || application.0.try_wait().expect("a child"));
    }
    // What is gone cannot be asked.
    helper.tell(&format!("close {}", words[0]));
    let said = helper.until(|said| said.get("closed").is_some());
    assert_eq!(said["closed"][0][1], "gone");
}

#[test]
fn a_client_without_wm_delete_window_cannot_be_asked() {
    let Some((server, mut helper)) = followed() else { return };
    let client = Client::new(&server);
    let id = client.window(client.root(), false);
    client.map(id);
    let window = mapped(&mut helper, |w| w["id"] == id);
    assert_eq!(window["can_close"], false);
    assert_eq!(window["pid"], std::process::id());
    helper.tell(&format!("close {id}"));
    let said = helper.until(|said| said.get("closed").is_some());
    assert_eq!(said["closed"][0][1], "unsupported");
}

#[test]
fn mapping_changes_unmapping_and_the_end_are_reported_in_order() {
    let Some((server, mut helper)) = followed() else { return };
    let client = Client::new(&server);
    let id = client.window(client.root(), false);
    let menu = client.window(client.root(), true);
    client.title(id, "caf\u{e9}");
    client.map(id);
    client.map(menu);
    // The title was written as UTF-8 bytes into a Latin-1 property: shown as such, not refused.
    assert_eq!(mapped(&mut helper, |w| w["id"] == id)["title"], "cafÃ©");
    assert_eq!(mapped(&mut helper, |w| w["id"] == menu)["override_redirect"], true);
    let changed = (0..2000).map(|round| client.title(id, &format!("title {round}"))).count();
    client.sync();
    let mut reports = 0;
    helper.until(|said| {
        reports += u32::from(said.get("changed").is_some());
        said["changed"]["title"] == "title 1999"
    });
    println!("{changed} changes, {reports} reports");
    assert!(reports < 200, "{reports} reports");
    client.0.unmap_window(id).expect("sent");
    client.sync();
    assert_eq!(helper.next()["unmapped"], id);
    client.map(id);
    assert_eq!(helper.next()["mapped"]["title"], "title 1999");
    client.0.destroy_window(id).expect("sent");
    client.sync();
    assert_eq!(helper.next()["unmapped"], id);
    assert_eq!(helper.next()["destroyed"], id);
    // A client that dies takes its windows along.
    drop(client);
    helper.until(|said| said["destroyed"] == menu);
}

#[test]
fn a_lie_about_the_pid_is_disputed_and_the_server_is_believed() {
    let Some((server, mut helper)) = followed() else { return };
    let client = Client::new(&server);
    let id = client.window(client.root(), false);
    client.cardinal(id, "_NET_WM_PID", 1);
    client.map(id);
    let window = mapped(&mut helper, |w| w["id"] == id);
    assert_eq!(window["pid"], std::process::id());
    assert_eq!(window["pid_disputed"], true);
    client.cardinal(id, "_NET_WM_PID", std::process::id());
    let said = helper.until(|said| said["changed"]["id"] == id);
    assert_eq!(said["changed"]["pid_disputed"], false);
}

#[test]
fn of_a_client_over_tcp_only_its_claim_is_known() {
    let Some((server, mut helper)) = followed() else { return };
    let address = Address::Tcp(([127, 0, 0, 1], 6000 + server.number).into());
    let cookie = Cookie::from_hex(&server.key).ok();
    let Handshake::Answering(connection) = connect(&address, cookie.as_ref(), PATIENCE) else {
        panic!("the server does not answer over TCP");
    };
    let client = Client(*connection);
    let (honest, silent) =
        (client.window(client.root(), false), client.window(client.root(), false));
    client.cardinal(honest, "_NET_WM_PID", 4321);
    client.map(honest);
    client.map(silent);
    assert_eq!(mapped(&mut helper, |w| w["id"] == honest)["pid"], 4321);
    assert_eq!(mapped(&mut helper, |w| w["id"] == silent)["pid"], Value::Null);
}

#[test]
fn a_server_of_another_pid_namespace_is_not_believed_about_pids() {
    if !available() {
        return;
    }
    let server = Xvnc::start_in(Place::new_pid(), &[]);
    let (display, key) = (server.display(), server.key.clone());
    let role = Role::Follow { display, key, hang_ms: 5000 };
    let mut helper = Helper::start(&Place::pod(), &serde_json::to_value(role).expect("JSON"));
    let status = helper.until(|said| said["status"]["unix"]["state"] == "answering");
    let note = status["status"]["notes"][0].as_str().expect("a note");
    assert!(note.contains("another PID namespace"), "{note}");
    assert_eq!(status["status"]["shm"]["sysv"], "works");
    let client = Client::new(&server);
    let id = client.window(client.root(), false);
    client.cardinal(id, "_NET_WM_PID", 77);
    client.map(id);
    let window = mapped(&mut helper, |w| w["id"] == id);
    assert_eq!((&window["pid"], &window["pid_disputed"]), (&77.into(), &false.into()));
}

#[test]
fn a_window_managers_frame_is_not_a_window_and_its_client_stays_one() {
    let Some((server, mut helper)) = followed() else { return };
    let (manager, client) = (Client::new(&server), Client::new(&server));
    let id = client.window(client.root(), false);
    client.title(id, "framed");
    let frame = manager.window(manager.root(), false);
    let inner = manager.window(frame, false);
    manager.0.reparent_window(id, inner, 0, 0).expect("sent");
    manager.map(id);
    manager.map(inner);
    manager.map(frame);
    assert_eq!(helper.next()["mapped"]["id"], id);
    client.title(id, "still followed");
    client.sync();
    assert_eq!(helper.next()["changed"]["title"], "still followed");
    // Threads that start later find the client in its frame, before and after it got WM_STATE.
    let mut later = follow(&server);
    assert_eq!(later.next()["mapped"]["id"], id);
    manager.cardinal(id, "WM_STATE", 1);
    let mut late = follow(&server);
    assert_eq!(late.next()["mapped"]["id"], id);
    client.0.unmap_window(id).expect("sent");
    client.sync();
    assert_eq!(helper.next()["unmapped"], id);
    assert_eq!(late.next()["unmapped"], id);
    drop(client);
    assert_eq!(helper.next()["destroyed"], id);
    assert_eq!(late.next()["destroyed"], id);
}

/// As openbox does with what it read while it started.
#[test]
fn a_window_manager_that_sleeps_over_a_request_is_woken_and_shows_the_window() {
    let Some((server, mut helper)) = followed() else { return };
    let (manager, client) = (Client::new(&server), Client::new(&server));
    let root = manager.root();
    let requests = ChangeWindowAttributesAux::new().event_mask(EventMask::SUBSTRUCTURE_REDIRECT);
    manager.0.change_window_attributes(root, &requests).expect("sent").check().expect("no other");
    let id = client.window(root, false);
    client.map(id);
    let mut heard = Vec::new();
    while heard.len() < 2 {
        manager.0.stream().begin(PATIENCE);
        heard.push(manager.0.wait_for_event().expect("another event"));
    }
    assert!(matches!(&heard[0], Event::MapRequest(request) if request.window == id), "{heard:?}");
    assert!(matches!(&heard[1], Event::ClientMessage(woken) if woken.window == root), "{heard:?}");
    manager.map(id);
    mapped(&mut helper, |w| w["id"] == id);
}

#[test]
fn a_window_that_its_application_moves_into_another_is_no_longer_one() {
    let Some((server, mut helper)) = followed() else { return };
    let client = Client::new(&server);
    let (main, part) = (client.window(client.root(), false), client.window(client.root(), false));
    client.map(main);
    client.map(part);
    mapped(&mut helper, |w| w["id"] == part);
    client.0.reparent_window(part, main, 0, 0).expect("sent");
    client.sync();
    assert_eq!(helper.next()["unmapped"], part);
    client.0.unmap_window(main).expect("sent");
    client.sync();
    assert_eq!(helper.next()["unmapped"], main);
}

#[test]
fn windows_that_vanish_while_they_are_looked_at_do_no_harm() {
    let Some((server, mut helper)) = followed() else { return };
    let client = Client::new(&server);
    for _ in 0..2000 {
        client.0.stream().begin(PATIENCE);
        let id = client.0.generate_id().expect("an id");
        let (class, aux) = (WindowClass::INPUT_OUTPUT, CreateWindowAux::new());
        client.0.create_window(0, id, client.root(), 0, 0, 9, 9, 0, class, 0, &aux).expect("sent");
        client.0.map_window(id).expect("sent");
        client.0.destroy_window(id).expect("sent");
    }
    client.sync();
    let last = client.window(client.root(), false);
    client.map(last);
    mapped(&mut helper, |w| w["id"] == last);
}

#[test]
fn what_another_client_says_about_a_window_in_the_servers_name_is_not_believed() {
    let Some((server, mut helper)) = followed() else { return };
    let (client, liar) = (Client::new(&server), Client::new(&server));
    let id = client.window(client.root(), false);
    client.map(id);
    mapped(&mut helper, |w| w["id"] == id);
    let root = liar.root();
    let (event, window, parent) = (root, id, id + 1);
    let unmapped =
        UnmapNotifyEvent { response_type: 18, sequence: 0, event, window, from_configure: false };
    let destroyed = DestroyNotifyEvent { response_type: 17, sequence: 0, event, window };
    let (x, y, override_redirect) = (0, 0, false);
    let moved = ReparentNotifyEvent {
        response_type: 21,
        sequence: 0,
        event,
        window,
        parent,
        x,
        y,
        override_redirect,
    };
    let say = |bytes: [u8; 32]| {
        let mask = EventMask::SUBSTRUCTURE_NOTIFY;
        liar.0.send_event(false, root, mask, bytes).expect("sent");
    };
    for lie in [unmapped.into(), destroyed.into(), moved.into()] {
        say(lie);
    }
    // Windows that there are not would take the place of those that there are.
    for window in 0..12_000 {
        let window = window << 10 | 1;
        let made = CreateNotifyEvent {
            response_type: 16,
            sequence: 0,
            parent: root,
            window,
            x,
            y,
            width: 9,
            height: 9,
            border_width: 0,
            override_redirect,
        };
        let shown =
            MapNotifyEvent { response_type: 19, sequence: 0, event, window, override_redirect };
        say(made.into());
        say(shown.into());
        if window % 1024 == 1 {
            liar.sync();
        }
    }
    liar.sync();
    client.title(id, "still here");
    let other = client.window(client.root(), false);
    client.map(other);
    let mut changed = false;
    helper.until(|said| {
        assert!(said["unmapped"] != id && said["destroyed"] != id, "{said}");
        changed |= said["changed"]["title"] == "still here";
        said["mapped"]["id"] == other
    });
    assert!(changed || helper.until(|said| said["changed"]["title"] == "still here").is_object());
}

#[test]
fn whoever_has_the_most_windows_makes_room_for_others() {
    let Some((server, mut helper)) = followed() else { return };
    let greedy: Vec<_> = (0..12).map(|_| Client::new(&server)).collect();
    for client in &greedy {
        client.0.stream().begin(PATIENCE);
        for _ in 0..900 {
            let id = client.0.generate_id().expect("an id");
            let (class, aux) = (WindowClass::INPUT_OUTPUT, CreateWindowAux::new());
            client
                .0
                .create_window(0, id, client.root(), 0, 0, 9, 9, 0, class, 0, &aux)
                .expect("sent");
        }
        client.sync();
    }
    let modest = Client::new(&server);
    let id = modest.window(modest.root(), false);
    modest.map(id);
    mapped(&mut helper, |w| w["id"] == id);
}
