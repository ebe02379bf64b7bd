//! `[check.NAME]`: readiness checks that an operator names.

use std::time::Duration;

use super::classes::tables;
use super::keys;
use super::parse::absolute_path;
use super::section::Section;
use super::values::{self, Complaint};
use deskd_core::health::CHECK_NAMES;
use deskd_core::named_check::{CHECKS_MAX, NamedCheck, Wanted};

/// `timeout` when not given, in milliseconds.
const TIMEOUT_MS_DEFAULT: u64 = 2_000;
/// Longest `timeout`, in seconds.
const TIMEOUT_S_MAX: u64 = 60;
/// `interval` when not given, in milliseconds.
const INTERVAL_MS_DEFAULT: u64 = 10_000;
/// Shortest `interval`, in milliseconds.
const INTERVAL_MS_MIN: u64 = 500;
/// Longest name of a process, in bytes (`NAME_MAX`).
const PROCESS_BYTES_MAX: usize = 255;

/// All of them, by name.
pub fn checks(root: &Section<'_>) -> Vec<NamedCheck> {
    let mut checks = Vec::new();
    for (name, path, table) in tables(root, "check") {
        let section = Section::new(&path, Some(table), keys::CHECK, root.problems());
        let span = root.raw("check").map(|at| at.span).unwrap_or_default();
        if let Err(complaint) = check_name(&name, checks.len()) {
            root.problems().file(span.clone(), &path, complaint);
            continue;
        }
        checks.extend(check(&section, name, span));
    }
    checks
}

fn check_name(name: &str, others: usize) -> Result<(), Complaint> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if CHECK_NAMES.contains(&name) {
        return Err(Complaint::new("has the name of one of deskd's own checks", "rename it"));
    }
    if others >= CHECKS_MAX {
        let what = format!("is one too many: at most {CHECKS_MAX} are made");
        return Err(Complaint::new(what, "remove some"));
    }
    if name.is_empty() || name.len() > 63 || !name.bytes().all(plain) {
        let remedy = "use letters, digits, `-` and `_`, at most 63";
        return Err(Complaint::new("has a name that /readyz cannot show", remedy));
    }
    Ok(())
}

fn check(section: &Section<'_>, name: String, span: std::ops::Range<usize>) -> Option<NamedCheck> {
    const SOCKET: &str = "/tmp/.x11vnc";
    const FILE: &str = "/tmp/desktop.ready";
    let port = |key| {
        let found = section.integer(key, 1..=i64::from(u16::MAX))?;
        u16::try_from(found.value).ok()
    };
    let path = |key, example: &'static str| {
        section.parsed(key, example, |text| absolute_path(text, example)).map(|found| found.value)
    };
    let process = section.parsed("process", "plasmashell", process).map(|found| found.value);
    let wanted = [
        process.map(Wanted::Process),
        port("port").map(Wanted::Port),
        path("file", FILE).map(Wanted::File),
        section.boolean("window_manager").filter(|wanted| *wanted).map(|_| Wanted::WindowManager),
        port("rfb_port").map(Wanted::RfbPort),
        path("rfb_socket", SOCKET).map(Wanted::RfbSocket),
    ];
    let required = section.boolean("required").unwrap_or(true);
    let timeout = section.parsed("timeout", "2s", timeout).map(|found| found.value);
    let interval = section.parsed("interval", "10s", interval).map(|found| found.value);
    let mut wanted = wanted.into_iter().flatten();
    let (Some(what), None) = (wanted.next(), wanted.next()) else {
        let complaint = Complaint::new(
            "looks for nothing, or for more than one thing",
            "write one of process, port, file, window_manager, rfb_port, rfb_socket",
        );
        section.problems().file(span, &format!("check.{name}"), complaint);
        return None;
    };
    Some(NamedCheck {
        name,
        what,
        required,
        timeout: timeout.unwrap_or(Duration::from_millis(TIMEOUT_MS_DEFAULT)),
        interval: interval.unwrap_or(Duration::from_millis(INTERVAL_MS_DEFAULT)),
    })
}

fn process(text: &str) -> Result<String, Complaint> {
    let fits = !text.is_empty() && text.len() <= PROCESS_BYTES_MAX;
    if fits && !text.contains(['/', '\0']) {
        return Ok(text.to_owned());
    }
    let what = format!("is not the name of a process: `{}`", text.escape_debug());
    Err(Complaint::new(what, "write the last part of the program's path"))
}

fn timeout(text: &str) -> Result<Duration, Complaint> {
    let limit = Duration::from_secs(TIMEOUT_S_MAX);
    match values::duration(text)? {
        time if !time.is_zero() && time <= limit => Ok(time),
        _ => Err(Complaint::new("is out of range", "write a time up to \"60s\"")),
    }
}

fn interval(text: &str) -> Result<Duration, Complaint> {
    match values::duration(text)? {
        time if time >= Duration::from_millis(INTERVAL_MS_MIN) => Ok(time),
        _ => Err(Complaint::new("is too short", "write at least \"500ms\"")),
    }
}
