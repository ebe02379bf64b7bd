//! How browsers reach the panel: names, the path that a proxy gives it, and who may embed it.

use serde::{Deserialize, Serialize};

use super::values::Complaint;

/// Longest path that a proxy may put before deskd's own, in bytes.
pub const PATH_BYTES_MAX: usize = 1024;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panel {
    /// Host names, besides addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Before the paths of requests, where a proxy leaves it there.
    pub path: Option<PathPrefix>,
    /// Sources of `frame-ancestors` (Content Security Policy, level 3); empty: nobody.
    pub frame_ancestors: Vec<String>,
}

/// A path without a slash at its end: `/container/29791`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathPrefix(String);

impl PathPrefix {
    /// Of a path as it stands in a request. A slash at the end does not count.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let Some(segments) = path.strip_prefix('/') else {
            return Err("does not begin with a slash, or is nothing else");
        };
        // RFC 3986, 3.3: what a segment may have without being encoded, or encoded.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%:@+=!".contains(&byte);
        if path.len() > PATH_BYTES_MAX {
            Err("is longer than 1024 bytes")
        } else if segments.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            Err("has an empty segment, `.` or `..`")
        } else if !segments.bytes().all(|byte| byte == b'/' || plain(byte)) {
            Err("has characters that a path does not have")
        } else {
            Ok(Self(path.to_owned()))
        }
    }

    /// What of `path` comes after it: nothing, or something that begins with a slash.
    #[must_use]
    pub fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(&self.0)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// Its last segment.
    #[must_use]
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

/// `panel_path`.
pub(super) fn path(text: &str) -> Result<PathPrefix, Complaint> {
    PathPrefix::parse(text).map_err(|what| {
        let remedy = "write the path that the proxy has before deskd's, such as \"/desktops/anna\"";
        Complaint::new(format!("{what}: `{text}`"), remedy)
    })
}

/// One of `frame_ancestors`: `'self'`, or scheme, host and port, where the host may begin with `*.`.
pub(super) fn frame_ancestor(text: &str) -> Result<String, Complaint> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let is_host = |host: &str| {
        let host = host.strip_prefix("*.").unwrap_or(host);
        !host.is_empty() && host.bytes().all(plain)
    };
    if text == "'self'" || host.is_some_and(is_host) {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(
        format!("has `{text}`, which is no origin"),
        "write scheme and host, such as \"https://portal.example.org\", or \"'self'\"",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_whole_segments_and_nothing_that_leads_elsewhere() {
        for (text, last) in [("/a", "a"), ("/container/29791/", "29791"), ("/u/a%20b/~x", "~x")] {
            assert_eq!(PathPrefix::parse(text).unwrap().last(), last, "{text}");
        }
        let long = "/a".repeat(5_000);
        for bad in [
            "", "/", "a", "//", "/a//b", "/..", "/a/../b", "/./a", "/a?b", "/a b", "/a,/b", "/é",
            &long,
        ] {
            assert!(PathPrefix::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_is_below_it_has_a_rest() {
        let path = PathPrefix::parse("/desk/").unwrap();
        for (whole, rest) in [
            ("/desk", Some("")),
            ("/desk/", Some("/")),
            ("/desk/v1/tasks", Some("/v1/tasks")),
            ("/desks/v1", None),
            ("/v1/desk/", None),
        ] {
            assert_eq!(path.rest(whole), rest, "{whole}");
        }
    }

    #[test]
    fn an_ancestor_is_an_origin_and_cannot_end_the_policy() {
        for good in ["'self'", "https://a.example", "http://*.example.org:8443", "https://[::1]"] {
            assert_eq!(frame_ancestor(good).unwrap(), good);
        }
        for bad in ["*", "https://", "a.example", "https://a.example/x", "https://a; script-src *"]
        {
            assert!(frame_ancestor(bad).is_err(), "{bad}");
        }
    }
}
