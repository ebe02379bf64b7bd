//! The bearer token: loaded from its file, or made there at the first start.

use std::fs::Permissions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use deskd_keeper::files::{self, Links};

/// Random bytes of a token that deskd makes; the file holds twice as many hexadecimal digits.
pub const TOKEN_BYTES: usize = 32;
/// Shortest token that is taken from a file somebody else wrote.
pub const TOKEN_CHARS_MIN: usize = 16;
/// Longest token, and so the largest file that is read.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read or made.
    #[error("cannot {what} the token file {path}")]
    Io {
        /// `read`, `create` or `rename`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file's content is no token.
    #[error(
        "the token in {0} must be {TOKEN_CHARS_MIN} to {TOKEN_BYTES_MAX} visible ASCII characters"
    )]
    Invalid(PathBuf),
    /// The kernel gave no random bytes.
    #[error("no random bytes for a token: {0}")]
    Random(getrandom::Error),
}

/// The secret that opens the TCP door. Never printed.
#[derive(Clone)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Token {
    /// Reads `path`; makes it (mode 0600) when there is none. deskd's own death leaves either no file
    /// or a whole one; that of the machine may leave an empty one, which counts as none. (It is not
    /// waited for on the disk: on a busy one that can take longer than kubelet waits for deskd.)
    ///
    /// What is no token is refused, since somebody chose it; in `own_dir`, deskd's state directory,
    /// nobody did: there it is set aside, and the desktop comes up.
    pub fn load_or_create(path: &Path, own_dir: Option<&Path>) -> Result<Self, TokenError> {
        let place = if path.parent() == own_dir { Place::Own } else { Place::Users };
        let found = read(path, place);
        if let Ok(Some(token)) = found {
            keep_private(path);
            return Ok(token);
        }
        match found {
            Err(error) if place == Place::Own => {
                let why = std::io::Error::other(chain(&error));
                let aside = files::set_aside(path, &why);
                aside.map_err(|source| TokenError::Io {
                    what: "rename",
                    path: path.to_owned(),
                    source,
                })?;
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        create(path)?;
        read(path, place)?.ok_or_else(|| TokenError::Invalid(path.to_owned()))
    }

    /// Whether `given` is the token; takes the same time wherever they differ.
    #[must_use]
    pub fn is(&self, given: &str) -> bool {
        same(&mac(self.0.as_bytes(), given.as_bytes()), &mac(self.0.as_bytes(), self.0.as_bytes()))
    }

    /// A key for one purpose, from which the token cannot be computed.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        mac(self.0.as_bytes(), purpose.as_bytes())
    }
}

/// HMAC-SHA256.
#[must_use]
pub fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Compares without telling by its time where the first difference is.
#[must_use]
pub fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0u8, |all, (x, y)| all | (x ^ y)) == 0
}

/// `bytes` random bytes as hexadecimal digits.
pub fn random_hex(bytes: usize) -> Result<String, getrandom::Error> {
    let mut raw = vec![0; bytes];
    getrandom::fill(&mut raw)?;
    Ok(hex(&raw))
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An error with what it came from.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// deskd's own, in its state directory, without which nothing works anyway.
    Own,
    /// Where somebody says, such as a volume whose server may be gone.
    Users,
}

/// Nothing when there is no file, or an empty one.
fn read(path: &Path, place: Place) -> Result<Option<Token>, TokenError> {
    let io = |source| TokenError::Io { what: "read", path: path.to_owned(), source };
    let bytes_max = TOKEN_BYTES_MAX as u64 + 2;
    let found = match place {
        Place::Own => files::read(path, bytes_max, Links::Follow),
        Place::Users => files::read_within(path, bytes_max),
    };
    let bytes = match found {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io)?,
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(bytes).map_err(|_| TokenError::Invalid(path.to_owned()))?;
    let token = text.trim();
    let fits = (TOKEN_CHARS_MIN..=TOKEN_BYTES_MAX).contains(&token.len());
    if !fits || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::Invalid(path.to_owned()));
    }
    Ok(Some(Token(token.to_owned())))
}

/// Says so when others can read the token, and keeps them out where the file is deskd's own: it is
/// still the token, since a volume may have been given to a group after it was made.
fn keep_private(path: &Path) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 == 0 {
        return;
    }
    let file = path.display();
    let own = metadata.uid() == nix::unistd::geteuid().as_raw();
    if own && std::fs::set_permissions(path, Permissions::from_mode(0o600)).is_ok() {
        tracing::warn!(
            "the token file {file} had mode {mode:04o}, so others could read the token; it has 0600 \
             now. Whoever read it can still use it: remove the file and restart deskd, which makes \
             another"
        );
    } else {
        tracing::warn!(
            "the token file {file} has mode {mode:04o}: others can read the token. Give it mode \
             0600 (of a Secret's volume: `defaultMode: 0400`)"
        );
    }
}

fn create(path: &Path) -> Result<(), TokenError> {
    let io = |source| TokenError::Io { what: "create", path: path.to_owned(), source };
    let token = random_hex(TOKEN_BYTES).map_err(TokenError::Random)?;
    let part = path.with_extension(format!("part-{}", std::process::id()));
    let written = (|| {
        // In a container a daemon has the number of the one before, which may have left it there.
        files::clear(&part)?;
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&part)?;
        writeln!(file, "{token}")?;
        // A link fails where somebody else was faster: then theirs is the token.
        match std::fs::hard_link(&part, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // A link to nothing is as good as an empty file.
                let empty = match std::fs::metadata(path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => true,
                    other => other?.len() == 0,
                };
                if empty { std::fs::rename(&part, path) } else { Ok(()) }
            }
            other => other,
        }
    })();
    let _ = std::fs::remove_file(&part);
    written.map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_a_token_that_only_its_owner_reads_and_the_next_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let made = Token::load_or_create(&path, None).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(made.0.len(), TOKEN_BYTES * 2);
        assert!(Token::load_or_create(&path, None).unwrap().is(&made.0));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a part file stayed");
        // One with this number was killed while it made its own.
        std::fs::remove_file(&path).unwrap();
        let part = dir.path().join(format!("token.part-{}", std::process::id()));
        std::fs::write(&part, "half").unwrap();
        Token::load_or_create(&path, None).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a part file stayed");
    }

    #[test]
    fn an_empty_file_is_no_token_yet() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "").unwrap();
        let made = Token::load_or_create(&path, None).unwrap();
        assert!(Token::load_or_create(&path, None).unwrap().is(&made.0));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a part file stayed");
    }

    #[test]
    fn a_short_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "short\n").unwrap();
        assert!(matches!(Token::load_or_create(&path, None), Err(TokenError::Invalid(_))));
    }

    #[test]
    fn what_is_no_token_in_the_state_directory_is_set_aside_and_another_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let own = Some(dir.path());
        let makes: [fn(&Path); 4] = [
            |path| std::fs::write(path, "short").unwrap(),
            |path| std::fs::create_dir(path).unwrap(),
            |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            |path| std::fs::write(path, vec![b'x'; 1 << 20]).unwrap(),
        ];
        for make in makes {
            make(&path);
            let made = Token::load_or_create(&path, own).unwrap();
            assert!(Token::load_or_create(&path, own).unwrap().is(&made.0));
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_token_that_others_can_read_is_taken_from_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "0123456789abcdef").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(Token::load_or_create(&path, None).unwrap().is("0123456789abcdef"));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_token_is_never_printed() {
        let token = Token("0123456789abcdef".into());
        assert_eq!(format!("{token:?}"), "[redacted]");
        assert!(token.is("0123456789abcdef") && !token.is("0123456789abcdeF") && !token.is(""));
    }
}
