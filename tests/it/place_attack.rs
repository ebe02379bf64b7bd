//! What programs at a place try against its keeper, as the same user in its PID namespace.

use deskd_core::id::TaskId;
use deskd_core::task::Exit;
use deskd_core::wall::ABI_SIGNALS;
use deskd_core::wire::SpawnRequest;
use deskd_keeper::wall::look;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::keeper::{Client, request};
use crate::support::place::{Place, Setup, Taken};

const APP: &str = "app-00001";

/// Sends its keeper each signal that ends one, once with a sender of number 0, which only who is outside has, and
/// once without any.
const FORGE: &str = r#"
import ctypes, fcntl, os, platform, signal, struct
call = {"x86_64": 129, "aarch64": 138}[platform.machine()]
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    SI_QUEUE = -1
    info = struct.pack("iiiiiI", number, 0, SI_QUEUE, 0, 0, 0).ljust(128, b"\0")
    print(ctypes.CDLL(None).syscall(call, 1, int(number), info))
    F_SETSIG = 10
    read, write = os.pipe()
    fcntl.fcntl(read, fcntl.F_SETOWN, 1)
    fcntl.fcntl(read, F_SETSIG, number)
    fcntl.fcntl(read, fcntl.F_SETFL, os.O_ASYNC)
    print(os.write(write, b"x"))
"#;

fn id(task: &str) -> TaskId {
    task.parse().expect("an id")
}

fn sh(task: &str, script: &str) -> SpawnRequest {
    let mut request = request(task, &["/bin/sh", "-c", script]);
    request.env.clear();
    request
}

fn output_of(client: &mut Client, request: SpawnRequest) -> String {
    let task = request.id.task.clone();
    client.spawn(request).expect("a start");
    Taken::default().rest(client, &task).text()
}

/// That it still does everything.
fn works(client: &mut Client) {
    let last = output_of(client, sh("last-00001", "echo works; exit 7"));
    assert_eq!((last.as_str(), client.exited("last-00001").exit), ("works\n", Exit::Code(7)));
}

fn of_a_user() -> Setup {
    Setup { unprivileged: true, ..Setup::default() }
}

/// As in a container with `allowPrivilegeEscalation: false`.
fn restricted() -> Place {
    Setup { no_new_privs: true, ..of_a_user() }.start()
}

#[test]
fn a_signal_whose_sender_made_himself_up_ends_no_keeper() {
    let place = of_a_user().start();
    let (mut client, _) = place.connect();
    let mut forge = request(APP, &["/usr/bin/python3", "-c", FORGE]);
    forge.env.clear();
    assert_eq!(output_of(&mut client, forge), "0\n1\n".repeat(3), "the kernel takes them");
    works(&mut client);
    assert!(place.stderr().contains("tried to end its keeper"), "{}", place.stderr());
}

#[test]
fn signals_without_end_neither_hold_a_keeper_up_nor_fill_its_log() {
    let place = of_a_user().start();
    let (mut client, _) = place.connect();
    for task in [APP, "app-00002", "app-00003"] {
        client.spawn(sh(task, "echo on; while kill -TERM 1; do :; done")).expect("a start");
        let mut taken = Taken::default();
        while taken.text().is_empty() {
            taken.more(&mut client, &id(task));
        }
    }
    works(&mut client);
    let complaints = place.stderr().matches("tried to end its keeper").count();
    assert_eq!(complaints, 1, "{complaints} lines");
}

/// Says which of these commands succeed.
fn which_succeed(commands: &[String]) -> String {
    let line = |command: &String| format!("{command} >/dev/null 2>&1 && echo '{command}'\n");
    commands.iter().map(line).collect()
}

#[test]
fn where_nobody_gets_privileges_no_program_sets_limits_of_its_keeper_or_signals_it() {
    let limits = ["cpu=1", "fsize=0", "nofile=1", "as=1", "nproc=1", "core=0"];
    let mut forbidden = limits.map(|limit| format!("prlimit --pid 1 --{limit}")).to_vec();
    if look(&[], &[], &[]).abi >= ABI_SIGNALS {
        forbidden
            .extend(["TERM", "INT", "HUP", "STOP", "KILL", "0"].map(|it| format!("kill -{it} 1")));
    }
    let place = restricted();
    let (mut client, _) = place.connect();
    assert_eq!(output_of(&mut client, sh(APP, &which_succeed(&forbidden))), "");
    let own = ["prlimit --nofile=64 true", "kill -0 $$"].map(str::to_owned);
    let own = output_of(&mut client, sh("app-00002", &which_succeed(&own)));
    assert_eq!(own.lines().count(), 2, "{own}");
    works(&mut client);
    // The same where somebody may, as far as it does no harm.
    let place = of_a_user().start();
    let (mut client, _) = place.connect();
    let one = which_succeed(&["prlimit --pid 1 --core=0".to_owned()]);
    assert_eq!(output_of(&mut client, sh(APP, &one)).lines().count(), 1);
}

#[test]
fn a_disk_that_takes_nothing_costs_no_descriptor_for_each_line() {
    let place = Place::start();
    let (mut client, _) = place.connect();
    let script = "echo before; until test -e go; do sleep 0.01; done; \
                  for i in $(seq 100); do echo $i; sleep 0.01; done";
    client.spawn(sh(APP, script)).expect("a start");
    let mut taken = Taken::default();
    taken.more(&mut client, &id(APP));
    assert_eq!(taken.text(), "before\n");
    let descriptors = || {
        let all = std::fs::read_dir(format!("/proc/{}/fd", place.pid()));
        all.expect("its descriptors").count()
    };
    let before = descriptors();
    let keeper = Pid::from_raw(place.pid().cast_signed());
    let none = Rlimit { current: Some(0), maximum: None };
    prlimit(keeper, Resource::Fsize, none).expect("a limit");
    std::fs::write(place.dir().join("go"), "").expect("a file");
    let taken = taken.rest(&mut client, &id(APP));
    let lines: String = (1..=100).map(|line| format!("{line}\n")).collect();
    assert_eq!((taken.text().as_str(), taken.missing), ("before\n", lines.len() as u64));
    assert!(descriptors() <= before, "{} instead of {before}", descriptors());
}

/// Connects to its keeper a hundred times and says how many bytes it hears of it.
const KNOCK: &str = r#"
import os, socket
heard = 0
for _ in range(100):
    visitor = socket.socket(socket.AF_UNIX)
    visitor.connect("\0" + os.environ["NAME"])
    heard += len(visitor.recv(100))
print(heard)
"#;

#[test]
fn its_own_programs_are_not_heard_at_the_door() {
    let place = of_a_user().start();
    let (mut client, _) = place.connect();
    let mut knock = request(APP, &["/usr/bin/python3", "-c", KNOCK]);
    knock.env = vec![("NAME".into(), place.key.socket_name())];
    assert_eq!(output_of(&mut client, knock), "0\n");
    works(&mut client);
}

#[test]
fn strangers_at_the_door_do_not_fill_its_log() {
    let place = Place::start();
    for _ in 0..50 {
        assert!(!Place::prove(
            &place.dial().expect("a connection"),
            &crate::support::place::new_key()
        ));
    }
    let complaints = place.stderr().matches("tried to be its daemon").count();
    assert_eq!(complaints, 1, "{complaints} lines");
    place.connect();
}

#[test]
fn a_program_s_file_that_is_opened_without_end_does_not_hold_a_keeper_up() {
    let place = of_a_user().start();
    let (mut client, _) = place.connect();
    let opens = "echo on; while :; do read line < /etc/passwd; done";
    for task in [APP, "app-00002", "app-00003"] {
        // What its entry point never starts.
        let program = Some("/etc/passwd".to_owned());
        client.spawn(SpawnRequest { program, ..sh(task, opens) }).expect("a start");
        let mut taken = Taken::default();
        while taken.text().is_empty() {
            taken.more(&mut client, &id(task));
        }
    }
    works(&mut client);
}
