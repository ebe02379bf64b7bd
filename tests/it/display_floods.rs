//! What one client of the display can do to deskd: nothing that keeps a probe waiting or its memory
//! from staying what it is. And a display that is away costs nothing.

use std::time::{Duration, Instant};

use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt as _, CreateWindowAux, PropMode, WindowClass,
};
use x11rb::wrapper::ConnectionExt as _;

use crate::display_helper::Role;
use crate::support::desk::Desk;
use crate::support::http::Ask;
use crate::support::proc;
use crate::support::wait;
use crate::support::xvnc::{Helper, PATIENCE, Place, Xvnc, available, eventually, observer};

/// Peak resident memory of the daemon, program included, in KiB (debug build: about 20,000 of it are
/// the program's own pages).
const PEAK_KIB_MAX: u64 = 80 << 10;
/// What the daemon may read during that, in bytes: a hundredth of an environment of 5 MB for each change.
const READ_BYTES_MAX: u64 = 128 << 20;
/// How long a client floods.
const FLOOD: Duration = Duration::from_secs(8);
/// For a hang.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// CPU time per second of an idle daemon without a display, in nanoseconds: 0.1 % of a core in a
/// release build; this is one without optimization.
const AWAY_CPU_NS_MAX: u64 = 2_500_000;

fn alive(desk: &Desk) {
    let asked = Instant::now();
    assert_eq!(Ask::new(&desk.tcp(), "GET", "/livez").send().status, 200);
    assert!(asked.elapsed() < ANSWER_MAX, "{:?}", asked.elapsed());
}

/// Runs `flood` until it is over, with its connection and root; asks for liveness all the while.
fn under_flood(flood: impl Fn(&deskd::display::handshake::ServerConnection, u32, bool) + Sync) {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let desk = Desk::start("", Some(&server));
    let daemon = desk.daemon_pid().expect("a daemon");
    let over = Instant::now() + FLOOD;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let connection = observer(&server);
            let root = connection.setup().roots[0].root;
            let mut first = true;
            while Instant::now() < over {
                connection.stream().begin(PATIENCE);
                flood(&connection, root, first);
                first = false;
                connection.get_input_focus().expect("sent").reply().expect("an answer");
            }
        });
        while Instant::now() < over {
            alive(&desk);
            wait::pause(Duration::from_millis(100));
        }
    });
    let peak = proc::number(daemon, "status", "VmHWM");
    println!("the daemon's peak: {peak} KiB");
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    assert_eq!(desk.daemon_pid(), Some(daemon));
    // What comes after the flood is seen.
    eventually("readiness", || {
        (Ask::new(&desk.tcp(), "GET", "/readyz").send().status == 200).then_some(())
    });
}

#[test]
fn a_client_that_changes_thousands_of_titles_keeps_nobody_waiting() {
    let windows = std::sync::Mutex::new(Vec::new());
    under_flood(|connection, root, first| {
        let mut windows = windows.lock().unwrap();
        if first {
            for _ in 0..4000 {
                let id = connection.generate_id().unwrap();
                let (class, aux) = (WindowClass::INPUT_OUTPUT, CreateWindowAux::new());
                connection.create_window(0, id, root, 0, 0, 9, 9, 0, class, 0, &aux).unwrap();
                connection.map_window(id).unwrap();
                windows.push(id);
            }
        }
        for id in &*windows {
            let title = format!("{:?}", Instant::now());
            let (mode, name) = (PropMode::REPLACE, AtomEnum::WM_NAME);
            connection
                .change_property8(mode, *id, name, AtomEnum::STRING, title.as_bytes())
                .unwrap();
        }
    });
}

#[test]
fn a_client_that_makes_windows_and_destroys_them_keeps_nobody_waiting() {
    under_flood(|connection, root, _| {
        for _ in 0..5000 {
            let id = connection.generate_id().unwrap();
            let (class, aux) = (WindowClass::INPUT_OUTPUT, CreateWindowAux::new());
            connection.create_window(0, id, root, 0, 0, 9, 9, 0, class, 0, &aux).unwrap();
            connection.map_window(id).unwrap();
            connection.destroy_window(id).unwrap();
        }
    });
}

/// A window with nothing in it that is not shown.
fn make_window(connection: &deskd::display::handshake::ServerConnection, parent: u32) -> u32 {
    let id = connection.generate_id().expect("an id");
    let (class, aux) = (WindowClass::INPUT_OUTPUT, CreateWindowAux::new());
    connection.create_window(0, id, parent, 0, 0, 9, 9, 0, class, 0, &aux).expect("sent");
    id
}

#[test]
fn more_windows_than_the_server_can_count_leave_the_display_as_it_is() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let connection = observer(&server);
    let root = connection.setup().roots[0].root;
    for _ in 0..100 {
        connection.stream().begin(PATIENCE);
        (0..3000).for_each(|_| _ = make_window(&connection, root));
        connection.get_input_focus().expect("sent").reply().expect("an answer");
    }
    let desk = Desk::start("", Some(&server));
    eventually("readiness", || {
        (Ask::new(&desk.tcp(), "GET", "/readyz").send().status == 200).then_some(())
    });
    // All windows are looked at anew after these.
    for _ in 0..4 {
        connection.stream().begin(PATIENCE);
        for _ in 0..5_000 {
            connection.destroy_window(make_window(&connection, root)).unwrap();
        }
        connection.get_input_focus().expect("sent").reply().expect("an answer");
    }
    eventually("a storm", || desk.log().contains("faster than they can be").then_some(()));
    for _ in 0..3 {
        desk.ask("POST", "/v1/desktop/probe").send().expect(200);
    }
    let display = &desk.get("/v1/desktop")["display"];
    assert_eq!(display["server_epoch"], 1, "{display}\n{}", desk.log());
}

#[test]
fn windows_with_thousands_of_windows_in_them_do_not_keep_the_display_from_answering() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let connection = observer(&server);
    let root = connection.setup().roots[0].root;
    for _ in 0..1000 {
        connection.stream().begin(PATIENCE);
        let window = make_window(&connection, root);
        (0..512).for_each(|_| _ = make_window(&connection, window));
        connection.get_input_focus().expect("sent").reply().expect("an answer");
    }
    let desk = Desk::start("", Some(&server));
    // A round trip per window would take a minute, a request of the API at most 20 s.
    desk.ask("POST", "/v1/desktop/probe").send().expect(200);
}

#[test]
fn a_program_whose_environment_is_large_has_it_read_once_however_its_titles_change() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let desk = Desk::start("", Some(&server));
    let (socket, key) = (format!("/tmp/.X11-unix/X{}", server.number), server.key.clone());
    let role = Role::Titles { socket, key, windows: 1000 };
    // 5 MB, which deskd reads to know whose windows they are.
    let script = "ulimit -s unlimited; big=$(head -c 120000 /dev/zero | tr '\\0' x)
        for n in $(seq 45); do set -- B$n=$big \"$@\"; done; exec env \"$@\"";
    let place = Place::pod().then(Place::shell(script));
    let mut titles = Helper::start(&place, &serde_json::to_value(role).expect("JSON"));
    assert_eq!(titles.next(), "they change");
    let daemon = desk.daemon_pid().expect("a daemon");
    let read = || proc::number(daemon, "io", "rchar");
    let (before, over) = (read(), Instant::now() + FLOOD);
    while Instant::now() < over {
        desk.ask("POST", "/v1/desktop/probe").send().expect(200);
    }
    let bytes = read() - before;
    assert!(bytes < READ_BYTES_MAX, "{bytes} bytes were read");
    let display = &desk.get("/v1/desktop")["display"];
    assert_eq!(display["server_epoch"], 1, "{display}\n{}", desk.log());
}

/// CPU time of all its threads so far, in nanoseconds.
fn cpu_ns(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
    let of = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.filter_map(of).sum()
}

#[test]
fn a_display_that_is_away_costs_nothing_and_is_seen_when_it_comes() {
    if !available() {
        return;
    }
    let mut server = Xvnc::start();
    server.kill();
    let desk = Desk::start("", Some(&server));
    let daemon = desk.daemon_pid().expect("a daemon");
    // Looks become rare.
    wait::pause(Duration::from_secs(7));
    let before = cpu_ns(daemon);
    let time = Duration::from_secs(10);
    wait::pause(time);
    let per_second = (cpu_ns(daemon) - before) / time.as_secs();
    println!("without a display: {per_second} ns of CPU per second");
    assert!(per_second < AWAY_CPU_NS_MAX, "{per_second} ns per second");
    server.restart();
    let came = Instant::now();
    eventually("readiness", || {
        (Ask::new(&desk.tcp(), "GET", "/readyz").send().status == 200).then_some(())
    });
    println!("seen {:?} after its start was seen", came.elapsed());
    assert!(came.elapsed() < PATIENCE, "{:?}", came.elapsed());
}
