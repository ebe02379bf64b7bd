//! What an image registry or an API server answered over HTTP, whoever tells of it: Docker's `received
//! unexpected HTTP status: 502`, containerd's `unexpected status code https://...: 502 Bad Gateway`, Podman's
//! `invalid status code from registry 403 (Forbidden)`, a proxy's page in place of an answer.
//!
//! A line that tells of such an answer gets it at its end once more, in one form: rules read that.

use memchr::memmem;

/// What lines have that tell of a registry. `unexpected HTTP status` is what its client in Docker says
/// (distribution/registry/client/errors.go).
const OF_REGISTRIES: [&str; 11] = [
    "/v2/",
    "pull",
    "manifest",
    "registry",
    "blob",
    "docker.io",
    "from daemon",
    "oauth token",
    "docker://",
    "nexpected HTTP status",
    "Head \"https://",
];
/// What lines have that tell of a Kubernetes API server.
const OF_API_SERVERS: [&str; 4] = ["/api/v1", "/apis/", "apiserver", "/api?timeout"];
/// What comes before the number.
const BEFORE: [&str; 14] = [
    "status: ",
    "status code: ",
    "status code ",
    "Status ",
    "StatusCode: ",
    "StatusCode=",
    "HTTP ",
    "HTTP/1.0 ",
    "HTTP/1.1 ",
    "HTTP/2.0 ",
    "HTTP/2 ",
    "registry ",
    "code: ",
    "]: ",
];
/// The words that go with a number: RFC 9110, section 15.
const PHRASES: [(u16, &str); 12] = [
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (407, "Proxy Authentication Required"),
    (429, "Too Many Requests"),
    (500, "Internal Server Error"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (503, "Service Temporarily Unavailable"),
    (504, "Gateway Timeout"),
    (504, "Gateway Time-out"),
];
/// What a web page begins with, and what a reader of JSON says that meets one.
const PAGES: [&str; 5] =
    ["<html", "<!doctype html", "<!DOCTYPE html", "<head>", "'<' looking for beginning of value"];

/// Whether any line of the text can tell of an answer: most texts have none.
pub(super) fn may_tell(text: &[u8]) -> bool {
    OF_REGISTRIES.iter().chain(&OF_API_SERVERS).any(|word| has(text, word))
}

/// The answer that the line tells of, in one form: `[registry answered: server error 502]`.
pub(super) fn told(line: &[u8]) -> Option<String> {
    let of = |words: &[&str]| words.iter().any(|word| has(line, word));
    let who = match (of(&OF_API_SERVERS), of(&OF_REGISTRIES)) {
        (true, _) => "API server",
        (false, true) => "registry",
        (false, false) => return None,
    };
    let code = code(line);
    let what = match (code, of(&PAGES)) {
        (Some(429), _) => "too many requests",
        (Some(500..), _) => "server error",
        (_, true) => "a page instead,",
        (Some(401 | 403), _) => "refused",
        (Some(404), _) => "not found",
        (Some(_), _) => "no good request",
        (None, false) => return None,
    };
    let code = code.map_or("no number".to_owned(), |code| code.to_string());
    Some(format!("[{who} answered: {what} {code}]"))
}

/// The number of a failure (400 to 599) that the line tells.
fn code(line: &[u8]) -> Option<u16> {
    by_phrase(line).or_else(|| BEFORE.iter().find_map(|before| after(line, before)))
}

/// By the words for it, behind the number (`502 Bad Gateway`, `502 (Bad Gateway)`) or alone at the
/// line's end (`Get "https://...": Bad Gateway`, as Go's `http.StatusText` is told).
fn by_phrase(line: &[u8]) -> Option<u16> {
    PHRASES.iter().find_map(|(code, phrase)| {
        let at = memmem::find(line, phrase.as_bytes())?;
        let before = line[..at].trim_ascii_end();
        let before = before.strip_suffix(b"(").unwrap_or(before).trim_ascii_end();
        let alone = before.ends_with(b"\":") && line[at + phrase.len()..].trim_ascii().is_empty();
        (before.ends_with(code.to_string().as_bytes()) || alone).then_some(*code)
    })
}

/// The three digits behind one of these words, if they are a failure's.
fn after(line: &[u8], word: &str) -> Option<u16> {
    memmem::find_iter(line, word.as_bytes()).find_map(|at| {
        let rest = &line[at + word.len()..];
        let digits = rest.get(..3).filter(|_| !rest.get(3).is_some_and(u8::is_ascii_digit))?;
        let code: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        (400..600).contains(&code).then_some(code)
    })
}

fn has(text: &[u8], word: &str) -> bool {
    memmem::find(text, word.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, answer: Option<&str>) {
        assert_eq!(told(line.as_bytes()).as_deref(), answer, "{line}");
    }

    #[test]
    fn a_registrys_answer_is_told_in_one_form() {
        let bad_gateway = Some("[registry answered: server error 502]");
        check("daemon: received unexpected HTTP status: 502 Bad Gateway", bad_gateway);
        check("desc = received unexpected HTTP status: 502", bad_gateway);
        check("Error from daemon: Get \"https://r.io/v2/\": Bad Gateway", bad_gateway);
        check("unexpected status code https://r.io/v2/a/blobs/x: 502 Bad Gateway", bad_gateway);
        check("invalid status code from registry 502 (Bad Gateway)", bad_gateway);
        check("pulling from host r failed with status code [manifests 1]: 502", bad_gateway);
        check(
            "Requesting bearer token: invalid status code from registry 403 (Forbidden)",
            Some("[registry answered: refused 403]"),
        );
        check(
            "Error: Status 429 trying to pull repository a/b: \"<html>\"",
            Some("[registry answered: too many requests 429]"),
        );
    }

    #[test]
    fn a_page_is_no_registrys_answer() {
        check(
            "from daemon: error parsing HTTP 403 response body: invalid character '<' looking for \
             beginning of value: \"<html><head>\"",
            Some("[registry answered: a page instead, 403]"),
        );
        check(
            "pull: invalid character '<' looking for beginning of value",
            Some("[registry answered: a page instead, no number]"),
        );
    }

    #[test]
    fn an_api_servers_answer_is_told_as_its_own() {
        check(
            "Get \"https://10.0.0.1:443/api/v1/pods\": 503 Service Unavailable",
            Some("[API server answered: server error 503]"),
        );
    }

    #[test]
    fn what_is_no_answer_is_left_alone() {
        check("GET https://example.com/ 404 (Not Found)", None);
        check("pulling image, 502 bytes", None);
        check("pod is forbidden: pull secrets Forbidden for all", None);
        check("registry 5000 listens", None);
    }
}
