//! Icons of applications: the address that events name instead of their bytes, and what is there.
//! Events reach everybody who looks at the panel whenever an application changes; icons are most of a
//! catalogue's bytes, and a browser needs each once.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path as FilePath;

use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::apps::find;
use super::error::{ApiError, ErrorBody};
use super::extract::{Path, Query};
use super::limits::ICON_BYTES_MAX;
use super::state::ApiState;
use deskd_core::app::App;
use deskd_keeper::files;

/// For an address that changes with the icon.
const FOR_EVER: &str = "private, max-age=31536000, immutable";
/// For the address of whatever the icon is now.
const A_WHILE: &str = "private, max-age=300";
/// An svg opened by its own address must not run scripts in deskd's origin.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// Media type and bytes.
type Icon = (String, Vec<u8>);

/// Where the icon of an application is, in `/v1`; it changes with an icon that is data.
pub fn address(app: &App) -> Option<String> {
    let icon = app.icon.as_deref()?;
    let of = format!("/v1/apps/{}/icon", app.id);
    Some(if is_data(icon) { format!("{of}?v={}", mark(icon.as_bytes())) } else { of })
}

fn is_data(icon: &str) -> bool {
    icon.starts_with("data:")
}

/// Of the same bytes the same, as long as the daemon is of the same build.
fn mark(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Which version of an icon.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct IconQuery {
    /// As events say it; the answer to it may be kept for ever.
    v: Option<String>,
}

/// An application's icon.
#[utoipa::path(get, path = "/v1/apps/{id}/icon", tag = "apps",
    params(("id" = String, Path, description = "Application"), IconQuery),
    responses((status = 200, description = "The icon", content_type = "image/png"),
              (status = 304, description = "It is what `If-None-Match` names"),
              (status = 404, description = "Unknown, or no icon", body = ErrorBody)))]
pub async fn icon(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Query(query): Query<IconQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let app = find(&state, &id)?;
    let icon = app.icon.as_deref().unwrap_or_default();
    let found = if is_data(icon) {
        data(icon)
    } else {
        // The file system may be one of the network.
        let path = FilePath::new(icon).to_owned();
        tokio::task::spawn_blocking(move || file(&path)).await.ok().flatten()
    };
    let (kind, bytes) = found.ok_or_else(|| ApiError::NoIcon(id.clone()))?;
    let kind = HeaderValue::from_str(&kind).map_err(|_| ApiError::NoIcon(id))?;
    let mark = mark(if is_data(icon) { icon.as_bytes() } else { &bytes });
    let tag = format!("\"{mark}\"");
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let keep = if query.v.is_some_and(|wanted| wanted == mark) { FOR_EVER } else { A_WHILE };
    let headers = [(CACHE_CONTROL, keep.to_owned()), (ETAG, tag)];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let guards = [(X_CONTENT_TYPE_OPTIONS, "nosniff"), (CONTENT_SECURITY_POLICY, POLICY)];
    Ok((headers, guards, [(CONTENT_TYPE, kind)], bytes).into_response())
}

/// What a `data:` URL of an image holds (RFC 2397).
fn data(url: &str) -> Option<Icon> {
    let (kind, data) = url.strip_prefix("data:")?.split_once(',')?;
    let (kind, bytes) = match kind.strip_suffix(";base64") {
        Some(kind) => (kind, STANDARD.decode(data).ok()?),
        None => (kind, unescaped(data)?),
    };
    kind.starts_with("image/").then(|| (kind.to_owned(), bytes))
}

/// Without percent-encoding; nothing when it is broken.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    Some(bytes)
}

/// An icon file; nothing unless it is a regular svg or png file of a small size.
fn file(path: &FilePath) -> Option<Icon> {
    if !path.is_absolute() {
        return None;
    }
    let kind = match path.extension()?.to_str()? {
        "svg" => "image/svg+xml",
        "png" => "image/png",
        _ => return None,
    };
    let bytes = files::read_within(path, ICON_BYTES_MAX).ok()?;
    let looks_right = match kind {
        "image/png" => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
        _ => memchr::memmem::find(&bytes, b"<svg").is_some(),
    };
    looks_right.then(|| (kind.to_owned(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_files_that_are_what_they_claim_are_icons() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            file(&path).map(|(kind, _)| kind)
        };
        assert_eq!(write("a.png", b"\x89PNG\r\n\x1a\n...").as_deref(), Some("image/png"));
        assert_eq!(write("a.svg", b"<?xml?><svg/>").as_deref(), Some("image/svg+xml"));
        assert_eq!(write("b.png", b"root:x:0:0"), None);
        assert_eq!(write("c.txt", b"<svg/>"), None);
        assert_eq!(write("d.svg", &vec![b'<'; ICON_BYTES_MAX as usize + 1]), None);
        assert!(file(dir.path()).is_none());
        assert!(file(FilePath::new("a.svg")).is_none());
    }

    #[test]
    fn images_are_read_from_data_urls_and_nothing_else_is() {
        let read =
            |url: &str| data(url).map(|(kind, bytes)| (kind, String::from_utf8(bytes).unwrap()));
        let svg = |text: &str| Some(("image/svg+xml".to_owned(), text.to_owned()));
        assert_eq!(read("data:image/svg+xml;base64,PHN2Zy8+"), svg("<svg/>"));
        assert_eq!(read("data:image/svg+xml,%3Csvg%2f>"), svg("<svg/>"));
        for bad in
            ["data:text/html,<b>", "data:image/png;base64,*", "data:image/png,%4", "image/png,a"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
