//! The Tasks panel in a real browser, on a whole deskd with a real display.

use std::time::Duration;

use serde_json::Value;

use super::support::browser::{self, Browser, ENTER, ESCAPE};
use super::support::desk::Desk;
use super::support::wait;
use super::support::xvnc::{self, Xvnc};

const APPS: &str = r#"
tasks_max = 2000

[log_store]
task_limit = "160 MiB"
total_limit = "200 MiB"

[app.game-2048]
display_name = "2048"
keywords = ["puzzle"]
command = ["sh", "-c", "(i=0; while :; do i=$((i+1)); echo move $i; sleep 0.01; done) & exec /usr/games/2048-qt"]

[app.xclock]
display_name = "Clock"
command = ["xclock"]

[app.fails]
display_name = "<img src=x onerror=alert(1)> & more"
needs_display = false
command = ["sh", "-c", "printf '\\033[31m<b>red</b>\\033[0m \\033]0;title\\007end\\n'; echo warning >&2; exit 3"]

[app.quick]
display_name = "Quick"
needs_display = false
command = ["true"]

[app.flood]
display_name = "Flood"
needs_display = false
command = ["sh", "-c", "yes 'a line of output that is about one hundred characters long, as many programs write them, all day' | head -c 100000000; echo; echo the needle at the end"]
"#;

/// Longest frame, in processor time of the page's main thread, to which other programs on the machine add
/// little: above what is needed (50 to 250 ms), below what work that grows with the square takes.
const STALL_MS_MAX: f64 = 2000.0;
/// A hundred megabytes through a busy machine take their time.
const LOAD_MAX: Duration = Duration::from_mins(7);

pub fn available() -> bool {
    browser::available() && xvnc::available()
}

/// A browser whose page is the panel, logged in and connected.
pub fn log_in(desk: &Desk, dark: bool) -> Browser {
    let browser = Browser::start(dark);
    browser.open(&desk.login_url());
    browser.until("return location.pathname === '/' && document.title.includes('·')");
    browser
}

/// Everything in the log drawer, as its Copy button gives it.
fn whole_log(browser: &Browser) -> String {
    browser.run(
        "window.copied = ''; Object.defineProperty(navigator, 'clipboard', { configurable: true, \
         value: { writeText: async (text) => { window.copied = text; } } }); \
         document.querySelector('[title=\"Copy the log\"]').click();",
    );
    browser.until("return window.copied").as_str().expect("text").to_owned()
}

/// The page had no script error and broke no rule of its own content security policy.
pub fn assert_clean(browser: &Browser) {
    let console = browser.console();
    for bad in ["Content Security Policy", "Uncaught", "TypeError", "ReferenceError", "SyntaxError"]
    {
        assert!(!console.contains(bad), "{console}");
    }
}

#[test]
fn a_person_logs_in_starts_2048_follows_its_log_over_a_kill_of_the_daemon_and_stops_it() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let desk = Desk::start(APPS, Some(&server));
    let browser = Browser::start(false);
    browser.open(&format!("http://{}/", desk.tcp));
    browser.until("return document.body.innerText.includes('deskd panel')");
    browser.open(&desk.login_url());
    browser.until(
        "return location.pathname === '/' && document.querySelector('#health').dataset.state",
    );
    let health = browser.until("return document.querySelector('#health-text').textContent");
    assert!(health.as_str().unwrap().contains("shared memory proved"), "{health}");

    browser.run("document.activeElement.blur()");
    browser.press("/");
    browser.until("return document.activeElement.id === 'search'");
    browser.keys("#search", "2048");
    browser.until(
        "return document.querySelector('#apps [aria-selected=true] b')?.textContent === '2048'",
    );
    browser.keys("#search", ENTER);
    browser.until("return document.querySelector('[data-task] .state')?.textContent === 'Running'");
    let window = browser.until("return /^[0-9.]+ m?s$/.exec(document.querySelector('[data-task] .number').textContent)?.[0]");
    println!("first window after {window}");
    browser.until(
        "return document.querySelector('#announcer').textContent.includes('2048 is running')",
    );
    browser.until("return document.querySelector('.memory').textContent.includes('MB')");

    browser.click("[data-act=logs]");
    browser.until("return document.querySelector('.log-foot').textContent.includes('following')");
    browser.until(
        "return Number(/[0-9]+/.exec(document.querySelector('.log-foot').textContent)[0]) > 100",
    );
    browser.screenshot("log-light");
    let old = desk.kill_daemon();
    browser.until("return !document.querySelector('#lost').hidden && document.querySelector('#lost').textContent.includes('lost')");
    desk.until_back(old);
    browser.until("return document.querySelector('#lost').hidden");
    browser.until("return document.querySelector('.log-foot').textContent.includes('following')");
    let seen = whole_log(&browser).lines().count();
    browser.until(&format!(
        "return Number(/[0-9]+/.exec(document.querySelector('.log-foot').textContent)[0]) > {}",
        seen + 100
    ));
    let log = whole_log(&browser);
    // The game itself has a word or two to say.
    let moves = log.lines().filter(|line| line.starts_with("move "));
    for (at, line) in moves.enumerate() {
        assert_eq!(line, format!("move {}", at + 1), "lost or repeated");
    }
    let rows = browser.run("return document.querySelectorAll('[data-task]').length");
    assert_eq!(rows, 1, "the task was lost or doubled");

    browser.press(ESCAPE);
    browser.until("return document.querySelector('#log').hidden");
    browser.click("[data-act=stop]");
    browser.until("return document.querySelector('[data-task] .state').textContent === 'Ended'");
    let result = browser.until("return document.querySelector('.result').textContent");
    println!("result: {result}");
    browser.click("[data-act=unfold]");
    browser
        .until("return document.querySelector('.more').textContent.includes('Steps of the stop')");
    browser.click("[data-act=remove]");
    browser.until("return document.querySelectorAll('[data-task]').length === 0");
    assert_clean(&browser);
}

#[test]
fn a_thousand_tasks_are_shown_and_removed_without_a_stall() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    for _ in 0..999 {
        desk.launch("quick");
    }
    let last = desk.launch("quick");
    desk.ended(&last);
    let browser = log_in(&desk, false);
    browser.until("return document.querySelectorAll('[data-task]').length === 1000");
    let gap = longest_frame_ms(&browser, "scrollTo(0, document.body.scrollHeight * step / 20)");
    println!("1,000 tasks, longest frame while scrolling: {gap} ms");
    assert!(gap < STALL_MS_MAX, "{gap} ms");
    browser.screenshot("thousand-tasks");
    let gap =
        longest_frame_ms(&browser, "document.querySelectorAll('#filter button')[step % 3].click()");
    println!("1,000 tasks, longest frame while filtering: {gap} ms");
    browser.click("#remove-ended");
    browser.click("dialog .danger");
    // A busy machine takes long for a thousand, but they get fewer.
    for left in [800, 600, 400, 200, 0] {
        browser.until(&format!("return document.querySelectorAll('[data-task]').length <= {left}"));
    }
    assert_clean(&browser);
}

/// Does something on each of 20 frames; gives the longest of them.
fn longest_frame_ms(browser: &Browser, step: &str) -> f64 {
    let begin = format!(
        "window.steps = 0; const next = () => {{ window.steps += 1; const step = window.steps; \
           if (step > 20) return; \
           {step}; requestAnimationFrame(next); }}; requestAnimationFrame(next);"
    );
    longest_frame_until_ms(browser, &begin, "window.steps > 20")
}

/// The longest frame from what `begin` does until `done` holds: the time between two frames, of which no more counts
/// than the page worked meanwhile.
fn longest_frame_until_ms(browser: &Browser, begin: &str, done: &str) -> f64 {
    let (mut worked, mut longest) = (browser.worked_ms(), 0.0_f64);
    browser.run(&format!(
        "window.gap = 0; let last = performance.now(); const drawing = window.drawing = {{}}; \
         const frame = (now) => {{ if (window.drawing !== drawing) return; \
           window.gap = Math.max(window.gap, now - last); last = now; \
           requestAnimationFrame(frame); }}; \
         requestAnimationFrame(frame); {begin}"
    ));
    wait::within(LOAD_MAX, done, || {
        // The page may do the work of a frame between any two of these questions.
        let before = browser.worked_ms();
        let said =
            browser.run(&format!("const gap = window.gap; window.gap = 0; return [gap, {done}]"));
        let gap = said[0].as_f64().expect("milliseconds");
        longest = longest.max(gap.min(browser.worked_ms() - worked));
        // Without a frame since, the same one goes on.
        if gap > 0.0 {
            worked = before;
        }
        (said[1] == true).then_some(())
    });
    longest
}

#[test]
fn a_hundred_megabytes_of_log_are_read_searched_and_bounded_without_a_stall() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let task = desk.launch("flood");
    desk.ended(&task);
    let browser = log_in(&desk, true);
    browser.until("return document.querySelector('[data-act=logs]') !== null");
    let worst = longest_frame_until_ms(
        &browser,
        "document.querySelector('[data-act=logs]').click()",
        "document.querySelector('.log-foot')?.textContent.includes('complete') ?? false",
    );
    println!("100 MB of log, longest frame while it loads: {worst} ms");
    assert!(worst < STALL_MS_MAX, "{worst} ms");
    let foot = browser.run("return document.querySelector('.log-foot').textContent");
    assert!(foot.as_str().unwrap().contains("are not shown here"), "{foot}");
    let bottom = "return [...document.querySelectorAll('.line')].at(-1).textContent";
    assert_eq!(browser.run(bottom), "the needle at the end");
    browser.keys(".find input", "needle");
    browser.until("return document.querySelector('.find .count').textContent === '1 / 1'");
    let memory = browser.run("return performance.memory.usedJSHeapSize");
    println!("memory of the page: {} MB", memory.as_u64().unwrap() / 1_000_000);
    let gap =
        longest_frame_ms(&browser, "document.querySelector('.lines').scrollTop = step * 400000");
    println!("100 MB of log, longest frame while scrolling: {gap} ms");
    assert!(gap < STALL_MS_MAX, "{gap} ms");
    browser.run("document.querySelector('.to-end').click()");
    browser.until("return [...document.querySelectorAll('.line')].at(-1)?.textContent === 'the needle at the end'");
    assert_clean(&browser);
}

#[test]
fn names_and_output_are_text_and_failures_say_why() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let task = desk.launch("fails");
    desk.ended(&task);
    let browser = log_in(&desk, false);
    browser.until("return document.querySelector('[data-task] .state')?.textContent === 'Failed'");
    let name = browser.run("return document.querySelector('[data-task] b').textContent");
    assert_eq!(name, "<img src=x onerror=alert(1)> & more");
    let result = browser.run("return document.querySelector('.result').textContent");
    assert!(result.as_str().unwrap().contains("exit code 3"), "{result}");
    browser.click("[data-act=logs]");
    browser.until("return document.querySelectorAll('.line').length === 2");
    let line = browser.run("return document.querySelector('.line:not(.stderr)').textContent");
    assert_eq!(line, "<b>red</b> end");
    assert_eq!(
        browser.run("return document.querySelector('.line .fg1').textContent"),
        "<b>red</b>"
    );
    assert_eq!(browser.run("return document.querySelectorAll('.line.stderr').length"), 1);
    assert_eq!(browser.run("return document.querySelector('.lines b, img[src=x]')"), Value::Null);
    browser.click("[title='Show timestamps']");
    let time = browser.run("return document.querySelector('.line time').dataset.time");
    assert_eq!(time.as_str().unwrap().len(), 12, "{time}");
    browser.keys("#search", "clock");
    browser.keys("#search", ENTER);
    browser.until(
        "return document.querySelector('.toast')?.textContent.includes('needs the display')",
    );
    assert_clean(&browser);
}

#[test]
fn a_session_that_ended_is_told_from_a_lost_connection() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let browser = log_in(&desk, false);
    std::fs::write(desk.dir.path().join("state/token"), "another-token-of-32-characters-x\n")
        .unwrap();
    let old = desk.kill_daemon();
    desk.until_back(old);
    browser
        .until("return document.querySelector('#lost').textContent.includes('session has ended')");
}

/// What axe-core would look at first: names, roles, contrast, and ids that are used twice.
pub const AUDIT: &str = r#"
const problems = [];
const seen = new Set();
for (const { id } of document.querySelectorAll('[id]')) { if (seen.has(id)) problems.push(`id ${id} twice`); seen.add(id); }
for (const element of document.querySelectorAll('[aria-controls], [aria-labelledby]'))
  for (const name of ['aria-controls', 'aria-labelledby'])
    if (element.hasAttribute(name) && !document.getElementById(element.getAttribute(name))) problems.push(`${name} to nothing`);
for (const image of document.images) if (!image.hasAttribute('alt')) problems.push('an image without alt');
const rgb = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
const over = (top, under) => ({ r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a), b: top.b * top.a + under.b * (1 - top.a), a: 1 });
const luminance = ({ r, g, b }) => { const [x, y, z] = [r, g, b].map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
const behind = (element) => { const layers = []; for (let at = element; at; at = at.parentElement) layers.push(rgb(getComputedStyle(at).backgroundColor)); return layers.reverse().reduce((under, top) => over(top, under), { r: 255, g: 255, b: 255, a: 1 }); };
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  if (node.textContent.trim() === '' || !element.checkVisibility() || element.closest('.offscreen, :disabled, [aria-hidden=true], .skip, .dim')) continue;
  const style = getComputedStyle(element);
  const ground = behind(element);
  const ink = over(rgb(style.color), ground);
  const [light, dark] = [luminance(ink), luminance(ground)].sort((a, b) => b - a);
  const ratio = (light + 0.05) / (dark + 0.05);
  if (ratio < 4.5) problems.push(`contrast ${ratio.toFixed(2)}: "${node.textContent.trim().slice(0, 30)}" in ${element.className || element.tagName}`);
}
return [...new Set(problems)];
"#;

#[test]
fn everything_has_a_name_and_can_be_read_in_light_and_dark() {
    if !available() {
        return;
    }
    let server = Xvnc::start();
    let desk = Desk::start(APPS, Some(&server));
    let failed = desk.launch("fails");
    desk.ended(&failed);
    desk.launch("xclock");
    let task = desk.launch("game-2048");
    desk.get(&format!("/v1/tasks/{task}/wait?state=running"));
    for dark in [false, true] {
        let theme = if dark { "dark" } else { "light" };
        let browser = log_in(&desk, dark);
        browser.until("return document.querySelectorAll('[data-task]').length === 3");
        browser.until("return document.querySelector('.memory').textContent.includes('MB')");
        browser.screenshot(&format!("tasks-{theme}"));
        browser.click("[data-act=unfold]");
        browser.click("[data-act=logs]");
        browser.until("return document.querySelectorAll('.line').length > 10");
        browser.keys(".find input", "move 1");
        browser.until("return document.querySelector('mark.current') !== null");
        browser.click("#health");
        let problems = browser.run(AUDIT);
        browser.screenshot(&format!("log-{theme}"));
        assert_eq!(problems, Value::Array(vec![]), "{theme}");
        let nameless = browser.nameless("button, a, input");
        assert!(nameless.is_empty(), "{nameless:?}");
        browser.click("#health");
        browser.run("document.querySelector('[data-act=env]').click()");
        browser.until("return document.querySelector('dialog table tr') !== null");
        assert_eq!(browser.run(AUDIT), Value::Array(vec![]), "{theme}");
        let page = browser.run("return document.querySelector('dialog').textContent");
        assert!(page.as_str().unwrap().contains("DISPLAY"), "{page}");
        browser.screenshot(&format!("environment-{theme}"));
        assert_clean(&browser);
    }
}
