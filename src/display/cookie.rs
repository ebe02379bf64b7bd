//! Where the cookie of the display comes from, and the file that gives it to applications.
//!
//! `XAUTH_KEY` wins over the Xauthority file. A missing cookie is a note, not an error: a server
//! without access control answers without one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::xauthority::{self, Cookie};
use super::{DisplayConfig, Secret};

/// An Xauthority file has one record of about 60 bytes per host and display.
const XAUTHORITY_BYTES_MAX: u64 = 1 << 20;

/// The cookie, and what a person must know when there is none.
pub fn find(config: &DisplayConfig, number: u16) -> (Option<Cookie>, Option<String>) {
    let found = match (&config.xauth_key, &config.xauthority) {
        (Some(Secret(key)), _) => Cookie::from_hex(key.trim())
            .ok_or_else(|| "XAUTH_KEY is not 32 hex digits, so it was not used".to_owned()),
        (None, Some(path)) => from_file(path, number),
        (None, None) => Err("there is no XAUTHORITY and no XAUTH_KEY".to_owned()),
    };
    match found {
        Ok(cookie) => (Some(cookie), None),
        Err(why) => (None, Some(format!("connecting without a cookie: {why}"))),
    }
}

fn from_file(path: &Path, number: u16) -> Result<Cookie, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(XAUTHORITY_BYTES_MAX).read_to_end(&mut bytes))
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

/// Writes an Xauthority file (0600, replaced as a whole) that works under any host name, for
/// applications when only `XAUTH_KEY` was given.
pub fn write_xauthority(path: &Path, cookie: &Cookie, number: u16) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    match std::fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(&xauthority::to_xauthority_file(cookie, number))?;
    std::fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

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
        write_xauthority(&path, &Cookie::from_hex(&"00".repeat(16)).unwrap(), 3).unwrap();
        write_xauthority(&path, &cookie, 3).unwrap();
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
        assert_eq!(find(&config(Some(&key), missing.clone()), 0), (Cookie::from_hex(&key), None));
        let (none, note) = find(&config(Some("secret-but-short"), missing.clone()), 0);
        assert_eq!(none, None);
        assert!(!note.unwrap().contains("secret"));
        let (_, note) = find(&config(None, missing), 0);
        assert!(note.unwrap().contains("cannot read /nonexistent/Xauthority"));
    }
}
