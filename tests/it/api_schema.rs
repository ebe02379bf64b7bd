//! Requests that schemathesis makes up from `docs/openapi.json`, valid ones and malformed ones: each answer is one that the
//! document has, with its status, media type and schema, and none is an error of deskd's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::desk::Desk;
use crate::support::needs;
use crate::support::wait::within;
use crate::support::xvnc::{self, Running, Xvnc};

/// So that a failure comes again.
const SEED: &str = "14";
/// Made up of each kind for each operation.
const EXAMPLES: &str = "12";
/// For a hang: it takes half a minute.
const RUN_S_MAX: u64 = 480;

const APPS: &str = r#"
[app.hello]
needs_display = false
command = ["echo", "hello"]
[app.sleeps]
needs_display = false
command = ["sleep", "1000"]
"#;

/// 503 is documented for what passes: no cluster, a shutdown.
const CONFIGURATION: &str = r#"
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]
"#;

fn program() -> PathBuf {
    Path::new(env!("DESKD_ROOT")).join(".cache/schemathesis/bin/schemathesis")
}

fn available() -> bool {
    let missing: &[&str] =
        if program().exists() { &[] } else { &["what tests/setup/schemathesis installs"] };
    xvnc::available() && needs::met(&[], missing)
}

/// Makes up requests to the paths that match, and judges the answers by these checks.
fn run(desk: &Desk, paths: &[&str], checks: &str) {
    let directory = desk.dir.path();
    let configuration = directory.join("schemathesis.toml");
    std::fs::write(&configuration, CONFIGURATION).expect("a file");
    let report = std::fs::File::create(directory.join("report")).expect("a file");
    let mut command = Command::new(program());
    command.arg("--config-file").arg(configuration).arg("run");
    command.arg(Path::new(env!("DESKD_ROOT")).join("docs/openapi.json"));
    command.args(["--url", &format!("http://{}", desk.tcp)]);
    command.args(["--header", &format!("Authorization: Bearer {}", desk.token())]);
    command.args(["--seed", SEED, "--max-examples", EXAMPLES, "--checks", checks]);
    command.args(["--request-timeout", "70", "--no-color"]).args(paths);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", directory).current_dir(directory);
    command.stdin(Stdio::null()).stderr(report.try_clone().expect("a file")).stdout(report);
    let mut process = Running::start(&mut command);
    let limit = std::time::Duration::from_secs(RUN_S_MAX);
    let status = within(limit, "it ends", || process.0.try_wait().expect("a status"));
    let report = std::fs::read_to_string(directory.join("report")).expect("text");
    assert!(status.success(), "{report}");
    let tested = report.lines().find(|line| line.contains("generated,"));
    println!("{}", tested.expect("a summary"));
}

/// What every answer is judged by.
const ANSWERS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                       response_headers_conformance,response_schema_conformance";

#[test]
fn whatever_is_asked_the_answer_is_one_that_the_document_has() {
    if !available() {
        return;
    }
    let display = Xvnc::start();
    let desk = Desk::start(APPS, Some(&display));
    desk.launch("hello");
    desk.launch("sleeps");
    // Streams have no end. What does not fit the document is refused, but not by the paths for kubelet, which ignore it,
    // nor in cursors: the document has no format for what is larger than 63 bits, and they may have 64.
    let strict = ["--include-path-regex", "^/v1/", "--exclude-path-regex", "events|stream|/log$"];
    run(&desk, &strict, &format!("{ANSWERS},negative_data_rejection"));
    run(&desk, &["--include-path-regex", "/log$|z$|^/metrics"], ANSWERS);
    assert_eq!(desk.ask("GET", "/livez").send().status, 200);
}
