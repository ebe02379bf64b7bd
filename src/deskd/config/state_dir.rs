//! Where deskd keeps its state when nobody says where.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::env::Env;

/// The state directories tried, best first: `/run/deskd`, `$XDG_RUNTIME_DIR/deskd`,
/// `/tmp/deskd-<uid>`.
#[must_use]
pub fn state_dir_candidates(env: &Env) -> Vec<PathBuf> {
    let runtime = env.get("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let uid = nix::unistd::geteuid();
    [Some(PathBuf::from("/run/deskd")), runtime.map(|dir| dir.join("deskd"))]
        .into_iter()
        .flatten()
        .chain([PathBuf::from(format!("/tmp/deskd-{uid}"))])
        .collect()
}

/// The first candidate that is ours and can be written to, created if need be (mode 0700). When
/// none can, the last one: the keeper then reports the failure with its path.
#[must_use]
pub fn default_state_dir(env: &Env) -> PathBuf {
    let mut candidates = state_dir_candidates(env);
    let usable = candidates.iter().position(|dir| is_usable(dir));
    candidates.swap_remove(usable.unwrap_or(candidates.len() - 1))
}

/// Ours alone: in `/tmp` anybody can create a directory or a symlink of that name first.
fn is_usable(dir: &Path) -> bool {
    let created = std::fs::DirBuilder::new().mode(0o700).create(dir);
    match created {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            std::fs::symlink_metadata(dir).is_ok_and(|meta| {
                meta.is_dir()
                    && meta.uid() == nix::unistd::geteuid().as_raw()
                    && nix::unistd::access(dir, nix::unistd::AccessFlags::W_OK).is_ok()
            })
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symlink_in_the_place_of_the_directory_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("deskd");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        assert!(!is_usable(&link));
    }

    #[test]
    fn a_missing_directory_is_created_for_us_alone() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("deskd");
        assert!(is_usable(&state) && is_usable(&state));
        assert_eq!(std::fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
        assert!(!is_usable(&dir.path().join("no/such/parent")));
    }

    #[test]
    fn a_relative_runtime_directory_is_ignored() {
        let env = Env::from_pairs([("XDG_RUNTIME_DIR", "run")]);
        assert_eq!(state_dir_candidates(&env).len(), 2);
    }
}
