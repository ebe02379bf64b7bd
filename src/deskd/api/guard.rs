//! Who may pass: peer uid on the unix socket; bearer token or session cookie, Host and Origin on
//! TCP. Also the request id, the time limit and the counting of requests.
//!
//! A bearer token proves that a program means deskd, so it needs no Host check. A cookie is sent by
//! browsers on behalf of whoever asks, so Host keeps DNS rebinding out and Origin other sites.

use std::net::IpAddr;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, HOST, ORIGIN, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::error::ApiError;
use super::extract::Wanted;
use super::peers::PeerKey;
use super::state::{ApiState, Shared};
use crate::config::Panel;

/// The header of a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Who is at the other end of a connection; put into every request by the accept loop.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    /// The unix socket.
    Unix {
        /// Of the connecting process, from the kernel.
        uid: u32,
    },
    /// TCP.
    Tcp {
        /// The address of the client.
        remote: IpAddr,
    },
}

impl Peer {
    /// Whose limits it has.
    #[must_use]
    pub fn key(self) -> PeerKey {
        match self {
            Self::Unix { uid } => PeerKey::Uid(uid),
            Self::Tcp { remote } => PeerKey::of(remote),
        }
    }
}

/// Marks requests of the connections beyond a door's limit.
#[derive(Debug, Clone, Copy)]
pub struct Reserved;

/// Lets a request to `/v1` pass or refuses it.
pub fn admit(state: &Shared, request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    if request.extensions().get::<Reserved>().is_some() {
        return Err(ApiError::TooManyConnections);
    }
    match request.extensions().get::<Peer>() {
        Some(Peer::Unix { uid }) if *uid == 0 || *uid == state.own_uid => Ok(()),
        Some(Peer::Unix { uid }) => Err(ApiError::PeerUid(*uid)),
        Some(Peer::Tcp { .. }) => {
            if let Some(bearer) = headers.get(AUTHORIZATION) {
                let bearer = bearer.to_str().ok().and_then(|text| text.split_once(' '));
                return match bearer {
                    Some((scheme, given))
                        if scheme.eq_ignore_ascii_case("bearer")
                            && state.token.is(given.trim()) =>
                    {
                        Ok(())
                    }
                    _ => Err(ApiError::Unauthorized("the bearer token is wrong")),
                };
            }
            check_host(state, headers)?;
            if !state.sessions.is_open(headers) {
                return Err(ApiError::Unauthorized(
                    "a bearer token or a panel session is needed (`deskd panel` opens one)",
                ));
            }
            check_origin(request, &state.panel)
        }
        None => Err(ApiError::Unauthorized("the connection is unknown")),
    }
}

/// Refuses names that are not ours: a page of another site whose name was made to resolve to us
/// (DNS rebinding) sends its own name. An address is no name: nobody makes it resolve to us, and proxies
/// send theirs (`kubectl proxy` that of the API server).
pub fn check_host(state: &Shared, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if host_is_ours(text, &state.panel.hosts) {
        Ok(())
    } else {
        Err(ApiError::Host(text.chars().take(80).collect()))
    }
}

fn host_is_ours(text: &str, panel_hosts: &[String]) -> bool {
    let Some(host) = host_of(text) else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok()
        || host == "localhost"
        || host.ends_with(".localhost")
        || is_listed(bare, panel_hosts)
}

/// The host of `host[:port]`, in lower case, without the dot of the root.
fn host_of(text: &str) -> Option<String> {
    let authority = text.parse::<Authority>().ok()?;
    Some(authority.host().trim_end_matches('.').to_ascii_lowercase())
}

fn is_listed(host: &str, panel_hosts: &[String]) -> bool {
    panel_hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
}

/// A cookie is only good for deskd's own page: a change has to say that it comes from there, and
/// nothing may say that it comes from elsewhere (Fetch Metadata). Where the browser itself says that it
/// asks the page's own site, `Host` and `Origin` may differ: a proxy sends its own name. Somebody may
/// follow a link to the panel itself.
fn check_origin(request: &Request, panel: &Panel) -> Result<(), ApiError> {
    let headers = request.headers();
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(HOST).unwrap_or_default();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let from_here = match text(ORIGIN) {
        Some(origin) => origin.split_once("://").is_some_and(|(scheme, rest)| {
            matches!(scheme, "http" | "https") && (rest == host || is_named(rest, panel))
        }),
        None => reads,
    };
    let is_embedded = !panel.frame_ancestors.is_empty() && text(SEC_FETCH_DEST) == Some("iframe");
    let follows_link = reads
        && request.uri().path() == "/"
        && text(SEC_FETCH_MODE) == Some("navigate")
        && (text(SEC_FETCH_DEST) == Some("document") || is_embedded);
    let site = text(SEC_FETCH_SITE);
    let from_nowhere_else = site.is_none_or(|site| site == "none");
    if site == Some("same-origin") || from_here && (from_nowhere_else || follows_link) {
        Ok(())
    } else {
        Err(ApiError::Origin)
    }
}

/// A proxy may send its own name for deskd's in `Host`; the browser's `Origin` has the one in its
/// address bar.
fn is_named(origin: &str, panel: &Panel) -> bool {
    host_of(origin).is_some_and(|host| is_listed(&host, &panel.hosts))
}

/// The outermost layer of all: what no client of good faith sends is refused before anything looks
/// at it, and no answer is taken for another kind than it says.
pub async fn well_formed(request: Request, next: Next) -> Response {
    let mut response = match is_well_formed(&request) {
        Ok(()) => next.run(request).await,
        Err(why) => (StatusCode::BAD_REQUEST, why).into_response(),
    };
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

/// One host, and nothing but a host (RFC 9112, 3.2; RFC 9110, 4.2.4).
fn is_well_formed(request: &Request) -> Result<(), &'static str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().map(|value| value.to_str().unwrap_or("@"));
    if hosts.next().is_some() {
        return Err("there is more than one Host header");
    }
    if host.is_none() && request.version() == Version::HTTP_11 {
        return Err("there is no Host header");
    }
    let is_host = |text: &str| {
        text.is_empty()
            || (!text.contains(['@', ',', '/', '\\']) && text.parse::<Authority>().is_ok())
    };
    if !host.is_none_or(is_host) {
        return Err("the Host header is not a host with or without a port");
    }
    // A proxy's form of a request, which would win over the header.
    let named = request.uri().authority().map(Authority::as_str);
    if named.is_some_and(|named| Some(named) != host) {
        return Err("the request names another host than its Host header");
    }
    Ok(())
}

/// The outermost layer of `/v1`: admission, time limit, request id, error bodies.
pub async fn guard(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let admitted = admit(&state, &request);
    let wanted = Wanted::of(request.headers());
    guarded(&state, request, next, admitted, |error, id| error.into_body(id, wanted)).await
}

/// The same with another admission and other error bodies.
pub async fn guarded(
    state: &Shared,
    request: Request,
    next: Next,
    admitted: Result<(), ApiError>,
    body: impl FnOnce(ApiError, &str) -> Response,
) -> Response {
    let id = state.next_request_id();
    let door = match request.extensions().get::<Peer>() {
        Some(Peer::Tcp { .. }) => "tcp",
        _ => "unix",
    };
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let started = Instant::now();
    let mut response = match admitted {
        Ok(()) => run(state, request, next).await,
        Err(error) => error.into_response(),
    };
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let error = match error.unknown_task() {
            Some(id) if !state.handle.snapshot().desktop.started => ApiError::Starting(id.into()),
            _ => error,
        };
        let kept = std::mem::take(response.headers_mut());
        response = body(error.clone(), &id);
        if let Some(allow) = kept.get(axum::http::header::ALLOW) {
            response.headers_mut().insert(axum::http::header::ALLOW, allow.clone());
        }
        if matches!(error, ApiError::Unauthorized(_)) {
            let bearer = HeaderValue::from_static("Bearer realm=\"deskd\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        }
        tracing::debug!(request_id = %id, %method, path, %error, "refused");
    }
    let status = response.status();
    state.counters.request(door, status);
    if status.is_server_error() {
        tracing::warn!(request_id = %id, %method, path, %status, elapsed = ?started.elapsed(), "request failed");
    }
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

/// Handlers that wait on purpose mark their answer's future by this path suffix.
const WAIT_SUFFIX: &str = "/wait";

async fn run(state: &Shared, request: Request, next: Next) -> Response {
    if request.uri().path().ends_with(WAIT_SUFFIX) {
        return next.run(request).await;
    }
    let limit = state.limits.request_time;
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::RequestTime(limit.as_millis()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_configured_names_are_ours_and_nothing_else() {
        let names = ["desk.example".to_owned()];
        for ours in [
            "localhost",
            "localhost:29791",
            "127.0.0.1:29791",
            "127.1.1.1",
            "[::1]:29791",
            "10.1.2.3:29791",
            "[fd00::1]",
            "Desk.Example",
            "desk.example.:8443",
            "deskd.localhost:1",
        ] {
            assert!(host_is_ours(ours, &names), "{ours}");
        }
        for other in [
            "",
            "evil.example",
            "10.1.2.4.evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil",
            "a b",
        ] {
            assert!(!host_is_ours(other, &names), "{other}");
        }
    }

    #[test]
    fn what_comes_with_a_cookie_must_come_from_our_own_page() {
        let request = |method: Method, path: &str, given: &[(HeaderName, &str)]| {
            let mut request = Request::new(axum::body::Body::empty());
            *request.method_mut() = method;
            *request.uri_mut() = path.parse().unwrap();
            request.headers_mut().insert(HOST, "localhost:29791".parse().unwrap());
            for (name, value) in given {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            check_origin(&request, &Panel::default()).is_ok()
        };
        let good = "http://localhost:29791";
        assert!(request(Method::POST, "/v1/tasks", &[(ORIGIN, good)]));
        assert!(!request(Method::POST, "/v1/tasks", &[]));
        for bad in ["null", "http://localhost:1", "http://evil.example", "\u{e9}"] {
            for method in [Method::POST, Method::GET] {
                assert!(!request(method, "/v1/tasks", &[(ORIGIN, bad)]), "{bad}");
            }
        }
        assert!(request(Method::GET, "/v1/tasks", &[]));
        for (site, taken) in
            [("same-origin", true), ("none", true), ("same-site", false), ("cross-site", false)]
        {
            let given = [(SEC_FETCH_SITE, site), (ORIGIN, good)];
            assert_eq!(request(Method::GET, "/v1/tasks", &given[..1]), taken, "{site}");
            assert_eq!(request(Method::POST, "/v1/tasks", &given), taken, "{site}");
        }
        // Behind a proxy that sends another Host.
        let own = (SEC_FETCH_SITE, "same-origin");
        assert!(request(Method::POST, "/v1/tasks", &[(ORIGIN, "http://127.0.0.1:8001"), own]));
        let link = [
            (SEC_FETCH_SITE, "cross-site"),
            (SEC_FETCH_MODE, "navigate"),
            (SEC_FETCH_DEST, "document"),
        ];
        assert!(request(Method::GET, "/", &link) && !request(Method::GET, "/v1/tasks", &link));
    }
}
