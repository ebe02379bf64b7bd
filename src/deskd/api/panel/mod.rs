//! The Tasks panel: plain modules and a style sheet, embedded in the binary, under a strict content
//! security policy. No build step: what is in this directory is what the browser runs.

use axum::extract::{Extension, Path, RawQuery, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    LOCATION, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use super::error::ApiError;
use super::guard::{Peer, admit, check_host};
use super::state::ApiState;
use super::token::hex;
use deskd_core::text::Language;

mod texts;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// Nothing but this origin's own modules, styles and icons.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors ";

macro_rules! scripts {
    ($($name:literal),* $(,)?) => {
        &[
            ("style.css", "text/css; charset=utf-8", include_bytes!("style.css")),
            ("favicon.svg", "image/svg+xml", include_bytes!("favicon.svg")),
            $(($name, SCRIPT, include_bytes!($name)),)*
        ]
    };
}

/// Name, media type, content.
type Asset = (&'static str, &'static str, &'static [u8]);

const ASSETS: &[Asset] = scripts![
    "ansi.js",
    "app.js",
    "combobox.js",
    "desktop.js",
    "details.js",
    "dialogs.js",
    "dom.js",
    "log-model.js",
    "log-view.js",
    "store.js",
    "stream.js",
    "table.js",
    "text.js",
];
const INDEX: &str = include_str!("index.html");
const MESSAGE: &str = include_str!("message.html");

/// `GET /`: the panel, or the page that says how to log in.
pub async fn index(State(state): State<ApiState>, request: Request) -> Response {
    let language = texts::language(request.uri().query(), request.headers());
    match admit(&state, &request) {
        Ok(()) => page(&state, StatusCode::OK, language, INDEX),
        Err(error) => refused(&state, &error, language),
    }
}

/// `GET /login?code=`: uses the code up and opens a session. Not a redirect: a browser that came
/// here from another site would not send a SameSite=Strict cookie along with it.
pub async fn login(
    State(state): State<ApiState>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    method: Method,
    RawQuery(query): RawQuery,
) -> Response {
    let language = texts::language(query.as_deref(), &headers);
    if matches!(peer, Peer::Tcp { .. })
        && let Err(error) = check_host(&state, &headers)
    {
        return refused(&state, &error, language);
    }
    // A browser that only guesses that somebody will go here, or a chat that looks what a link is,
    // must not use the code up.
    let guess = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| {
            ["prefetch", "preview", "prerender"].iter().any(|it| value.contains(it))
        })
    };
    if method == Method::HEAD {
        return page(&state, StatusCode::OK, language, "");
    }
    if ["sec-purpose", "purpose", "x-purpose", "x-moz"].into_iter().any(guess) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let query = query.unwrap_or_default();
    let code = query.split('&').find_map(|pair| pair.strip_prefix("code="));
    if code.is_some_and(|code| state.sessions.use_code(code)) {
        let text = "<p>{{You are logged in.}} <a href=\"./\">{{Open the panel}}</a></p>";
        let head = "<meta http-equiv=\"refresh\" content=\"0; url=./\">";
        let said = Message { head, title: "{{Logged in}}", text };
        let mut response = message(&state, StatusCode::OK, language, &said);
        if let Ok(cookie) = HeaderValue::from_str(&state.sessions.set_cookie()) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        return response;
    }
    if state.sessions.is_open(&headers) {
        return (StatusCode::SEE_OTHER, [(LOCATION, "./")]).into_response();
    }
    let text = "<p>{{This login link was used already or is too old: it works once, for five \
        minutes.}}</p><p>{{Make a new one with}}</p><pre>deskd panel</pre>";
    let said = Message { head: "", title: "{{This link has been used, or is too old}}", text };
    message(&state, StatusCode::UNAUTHORIZED, language, &said)
}

/// `GET /assets/{name}`.
pub async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let own = ASSETS.iter().find(|(known, _, _)| *known == name);
    let found = own.map(|(_, kind, content)| (*kind, *content));
    let Some((kind, content)) = found.or_else(|| Some((JSON, texts::table(&name)?))) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = format!("\"{}\"", hex(&Sha256::digest(content)[..12]));
    let fresh = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if fresh {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, kind)], content).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// A page that says one thing.
struct Message<'a> {
    head: &'a str,
    title: &'a str,
    text: &'a str,
}

fn refused(state: &ApiState, error: &ApiError, language: Language) -> Response {
    let (status, _) = error.status_and_code();
    let (title, text) = match error {
        ApiError::Unauthorized(_) => (
            "{{Log in to the Tasks panel}}",
            "<p>{{This is the panel of a desktop. To open it, run this command where deskd runs \
             and follow the link it prints:}}</p><pre>deskd panel</pre>",
        ),
        ApiError::Host(_) => (
            "{{Not under this name}}",
            "<p>{{deskd does not answer to the host name in the address bar. If it is a good one, \
             add it to panel_hosts in deskd's configuration.}}</p>",
        ),
        _ => ("{{Not admitted}}", "<p>{{deskd does not admit this connection.}}</p>"),
    };
    message(state, status, language, &Message { head: "", title, text })
}

fn message(
    state: &ApiState,
    status: StatusCode,
    language: Language,
    Message { head, title, text }: &Message<'_>,
) -> Response {
    let html = MESSAGE.replace("{head}", head).replace("{title}", title).replace("{text}", text);
    page(state, status, language, &html)
}

fn page(state: &ApiState, status: StatusCode, language: Language, html: &str) -> Response {
    let ancestors = &state.panel.frame_ancestors;
    let html = texts::translated(html, language);
    let headers: [(HeaderName, &str); 6] = [
        (CONTENT_TYPE, HTML),
        (CONTENT_LANGUAGE, language.tag()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let mut response = (status, headers, html).into_response();
    let headers = response.headers_mut();
    let who = if ancestors.is_empty() { "'none'".to_owned() } else { ancestors.join(" ") };
    if let Ok(policy) = HeaderValue::from_str(&format!("{POLICY}{who}")) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    // For browsers that do not know frame-ancestors; it cannot name origins.
    if ancestors.is_empty() {
        headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> &'static str {
        let (_, _, content) = ASSETS.iter().find(|(known, _, _)| *known == name).unwrap();
        std::str::from_utf8(content).unwrap()
    }

    #[test]
    fn every_module_that_is_imported_is_embedded_and_none_else() {
        let mut wanted = vec!["style.css", "favicon.svg", "app.js"];
        for (_, kind, content) in ASSETS {
            if *kind == SCRIPT {
                let content = std::str::from_utf8(content).unwrap();
                let imports = content.split("from \"./").skip(1);
                wanted.extend(imports.filter_map(|rest| rest.split('"').next()));
            }
        }
        for (name, _, _) in ASSETS {
            assert!(wanted.contains(name), "{name} is embedded for nothing");
        }
        for name in wanted {
            assert!(ASSETS.iter().any(|(known, _, _)| *known == name), "{name} is missing");
        }
    }

    #[test]
    fn pages_have_no_inline_script_or_style() {
        for page in [INDEX, MESSAGE] {
            assert!(!page.contains("<style") && !page.contains(" style="), "inline style");
            assert!(page.split("<script").skip(1).all(|rest| rest.contains(" src=\"assets/")));
            assert!(!page.contains(" onclick"), "inline handler");
        }
        assert!(!text("app.js").contains("innerHTML"));
    }
}
