//! The panel behind a real reverse proxy (nginx) that has it below a path, and takes that path away
//! or leaves it, buffers what it may, and sends its own name as `Host`.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::panel::assert_clean;
use super::support::browser::{Browser, ENTER, Look};
use super::support::desk::Desk;
use super::support::{needs, wait};

const APPS: &str = r#"
[app.counts]
display_name = "Counts"
needs_display = false
command = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done"]
"#;

fn available() -> bool {
    super::panel::available() && needs::met(&["nginx"], &[])
}

/// nginx with these locations, until the value is dropped.
struct Proxy {
    process: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Proxy {
    #[expect(clippy::disallowed_methods, reason = "tests start servers")]
    fn start(locations: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = free.expect("a free port").port();
        let own = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "daemon off; master_process off; pid {pid}; error_log stderr; events {{}}\n\
             http {{ access_log off; client_body_temp_path {body}; proxy_temp_path {proxy}; \
             fastcgi_temp_path {other}; uwsgi_temp_path {other}; scgi_temp_path {other}; \
             proxy_http_version 1.1; proxy_read_timeout 60s; proxy_buffering on;\n\
             server {{ listen 127.0.0.1:{port};\n{locations}\n}} }}\n",
            pid = own("pid"),
            body = own("body"),
            proxy = own("proxy"),
            other = own("other"),
        );
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, config).expect("a configuration");
        let process = Command::new("nginx")
            .arg("-c")
            .arg(&file)
            .arg("-p")
            .arg(dir.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx");
        wait::until("nginx listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        Self { process, port, _dir: dir }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = (self.process.kill(), self.process.wait());
    }
}

/// The login link of a desk as a person follows it through the proxy.
fn login(desk: &Desk, host: &str, port: u16, path: &str) -> String {
    let url = desk.login_url();
    let (_, query) = url.split_once("/login?").expect("a login link");
    format!("http://{host}:{port}{path}/login?{query}")
}

/// A person logs in, starts an application, and reads its log while it grows.
fn a_person_uses_the_panel(browser: &Browser, desk: &Desk, url: &str, path: &str, running: &str) {
    browser.open(url);
    browser
        .until(&format!("return location.pathname === '{path}/' && document.title.includes('·')"));
    browser.keys("#search", "Counts");
    browser.until(
        "return document.querySelector('#apps [aria-selected=true] b')?.textContent === 'Counts'",
    );
    browser.keys("#search", ENTER);
    browser.until(&format!(
        "return document.querySelector('[data-task] .state')?.textContent === '{running}'"
    ));
    browser.click("[data-act=logs]");
    // More than the first answer has: the stream goes through the proxy line by line.
    browser.until(
        "return Number(/[0-9]+/.exec(document.querySelector('.log-foot').textContent)?.[0]) > 15",
    );
    let tasks = desk.get("/v1/tasks");
    let download = browser.run("return document.querySelector('[download]').href");
    let address = download.as_str().expect("an address");
    let of = |task: &serde_json::Value| {
        task["id"].as_str().map(|id| format!("{path}/v1/tasks/{id}/log"))
    };
    let known = tasks.as_array().expect("tasks").iter().filter_map(of);
    assert!(known.into_iter().any(|wanted| address.ends_with(&wanted)), "{download}");
    assert_clean(browser);
}

#[test]
fn two_desktops_are_used_below_the_paths_of_one_proxy() {
    if !available() {
        return;
    }
    // One is told its path by the configuration, the other never sees it.
    let kept = Desk::start(&format!("panel_path = \"/kept/anna\"\n{APPS}"), None);
    let taken = Desk::start(APPS, None);
    let proxy = Proxy::start(&format!(
        "location /kept/anna {{ proxy_pass http://{}; proxy_set_header Host $http_host; }}\n\
         location /taken/ {{ proxy_pass http://{}/; }}",
        kept.tcp, taken.tcp,
    ));
    let browser = Browser::start(false);
    let french = Browser::with(Look { language: "fr-FR", ..Look::default() });
    for (browser, running) in [(&browser, "Running"), (&french, "En cours")] {
        let url = login(&kept, "desk.localhost", proxy.port, "/kept/anna");
        a_person_uses_the_panel(browser, &kept, &url, "/kept/anna", running);
        let url = login(&taken, "desk.localhost", proxy.port, "/taken");
        a_person_uses_the_panel(browser, &taken, &url, "/taken", running);
    }
    // The second login has not ended the first: a session counts below its own path.
    browser.open(&format!("http://desk.localhost:{}/kept/anna", proxy.port));
    browser.until("return location.pathname === '/kept/anna/' && document.title.includes('·')");
}

#[test]
fn only_whom_the_operator_names_may_embed_the_panel() {
    if !available() {
        return;
    }
    let embeds = Desk::start("frame_ancestors = [\"'self'\"]", None);
    let refuses = Desk::start("", None);
    let frame = |path: &str| {
        format!(
            "location = /portal{path} {{ default_type text/html; \
             return 200 '<title>portal</title><iframe src=\"{path}/\"></iframe>'; }}\n"
        )
    };
    let at = |path: &str, desk: &Desk| {
        let to = format!("proxy_pass http://{}/; proxy_set_header Host $http_host;", desk.tcp);
        format!("location {path}/ {{ {to} }}\n{}", frame(path))
    };
    let proxy = Proxy::start(&format!("{}{}", at("/embeds", &embeds), at("/refuses", &refuses)));
    let browser = Browser::start(false);
    let inside = |path: &str, desk: &Desk| {
        browser.open(&login(desk, "localhost", proxy.port, path));
        browser.until(&format!(
            "return location.pathname === '{path}/' && document.title.includes('·')"
        ));
        browser.open(&format!("http://localhost:{}/portal{path}", proxy.port));
        browser.until(
            "const frame = document.querySelector('iframe'); if (!frame) return null; \
             const page = frame.contentDocument; if (page === null) return 'refused'; \
             return page.title.includes('·') ? 'the panel' : null",
        )
    };
    assert_eq!(inside("/embeds", &embeds), "the panel");
    assert_eq!(inside("/refuses", &refuses), "refused");
}
