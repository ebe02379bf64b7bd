//! A real headless Chromium, driven over the W3C WebDriver protocol of Debian's chromedriver.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::http::{Ask, Door};
use super::xvnc::{PATIENCE, Running, eventually};

/// The key of W3C WebDriver's element references.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// WebDriver's code of the Enter key.
pub const ENTER: &str = "\u{e007}";
/// WebDriver's code of the Escape key.
pub const ESCAPE: &str = "\u{e00c}";
/// WebDriver's code of the Tab key.
pub const TAB: &str = "\u{e004}";

/// Where `tests/setup/npm` puts axe-core.
const AXE: &str = concat!(env!("DESKD_ROOT"), "/tests/panel/node_modules/axe-core/axe.min.js");

/// Whether axe-core is here too.
pub fn has_axe() -> bool {
    let more: &[&str] = if Path::new(AXE).exists() { &[] } else { &["axe-core (tests/setup/npm)"] };
    super::needs::met(&[], more)
}

/// Whether browser tests can run; under CI what is missing is a failure.
pub fn available() -> bool {
    super::needs::met(&["chromium", "chromedriver"], &[])
}

/// What a person's browser is like.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Prefers dark colours.
    pub dark: bool,
    /// The language it asks for.
    pub language: &'static str,
    /// It is a phone, so many CSS pixels wide.
    pub phone_px: Option<u32>,
    /// Prefers that nothing moves.
    pub still: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { dark: false, language: "en-US", phone_px: None, still: false }
    }
}

/// One browser with one window.
#[derive(Debug)]
pub struct Browser {
    door: Door,
    session: String,
    _driver: Running,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// A fresh profile; `dark` is the colour scheme it prefers.
    pub fn start(dark: bool) -> Self {
        Self::with(Look { dark, ..Look::default() })
    }

    /// A fresh profile.
    pub fn with(look: Look) -> Self {
        let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address: SocketAddr = probe.local_addr().expect("an address");
        drop(probe);
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={}", address.port())).arg("--silent");
        let driver = Running::start(
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()),
        );
        let door = Door::Tcp(address);
        eventually("chromedriver's start", || Ask::new(&door, "GET", "/status").try_send().ok());
        let profile = tempfile::tempdir().expect("a directory");
        let scheme = u8::from(!look.dark);
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-quic".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            "--window-size=1440,900".into(),
            format!("--blink-settings=preferredColorScheme={scheme}"),
            format!("--lang={}", look.language),
            format!("--accept-lang={}", look.language),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        if look.still {
            arguments.push("--force-prefers-reduced-motion".into());
        }
        let mut options = json!({
            "args": arguments, "prefs": { "intl.accept_languages": look.language },
        });
        if let Some(width) = look.phone_px {
            let metrics = json!({ "width": width, "height": 740, "pixelRatio": 2.0 });
            options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let answer = Ask::new(&door, "POST", "/session").json(&wanted).send().json();
        let session = answer["value"]["sessionId"].as_str();
        let session = session.unwrap_or_else(|| panic!("no browser: {answer}")).to_owned();
        Self { door, session, _driver: driver, _profile: profile }
    }

    fn command(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        let ask = Ask::new(&self.door, method, &format!("/session/{}{path}", self.session));
        let ask = if method == "POST" { ask.json(&body) } else { ask };
        let mut answer = ask.send().json();
        let value = answer["value"].take();
        match value["error"].as_str() {
            Some(error) => Err(format!("{path}: {error}: {}", value["message"])),
            None => Ok(value),
        }
    }

    fn must(&self, path: &str, body: Value) -> Value {
        self.command("POST", path, body).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn open(&self, url: &str) {
        self.must("/url", json!({ "url": url }));
    }

    /// Runs a function body in the page.
    pub fn run(&self, script: &str) -> Value {
        self.must("/execute/sync", json!({ "script": script, "args": [] }))
    }

    /// Processor time that the page's main thread has had, in milliseconds. Other programs on the
    /// machine make a page wait, not work (Chrome DevTools protocol, `Performance.getMetrics`).
    pub fn worked_ms(&self) -> f64 {
        let ask = |method: &str, params: Value| {
            self.must("/goog/cdp/execute", json!({ "cmd": method, "params": params }))
        };
        ask("Performance.enable", json!({ "timeDomain": "threadTicks" }));
        let answer = ask("Performance.getMetrics", json!({}));
        let metrics = answer["metrics"].as_array().expect("metrics");
        let task = metrics.iter().find(|metric| metric["name"] == "TaskDuration");
        task.and_then(|metric| metric["value"].as_f64()).expect("a time") * 1000.0
    }

    /// Waits until a function body gives something true, and gives it.
    pub fn until(&self, script: &str) -> Value {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let value = self.run(script);
            if !matches!(value, Value::Null | Value::Bool(false)) && value != "" && value != 0 {
                return value;
            }
            if std::time::Instant::now() > deadline {
                self.screenshot("failed");
                let body = self.run("return document.body.innerText");
                panic!("never true: {script}\n{body}\n{}", self.console());
            }
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    }

    fn element(&self, selector: &str) -> String {
        let find = json!({ "using": "css selector", "value": selector });
        let element = self.must("/element", find);
        element[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// Types into an element as a person does.
    pub fn keys(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.must(&format!("/element/{element}/value"), json!({ "text": text }));
    }

    /// Types wherever the focus is.
    pub fn press(&self, key: &str) {
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": [
            { "type": "keyDown", "value": key }, { "type": "keyUp", "value": key },
        ] }] });
        self.must("/actions", actions);
    }

    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.must(&format!("/element/{element}/click"), json!({}));
    }

    /// What axe-core finds wrong with the page as it is: rule, help and element of each.
    pub fn axe(&self) -> Vec<String> {
        if self.run("return typeof window.axe") == "undefined" {
            let source = std::fs::read_to_string(AXE).expect("tests/setup/npm fetches axe-core");
            self.run(&format!("{source}; window.axe = axe; return true"));
        }
        let script = "const done = arguments[0]; axe.run().then(({ violations }) => done( \
             violations.flatMap(({ id, help, nodes }) => nodes.map((node) => \
             `${id}: ${help}: ${node.html} (${node.failureSummary})`))), (error) => done([String(error)]))";
        let body = json!({ "script": script, "args": [] });
        let found = self.must("/execute/async", body);
        let found = found.as_array().expect("a list").iter();
        found.map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The elements of a selector that assistive technology would read without a name.
    pub fn nameless(&self, selector: &str) -> Vec<String> {
        let find = json!({ "using": "css selector", "value": selector });
        let elements = self.must("/elements", find);
        let ids = elements.as_array().expect("elements").iter().map(|it| it[ELEMENT].as_str());
        let nameless = ids.flatten().filter(|id| {
            let shown = self.command("GET", &format!("/element/{id}/displayed"), Value::Null);
            let label = self.command("GET", &format!("/element/{id}/computedlabel"), Value::Null);
            shown == Ok(Value::Bool(true)) && label.is_ok_and(|label| label == "")
        });
        let html = |id: &str| {
            let element = json!({ ELEMENT: id });
            let script = json!({ "script": "return arguments[0].outerHTML", "args": [element] });
            self.must("/execute/sync", script).to_string()
        };
        nameless.map(html).collect()
    }

    /// What the page wrote to its console (errors of scripts and of the content security policy).
    pub fn console(&self) -> String {
        self.must("/se/log", json!({ "type": "browser" })).to_string()
    }

    /// A picture of the window, in `target/panel/`.
    pub fn screenshot(&self, name: &str) -> PathBuf {
        let answer = self.command("GET", "/screenshot", Value::Null).expect("a picture");
        let png = decode_base64(answer.as_str().expect("base64"));
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("panel");
        std::fs::create_dir_all(&dir).expect("a directory");
        let path = dir.join(format!("{name}.png"));
        std::fs::write(&path, png).expect("a file");
        path
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium; chromedriver ends with its value.
        let _ = Ask::new(&self.door, "DELETE", &format!("/session/{}", self.session)).try_send();
    }
}

fn decode_base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(value).collect();
    digits
        .chunks(4)
        .flat_map(|four| {
            let bits = four.iter().fold(0_u32, |bits, digit| (bits << 6) | u32::from(*digit));
            let bits = bits << (6 * (4 - four.len()));
            bits.to_be_bytes().into_iter().skip(1).take(four.len() - 1)
        })
        .collect()
}
