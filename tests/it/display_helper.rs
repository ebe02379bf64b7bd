//! A room in a process of its own, so that a test can put it into other namespaces and other users:
//! this binary started again by `support::xvnc::Helper`.

use std::io::Write;
use std::time::Duration;

use deskd::display::handshake::{Address, Handshake, connect};
use deskd::display::{Cookie, DisplayConfig, DisplayEvent, DisplayHandle, Secret, probe, proof};
use deskd_core::window::WindowEvent;
use serde::{Deserialize, Serialize};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt as _, CreateWindowAux, PropMode, WindowClass,
};
use x11rb::wrapper::ConnectionExt as _;

use crate::support::wait;
use crate::support::xvnc::HELPER_MARK;

/// What the helper does.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "role")]
pub enum Role {
    /// Says what `probe` shows, `times` times; a line for each.
    Probe { display: String, key: String, tcp: bool, times: u32 },
    /// Proves shared memory over TCP and says the verdicts.
    ProveTcp { address: std::net::SocketAddr, key: String },
    /// Runs the Kubernetes engine and says what it sees; reads `launch TASK` and `stop TASK` from
    /// stdin.
    KubeEngine { kubeconfig: std::path::PathBuf, namespace: String, uid: String },
    /// Says the events of a display thread; reads `look`, `close ID` from stdin.
    Follow { display: String, key: String, hang_ms: u64 },
    /// Maps this many windows and changes their titles all the time.
    Titles { socket: String, key: String, windows: u32 },
}

fn say(value: &impl Serialize) {
    let text = serde_json::to_string(value).expect("JSON");
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{HELPER_MARK}{text}").expect("a reader");
    stdout.flush().expect("a reader");
}

pub fn config(display: &str, key: &str, tcp: bool) -> DisplayConfig {
    DisplayConfig {
        display: display.into(),
        xauthority: None,
        xauth_key: (!key.is_empty()).then(|| Secret(key.into())),
        tcp,
        handshake_timeout: Duration::from_secs(5),
        hang_timeout: Duration::from_secs(5),
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the role comes from the environment")]
fn plays_its_role() {
    let Ok(role) = std::env::var("DESKD_TEST_ROLE") else { return };
    match serde_json::from_str(&role).expect("a role") {
        Role::Probe { display, key, tcp, times } => {
            for _ in 0..times {
                say(&probe(&config(&display, &key, tcp)));
            }
        }
        Role::ProveTcp { address, key } => {
            let limit = Duration::from_secs(5);
            let cookie = Cookie::from_hex(&key).ok();
            match connect(&Address::Tcp(address), cookie.as_ref(), limit) {
                Handshake::Answering(connection) => say(&proof::prove(&connection, limit)),
                Handshake::Failed(state) => say(&state),
            }
        }
        Role::KubeEngine { kubeconfig, namespace, uid } => {
            crate::support::kube_engine::play(&kubeconfig, namespace, uid, |event| say(&event));
        }
        Role::Follow { display, key, hang_ms } => follow(&display, &key, hang_ms),
        Role::Titles { socket, key, windows } => titles(socket, &key, windows),
    }
}

/// About 4,000 changes a second: what deskd follows.
fn titles(socket: String, key: &str, windows: u32) {
    let (cookie, limit) = (Cookie::from_hex(key).ok(), Duration::from_secs(60));
    let Handshake::Answering(connection) = connect(&Address::Path(socket), cookie.as_ref(), limit)
    else {
        panic!("no server");
    };
    let root = connection.setup().roots[0].root;
    let all: Vec<_> = (0..windows)
        .map(|_| {
            connection.stream().begin(limit);
            let id = connection.generate_id().expect("an id");
            let (class, aux) = (WindowClass::INPUT_OUTPUT, CreateWindowAux::new());
            connection.create_window(0, id, root, 0, 0, 9, 9, 0, class, 0, &aux).expect("sent");
            connection.map_window(id).expect("sent");
            id
        })
        .collect();
    for round in 0_u32.. {
        for some in all.chunks(100) {
            connection.stream().begin(limit);
            for id in some {
                let (title, name) = (round.to_string(), AtomEnum::WM_NAME);
                let (mode, kind) = (PropMode::REPLACE, AtomEnum::STRING);
                connection.change_property8(mode, *id, name, kind, title.as_bytes()).expect("sent");
            }
            connection.get_input_focus().expect("sent").reply().expect("an answer");
            wait::pause(Duration::from_millis(25));
        }
        if round == 0 {
            say(&"they change");
        }
    }
}

fn follow(display: &str, key: &str, hang_ms: u64) {
    let mut config = config(display, key, false);
    config.hang_timeout = Duration::from_millis(hang_ms);
    config.handshake_timeout = Duration::from_millis(hang_ms);
    let (handle, thread) = DisplayHandle::new(config, |event| match event {
        DisplayEvent::Status(status) => say(&serde_json::json!({ "status": status })),
        DisplayEvent::Window(event) => say(&match event {
            WindowEvent::Mapped(window) => serde_json::json!({ "mapped": window }),
            WindowEvent::Changed(window) => serde_json::json!({ "changed": window }),
            WindowEvent::Unmapped(id) => serde_json::json!({ "unmapped": id }),
            WindowEvent::Destroyed(id) => serde_json::json!({ "destroyed": id }),
        }),
    })
    .expect("a display of this machine");
    thread.start().expect("a display thread");
    for line in std::io::stdin().lines().map_while(Result::ok) {
        match line.split_once(' ') {
            Some(("close", ids)) => {
                let ids = ids.split(' ').map(|id| id.parse().expect("an id")).collect();
                handle.close_windows(ids, |outcomes| {
                    say(&serde_json::json!({ "closed": outcomes }));
                });
            }
            _ => handle.look(|status| say(&serde_json::json!({ "looked": status }))),
        }
    }
}
