//! Which environment variables are secrets, and the redacted view of an environment.

use serde::{Deserialize, Serialize};

/// Shown instead of a secret value.
pub const REDACTED: &str = "[redacted]";

/// Parts of names that mark a secret, compared in upper case.
const SECRET_PARTS: [&str; 9] = [
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "COOKIE",
    "CREDENTIAL",
    "XAUTH_KEY",
    "PRIVATE_KEY",
    "API_KEY",
];

/// One variable as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Value, or [`REDACTED`].
    pub value: String,
}

/// Whether the value of `name` must not be shown or logged.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// The environment as it may be shown; user info in URLs (`scheme://user:pass@`) is cut too.
pub fn redacted<'a>(env: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<EnvVar> {
    env.into_iter()
        .map(|(name, value)| EnvVar {
            name: name.to_owned(),
            value: if is_secret(name) { REDACTED.to_owned() } else { without_user_info(value) },
        })
        .collect()
}

fn without_user_info(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return value.to_owned();
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        Some(at) => format!("{scheme}://{REDACTED}{}", &rest[at..]),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let view = redacted([
            ("HOME", "/home/balloon"),
            ("XAUTH_KEY", "0123"),
            ("my_api_key", "k"),
            ("http_proxy", "http://bob:pw@proxy:3128/x"),
        ]);
        let values: Vec<_> = view.iter().map(|v| v.value.as_str()).collect();
        assert_eq!(values, ["/home/balloon", REDACTED, REDACTED, "http://[redacted]@proxy:3128/x"]);
    }
}
