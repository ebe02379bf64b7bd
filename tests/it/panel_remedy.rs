//! Remedies in the panel: the button, and the story of a task that it was pressed for.

use serde_json::{Value, json};

use super::panel::{AUDIT, assert_clean, available, log_in};
use super::support::browser::{Browser, ENTER};
use super::support::desk::Desk;

/// Programs that fail as Chromium does where `/dev/shm` is too small, in its words (rule
/// `dev-shm-full`), unless they get the switch that it has for that. Real ones would need a container
/// with such a `/dev/shm`, and half a minute.
const APPS: &str = r#"
[app.browser]
display_name = "Browser"
needs_display = false
command = ["sh", "-c", '''
for argument; do
  [ "$argument" = --disable-dev-shm-usage ] && { echo "runs with $argument"; exec sleep 600; }
done
echo "[1:1:FATAL:platform_shared_memory_region_posix.cc(249)] Creating shared memory in /dev/shm/.org.chromium.Chromium.x failed: No such file or directory (2)" >&2
exit 1''', "browser"]

[app.stubborn]
display_name = "Stubborn"
needs_display = false
command = ["sh", "-c", '''
[ "$#" = 0 ] && { echo "Creating shared memory in /dev/shm/x failed: No space left on device (28)" >&2; exit 1; }
echo "error while loading shared libraries: libfoo.so.1: cannot open shared object file: No such file or directory" >&2
exit 127''', "stubborn"]
"#;

const WORDS: &str = "Start it again with --disable-dev-shm-usage";
const BUTTON: &str = "document.querySelector('[data-act=remedy]')";

/// Not `innerText`: a row that was not drawn yet has none.
fn text(browser: &Browser, selector: &str) -> String {
    let text = browser.run(&format!("return document.querySelector('{selector}').textContent"));
    text.as_str().expect("text").to_owned()
}

fn assert_has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn a_press_of_a_button_mends_a_task_and_its_row_tells_the_story() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let task = desk.launch("browser");
    desk.ended(&task);
    let browser = log_in(&desk, false);
    browser.until("return document.querySelector('[data-task] .state')?.textContent === 'Failed'");
    assert_eq!(browser.run(&format!("return {BUTTON}")), Value::Null, "it is among the details");
    browser.click("[data-act=unfold]");
    assert_eq!(browser.run(&format!("return {BUTTON}.textContent")), WORDS);
    let label = browser.run(&format!("return {BUTTON}.getAttribute('aria-label')"));
    assert_eq!(label, format!("{WORDS}: Browser ({task})"));
    assert_has(&text(&browser, ".diagnosis"), &["What went wrong", "/dev/shm", "platform_shared"]);
    browser.screenshot("remedy-offered-light");

    // Refused, as when another person was sooner: told, and the button is there again.
    browser.run(&format!(
        "window.honest = window.fetch; window.fetch = async () => new Response( \
         JSON.stringify({{ code: 'no_remedy', message: 'somebody was sooner' }}), {{ status: 409 }}); \
         {BUTTON}.focus(); {BUTTON}.click();"
    ));
    browser.until("return document.querySelector('.toast')?.textContent.includes('was sooner')");
    browser.until(&format!("return document.activeElement === {BUTTON} && !{BUTTON}.disabled"));
    browser.run("window.fetch = window.honest; document.querySelector('.toast').remove()");

    // With the keyboard alone.
    browser.press(ENTER);
    browser.until("return document.querySelector('[data-task] .state').textContent === 'Running'");
    browser.until(&format!("return {BUTTON} === null"));
    let story = browser.until("return document.querySelector('.result').textContent");
    let story = story.as_str().expect("text");
    assert!(story.starts_with("Runs with --disable-dev-shm-usage because it failed "), "{story}");
    assert_has(story, &["/dev/shm"]);
    let told = text(&browser, ".mended");
    assert_has(&told, &["What deskd changed", "by a user: start it again with --disable-dev-shm"]);
    assert_has(&told, &["→", "What went wrong before", "platform_shared", "df -h /dev/shm"]);
    let focused = browser.run("return document.activeElement.dataset.act");
    assert_eq!(focused, "unfold", "the focus stays in the row");
    let announced = text(&browser, "#announcer");
    assert_has(&announced, &["Browser (with --disable-dev-shm-usage) is running"]);
    browser.screenshot("remedy-done-light");
    assert_eq!(browser.run(AUDIT), Value::Array(vec![]));
    assert_eq!(browser.nameless("button, a, input"), Vec::<String>::new());
    let seen = desk.get(&format!("/v1/tasks/{task}"));
    assert_eq!((&seen["runs"], &seen["remedied"]["run"]), (&json!(2), &json!(2)), "{seen}");
    assert_clean(&browser);
}

#[test]
fn a_remedy_that_did_not_help_is_told_with_both_failures() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let task = desk.launch("stubborn");
    desk.ended(&task);
    let browser = log_in(&desk, true);
    browser.until("return document.querySelector('[data-act=unfold]') !== null");
    browser.click("[data-act=unfold]");
    browser.click("[data-act=remedy]");
    browser.until("return document.querySelector('.mended') !== null");
    browser.until("return document.querySelector('[data-task] .state').textContent === 'Failed'");
    let story = browser.until("return document.querySelector('.result').textContent");
    assert_has(
        story.as_str().expect("text"),
        &[
            "Failed with",
            " too: ",
            "libfoo.so.1",
            "Before, without --disable-dev-shm-usage: ",
            "/dev/shm",
        ],
    );
    let details = text(&browser, ".more");
    assert_has(&details, &["What went wrong again", "What went wrong before"]);
    // Each with the output of its own run.
    assert_has(&text(&browser, ".diagnosis:not(.mended) pre"), &["libfoo.so.1"]);
    assert_has(&text(&browser, ".mended pre"), &["/dev/shm/x failed"]);
    assert_eq!(browser.run(&format!("return {BUTTON}")), Value::Null, "once per task");
    browser.screenshot("remedy-in-vain-dark");
    assert_eq!(browser.run(AUDIT), Value::Array(vec![]));
    assert_clean(&browser);
}

/// Shows a task that only a cluster makes, by the panel's own modules.
fn show(browser: &Browser, tasks: &Value) {
    browser.run(&format!(
        "window.shown = false; const tasks = {tasks}; \
         import('/assets/table.js').then(({{ Table }}) => {{ \
           const rows = document.getElementById('rows'); \
           const known = new Map(tasks.map((task) => [task.id, task])); \
           const table = new Table(rows, {{ tasks: known, apps: new Map(), usage: new Map() }}, () => {{}}); \
           table.show({{ tasks: known.keys(), removed: [], usage: false, apps: false }}); \
           for (const task of tasks) table.unfold(task.id); \
           document.getElementById('empty').hidden = true; window.shown = true; }})"
    ));
    browser.until("return window.shown");
}

fn diagnosis(sentence: &str, proof: &str, remedy: &Value) -> Value {
    json!({
        "cause": "shm_refused", "rule": "r", "confidence": "certain", "sentence": sentence,
        "proof": [{ "place": { "line": 3 }, "text": proof }], "advice": "Set the label.",
        "remedy": remedy, "others": [],
    })
}

fn task(id: &str, state: &str, more: &Value) -> Value {
    let mut task = json!({
        "id": id, "app": "x", "display_name": "2048", "engine": "pod_application", "reasons": [],
        "rejected": [], "command": ["gnome-2048"], "state": state, "pid": null, "exit": null,
        "rusage": null, "created_at": 0, "started_at": null, "ended_at": null,
        "first_window_ms": null, "windows": 0, "log_bytes": 0, "cause": null, "runs": 1,
        "next_run_at": null, "stop_steps": [], "history": [], "generation": 1, "stale": false,
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        task[key] = value.clone();
    }
    task
}

#[test]
fn a_task_that_waits_says_why_and_one_on_another_engine_where_it_was() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let shm = "The program draws through memory that it shares with the X server.";
    let proposal = json!({ "kind": "other_class", "sentence": "start it again with a class that asks for less cpu" });
    let waits = json!({
        "waiting": "0/1 nodes are available: 1 Insufficient cpu.",
        "diagnosis": diagnosis("No node has enough cpu.", "0/1 nodes are available", &proposal),
    });
    let moved = json!({
        "engine": "ephemeral_container", "runs": 2, "started_at": 1, "remedied": {
            "at": 0, "by": "deskd", "run": 2, "kind": "other_engine", "engine": "ephemeral_container",
            "sentence": "start it again as an ephemeral container", "before": "as a pod of its own",
            "after": "as an ephemeral container", "diagnosis": diagnosis(shm, "BadShmSeg", &Value::Null),
        },
    });
    let tasks = json!([task("a-00001", "starting", &waits), task("b-00001", "running", &moved)]);
    for dark in [false, true] {
        let browser = log_in(&desk, dark);
        show(&browser, &tasks);
        let row = |id: &str, part: &str| text(&browser, &format!("[data-task=\"{id}\"] {part}"));
        assert_eq!(row("a-00001", ".result"), "No node has enough cpu.");
        assert_has(&row("a-00001", ".calm"), &["Why it is not running yet", "asks for less cpu"]);
        let story =
            format!("Runs as an ephemeral container because it failed as a pod of its own: {shm}");
        assert_eq!(row("b-00001", ".result"), story);
        let told = row("b-00001", ".mended");
        assert_has(&told, &["by deskd: start it again", "a pod of its own", "BadShmSeg"]);
        browser.screenshot(if dark { "remedy-cluster-dark" } else { "remedy-cluster-light" });
        assert_eq!(browser.run(AUDIT), Value::Array(vec![]));
        assert_clean(&browser);
    }
}
