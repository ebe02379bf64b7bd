//! Icons: not in events, which everybody who looks at the panel gets, but at an address of their own.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::panel::{assert_clean, log_in};
use super::support::browser;
use super::support::desk::Desk;
use super::support::xvnc::available;

/// As many applications as a large catalogue has.
const APPS: usize = 500;
/// Bytes of an icon: the mean of abcdesktop's catalogue is 21 KB.
const ICON_BYTES: usize = 21_000;
/// What 500 applications may take in an event, in bytes: some hundred for each.
const EVENT_BYTES_MAX: usize = 600_000;

fn svg(name: &str, bytes: usize) -> String {
    let head =
        format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 8 8\" id=\"{name}\">");
    format!("{head}{}</svg>", " ".repeat(bytes.saturating_sub(head.len() + 6)))
}

/// As `docker inspect` prints images.
fn document(names: &[String], bytes: usize) -> Value {
    let image = |name: &String| {
        json!({
            "Id": format!("sha256:{name}"), "RepoTags": [format!("localhost/{name}:1")],
            "Config": { "Cmd": ["true"], "Labels": {
                "oc.name": name, "oc.displayname": name, "oc.icon": "a.svg",
                "oc.icondata": STANDARD.encode(svg(name, bytes)),
            } },
        })
    };
    names.iter().map(image).collect()
}

#[test]
fn the_icons_of_a_large_catalogue_are_not_in_events() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    let names: Vec<_> = (0..APPS).map(|number| format!("app-{number:03}")).collect();
    for some in names.chunks(25) {
        desk.ask("PUT", "/v1/apps").json(&document(some, ICON_BYTES)).send().expect(201);
    }
    let begun = Instant::now();
    let snapshot = desk.ask("GET", "/v1/events").events().until(|event| event.name == "snapshot");
    let took = begun.elapsed();
    let apps = snapshot.data["apps"].clone();
    let bytes = apps.to_string().len();
    println!("{APPS} applications in an event: {bytes} bytes, {took:?}");
    assert_eq!(apps.as_array().map(Vec::len), Some(APPS));
    assert!(bytes < EVENT_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn an_icon_is_fetched_once_until_it_changes() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    let put =
        |bytes| desk.ask("PUT", "/v1/apps").json(&document(&["clock".to_owned()], bytes)).send();
    let address = || {
        let events = &mut desk.ask("GET", "/v1/events").events();
        let snapshot = events.until(|event| event.name == "snapshot");
        snapshot.data["apps"][0]["icon"].as_str().expect("an address").to_owned()
    };
    put(200).expect(201);
    let first = address();
    let icon = desk.ask("GET", &first).send();
    assert_eq!((icon.status, icon.text()), (200, svg("clock", 200)));
    assert_eq!(icon.header("content-type"), Some("image/svg+xml"));
    assert!(
        icon.header("content-security-policy").is_some_and(|policy| policy.contains("sandbox"))
    );
    assert!(icon.header("cache-control").is_some_and(|keep| keep.contains("immutable")));
    let tag = icon.header("etag").expect("a tag").to_owned();
    // Without the version it is whatever there is now: kept for a while.
    let now = || desk.ask("GET", "/v1/apps/clock/icon");
    assert_eq!(now().send().header("cache-control"), Some("private, max-age=300"));
    let same = now().header("if-none-match", &tag).send();
    assert_eq!((same.status, same.body.len()), (304, 0));

    put(300).expect(200);
    assert_ne!(address(), first, "another icon is at another address");
    assert_eq!(now().header("if-none-match", &tag).send().text(), svg("clock", 300));
    let shown = desk.get("/v1/apps/clock");
    assert!(shown["icon"].as_str().is_some_and(|icon| icon.starts_with("data:image/svg+xml")));
}

#[test]
fn the_panel_shows_icons_from_their_addresses() {
    if !(available() && browser::available()) {
        return;
    }
    let desk = Desk::start("", None);
    let names = ["clock".to_owned(), "writer".to_owned()];
    desk.ask("PUT", "/v1/apps").json(&document(&names, 400)).send().expect(201);
    let browser = log_in(&desk, false);
    browser.click("#search");
    browser.until("return document.querySelectorAll('#apps img.icon').length === 2");
    browser.until(
        "return [...document.querySelectorAll('#apps img.icon')].every((image) => image.complete && image.naturalWidth > 0)",
    );
    assert_clean(&browser);
}
