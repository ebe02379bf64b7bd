//! Requests that come through a proxy which leaves its own path before deskd's.
//!
//! A proxy that takes it away needs nothing here: the panel's addresses are relative.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::LOCATION;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use crate::config::PathPrefix;

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Takes the proxy's path, the configured one or that of `X-Forwarded-Prefix`, off the request; or
/// the answer that there is at once.
pub fn strip(request: &mut Request, own: Option<&PathPrefix>) -> Result<(), Box<Response>> {
    let mut headers = request.headers().get_all(X_FORWARDED_PREFIX).iter();
    let named = headers.next().map(|value| named(value, headers.next().is_some())).transpose()?;
    let path = request.uri().path();
    let found =
        named.as_ref().into_iter().chain(own).find_map(|prefix| Some((prefix, prefix.rest(path)?)));
    let Some((prefix, rest)) = found else { return Ok(()) };
    if rest.is_empty() {
        // The panel's relative addresses are below the slash. Without the dot, a segment with a colon would name
        // another place (RFC 3986, 4.2).
        let slash = HeaderValue::from_str(&format!("./{}/", prefix.last()));
        let slash = slash.unwrap_or(HeaderValue::from_static("./"));
        return Err(Box::new(
            (StatusCode::PERMANENT_REDIRECT, [(LOCATION, slash)]).into_response(),
        ));
    }
    let mut parts = request.uri().clone().into_parts();
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let stripped = format!("{rest}{query}").parse::<PathAndQuery>();
    parts.path_and_query = stripped.ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    Ok(())
}

fn named(value: &HeaderValue, more: bool) -> Result<PathPrefix, Box<Response>> {
    let bad =
        |why: &str| Box::new((StatusCode::BAD_REQUEST, Body::from(why.to_owned())).into_response());
    if more {
        return Err(bad(
            "there is more than one X-Forwarded-Prefix header: let only the last proxy set it",
        ));
    }
    let text = value.to_str().unwrap_or_default();
    PathPrefix::parse(text)
        .map_err(|why| bad(&format!("X-Forwarded-Prefix {why}: let the proxy send one path")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip_of(path: &str, headers: &[&str], own: Option<&str>) -> Result<String, (u16, String)> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().unwrap();
        for value in headers {
            request.headers_mut().append(X_FORWARDED_PREFIX, value.parse().unwrap());
        }
        let own = own.map(|own| PathPrefix::parse(own).unwrap());
        match strip(&mut request, own.as_ref()) {
            Ok(()) => Ok(request.uri().to_string()),
            Err(answer) => {
                let to = answer.headers().get(LOCATION).map(|to| to.to_str().unwrap().to_owned());
                Err((answer.status().as_u16(), to.unwrap_or_default()))
            }
        }
    }

    #[test]
    fn the_proxys_path_is_taken_off_where_it_is() {
        for (path, headers, own, left) in [
            ("/v1/tasks?a=b", &[][..], None, "/v1/tasks?a=b"),
            ("/desk/v1/tasks?a=%2F", &[], Some("/desk"), "/v1/tasks?a=%2F"),
            ("/desk/", &[], Some("/desk/"), "/"),
            ("/v1/tasks", &[], Some("/desk"), "/v1/tasks"),
            ("/u/anna/livez", &["/u/anna/"], None, "/livez"),
            ("/livez", &["/u/anna"], None, "/livez"),
            ("/desk/livez", &["/u/anna"], Some("/desk"), "/livez"),
            ("/desk/desk/livez", &[], Some("/desk"), "/desk/livez"),
        ] {
            assert_eq!(strip_of(path, headers, own), Ok(left.to_owned()), "{path}");
        }
    }

    #[test]
    fn without_the_slash_the_browser_is_sent_to_it() {
        assert_eq!(strip_of("/u/anna", &["/u/anna"], None), Err((308, "./anna/".into())));
        assert_eq!(strip_of("/u/https:a", &["/u/https:a"], None), Err((308, "./https:a/".into())));
    }

    #[test]
    fn a_header_that_is_no_path_or_is_there_twice_is_refused() {
        let long = "/a".repeat(5_000);
        for headers in [&["/a", "/a"][..], &["/a, /b"], &["/a/../b"], &["a"], &[""], &[&long]] {
            assert_eq!(
                strip_of("/a/livez", headers, None),
                Err((400, String::new())),
                "{headers:?}"
            );
        }
    }
}
