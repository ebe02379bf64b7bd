//! Which environment variables are secrets, and the redacted view of an environment.

pub use super::env_var::EnvVar;

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

/// Whether the value of `name` must not be shown or logged.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// The value of `name` as it may be shown: a secret is not, nor user info in a URL
/// (`scheme://user:pass@`).
#[must_use]
pub fn shown(name: &str, value: &str) -> String {
    // A variable that kubelet fills has no value here, and nothing to hide.
    if is_secret(name) && !value.is_empty() {
        REDACTED.to_owned()
    } else {
        without_user_info(value)
    }
}

/// The environment as it may be shown.
#[must_use]
pub fn redacted(env: &[EnvVar]) -> Vec<EnvVar> {
    let shown = |var: &EnvVar| EnvVar { value: shown(&var.name, &var.value), ..var.clone() };
    env.iter().map(shown).collect()
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
        let values = [
            ("HOME", "/home/balloon"),
            ("XAUTH_KEY", "0123"),
            ("my_api_key", "k"),
            ("http_proxy", "http://bob:pw@proxy:3128/x"),
        ]
        .map(|(name, value)| shown(name, value));
        assert_eq!(values, ["/home/balloon", REDACTED, REDACTED, "http://[redacted]@proxy:3128/x"]);
    }
}
