//! Where the cookie of the display comes from, and the file that gives it to applications.
//!
//! `XAUTH_KEY` wins over the Xauthority file; one that is no cookie is passed over. What is missing is
//! a note, not an error: a server without access control answers without a cookie.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use deskd_keeper::files::{self, Links};

use super::DisplayConfig;
use super::xauthority::{self, Cookie, Servers};

/// An Xauthority file has one record of about 60 bytes per host and display.
const XAUTHORITY_BYTES_MAX: u64 = 1 << 20;

/// What to do about an `XAUTH_KEY` that is no cookie.
const KEY_REMEDY: &str = "set it to the hexadecimal digits that `xauth list` shows, or unset it";

/// The cookie, and what a person must know about where it comes from.
pub fn find(config: &DisplayConfig, number: u16) -> (Option<Cookie>, Option<String>) {
    let wrong_key = match config.key() {
        Some(Ok(cookie)) => return (Some(cookie), None),
        Some(Err(why)) => Some(format!("the cookie in XAUTH_KEY is not used: {why}; {KEY_REMEDY}")),
        None => None,
    };
    let found = match &config.xauthority {
        Some(path) => from_file(path, number),
        None if wrong_key.is_some() => Err("there is no XAUTHORITY either".to_owned()),
        None => Err("there is no XAUTHORITY and no XAUTH_KEY".to_owned()),
    };
    let (cookie, why) = match found {
        Ok(cookie) => (Some(cookie), None),
        Err(why) => (None, Some(format!("connecting without a cookie: {why}"))),
    };
    let notes: Vec<_> = wrong_key.into_iter().chain(why).collect();
    (cookie, (!notes.is_empty()).then(|| notes.join("; ")))
}

/// The cookie file, if the cookie that is used is in it.
pub(super) fn file(config: &DisplayConfig, number: u16, cookie: Option<&Cookie>) -> Option<String> {
    let path = config.xauthority.as_deref()?;
    let found = from_file(path, number).ok()?;
    (Some(&found) == cookie).then(|| path.to_string_lossy().into_owned())
}

fn from_file(path: &Path, number: u16) -> Result<Cookie, String> {
    let bytes = files::read_within(path, XAUTHORITY_BYTES_MAX)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let host = nix::unistd::gethostname().unwrap_or_default();
    let (entries, truncated) = xauthority::parse(&bytes);
    xauthority::choose(&entries, host.as_encoded_bytes(), number).ok_or_else(|| {
        let damage = truncated.map(|error| format!(" ({error})")).unwrap_or_default();
        format!(
            "{} has no MIT-MAGIC-COOKIE-1 for display :{number} on host `{}`{damage}",
            path.display(),
            host.to_string_lossy()
        )
    })
}

/// Writes an Xauthority file (0600, replaced as a whole, and only if it is another one: programs
/// behind the wall can read the one that was there when they were started) that works under any host name, for
/// applications when only `XAUTH_KEY` was given.
///
/// # Errors
/// The file cannot be written.
pub fn write_xauthority(
    path: &Path,
    cookie: &Cookie,
    number: u16,
    servers: Servers<'_>,
) -> io::Result<()> {
    let bytes = xauthority::to_xauthority_file(cookie, number, servers);
    if files::read(path, XAUTHORITY_BYTES_MAX, Links::Refuse).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    files::clear(temporary)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(&bytes)?;
    files::replace(temporary, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::display::Secret;

    fn config(key: Option<&str>, file: Option<PathBuf>) -> DisplayConfig {
        DisplayConfig {
            display: ":0".into(),
            xauthority: file,
            xauth_key: key.map(|key| Secret(key.into())),
            tcp: false,
            handshake_timeout: Duration::from_secs(1),
            hang_timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_written_file_is_private_and_gives_the_cookie_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Xauthority");
        let cookie = Cookie::from_hex(&"5a".repeat(16)).unwrap();
        let before = Cookie::from_hex(&"00".repeat(15)).unwrap();
        for cookie in [&before, &cookie] {
            write_xauthority(&path, cookie, 3, Servers::default()).unwrap();
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(find(&config(None, Some(path.clone())), 3), (Some(cookie), None));
        let (none, note) = find(&config(None, Some(path)), 4);
        assert_eq!(none, None);
        assert!(note.unwrap().contains("no MIT-MAGIC-COOKIE-1 for display :4"));
    }

    #[test]
    fn the_key_wins_over_the_file_and_a_bad_key_is_noted_without_being_printed() {
        let key = "a1".repeat(16);
        let missing = Some(PathBuf::from("/nonexistent/Xauthority"));
        let cookie = Cookie::from_hex(&key).ok();
        assert_eq!(find(&config(Some(&key), missing.clone()), 0), (cookie, None));
        let (none, note) = find(&config(Some("secret-but-short"), missing.clone()), 0);
        assert_eq!(none, None);
        let note = note.unwrap();
        assert!(!note.contains("secret") && note.contains("unset it"), "{note}");
        assert!(note.contains("cannot read /nonexistent/Xauthority"), "{note}");
        let (_, note) = find(&config(None, missing), 0);
        assert!(note.unwrap().contains("cannot read /nonexistent/Xauthority"));
    }

    #[test]
    fn a_bad_key_leaves_the_file_to_be_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Xauthority");
        let cookie = Cookie::from_hex(&"5a".repeat(15)).unwrap();
        write_xauthority(&path, &cookie, 0, Servers::default()).unwrap();
        let (found, note) = find(&config(Some("abc"), Some(path)), 0);
        assert_eq!(found, Some(cookie));
        assert!(note.unwrap().contains("it has 3 hexadecimal digits"));
    }
}
