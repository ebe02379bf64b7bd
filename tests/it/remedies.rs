//! Remedies and evidence of local tasks, on a whole deskd with a real X server.
//!
//! The browser is a fake: what is in PATH (Chromium 156) does without a large `/dev/shm`, and
//! Qt WebEngine 5 would need a small one in a mount namespace of deskd's own. Its words are those of
//! Qt WebEngine 5 (`tests/fixtures/failures/read/webengine-shm-forbidden`), and with the switch it
//! is a real X client. Other engines and classes: the cluster's tests.

use serde_json::{Value, json};

use crate::support::control_group::ControlGroup;
use crate::support::desk::Desk;
use crate::support::xvnc::{Xvnc, available, eventually};

/// Half of what `hungry` wants.
const MEMORY_BYTES: u64 = 256 << 20;
const APPS: &str = r#"
[app.browser]
command = ["sh", "-c", "for a; do case $a in --disable-dev-shm-usage) exec xclock;; esac; done; echo '[24:42:1124/102455.453457:ERROR:platform_shared_memory_region_posix.cc(250)] Creating shared memory in /dev/shm/.org.chromium.Chromium.roY2Sj failed: Permission denied (13)' >&2; exit 1", "browser"]

[app.stubborn]
command = ["sh", "-c", "echo 'Creating shared memory in /dev/shm/.org.chromium.Chromium.roY2Sj failed: Permission denied (13)' >&2; exit 1", "browser"]
restart = "on-failure"

[app.electron]
command = ["sh", "-c", "for a; do case $a in --disable-gpu) exec xclock;; esac; done; echo \"[1:1:FATAL:gpu_data_manager_impl_private.cc(415)] GPU process isn't usable. Goodbye.\" >&2; kill -TRAP $$", "electron"]

[app.image]
command = ["sh", "-c", "[ \"$APPIMAGE_EXTRACT_AND_RUN\" = 1 ] && exec xclock; echo \"dlopen(): error loading libfuse.so.2\" >&2; echo 'AppImages require FUSE to run.' >&2; exit 127"]

[app.xclock]
command = ["xclock"]

[app.hungry]
needs_display = false
command = ["python3", "-c", "b = bytearray(b'x' * (512 << 20)); print(len(b))"]
"#;

fn desk(mode: &str, server: &Xvnc) -> Desk {
    Desk::start(&format!("remedy = \"{mode}\"\n{APPS}"), Some(server))
}

fn task(desk: &Desk, id: &str) -> Value {
    desk.get(&format!("/v1/tasks/{id}"))
}

/// Waits until a window of its run `run` is there.
fn until_drawing(desk: &Desk, id: &str, run: u32) -> Value {
    eventually("its window", || {
        let task = task(desk, id);
        (task["runs"] == run && task["windows"] == 1).then_some(task)
    })
}

fn history(task: &Value) -> Vec<String> {
    let lines = task["history"].as_array().expect("a history").iter();
    lines.map(|line| line["what"].as_str().expect("a sentence").to_owned()).collect()
}

#[test]
fn a_remedy_that_deskd_applies_is_one_more_run_of_the_same_task_with_its_story() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let desk = desk("auto", &server);
    let id = desk.launch("browser");
    let task = until_drawing(&desk, &id, 2);
    assert_eq!(
        task["command"].as_array().expect("argv").last(),
        Some(&json!("--disable-dev-shm-usage"))
    );
    let story = &task["remedied"];
    assert_eq!(story["by"], "deskd");
    assert_eq!(story["run"], 2);
    assert_eq!(story["kind"], "disable_dev_shm");
    assert_eq!(story["before"], "without --disable-dev-shm-usage");
    assert_eq!(story["after"], "with --disable-dev-shm-usage");
    assert_eq!(story["diagnosis"]["cause"], "dev_shm_too_small");
    assert_eq!(task["diagnosis"], Value::Null, "it runs");
    let lines = history(&task);
    let told = "remedy by deskd: start it again with --disable-dev-shm-usage; before: without \
                --disable-dev-shm-usage, after: with --disable-dev-shm-usage";
    assert!(lines.iter().any(|line| line == told), "{lines:#?}");
    let metrics = desk.ask("GET", "/metrics").send().text();
    let counted = "deskd_task_causes_total{cause=\"dev_shm_too_small\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    // The log has both runs.
    let text = desk.ask("GET", &format!("/v1/tasks/{id}/log")).send().text();
    assert!(text.contains("Creating shared memory"), "{text}");
    // And the remedy stays for every later run, over a kill of the daemon too.
    let old = desk.kill_daemon();
    desk.until_back(old);
    assert_eq!(self::task(&desk, &id)["remedied"], *story);
}

#[test]
fn a_browser_without_a_gpu_and_an_app_image_without_fuse_are_started_so_that_they_do_without() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let desk = desk("auto", &server);
    for (app, kind, after) in [
        ("electron", "disable_gpu", "with --disable-gpu"),
        ("image", "extract_app_image", "unpacked, without FUSE"),
    ] {
        let id = desk.launch(app);
        let task = until_drawing(&desk, &id, 2);
        assert_eq!(task["remedied"]["kind"], kind);
        assert_eq!(task["remedied"]["after"], after);
    }
}

#[test]
fn there_is_no_second_remedy_and_the_policy_of_restarts_goes_on() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let desk = desk("auto", &server);
    let id = desk.launch("stubborn");
    let third = eventually("two more runs", || Some(task(&desk, &id)).filter(|t| t["runs"] == 3));
    assert_eq!(third["remedied"]["run"], 2);
    let lines = history(&third);
    let remedies = lines.iter().filter(|line| line.starts_with("remedy by"));
    assert_eq!(remedies.count(), 1, "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("restart in")), "{lines:#?}");
    assert_eq!(
        third["command"].as_array().expect("argv").last(),
        Some(&json!("--disable-dev-shm-usage"))
    );
    desk.stop(&id);
    let refused = desk.ask("POST", &format!("/v1/tasks/{id}/remedy")).send();
    assert_eq!(refused.refusal(409), "no_remedy");
}

#[test]
fn a_remedy_that_is_suggested_waits_for_somebody_and_is_applied_once() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let desk = desk("suggest", &server);
    let id = desk.launch("browser");
    let failed = desk.ended(&id);
    assert_eq!(failed["runs"], 1);
    let proposal = &failed["diagnosis"]["remedy"];
    assert_eq!(proposal["kind"], "disable_dev_shm");
    assert_eq!(proposal["sentence"], "start it again with --disable-dev-shm-usage");
    let path = format!("/v1/tasks/{id}/remedy");
    desk.ask("POST", &path).send().expect(202);
    let task = until_drawing(&desk, &id, 2);
    assert_eq!(task["remedied"]["by"], "a user");
    let again = desk.ask("POST", &path).send();
    assert!(again.text().contains("one was applied already"), "{}", again.text());
    assert_eq!(again.refusal(409), "no_remedy");
    let unknown = desk.ask("POST", "/v1/tasks/browser-00000/remedy").send();
    assert_eq!(unknown.refusal(404), "unknown_task");
}

#[test]
fn remedies_that_are_turned_off_are_neither_proposed_nor_applied() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let desk = desk("off", &server);
    let id = desk.launch("browser");
    let failed = desk.ended(&id);
    assert_eq!(failed["diagnosis"]["cause"], "dev_shm_too_small", "the cause is told all the same");
    assert_eq!(failed["diagnosis"]["remedy"], Value::Null);
    let refused = desk.ask("POST", &format!("/v1/tasks/{id}/remedy")).send();
    assert!(refused.text().contains("turned off"), "{}", refused.text());
    assert_eq!(refused.refusal(409), "no_remedy");
}

#[test]
fn an_application_that_dies_with_its_x_server_is_told_so() {
    if !available() {
        return;
    }
    let mut server = Xvnc::start();
    let desk = desk("suggest", &server);
    let id = desk.launch("xclock");
    until_drawing(&desk, &id, 1);
    server.kill();
    let ended = eventually("the diagnosis", || {
        let task = task(&desk, &id);
        (task["diagnosis"]["cause"] == "display_lost").then_some(task)
    });
    assert_eq!(ended["cause"], ended["diagnosis"]["sentence"]);
    let proof = ended["diagnosis"]["proof"].to_string();
    assert!(proof.contains("display.lost"), "deskd's own look is a proof: {proof}");
}

#[test]
fn an_application_that_the_kernel_kills_for_memory_is_told_so() {
    if !available() {
        return;
    }
    // Dropped last, when no process is in it.
    let name = format!("deskd-test-{}", std::process::id());
    let group = ControlGroup::make("memory", &name).expect("a control group");
    group.limit(&["memory.limit_in_bytes", "memory.max"], MEMORY_BYTES);
    let server = Xvnc::start();
    let desk = desk("suggest", &server);
    // The keeper looks for its control group when it first starts something.
    group.take(desk.keeper_pid());
    let id = desk.launch("hungry");
    let ended = desk.ended(&id);
    assert_eq!(ended["exit"]["signal"]["number"], 9, "{ended}");
    assert_eq!(ended["diagnosis"]["cause"], "out_of_memory", "{ended}");
    assert_eq!(ended["diagnosis"]["rule"], "oom-killed", "the kernel's count is the proof");
    assert_eq!(ended["diagnosis"]["remedy"], Value::Null, "a class is a matter of pods");
}
