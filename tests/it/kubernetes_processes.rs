//! Processes of ephemeral containers: the engine as the first process of a PID namespace of its own,
//! which processes from outside join as those of a container do. The status is written by the test;
//! the container is made with nsenter.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::display_helper::Role;
use crate::support::control_group::ControlGroup;
use crate::support::control_plane::{ControlPlane, Namespace, available};
use crate::support::kube_desk::add_ephemeral_to;
use crate::support::kube_engine::{DESKTOP, make_desktop};
use crate::support::needs;
use crate::support::proc;
use crate::support::wait;
use crate::support::xvnc::{Helper, Place, Running};

/// The engine in its namespace, ready; and its pid outside.
fn engine(plane: &ControlPlane, namespace: &Namespace<'_>) -> (Helper, u32) {
    let desktop = make_desktop(namespace);
    let role = Role::KubeEngine {
        kubeconfig: plane.admin_kubeconfig(),
        namespace: namespace.name.clone(),
        uid: desktop["metadata"]["uid"].as_str().expect("a uid").to_owned(),
    };
    let namespaced = "exec unshare --pid --fork --kill-child=SIGKILL --mount-proc \"$@\"";
    let place = Place::shell(namespaced);
    let mut helper = Helper::start(&place, &serde_json::to_value(role).expect("JSON"));
    let ready = helper.until(|said| !said["ready"].is_null());
    assert_eq!(ready["ready"], 1, "it is the first process of its namespace");
    let children = format!("/proc/{0}/task/{0}/children", helper.process.pid());
    let children = std::fs::read_to_string(children).expect("its child");
    let pid = children.split_whitespace().next().expect("a child").parse().expect("a pid");
    (helper, pid)
}

/// A first process that runs `script`.
fn running(engine: u32, task: &str, script: &str) -> Running {
    let target = engine.to_string();
    let task = format!("DESKD_TASK_ID={task}");
    let argv = ["nsenter", "--target", &target, "--pid", "--mount", "env", &task, "DESKD_RUN=1"];
    let argv = [&argv[..], &["bash", "-c", script]].concat();
    Running::start(&mut Place::default().command(&argv))
}

/// A first process with another in a session of its own whose environment is empty; both take only
/// SIGKILL when `stubborn`.
fn container(engine: u32, task: &str, stubborn: bool) -> Running {
    let trap = if stubborn { "trap '' TERM;" } else { "" };
    let script = format!(
        "{trap} setsid env --ignore-environment sleep 1001 & {trap} while :; do sleep 0.05; done"
    );
    running(engine, task, &script)
}

fn set_state(namespace: &Namespace<'_>, state: &Value) {
    let pod = namespace.kubectl_json(&["get", "pod", DESKTOP]);
    let name = &pod["spec"]["ephemeralContainers"][0]["name"];
    let status = json!({ "name": name, "state": state, "ready": false, "restartCount": 0,
        "image": "example.org/game:1", "imageID": "" });
    let patch = json!({ "status": { "ephemeralContainerStatuses": [status] } }).to_string();
    namespace.kubectl(&["patch", "pod", DESKTOP, "--subresource=status", "--patch", &patch]);
}

/// Processes of the namespace beside its first one.
fn others(engine: u32) -> Vec<u32> {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(&engine.to_string());
    let alive = |pid: u32| deskd_keeper::procfs::read_stat(pid).is_some_and(|stat| stat.is_alive());
    let other = |pid: &u32| *pid != engine && alive(*pid) && namespace(&pid.to_string()) == own;
    deskd_keeper::procfs::pids().expect("/proc").into_iter().filter(other).collect()
}

/// Processes whose end the engine waits for.
fn pidfds(engine: u32) -> usize {
    let fds = std::fs::read_dir(format!("/proc/{engine}/fd")).expect("descriptors");
    let links = fds.flatten().filter_map(|fd| std::fs::read_link(fd.path()).ok());
    links.filter(|link| link.to_string_lossy().contains("pidfd")).count()
}

#[test]
fn a_process_is_the_first_proof_and_a_stop_leaves_none() {
    if !available() || !needs::met(&["nsenter", "unshare"], &[]) {
        return;
    }
    let plane = ControlPlane::shared();
    for stubborn in [false, true] {
        let namespace = plane.namespace("processes");
        let (mut helper, engine) = engine(plane, &namespace);
        helper.tell("launch game-00001");
        helper.until(|said| !said["accepted"].is_null());

        let mut outside = container(engine, "game-00001", stubborn);
        let running = helper.until(|said| !said["running"].is_null());
        wait::until("both run", || (others(engine).len() >= 2).then_some(()));
        helper.tell("stop game-00001");

        let term = helper.until(|said| !said["step"].is_null());
        assert_eq!(term["step"], "term");
        let detail = term["detail"].as_str().expect("a sentence");
        assert!(detail.starts_with("SIGTERM to "), "{detail}");
        if stubborn {
            let kill = helper.until(|said| said["step"] == "kill");
            let detail = kill["detail"].as_str().expect("a sentence");
            assert!(detail.starts_with("SIGKILL to "), "{detail}");
        }
        wait::until("no process is left", || others(engine).is_empty().then_some(()));
        outside.0.wait().expect("nsenter");

        // The kernel says how, at once: kubelet's status comes later, and is not waited for.
        let ended = helper.until(|said| !said["ended"].is_null());
        let number = if stubborn { 9 } else { 15 };
        assert_eq!(ended["ended"]["signal"]["number"], number, "{ended}");
        let (from, to) = (running["at"].as_i64(), ended["at"].as_i64());
        let took_ms = to.expect("a time") - from.expect("a time");
        assert!((0..60_000).contains(&took_ms), "{took_ms} ms");
    }
}

#[test]
fn what_was_stopped_before_it_started_is_over_and_ended_should_it_start_after_all() {
    if !available() || !needs::met(&["nsenter", "unshare"], &[]) {
        return;
    }
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("late");
    let (mut helper, engine) = engine(plane, &namespace);
    helper.tell("launch game-00001");
    helper.until(|said| !said["accepted"].is_null());
    let waits = json!({ "waiting": { "reason": "ImagePullBackOff", "message": "not found" } });
    set_state(&namespace, &waits);

    helper.tell("stop game-00001");
    let step = helper.until(|said| !said["step"].is_null());
    assert!(step["detail"].as_str().expect("a sentence").contains("no process of it is there"));
    let ended = helper.until(|said| !said["ended"].is_null());
    assert_eq!(ended["ended"]["reason"], "it was stopped before it started");

    let mut outside = container(engine, "game-00001", false);
    set_state(&namespace, &json!({ "running": {} }));
    wait::until("it is ended", || outside.0.try_wait().expect("nsenter"));
    wait::until("no process is left", || others(engine).is_empty().then_some(()));
}

#[test]
fn the_exit_code_is_the_program_s_and_not_that_of_tee() {
    if !available() || !needs::met(&["nsenter", "unshare"], &[]) {
        return;
    }
    let plane = ControlPlane::shared();
    let dir = tempfile::tempdir().expect("a directory");
    for (script, exit) in [
        (
            "sleep 0.2; kill -SEGV $$",
            json!({ "signal": { "number": 11, "name": "SIGSEGV",
            "core_dumped": false } }),
        ),
        ("exit 3", json!({ "code": 3 })),
        ("exit 0", json!({ "code": 0 })),
    ] {
        // It waits until it was seen: how soon that is, is no matter of this test.
        let [program, go] = ["program", "go"].map(|name| dir.path().join(name));
        let text = format!("#!/bin/bash\nulimit -c 0\nread _ <{}\n{script}\n", go.display());
        std::fs::write(&program, text).expect("a script");
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, all).expect("chmod");
        nix::unistd::mkfifo(&go, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        let program = program.to_str().expect("a path");
        let namespace = plane.namespace("tee");
        let (mut helper, engine) = engine(plane, &namespace);
        helper.tell(&format!("launch game-00001 {program}"));
        helper.until(|said| !said["accepted"].is_null());
        let entry_point = format!("{program} 2>&1 | tee /dev/null");
        let mut outside = running(engine, "game-00001", &entry_point);
        helper.until(|said| !said["running"].is_null());
        wait::until("both processes are watched", || (pidfds(engine) >= 2).then_some(()));
        std::fs::write(&go, "\n").expect("go");
        outside.0.wait().expect("nsenter");
        let ended = helper.until(|said| !said["ended"].is_null());
        assert_eq!(ended["ended"], exit, "{script}");
        std::fs::remove_file(&go).expect("the FIFO");
    }
}

#[test]
fn a_program_that_was_not_seen_ends_with_the_exit_code_of_its_entry_point() {
    if !available() || !needs::met(&["nsenter", "unshare"], &[]) {
        return;
    }
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("unseen");
    let (mut helper, engine) = engine(plane, &namespace);
    helper.tell("launch game-00001 /usr/games/elsewhere");
    helper.until(|said| !said["accepted"].is_null());
    let mut outside = running(engine, "game-00001", "sleep 1");
    helper.until(|said| !said["running"].is_null());
    outside.0.wait().expect("nsenter");
    let ended = helper.until(|said| !said["ended"].is_null());
    assert_eq!(ended["ended"], json!({ "entry_point": 0 }));
}

#[test]
fn what_kubelet_ends_with_the_pod_is_over_at_once_although_the_status_says_that_it_runs() {
    if !available() || !needs::met(&["nsenter", "unshare"], &[]) {
        return;
    }
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("logout");
    let (mut helper, engine) = engine(plane, &namespace);
    helper.tell("launch game-00001");
    helper.until(|said| !said["accepted"].is_null());
    let mut outside = running(engine, "game-00001", "sleep 1000");
    helper.until(|said| !said["running"].is_null());
    set_state(&namespace, &json!({ "running": {} }));
    helper.tell("launch game-00002");
    helper.until(|said| said["accepted"] == "game-00002");
    namespace.kubectl(&["delete", "pod", DESKTOP, "--wait=false", "--grace-period=600"]);
    // As kubelet does; the second one was never started.
    for process in others(engine) {
        proc::signal(process, Signal::SIGKILL);
    }
    outside.0.wait().expect("nsenter");
    let ended = helper.until(|said| !said["ended"].is_null());
    assert_eq!(ended["ended"]["signal"]["number"], 9, "{ended}");
    helper.tell("stop game-00002");
    let ended = helper.until(|said| !said["ended"].is_null());
    assert_eq!(ended["ended"]["reason"], "it was stopped before it started");
}

#[test]
fn a_container_of_others_is_found_by_its_control_group_and_stopped() {
    if !available() || !needs::met(&["nsenter", "unshare"], &[]) {
        return;
    }
    let id = format!("{:064x}", std::process::id());
    // As a container's, named after it.
    let Some(group) = ControlGroup::make("pids", &id) else {
        return println!("skipped: no control groups");
    };
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("others");
    let (mut helper, engine) = engine(plane, &namespace);
    let entry = json!({ "name": "fry-x-00001", "image": "x", "targetContainerName": "deskd" });
    add_ephemeral_to(&namespace, DESKTOP, &[entry]);
    let script = "trap '' TERM; setsid sleep 1001 & while :; do :; sleep 0.05; done";
    let join = format!(
        "echo $$ > {} && exec nsenter --target {engine} --pid --mount bash -c \"$1\"",
        group.procs().display()
    );
    let mut outside =
        Running::start(&mut Place::default().command(&["bash", "-c", &join, "bash", script]));
    wait::until("both run", || (others(engine).len() >= 2).then_some(()));

    let status = json!({ "name": "fry-x-00001", "state": { "running": {} }, "ready": true,
        "restartCount": 0, "image": "x", "imageID": "", "containerID": format!("containerd://{id}") });
    let patch = json!({ "status": { "ephemeralContainerStatuses": [status] } }).to_string();
    namespace.kubectl(&["patch", "pod", DESKTOP, "--subresource=status", "--patch", &patch]);
    helper.until(|said| said["running"].is_u64());
    helper.tell("stop fry-x-00001");

    let kill = helper.until(|said| said["step"] == "kill");
    let detail = kill["detail"].as_str().expect("a sentence");
    assert!(detail.starts_with("SIGKILL to "), "{detail}");
    wait::until("no process is left", || others(engine).is_empty().then_some(()));
    outside.0.wait().expect("nsenter");
}
