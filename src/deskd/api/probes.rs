//! The three questions of kubelet, answered from the newest snapshot in the words of
//! kube-apiserver's health endpoints (`?verbose`, `?exclude=NAME`), on request when the answer is
//! "yes" (`?wait=25s`).
//!
//! Deliberately not here: deciding what healthy means; that is `deskd_core::health`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::{Extension, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};

use super::guard::Peer;
use super::hold;
use super::limits::STALL_MS_MAX;
use super::state::ApiState;
use crate::supervisor::Snapshot;
use deskd_core::health::Check;
use deskd_core::text;

/// The checks that the display thread renews.
const DISPLAY_CHECKS: [&str; 3] = ["display", "x11-tcp", "shm"];

/// What a health path was asked.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ask {
    verbose: bool,
    exclude: Vec<String>,
    wait: Duration,
}

impl Ask {
    fn parse(query: Option<&str>) -> Result<Self, String> {
        let mut ask = Self::default();
        for pair in query.unwrap_or_default().split('&') {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("verbose", value) => ask.verbose = !matches!(value, "false" | "0"),
                ("wait", time) => ask.wait = hold::wait(time)?,
                ("exclude", name) if !name.is_empty() => ask.exclude.push(name.to_owned()),
                _ => {}
            }
        }
        Ok(ask)
    }

    /// Whether every required check passes that is not excluded.
    fn passes(&self, checks: &[Check]) -> bool {
        checks.iter().all(|check| check.ok || !check.required || self.excludes(check))
    }

    fn excludes(&self, check: &Check) -> bool {
        self.exclude.contains(&check.name)
    }
}

/// Whether deskd's own loop is alive.
#[utoipa::path(get, path = "/livez", tag = "health",
    params(("verbose" = Option<bool>, Query, description = "List every check"),
           ("exclude" = Option<String>, Query, description = "Leave a check out; repeatable")),
    responses((status = 200, description = "Alive", body = String, content_type = "text/plain"),
              (status = 503, description = "Stalled", body = String, content_type = "text/plain")))]
pub async fn livez(State(state): State<ApiState>, RawQuery(query): RawQuery) -> Response {
    let waited_ms = state.handle.stalled_for().as_millis();
    if query.is_none() && waited_ms < u128::from(STALL_MS_MAX) {
        return ok();
    }
    let check = Check {
        name: "driver".into(),
        ok: waited_ms < u128::from(STALL_MS_MAX),
        detail: text!("its oldest input has waited {waited_ms} ms", waited_ms),
        required: true,
    };
    match Ask::parse(query.as_deref()) {
        Ok(ask) => answer("livez", std::slice::from_ref(&check), &ask),
        Err(complaint) => bad(complaint),
    }
}

/// Whether the first full look is over.
#[utoipa::path(get, path = "/startupz", tag = "health",
    params(("verbose" = Option<bool>, Query, description = "List every check"),
           ("exclude" = Option<String>, Query, description = "Leave a check out; repeatable"),
           ("wait" = Option<String>, Query, pattern = r"^([0-5]?[0-9]|60)s$|^([1-5]?[0-9]{1,4}|60000)ms$", description = "Until the answer is yes for the first time, at most this long, such as `25s`")),
    responses((status = 200, description = "Started", body = String, content_type = "text/plain"),
              (status = 400, description = "`wait` is no time", body = String, content_type = "text/plain"),
              (status = 503, description = "Starting", body = String, content_type = "text/plain")))]
pub async fn startupz(
    State(state): State<ApiState>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
) -> Response {
    let ask = match Ask::parse(query.as_deref()) {
        Ok(ask) => ask,
        Err(complaint) => return bad(complaint),
    };
    state
        .held
        .started
        .until(&state, peer.key(), ask.wait, |snapshot| snapshot.desktop.started)
        .await;
    let started = state.handle.snapshot().desktop.started;
    if query.is_none() && started {
        return ok();
    }
    let detail = if started {
        text!("the first look at the display and at running tasks is over")
    } else {
        text!("deskd is still looking at the display and at running tasks")
    };
    let check = Check { name: "first-look".into(), ok: started, detail, required: true };
    answer("startupz", std::slice::from_ref(&check), &ask)
}

/// Whether every required check passes.
#[utoipa::path(get, path = "/readyz", tag = "health",
    params(("verbose" = Option<bool>, Query, description = "List every check"),
           ("exclude" = Option<String>, Query, description = "Leave a check out; repeatable"),
           ("wait" = Option<String>, Query, pattern = r"^([0-5]?[0-9]|60)s$|^([1-5]?[0-9]{1,4}|60000)ms$", description = "Until the answer is yes for the first time, at most this long, such as `25s`")),
    responses((status = 200, description = "Ready", body = String, content_type = "text/plain"),
              (status = 400, description = "`wait` is no time", body = String, content_type = "text/plain"),
              (status = 503, description = "Not ready", body = String, content_type = "text/plain")))]
pub async fn readyz(
    State(state): State<ApiState>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
) -> Response {
    let ask = match Ask::parse(query.as_deref()) {
        Ok(ask) => ask,
        Err(complaint) => return bad(complaint),
    };
    let passes = |snapshot: &Snapshot| ask.passes(&snapshot.desktop.checks);
    state.held.ready.until(&state, peer.key(), ask.wait, passes).await;
    let snapshot = state.handle.snapshot();
    let mut checks = Cow::Borrowed(snapshot.desktop.checks.as_slice());
    if let Some(silent) = state.handle.display_silent_for() {
        checks = not_renewed(&checks, silent).into();
    }
    for (name, silent) in state.handle.stale_checks() {
        for check in checks.to_mut().iter_mut().filter(|check| check.name == name) {
            check.ok = false;
            check.detail =
                text!("this has not been checked for {seconds} s", seconds = silent.as_secs());
        }
    }
    answer("readyz", &checks, &ask)
}

/// What was last known of the display is not what is the case.
fn not_renewed(checks: &[Check], silent: Duration) -> Vec<Check> {
    let mut checks = checks.to_vec();
    for check in checks.iter_mut().filter(|it| DISPLAY_CHECKS.contains(&it.name.as_str())) {
        check.ok = false;
        check.detail = text!(
            "the display has not been looked at for {seconds} s: deskd's display thread is stuck",
            seconds = silent.as_secs()
        );
    }
    checks
}

fn ok() -> Response {
    respond(StatusCode::OK, "ok".into())
}

/// kubelet shows the text of an answer that is no success.
fn bad(complaint: String) -> Response {
    respond(StatusCode::BAD_REQUEST, complaint.into())
}

fn respond(status: StatusCode, text: std::borrow::Cow<'static, str>) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, text).into_response()
}

fn answer(path: &str, checks: &[Check], ask: &Ask) -> Response {
    let (pass, text) = report(path, checks, ask);
    let status = if pass { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    respond(status, text.into())
}

/// Whether it passes, and the text. A failure always lists every check, as kube-apiserver does.
fn report(path: &str, checks: &[Check], ask: &Ask) -> (bool, String) {
    let pass = ask.passes(checks);
    let mut text = String::new();
    let unknown: Vec<_> = ask
        .exclude
        .iter()
        .filter(|name| checks.iter().all(|check| check.name != **name))
        .map(|name| format!("{name:?}"))
        .collect();
    if !unknown.is_empty() {
        let names = unknown.join(",");
        let _ =
            writeln!(text, "warn: some health checks cannot be excluded: no matches for {names}");
    }
    if pass && !ask.verbose {
        text.push_str("ok");
        return (true, text);
    }
    for check in checks {
        let Check { name, detail, .. } = check;
        let _ = match (ask.excludes(check), check.ok, check.required) {
            (true, _, _) => writeln!(text, "[+]{name} excluded: ok"),
            (_, true, _) => writeln!(text, "[+]{name} ok: {detail}"),
            (_, false, true) => writeln!(text, "[-]{name} failed: {detail}"),
            (_, false, false) => writeln!(text, "[-]{name} failed (not required): {detail}"),
        };
    }
    let verdict = if pass { "passed" } else { "failed" };
    let _ = writeln!(text, "{path} check {verdict}");
    (pass, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, ok: bool, required: bool) -> Check {
        Check { name: name.into(), ok, detail: format!("about {name}").into(), required }
    }

    fn text(checks: &[Check], query: &str) -> (bool, String) {
        report("readyz", checks, &Ask::parse(Some(query)).unwrap())
    }

    #[test]
    fn a_failure_names_its_check_and_its_sentence() {
        let (pass, text) = text(&[check("display", true, true), check("shm", false, true)], "");
        assert!(!pass);
        assert_eq!(
            text,
            "[+]display ok: about display\n[-]shm failed: about shm\nreadyz check failed\n"
        );
    }

    #[test]
    fn an_excluded_check_decides_nothing_and_an_unknown_one_is_warned_about() {
        let checks = [check("display", true, true), check("shm", false, true)];
        assert_eq!(text(&checks, "exclude=shm"), (true, "ok".into()));
        let (pass, text) = text(&checks, "verbose&exclude=shm&exclude=nope");
        assert!(pass);
        assert!(
            text.starts_with(
                "warn: some health checks cannot be excluded: no matches for \"nope\"\n"
            )
        );
        assert!(text.contains("[+]shm excluded: ok\n"));
        assert!(text.ends_with("readyz check passed\n"));
    }

    #[test]
    fn a_verdict_about_the_display_that_nobody_renews_is_a_failure() {
        let checks = [check("display", true, true), check("keeper", true, true)];
        let (pass, text) = text(&not_renewed(&checks, Duration::from_secs(70)), "");
        assert!(!pass);
        assert!(text.contains("[-]display failed: the display has not been looked at for 70 s"));
        assert!(text.contains("[+]keeper ok"), "{text}");
    }

    #[test]
    fn a_check_that_is_not_required_is_shown_and_decides_nothing() {
        let (pass, text) = text(&[check("log-store", false, false)], "verbose");
        assert!(pass);
        assert!(text.starts_with("[-]log-store failed (not required): about log-store\n"));
    }
}
