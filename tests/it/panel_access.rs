//! The panel for everybody: axe-core finds nothing wrong in any of its states, light and dark, at a desk
//! and on a phone; everything is done with keys alone; nothing moves for those who want that.

use serde_json::Value;

use super::panel::{assert_clean, available};
use super::support::browser::{Browser, ENTER, ESCAPE, Look, TAB, has_axe};
use super::support::desk::Desk;

const APPS: &str = r#"
[app.browser]
display_name = "Browser"
needs_display = false
command = ["sh", "-c", "echo 'Creating shared memory in /dev/shm/x failed: No space left on device (28)' >&2; exit 1"]

[app.talks]
display_name = "Talker"
needs_display = false
command = ["sh", "-c", "i=0; while [ $i -lt 60 ]; do i=$((i+1)); printf '\\033[3%dmline %d\\033[0m\\n' $((i % 8)) $i; echo warning >&2; done; exec sleep 600"]

[app.draws]
display_name = "Painter"
command = ["xclock"]
"#;

/// A narrow phone of today, in CSS pixels.
const PHONE_PX: u32 = 360;

/// The states of the page after each other, each with what brings it about and what shows it.
const STATES: [(&str, &str, &str); 9] = [
    ("tasks", "", "return document.querySelectorAll('[data-task]').length === 2"),
    (
        "search",
        "document.querySelector('#search').click()",
        "return document.querySelector('#apps [aria-selected=true]') !== null",
    ),
    (
        "health",
        "document.querySelector('#search').blur(); document.querySelector('#health').click()",
        "return !document.querySelector('#checks').hidden",
    ),
    (
        "failure",
        "document.querySelector('#health').click(); document.querySelector('[data-failed] [data-act=unfold]').click()",
        "return document.querySelector('[data-act=remedy]') !== null",
    ),
    (
        "log",
        "document.querySelector('[data-state=running] [data-act=logs]').click()",
        "return document.querySelectorAll('.line').length > 20",
    ),
    (
        "matches",
        "const search = document.querySelector('.find input'); search.value = 'line 1'; search.dispatchEvent(new Event('input'))",
        "return document.querySelector('mark.current') !== null",
    ),
    (
        "environment",
        "document.querySelector('[data-state=running] [data-act=env]').click()",
        "return document.querySelector('dialog table') !== null",
    ),
    (
        "removal",
        "document.querySelector('dialog').close(); document.querySelector('#remove-ended').click()",
        "return document.querySelector('dialog .danger') !== null",
    ),
    (
        "refusal",
        "document.querySelector('dialog').close(); document.querySelector('.log-bar .close').click(); document.querySelector('#search').click(); document.querySelector('#app-draws').click()",
        "return document.querySelector('.toast') !== null",
    ),
];

fn desk() -> Desk {
    let desk = Desk::start(APPS, None);
    let failed = desk.launch("browser");
    desk.ended(&failed);
    let talks = desk.launch("talks");
    desk.get(&format!("/v1/tasks/{talks}/wait?state=running"));
    desk
}

fn opened(desk: &Desk, look: Look) -> Browser {
    let browser = Browser::with(look);
    browser.open(&desk.login_url());
    browser.until("return location.pathname === '/' && document.title.includes('·')");
    browser
}

#[test]
fn axe_finds_nothing_in_any_state_light_dark_and_on_a_phone() {
    if !available() || !has_axe() {
        return;
    }
    let (busy, empty) = (desk(), Desk::start("", None));
    let mut found = Vec::new();
    for (name, dark, phone_px) in [
        ("light", false, None),
        ("dark", true, None),
        ("phone", false, Some(PHONE_PX)),
        ("phone-dark", true, Some(PHONE_PX)),
    ] {
        let look = Look { dark, phone_px, still: true, ..Look::default() };
        let browser = Browser::with(look);
        let mut look_at = |state: &str| {
            browser.screenshot(&format!("access-{state}-{name}"));
            found.extend(browser.axe().into_iter().map(|it| format!("{state}, {name}: {it}")));
            let wide = browser.run("return document.documentElement.scrollWidth - innerWidth");
            if wide.as_i64().is_none_or(|wide| wide > 0) {
                found.push(format!("{state}, {name}: {wide} pixels wider than the screen"));
            }
        };
        browser.open(&format!("http://{}/", empty.tcp));
        browser.until("return document.querySelector('pre') !== null");
        look_at("login");
        browser.open(&empty.login_url());
        browser.until("return document.querySelector('#empty')?.textContent.length > 0");
        look_at("empty");
        browser.open(&busy.login_url());
        for (state, script, shown) in STATES {
            if !script.is_empty() {
                browser.run(script);
            }
            browser.until(shown);
            look_at(state);
        }
        assert_clean(&browser);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Presses Tab until the focus is on what `selector` names.
fn tab_to(browser: &Browser, selector: &str) {
    let there = format!("return document.activeElement.matches({selector:?})");
    for _ in 0..60 {
        if browser.run(&there) == Value::Bool(true) {
            // Whoever moves by keys sees where the focus is.
            let ring = "return getComputedStyle(document.activeElement).outlineStyle";
            assert_ne!(browser.run(ring), "none", "the focus on {selector} is not to be seen");
            return;
        }
        browser.press(TAB);
    }
    panic!("no number of Tab keys comes to {selector}");
}

fn focused(browser: &Browser, selector: &str) {
    browser.until(&format!("return document.activeElement.matches({selector:?})"));
}

#[test]
fn a_task_is_launched_read_stopped_and_removed_with_keys_alone() {
    if !available() {
        return;
    }
    let desk = Desk::start(APPS, None);
    let browser = opened(&desk, Look::default());
    // The field that starts applications has the focus from the beginning; / goes back to it.
    focused(&browser, "#search");
    browser.run("document.activeElement.blur()");
    browser.press("/");
    focused(&browser, "#search");
    for key in ["t", "a", "l", "k"] {
        browser.press(key);
    }
    browser.until("return document.querySelector('#app-talks')?.ariaSelected === 'true'");
    browser.press(ENTER);
    browser.until("return document.querySelector('[data-task][data-state=running]') !== null");

    // Its details, and back.
    tab_to(&browser, "[data-act=unfold]");
    browser.press(ENTER);
    browser.until("return document.querySelector('.more-cell') !== null");

    // Its log, searched and closed: the focus returns to the button that opened it.
    tab_to(&browser, "[data-act=logs]");
    browser.press(ENTER);
    browser.until("return document.querySelectorAll('.line').length > 20");
    tab_to(&browser, ".find input");
    for key in "line 42".chars() {
        browser.press(&key.to_string());
    }
    browser.until("return document.querySelector('mark.current')?.textContent === 'line 42'");
    browser.press(ESCAPE);
    browser.press(ESCAPE);
    browser.until("return document.querySelector('#log').hidden");
    focused(&browser, "[data-act=logs]");

    // Its environment: a dialog that keeps the focus inside, and gives it back.
    tab_to(&browser, "[data-act=env]");
    browser.press(ENTER);
    browser.until("return document.querySelector('dialog table') !== null");
    for _ in 0..12 {
        browser.press(TAB);
        let outside = "const at = document.activeElement; \
                       return at !== document.body && at.closest('dialog') === null";
        assert_eq!(browser.run(outside), Value::Bool(false), "the focus left the dialog");
    }
    browser.press(ESCAPE);
    browser.until("return document.querySelector('dialog') === null");
    focused(&browser, "[data-act=env]");

    tab_to(&browser, "[data-act=stop]");
    browser.press(ENTER);
    browser.until("return document.querySelector('[data-task][data-state=ended]') !== null");
    focused(&browser, "[data-act=remove]");

    // What cannot be undone is asked for, and nothing is done by a key that was pressed before.
    browser.run("document.querySelector('#remove-ended').focus()");
    browser.press(ENTER);
    browser.until("return document.querySelector('dialog') !== null");
    browser.press(ESCAPE);
    browser.until("return document.querySelector('dialog') === null");
    focused(&browser, "#remove-ended");
    tab_to(&browser, "[data-act=remove]");
    browser.press(ENTER);
    browser.until("return document.querySelectorAll('[data-task]').length === 0");
    focused(&browser, "#search");
    assert_clean(&browser);
}

#[test]
fn nothing_moves_for_those_who_want_that() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    let moving = "return [...document.querySelectorAll('*')].filter((element) => { \
                  const style = getComputedStyle(element); \
                  const long = (text) => text.split(',').some((part) => parseFloat(part) > 0.01); \
                  return long(style.transitionDuration) || long(style.animationDuration); }).length";
    let usual = opened(&desk, Look::default());
    assert_ne!(usual.run(moving), 0, "the test looks at the wrong thing");
    let still = opened(&desk, Look { still: true, ..Look::default() });
    assert_eq!(still.run(moving), 0);
}
