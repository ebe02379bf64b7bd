//! The wall: what a program behind it can do to deskd, and what it can still do to everything else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]

use std::path::Path;

use deskd_core::task::Exit;
use deskd_core::wall::{ABI_FILES, ABI_SIGNALS, Wall};
use deskd_core::wire::SpawnRequest;
use deskd_keeper::wall::look;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::desk::Desk;
use crate::support::keeper::{Client, Keeper, request};
use crate::support::xvnc::available;
use crate::support::{proc, wait};

/// The kernel that tests run on has all of it.
fn kernel_has_it() {
    let abi = look(&[], &[], &[]).abi;
    assert!(abi >= ABI_SIGNALS.max(ABI_FILES), "Landlock ABI {abi}: tests need Linux 6.12");
}

/// A shell script behind a wall that hides the keeper's directory, but for `shown`.
fn walled(keeper: &Keeper, task: &str, script: &str, shown: &[&Path]) -> SpawnRequest {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let wall = Wall {
        hidden: vec![text(keeper.dir())],
        shown: shown.iter().map(|path| text(path)).collect(),
    };
    SpawnRequest { wall: Some(wall), ..request(task, &["/bin/bash", "-c", script]) }
}

/// Runs a script behind the wall and returns what it wrote.
fn output(keeper: &Keeper, client: &mut Client, task: &str, script: &str) -> String {
    client.spawn(walled(keeper, task, script, &[])).unwrap();
    client.exited(task);
    client.tree_gone(task);
    keeper.stdout(task)
}

/// Lines `yes COMMAND` or `no COMMAND`.
fn which_succeed(commands: &[String]) -> String {
    let tried = commands.iter().map(|command| {
        let quoted = shell_words::quote(command);
        format!("if ( eval {quoted} ) >/dev/null 2>&1; then echo yes {quoted}; else echo no {quoted}; fi")
    });
    tried.collect::<Vec<_>>().join("\n")
}

fn succeeded(output: &str) -> Vec<&str> {
    output.lines().filter(|line| line.starts_with("yes ")).collect()
}

#[test]
fn deskds_files_are_out_of_reach_and_all_others_are_not() {
    kernel_has_it();
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let state = keeper.dir().display().to_string();
    for name in ["token", "tasks.jsonl"] {
        std::fs::write(keeper.dir().join(name), "secret").unwrap();
    }
    let other = tempfile::tempdir().unwrap();
    let other_dir = other.path().display().to_string();
    let pid = keeper.pid();
    let forbidden = [
        format!("cat {state}/token"),
        format!("cat /proc/self/root{state}/token"),
        format!("cat /proc/{pid}/root{state}/token"),
        format!("cd {state} && cat token"),
        format!("echo mine > {state}/token"),
        format!("echo more >> {state}/tasks.jsonl"),
        format!("truncate -s 0 {state}/tasks.jsonl"),
        format!("rm {state}/token"),
        format!("mv {state}/token {other_dir}/token"),
        format!("ln {state}/token {other_dir}/token"),
        format!("ln -s {state}/token {other_dir}/link && cat {other_dir}/link"),
        format!("touch {state}/new"),
        format!("mkfifo {state}/fifo"),
        format!("ls {state}/logs/* && cat {state}/logs/*/*.log"),
        format!("unshare --user --map-root-user --mount sh -c 'mount --bind {state} /mnt'"),
    ];
    let output = output(&keeper, &mut client, "app-00001", &which_succeed(&forbidden));
    assert_eq!(output.lines().count(), forbidden.len(), "{output}");
    assert_eq!(succeeded(&output), [""; 0], "behind the wall");
    let secret = std::fs::read_to_string(keeper.dir().join("token")).unwrap();
    assert_eq!(secret, "secret");

    let permitted = [
        "cat /etc/passwd".to_owned(),
        "ls /".to_owned(),
        "ls /tmp".to_owned(),
        "echo > /dev/null".to_owned(),
        "cat /proc/self/status /proc/self/maps".to_owned(),
        format!("mkdir {other_dir}/a {other_dir}/b && echo hi > {other_dir}/a/file"),
        format!(
            "mv {other_dir}/a/file {other_dir}/b/file && ln {other_dir}/b/file {other_dir}/a/file"
        ),
        format!("mkfifo {other_dir}/fifo && rm -r {other_dir}/a"),
        "python3 -c 'import os; os.memfd_create(\"x\")'".to_owned(),
    ];
    let script = which_succeed(&permitted);
    client.spawn(walled(&keeper, "app-00002", &script, &[])).unwrap();
    client.exited("app-00002");
    let output = keeper.stdout("app-00002");
    assert_eq!(succeeded(&output).len(), permitted.len(), "{output}");
}

#[test]
fn a_file_that_programs_have_to_read_is_shown_and_cannot_be_changed() {
    kernel_has_it();
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let cookie = keeper.dir().join("Xauthority");
    std::fs::write(&cookie, "cookie").unwrap();
    let script = format!("cat {0}; echo mine > {0} || echo; rm {0}", cookie.display());
    client.spawn(walled(&keeper, "app-00001", &script, &[&cookie])).unwrap();
    client.exited("app-00001");
    client.tree_gone("app-00001");
    assert_eq!(keeper.stdout("app-00001"), "cookie\n");
    assert_eq!(std::fs::read_to_string(&cookie).unwrap(), "cookie");
}

/// A keeper and a daemon that run as an ordinary user; nothing but the wall protects this daemon.
fn of_a_user() -> Keeper {
    let wrapper = vec!["setpriv", "--reuid=4096", "--regid=4096", "--clear-groups", "--"];
    let setup = crate::support::keeper::Setup { wrapper, ..Default::default() };
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(4096), Some(4096)).unwrap();
    let keeper = setup.start_in(dir);
    keeper.daemon();
    keeper
}

#[test]
fn keeper_and_daemon_cannot_be_signalled_or_looked_into() {
    kernel_has_it();
    let keeper = of_a_user();
    let (mut client, _) = keeper.connect();
    let daemon = proc::children(keeper.pid())[0].pid;
    let looks = |pid: u32| {
        let files = ["environ", "maps", "mem", "auxv"];
        let reads = files.map(|file| format!("dd if=/proc/{pid}/{file} bs=1 count=0"));
        let links = ["exe", "cwd", "fd/0"].map(|it| format!("readlink /proc/{pid}/{it}"));
        let attach = format!(
            "python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(16, {pid}, 0, 0) != 0)'"
        );
        let others = [format!("kill -0 {pid}"), format!("ls /proc/{pid}/root/"), attach];
        reads.into_iter().chain(links).chain(others).collect::<Vec<_>>()
    };
    let signals = ["STOP", "KILL", "TERM", "HUP", "CONT", "USR1"];
    let mut forbidden = [looks(keeper.pid()), looks(daemon)].concat();
    for pid in [keeper.pid(), daemon] {
        forbidden.extend(signals.map(|signal| format!("kill -{signal} {pid}")));
    }
    let output = output(&keeper, &mut client, "app-00001", &which_succeed(&forbidden));
    assert_eq!(output.lines().count(), forbidden.len(), "{output}");
    assert_eq!(succeeded(&output), [""; 0], "behind the wall");
    // The same without a wall, as far as it does no harm.
    let script = which_succeed(&looks(daemon));
    client.sh("app-00002", &script);
    client.exited("app-00002");
    let output = keeper.stdout("app-00002");
    assert_eq!(succeeded(&output).len(), looks(daemon).len(), "{output}");
}

#[test]
fn limits_of_keeper_and_daemon_cannot_be_set() {
    kernel_has_it();
    let keeper = of_a_user();
    let (mut client, _) = keeper.connect();
    let daemon = proc::children(keeper.pid())[0].pid;
    let limits = ["cpu=1", "fsize=1", "nofile=1", "as=1", "nproc=1", "core=1"];
    let set = |pid: u32| limits.map(|limit| format!("prlimit --pid {pid} --{limit}"));
    let forbidden = [set(keeper.pid()), set(daemon)].concat();
    let asks = format!("prlimit --pid {} --cpu", keeper.pid());
    let own = [asks, "ulimit -n 64".into(), "prlimit --nofile=64 true".into()];
    let commands = [&forbidden[..], &own].concat();
    let output = output(&keeper, &mut client, "app-00001", &which_succeed(&commands));
    assert_eq!(output.lines().count(), commands.len(), "{output}");
    assert_eq!(succeeded(&output).len(), own.len(), "{output}");
    // The same without a wall, as far as it does no harm.
    client.sh("app-00002", &which_succeed(&[format!("prlimit --pid {daemon} --core=0")]));
    client.exited("app-00002");
    assert_eq!(succeeded(&keeper.stdout("app-00002")).len(), 1);
}

#[test]
fn programs_of_two_tasks_can_signal_each_other() {
    kernel_has_it();
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let victim = client.spawn(walled(&keeper, "app-00001", "exec sleep 1000", &[])).unwrap();
    client.spawn(walled(&keeper, "app-00002", &format!("kill {victim}"), &[])).unwrap();
    assert_eq!(client.exited("app-00002").exit, Exit::Code(0));
    assert!(matches!(client.exited("app-00001").exit, Exit::Signal { .. }));
}

/// The process that starts programs behind the wall.
fn starter(keeper: &Keeper) -> u32 {
    let children = proc::children(keeper.pid());
    children.iter().find(|child| child.comm == "deskd-starter").unwrap().pid
}

#[test]
fn a_starter_that_is_killed_or_stopped_by_a_program_starts_the_next_one_all_the_same() {
    kernel_has_it();
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.spawn(walled(&keeper, "app-00001", "exec sleep 1000", &[])).unwrap();
    let first = starter(&keeper);
    for (task, signal) in [("app-00002", "KILL"), ("app-00003", "STOP")] {
        let script = format!("kill -{signal} {}", starter(&keeper));
        client.spawn(walled(&keeper, task, &script, &[])).unwrap();
        client.exited(task);
        let next = format!("{task}-next").replace("-next", "");
        let next = next.replace("app", "next");
        client.spawn(walled(&keeper, &next, "exit 7", &[])).unwrap();
        assert_eq!(client.exited(&next).exit, Exit::Code(7));
    }
    assert!(proc::is_reaped(first));
    client.stop("app-00001", 0, 0);
    client.tree_gone("app-00001");
    let children = proc::children(keeper.pid());
    assert_eq!(children.len(), 2, "the daemon and the starter are left: {children:?}");
}

#[test]
fn the_starter_ends_with_its_keeper() {
    kernel_has_it();
    let mut keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    client.spawn(walled(&keeper, "app-00001", "exit 0", &[])).unwrap();
    client.tree_gone("app-00001");
    let starter = starter(&keeper);
    keeper.signal(Signal::SIGKILL);
    keeper.exit();
    wait::until("the starter ends", || (!proc::is_alive(starter)).then_some(()));
}

#[test]
fn what_cannot_be_started_behind_a_wall_is_explained_as_without() {
    kernel_has_it();
    let keeper = Keeper::start();
    let (mut client, _) = keeper.connect();
    let argv = ["/nonexistent/program"];
    let without = client.spawn(request("app-00001", &argv)).unwrap_err();
    let wall = Some(Wall::default());
    let behind = client.spawn(SpawnRequest { wall, ..request("app-00002", &argv) }).unwrap_err();
    assert_eq!(without, behind);
    let mut scored = walled(&keeper, "app-00003", "cat /proc/self/oom_score_adj", &[]);
    scored.oom_score_adj = Some(500);
    client.spawn(scored).unwrap();
    client.exited("app-00003");
    assert_eq!(keeper.stdout("app-00003"), "500\n");
}

/// A root-owned directory where a desktop's user makes nothing, as a pod's `/run` is.
const OF_ROOT: &str = "/var/lib";

/// Two applications that try to read the state directory, one without a wall.
fn two_readers() -> String {
    let script = "cat $HOME/state/token $HOME/state/tasks.jsonl; for pid in /proc/[0-9]*; do \
                  cat $pid/root$HOME/state/token; done; cat $HOME/state/Xauthority | wc -c";
    let app = |name: &str, more: &str| {
        format!(
            "[app.{name}]\nneeds_display = false\n{more}command = [\"sh\", \"-c\", {script:?}]\n"
        )
    };
    format!("{}{}", app("walled", ""), app("free", "sandbox = \"off\"\n"))
}

fn reasons(desk: &Desk, app: &str) -> String {
    let plan = desk.get(&format!("/v1/apps/{app}/plan"));
    plan["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

fn log_of(desk: &Desk, app: &str) -> String {
    let task = desk.launch(app);
    desk.ended(&task);
    let answer = desk.ask("GET", &format!("/v1/tasks/{task}/log")).send();
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[test]
fn a_desktop_hides_its_token_from_every_program_but_those_that_the_operator_frees() {
    if !available() {
        return;
    }
    kernel_has_it();
    let key = [("XAUTH_KEY", "00112233445566778899aabbccddeeff".to_owned())];
    let desk = Desk::start_at(Path::new(OF_ROOT), &two_readers(), None, &key, |_| {});
    let token = desk.token();
    assert!(
        reasons(&desk, "walled")
            .contains("a wall keeps it from deskd's files and processes (Landlock ABI")
    );
    assert!(reasons(&desk, "free").contains("the configuration says so (sandbox = \"off\")"));
    assert!(log_of(&desk, "free").contains(&token), "without a wall it is there to be read");
    for _ in 0..2 {
        let log = log_of(&desk, "walled");
        assert!(!log.contains(&token), "{log}");
        assert!(log.contains("Permission denied"), "{log}");
        let cookie_bytes = log.lines().rev().find_map(|line| line.trim().parse::<u32>().ok());
        assert!(cookie_bytes.unwrap() > 0, "the display's cookie is shown: {log}");
        // The next daemon finds the same.
        let old = desk.kill_daemon();
        desk.until_back(old);
    }
}

#[test]
fn nobody_but_the_operators_file_takes_a_wall_away() {
    if !available() {
        return;
    }
    let desk = Desk::start(&two_readers(), None);
    let app = |sandbox: &str| {
        json!({ "id": "mine", "display_name": "mine", "needs_display": false,
                "local": { "command": ["true"], "sandbox": sandbox } })
    };
    let refused = desk.ask("PUT", "/v1/apps").json(&app("off")).send();
    assert_eq!(refused.status, 400);
    let body = String::from_utf8_lossy(&refused.body).into_owned();
    assert!(body.contains("only the operator's configuration file turns the wall off"), "{body}");
    desk.ask("PUT", "/v1/apps").json(&app("auto")).send().expect(201);
    assert!(desk.get("/v1/apps/mine/plan")["local"]["wall"].is_object());
    assert!(desk.get("/v1/apps/free/plan")["local"]["wall"].is_null());
}

#[test]
fn where_programs_make_files_beside_the_state_directory_it_is_said_that_it_is_not_hidden() {
    if !available() {
        return;
    }
    kernel_has_it();
    let desk = Desk::start(&two_readers(), None);
    let told = reasons(&desk, "walled");
    let state = desk.dir.path().join("state").display().to_string();
    let why = format!(
        "a wall keeps it from deskd's processes, not from its files: {state} cannot be hidden, \
         because programs make files in /tmp"
    );
    assert!(told.contains(&why), "{told}");
    assert!(log_of(&desk, "walled").contains(&desk.token()), "as it is said");
}

/// Makes and returns a directory of this user.
fn directory(of: &Path, name: &str) -> std::path::PathBuf {
    let path = of.join(name);
    std::fs::create_dir(&path).unwrap();
    path
}

#[test]
fn what_can_be_hidden_is_decided_by_who_writes_above_it() {
    // Everything is writable for root, so nothing can be hidden from root's programs.
    let dir = tempfile::tempdir_in(OF_ROOT).unwrap();
    let secret = directory(dir.path(), "secret");
    let facts = look(std::slice::from_ref(&secret), &[], &[]);
    assert_eq!(facts.hidden, [""; 0]);
    assert_eq!(facts.exposed[0].writable.as_deref(), dir.path().to_str());
    // What is not there is no secret; what is below one is hidden with it.
    let facts = look(&[dir.path().join("none"), secret.clone(), secret.join("in")], &[], &[]);
    assert_eq!(facts.exposed.len(), 1);
}
