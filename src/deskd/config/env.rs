//! The process's environment: the one place of deskd that reads it.

/// Variables whose value local applications must not inherit, and why they are listed: they are
/// deskd's own secret, the service manager's channel to deskd, or set by the plan.
const NOT_INHERITED: [&str; 8] = [
    "XAUTH_KEY",
    "NOTIFY_SOCKET",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "DISPLAY",
    "XAUTHORITY",
];
/// Beginnings of names that are not inherited either.
const NOT_INHERITED_PREFIXES: [&str; 2] = ["DESKD_", "WATCHDOG_"];

/// An environment as a value.
#[derive(Clone, Default)]
pub struct Env(Vec<(String, String)>);

impl std::fmt::Debug for Env {
    /// Names only: values can be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Env {
    /// This process's environment. Variables that are not UTF-8 are left out: neither JSON nor
    /// TOML could carry them.
    #[must_use]
    pub fn of_this_process() -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(utf8).collect())
    }

    /// An environment made up by the caller.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// The same with `value` for `name`.
    #[must_use]
    pub fn with(mut self, name: &str, value: String) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value));
        self
    }

    /// The value of `name`; an empty value counts as absent, as everywhere in deskd.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(known, _)| known == name)?;
        Some(found.1.clone()).filter(|value| !value.is_empty())
    }
}

/// What local applications inherit from deskd, sorted by name.
#[must_use]
pub fn inherited_env(env: &Env) -> Vec<(String, String)> {
    let own = |name: &str| {
        NOT_INHERITED.contains(&name)
            || NOT_INHERITED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut inherited: Vec<_> = env.0.iter().filter(|(name, _)| !own(name)).cloned().collect();
    inherited.sort();
    inherited
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_inherit_everything_but_what_is_deskds_own() {
        let env = Env::from_pairs([
            ("PATH", "/bin"),
            ("XAUTH_KEY", "00"),
            ("DESKD_TOKEN_FILE", "/t"),
            ("NOTIFY_SOCKET", "/n"),
            ("WATCHDOG_USEC", "1"),
            ("LISTEN_FDS", "1"),
            ("DISPLAY", ":9"),
            ("XAUTHORITY", "/x"),
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("LANG", ""),
        ]);
        let names: Vec<_> = inherited_env(&env).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["KUBERNETES_SERVICE_HOST", "LANG", "PATH"]);
    }

    #[test]
    fn debug_output_has_no_values() {
        let env = Env::from_pairs([("XAUTH_KEY", "0123456789")]);
        assert_eq!(format!("{env:?}"), r#"["XAUTH_KEY"]"#);
    }
}
