//! The stages of a launch: in the task, in the metrics and in the panel.

use std::collections::BTreeSet;

use serde_json::Value;

use super::support::browser::{self, Look};
use super::support::desk::Desk;
use super::support::wait;
use super::support::xvnc::{self, Xvnc};

const APPS: &str = r#"
[app.xclock]
display_name = "Clock"
command = ["xclock"]

[app.silent]
display_name = "Silent"
needs_display = false
command = ["sleep", "600"]
"#;

fn stages(task: &Value) -> Vec<(&str, bool)> {
    let all = task["stages"].as_array().expect("stages").iter();
    all.map(|it| (it["stage"].as_str().expect("a word"), it["to"].is_i64())).collect()
}

#[test]
fn a_launch_says_what_took_how_long() {
    if !xvnc::available() {
        return;
    }
    let server = Xvnc::start();
    let desk = Desk::start(APPS, Some(&server));
    let clock = desk.launch("xclock");
    let path = format!("/v1/tasks/{clock}");
    let shown = wait::until("the clock shows a window", || {
        Some(desk.get(&path)).filter(|task| task["first_window_ms"].is_u64())
    });
    assert_eq!(stages(&shown), [("queue", true), ("start", true), ("first_window", true)]);
    let at = |stage: usize, end: &str| shown["stages"][stage][end].as_i64().expect("a time");
    assert_eq!(at(0, "to"), at(1, "from"), "one stage ends when the next begins");
    let whole = u64::try_from(at(2, "to") - at(1, "from")).expect("forward");
    assert_eq!(shown["first_window_ms"], whole);
    let silent = desk.launch("silent");
    let silent = desk.get(&format!("/v1/tasks/{silent}/wait?state=running"));
    assert_eq!(stages(&silent), [("queue", true), ("start", true), ("first_window", false)]);

    let counts = wait::until("the stages are counted", || {
        let text = desk.ask("GET", "/metrics").send().text();
        let counts = text.lines().filter_map(|line| {
            line.strip_prefix("deskd_launch_stage_seconds_count{stage=\"")?.split_once("\"} ")
        });
        let counts: BTreeSet<_> =
            counts.map(|(stage, count)| (stage.to_owned(), count.to_owned())).collect();
        counts.contains(&("start".into(), "2".into())).then_some(counts)
    });
    let known = [("first_window", "1"), ("queue", "2"), ("start", "2")];
    assert_eq!(counts, known.map(|(stage, count)| (stage.into(), count.into())).into());

    if !browser::available() {
        return;
    }
    let page = browser::Browser::with(Look::default());
    page.open(&desk.login_url());
    page.until("return document.querySelectorAll('[data-task]').length === 2");
    page.run(&format!("document.querySelector('[data-task={clock}] [data-act=unfold]').click()"));
    let told = page.until(
        "return [...document.querySelectorAll('.stage')].map((stage) => \
         stage.firstElementChild.textContent).join(', ')",
    );
    assert_eq!(told, "Queue, Process start, First window");
    page.screenshot("stages");
}
