//! The rules against the corpus of real failures (`tests/fixtures/failures`): recall and precision
//! of both halves are printed, and a half below the floors, or a healthy program on which a rule fires, fails the
//! test. The authors of the rules read `read/` alone; `held-out/` is only measured.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::disallowed_methods, reason = "a test starts the program it is about")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use deskd_core::exit::Exit;
use deskd_core::why::{Cause, Evidence, Log, Rules, diagnose};
use serde::Deserialize;
use serde_json::Value;

use crate::support::corpus::{self, percent, well};

/// Lowest recall and precision, in percent, of either half.
const PERCENT_MIN: usize = 95;
/// Longest time for 10 MB, optimized.
const TEN_MB_MS_MAX: u64 = 20;
/// Longest time until the rules are read and can be looked for, optimized.
const RULES_MS_MAX: u64 = 20;
/// How much slower a build without optimization may be, on a machine that is busy with other tests.
const UNOPTIMIZED_TIMES: u64 = 100;

/// `case.json`.
#[derive(Debug, Deserialize)]
struct Case {
    #[serde(default)]
    situation: String,
    /// Absent: the program ran well.
    cause: Option<Cause>,
    #[serde(default)]
    also_acceptable: Vec<Cause>,
    #[serde(default)]
    evidence: Evidence,
}

#[derive(Debug, Default)]
struct Score {
    failures: usize,
    told: usize,
    right: usize,
    healthy: usize,
    complaints: Vec<String>,
    false_alarms: Vec<String>,
}

fn measure(half: &str) -> Score {
    let mut score = Score::default();
    for directory in corpus::cases("failures", half) {
        let case: Case = corpus::known(&directory);
        let diagnosis = corpus::diagnosed(&directory, &case.evidence);
        let name = corpus::name(&directory);
        let Some(cause) = case.cause else {
            score.healthy += 1;
            if !well(&diagnosis) {
                score.false_alarms.push(format!("{name}: {diagnosis:#?}"));
            }
            continue;
        };
        score.failures += 1;
        score.told += usize::from(diagnosis.cause.is_some());
        let right = diagnosis
            .cause
            .is_some_and(|told| told == cause || case.also_acceptable.contains(&told));
        score.right += usize::from(right);
        if !right {
            let told = diagnosis.cause.map_or("nothing", Cause::as_str);
            let line = format!("{name}: told {told}, is {} ({})", cause.as_str(), case.situation);
            score.complaints.push(line);
        }
    }
    score
}

impl Score {
    /// Of the failures, those told rightly, in percent.
    fn recall(&self) -> usize {
        percent(self.right, self.failures)
    }

    /// Of what was told, what is right, in percent.
    fn precision(&self) -> usize {
        percent(self.right, self.told + self.false_alarms.len())
    }
}

fn print(half: &str, score: &Score) {
    println!(
        "{half}: {} of {} failures told rightly ({} %), precision {} %; {} healthy, {} false alarms",
        score.right,
        score.failures,
        score.recall(),
        score.precision(),
        score.healthy,
        score.false_alarms.len(),
    );
}

#[test]
fn real_failures_are_told_and_healthy_programs_are_left_alone() {
    let read = measure("read");
    print("read", &read);
    let held_out = measure("held-out");
    print("held-out", &held_out);
    for complaint in &read.complaints {
        println!("  {complaint}");
    }
    for (half, score) in [("read", &read), ("held-out", &held_out)] {
        // What is told wrongly in `held-out/` stays untold: its reader would be no author any more.
        let (recall, precision) = (score.recall(), score.precision());
        assert!(recall >= PERCENT_MIN && precision >= PERCENT_MIN, "{half}: {recall}, {precision}");
        let alarms = score.false_alarms.len();
        assert_eq!(alarms, 0, "{half}: a program that is well is said to have failed");
    }
}

#[test]
fn the_rules_are_ready_at_once() {
    let start = Instant::now();
    let rules = Rules::with(Vec::new());
    let took = start.elapsed();
    assert!(rules.all().count() > 100);
    let slower = if cfg!(debug_assertions) { UNOPTIMIZED_TIMES } else { 1 };
    println!("rules: {took:?}");
    assert!(took < Duration::from_millis(RULES_MS_MAX * slower), "{took:?}");
}

#[test]
fn ten_megabytes_are_diagnosed_at_once() {
    let line = b"[1234:5678:0101/000000.000:INFO:CONSOLE(1)] \"cannot find the error of a failed thing\", source: x\n";
    let mut log = line.repeat(10_000_000 / line.len());
    log.extend_from_slice(b"terminate called after throwing an instance of 'std::bad_alloc'\n");
    let failed = Evidence { exit: Some(deskd_core::task::Exit::Code(134)), ..Evidence::default() };
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let diagnosis = diagnose(&Log::whole(&log), &failed);
        best = best.min(start.elapsed());
        assert_eq!(diagnosis.cause, Some(Cause::AllocationFailed));
    }
    let slower = if cfg!(debug_assertions) { UNOPTIMIZED_TIMES } else { 1 };
    println!("10 MB: {best:?}");
    assert!(best < Duration::from_millis(TEN_MB_MS_MAX * slower), "{best:?}");
}

/// What Chromium, Firefox, GTK and others write while they are well, as long as a day of it.
#[test]
fn ten_megabytes_of_varied_noise_are_diagnosed_at_once() {
    let mut noise = Vec::new();
    let read = corpus::cases("failures", "read");
    for directory in read.iter().filter(|d| corpus::name(d).starts_with("healthy-")) {
        noise.extend(std::fs::read(directory.join("log")).unwrap_or_default());
        noise.push(b'\n');
    }
    let log = noise.repeat(10_000_000 / noise.len());
    let closed = Evidence {
        exit: Some(deskd_core::task::Exit::Code(0)),
        had_window: Some(true),
        ran_ms: Some(9_000),
        ..Evidence::default()
    };
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let diagnosis = diagnose(&Log::whole(&log), &closed);
        best = best.min(start.elapsed());
        assert_eq!(diagnosis.cause, None);
    }
    let slower = if cfg!(debug_assertions) { UNOPTIMIZED_TIMES } else { 1 };
    println!("10 MB of noise: {best:?}");
    assert!(best < Duration::from_millis(TEN_MB_MS_MAX * slower), "{best:?}");
}

/// Widest line of a table.
const COLUMNS_MAX: usize = 160;

/// The table of causes in `docs/diagnosis.md`. A cause with many rules has several rows.
fn causes() -> String {
    let mut table = "| cause | rules | what it means |\n|---|---|---|\n".to_owned();
    for cause in Cause::ROOTS_FIRST {
        let (mut name, mut means) = (format!("`{}`", cause.as_str()), cause.meaning());
        let mut names = String::new();
        for rule in Rules::built_in().all().filter(|rule| rule.cause == cause) {
            let next = format!("`{}`", rule.id);
            let row = format!("| {name} | {names}, {next}, | {means} |");
            if !names.is_empty() && row.chars().count() > COLUMNS_MAX {
                table.push_str(&format!("| {name} | {names}, | {means} |\n"));
                (name, means, names) = (String::new(), "", next);
            } else {
                names.push_str(if names.is_empty() { "" } else { ", " });
                names.push_str(&next);
            }
        }
        table.push_str(&format!("| {name} | {names} | {means} |\n"));
    }
    table
}

/// Compares a generated part of a page with what it should be; with `RENEW_DOCS` set, writes it.
fn generated(page: &str, part: &str, text: &str) {
    let path = format!("{}/{page}", env!("DESKD_ROOT"));
    let old = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {part}: generated"), format!("<!-- {part}: end -->"));
    let from = old.find(&begin).and_then(|at| Some(at + old[at..].find("-->\n\n")? + 5)).unwrap();
    let to = from + old[from..].find(&end).unwrap();
    let new = format!("{}{text}\n{}", &old[..from], &old[to..]);
    if std::env::var_os("RENEW_DOCS").is_some() {
        return std::fs::write(&path, new).unwrap();
    }
    assert!(old == new, "{page} is stale: RENEW_DOCS=1 cargo test --test it diagnosis");
}

#[test]
fn the_documentation_has_every_cause_and_every_rule() {
    generated("docs/diagnosis.md", "causes", &causes());
}

fn run(args: &[&str], stdin: &[u8]) -> Output {
    let mut command = Command::new(cargo_bin("deskd"));
    command.env_clear().arg("diagnose").args(args);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn told(output: &Output, exit: Exit) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit as i32), "{stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_log_is_diagnosed_without_a_daemon_with_sentence_proof_and_advice() {
    let text = told(&run(&["-"], b"hello\nxterm: Xt error: Can't open display: :0\n"), Exit::Ok);
    assert!(text.starts_with("The program cannot reach the X display"), "{text}");
    assert!(text.contains("  line 2: xterm: Xt error: Can't open display: :0\n"), "{text}");
    assert!(text.contains("display_not_listening (likely, rule display-not-reached)"), "{text}");
    assert!(text.contains("X11LISTEN=tcp"), "{text}");
    let text = told(&run(&["-"], b"all is well\n"), Exit::Unhealthy);
    assert!(text.contains("no known cause fits"), "{text}");
    told(&run(&["/nowhere/log"], b""), Exit::NotFound);
}

#[test]
fn an_exit_code_and_documents_of_states_are_evidence_for_the_logs_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let (log, state) = (dir.path().join("app.log"), dir.path().join("inspect.json"));
    std::fs::write(&log, "working\n").unwrap();
    let inspected = r#"[{"State": {"Status": "exited", "ExitCode": 139, "OOMKilled": false}}]"#;
    std::fs::write(&state, inspected).unwrap();
    let (log, state) = (log.to_str().unwrap(), state.to_str().unwrap());
    told(&run(&[log], b""), Exit::Unhealthy);
    for args in [&[log, "--exit", "139"][..], &[state, log], &[state]] {
        let text = told(&run(args, b""), Exit::Ok);
        assert!(text.contains("crashed (certain"), "{args:?}: {text}");
    }
}

#[test]
fn segments_of_a_container_log_and_evidence_are_read_and_json_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let (log, evidence) = (dir.path().join("log"), dir.path().join("evidence.json"));
    std::fs::create_dir(&log).unwrap();
    std::fs::write(log.join("00"), "2026-11-24T05:30:26.1Z stderr P The error was 'Bad\n").unwrap();
    std::fs::write(log.join("01"), "2026-11-24T05:30:26.1Z stderr F ShmSeg (invalid)'.\n").unwrap();
    std::fs::write(&evidence, r#"{"engine": "pod_application", "exit": {"code": 1}}"#).unwrap();
    let args = [log.to_str().unwrap(), "--evidence", evidence.to_str().unwrap(), "-o", "json"];
    let json: Value = serde_json::from_str(&told(&run(&args, b""), Exit::Ok)).unwrap();
    assert_eq!(json[0]["cause"], "shm_refused");
    assert_eq!(json[0]["proof"][0]["place"]["line"], 1);
    assert_eq!(json[0]["remedy"]["engine"], "ephemeral_container");
    std::fs::write(&evidence, r#"{"dev_shm": {"size": 67108864}}"#).unwrap();
    told(&run(&args, b""), Exit::Ok);
    std::fs::write(&evidence, r#"{"dev_shm": {"sise": 67108864}}"#).unwrap();
    let output = run(&args, b"");
    told(&output, Exit::Usage);
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown field `sise`"));
}

const OWN_RULE: &str = r#"
[[rule]]
id = "license-server-away"
cause = "dbus_missing"
patterns = ["cannot reach the license server *"]
sentence = "The license server {1} does not answer."
advice = "Admit it in the network policy."
source = "acme-cad 7.2"
fires = ["acme: cannot reach the license server lic1:27000"]
"#;

#[test]
fn an_operator_s_rules_are_used_and_their_mistakes_are_told_with_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let (config, rules) = (dir.path().join("deskd.toml"), dir.path().join("rules"));
    std::fs::create_dir(&rules).unwrap();
    let text = format!("[diagnosis]\nrules_directory = {:?}\n", rules.to_str().unwrap());
    std::fs::write(&config, text).unwrap();
    std::fs::write(rules.join("acme.toml"), OWN_RULE).unwrap();
    let deskd = |args: &[&str]| {
        let mut command = Command::new(cargo_bin("deskd"));
        command.env_clear().env("DESKD_CONFIG", &config).args(args).output().unwrap()
    };
    let log = dir.path().join("log");
    std::fs::write(&log, "acme: cannot reach the license server lic2:27000\n").unwrap();
    let diagnose = ["diagnose", log.to_str().unwrap()];
    let text = told(&deskd(&diagnose), Exit::Ok);
    assert!(text.starts_with("The license server lic2:27000 does not answer."), "{text}");
    let check = ["check-config", config.to_str().unwrap()];
    told(&deskd(&check), Exit::Ok);

    std::fs::write(rules.join("bad.toml"), OWN_RULE.replace("dbus_missing", "cheese")).unwrap();
    std::fs::write(rules.join("same.toml"), OWN_RULE).unwrap();
    let text = told(&deskd(&check), Exit::Unhealthy);
    assert!(text.contains("rules/bad.toml:4: "), "{text}");
    assert!(text.contains("rules/same.toml:3: another rule is called `license"), "{text}");
    // What has no mistake is used all the same.
    let text = told(&deskd(&diagnose), Exit::Ok);
    assert!(text.starts_with("The license server lic2:27000 does not answer."), "{text}");
}
