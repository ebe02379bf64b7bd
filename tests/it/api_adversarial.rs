//! Requests that no client of good faith sends, byte for byte: each is refused in a way that names
//! what is wrong, uses nothing up, and leaves deskd as it was.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::desk::Desk;
use crate::support::http::{Answer, Ask};
use crate::support::xvnc::available;

/// For a hang.
const READ_MAX: Duration = Duration::from_secs(30);

/// The status and the head of the first answer to these bytes; 0: the connection was closed.
fn raw(desk: &Desk, bytes: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(desk.tcp).expect("a connection");
    stream.set_read_timeout(Some(READ_MAX)).expect("a limit");
    stream.write_all(bytes.as_bytes()).expect("sent");
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    while !text.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(length @ 1..) => text.extend_from_slice(&piece[..length]),
            _ => break,
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    (status, text.to_ascii_lowercase())
}

fn alive(desk: &Desk) {
    assert_eq!(Ask::new(&desk.tcp(), "GET", "/livez").send().status, 200);
}

#[test]
fn a_request_has_one_host_and_that_is_a_host() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    let good = format!("Host: {}\r\n", desk.tcp);
    for path in ["/livez", "/v1/tasks", "/", "/login?code=1", "/assets/app.js"] {
        for (heads, why) in [
            (format!("{good}{good}"), "two equal hosts"),
            (format!("{good}Host: evil.example\r\n"), "two hosts"),
            (format!("Host: user@{}\r\n", desk.tcp), "user info"),
            (format!("Host: user:word@{}\r\n", desk.tcp), "user info with a password"),
            (format!("Host: {}, evil.example\r\n", desk.tcp), "a list"),
            ("Host: a b\r\n".into(), "a blank"),
            ("Host: \u{e9}.example\r\n".into(), "bytes"),
            (String::new(), "no host"),
        ] {
            let (status, text) = raw(&desk, &format!("GET {path} HTTP/1.1\r\n{heads}\r\n"));
            assert_eq!(status, 400, "{path} with {why}: {text}");
        }
        let (status, text) =
            raw(&desk, &format!("GET http://evil.example{path} HTTP/1.1\r\n{good}\r\n"));
        assert_eq!(status, 400, "{path}: {text}");
    }
    alive(&desk);
}

#[test]
fn bytes_that_are_no_request_end_a_connection_and_nothing_else() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    let host = format!("Host: {}\r\n", desk.tcp);
    let many = "x: y\r\n".repeat(5000);
    let long = "a".repeat(100_000);
    for bytes in [
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".into(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
        format!("GET /{long} HTTP/1.1\r\n{host}\r\n"),
        format!("GET / HTTP/1.1\r\n{host}{many}\r\n"),
        format!("GET / HTTP/1.1\r\n{host} folded: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host}Content-Length : 3\r\n\r\nabc"),
        format!(
            "POST /v1/tasks HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"
        ),
        format!("POST /v1/tasks HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"),
        format!("POST /v1/tasks HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n"),
    ] {
        let (status, text) = raw(&desk, &bytes);
        assert!(status == 0 || (400..500).contains(&status), "{status} to {bytes:.60}: {text}");
    }
    alive(&desk);
}

#[test]
fn a_path_that_is_no_text_names_nothing_and_is_refused_like_any_other() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    for path in ["/v1/tasks/%ff", "/v1/tasks/%ff/log", "/v1/apps/%c3", "/v1/apps/a%80/icon"] {
        let answer = desk.ask("GET", path).send();
        assert_eq!(answer.refusal(404), "unknown_path", "{path}");
    }
}

#[test]
fn no_answer_is_taken_for_another_kind_than_it_says() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    for (method, path) in [
        ("GET", "/livez"),
        ("GET", "/readyz?verbose"),
        ("GET", "/metrics"),
        ("GET", "/"),
        ("GET", "/nothing"),
        ("POST", "/livez"),
        ("GET", "/login?code=x"),
        ("GET", "/assets/app.js"),
        ("GET", "/assets/nothing"),
        ("GET", "/v1/tasks"),
        ("GET", "/v1/events"),
        ("GET", "/v1/apps/x/icon"),
        ("GET", "/v1/tasks/x/log"),
        ("DELETE", "/v1/apps/x"),
    ] {
        for door in [desk.tcp(), desk.unix()] {
            if path == "/v1/events" {
                continue;
            }
            let answer = Ask::new(&door, method, path).send();
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
        }
    }
}

#[test]
fn a_login_link_is_used_up_by_nobody_who_only_looks() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    let url = desk.login_url();
    let path = url.strip_prefix(&format!("http://{}", desk.tcp)).expect("the panel's address");
    let ask = |method: &str| Ask::new(&desk.tcp(), method, path);
    let (status, head) = raw(&desk, &format!("HEAD {path} HTTP/1.1\r\nHost: {}\r\n\r\n", desk.tcp));
    assert!(status == 200 && !head.contains("set-cookie"), "{head}");
    for method in ["OPTIONS", "POST", "PUT"] {
        assert_eq!(ask(method).send().status, 405);
    }
    for (name, value) in [
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "preview"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    ] {
        assert_eq!(ask("GET").header(name, value).send().status, 503);
    }
    assert_eq!(ask("GET").header("host", "evil.example").send().status, 403);
    assert_eq!(ask("GET").send().status, 200);
    assert_eq!(ask("GET").send().status, 401);
}

#[test]
fn a_cookie_opens_nothing_to_another_site() {
    if !available() {
        return;
    }
    let desk = Desk::start("", None);
    let url = desk.login_url();
    let path = url.strip_prefix(&format!("http://{}", desk.tcp)).expect("the panel's address");
    let opened = Ask::new(&desk.tcp(), "GET", path).send();
    let cookie = opened.header("set-cookie").expect("a cookie").split(';').next().expect("a pair");
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| -> Answer {
        let ask = Ask::new(&desk.tcp(), method, path).header("cookie", cookie);
        headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value)).send()
    };
    let here = format!("http://{}", desk.tcp);
    let same = [("sec-fetch-site", "same-origin")];
    ask("GET", "/v1/tasks", &same).expect(200);
    ask("GET", "/v1/tasks", &[("origin", &here)]).expect(200);
    for site in ["cross-site", "same-site", "new-kind-of-site"] {
        for path in ["/v1/tasks", "/v1/desktop", "/v1/apps"] {
            let answer = ask("GET", path, &[("sec-fetch-site", site)]);
            assert_eq!(answer.refusal(403), "origin_not_allowed", "{site} {path}");
        }
    }
    for origin in ["http://evil.example", "null", "https://localhost"] {
        let answer = ask("GET", "/v1/tasks", &[("origin", origin)]);
        assert_eq!(answer.refusal(403), "origin_not_allowed", "{origin}");
    }
    let link = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    assert_eq!(ask("GET", "/", &link).status, 200);
    let framed = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "iframe"),
    ];
    assert_eq!(ask("GET", "/", &framed).status, 403);
    // Who has the token is no browser.
    let bearer = format!("Bearer {}", desk.token());
    let program = Ask::new(&desk.tcp(), "GET", "/v1/tasks").header("authorization", &bearer);
    program.header("sec-fetch-site", "cross-site").send().expect(200);
}

#[test]
fn a_token_that_others_could_read_is_told_with_the_remedy() {
    use std::os::unix::fs::{PermissionsExt, chown};
    if !available() {
        return;
    }
    let desk = Desk::start_in("", None, &[], |state| {
        let path = state.join("token");
        std::fs::write(&path, "0123456789abcdef0123\n").expect("a token");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("chmod");
        let uid = crate::support::xvnc::POD_UID;
        chown(&path, Some(uid), Some(uid)).expect("chown");
    });
    assert_eq!(desk.token(), "0123456789abcdef0123");
    let mode = std::fs::metadata(desk.dir.path().join("state/token")).expect("it").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    assert!(desk.log().contains("had mode 0644") && desk.log().contains("restart deskd"));
}
