//! Directories for one user alone, made in volumes that applications share with deskd's container.
//!
//! Applications can write to these volumes too, so no name in them is trusted: each step of the way is
//! opened from the one before, and never through a link.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, fchmod, fstat, mkdirat, openat};
use rustix::io::Errno;

use crate::domain::plan::EphemeralPlan;
use crate::domain::plan::remote::PrivateDirectory;

/// Mode of the directory, and of what is made on the way to it.
const MODE: Mode = Mode::RWXU;
/// The bits of a mode that `chmod(2)` sets.
const MODE_BITS: u32 = 0o7777;

/// Why a directory is not what it has to be.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    /// It cannot be made or opened.
    #[error("cannot make it: {0}")]
    Failed(#[from] Errno),
    /// Something of that name is there.
    #[error("there is a link or a file of that name: remove it")]
    Taken,
    /// It is somebody else's.
    #[error("it belongs to user {0}: remove it")]
    Owner(u32),
}

/// Makes what a plan wants made. Where that cannot be, the application is started without the variable
/// that would name it: toolkits then make a directory of their own.
pub fn prepare(plan: &mut EphemeralPlan) {
    for directory in &plan.prepare {
        if let Err(why) = make(directory) {
            let PrivateDirectory { variable, root, path, .. } = directory;
            tracing::warn!(
                "an application is started without {variable}: {}/{path}: {why}",
                root.trim_end_matches('/')
            );
            plan.container.env.retain(|var| var.name != *variable);
        }
    }
}

/// Makes one, if it is not there already.
pub fn make(directory: &PrivateDirectory) -> Result<(), NotMade> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let step = |at: &OwnedFd, name: &str| match openat(at, name, flags, Mode::empty()) {
        Err(Errno::LOOP | Errno::NOTDIR) => Err(NotMade::Taken),
        other => Ok(other?),
    };
    let mut at = openat(CWD, directory.root.as_str(), flags, Mode::empty())?;
    for name in directory.path.split('/') {
        match mkdirat(&at, name, MODE) {
            Ok(()) | Err(Errno::EXIST) => at = step(&at, name)?,
            Err(error) => return Err(error.into()),
        }
    }
    let found = fstat(&at)?;
    if found.st_uid != directory.uid {
        return Err(NotMade::Owner(found.st_uid));
    }
    if found.st_mode & MODE_BITS != MODE.bits() {
        fchmod(&at, MODE)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn directory(root: &std::path::Path, path: &str) -> PrivateDirectory {
        PrivateDirectory {
            variable: "XDG_RUNTIME_DIR".into(),
            root: root.to_str().unwrap().into(),
            path: path.into(),
            uid: rustix::process::geteuid().as_raw(),
        }
    }

    #[test]
    fn a_directory_is_made_once_and_is_its_users_alone() {
        let volume = tempfile::tempdir().unwrap();
        let wanted = directory(volume.path(), "user/4096");
        let mode = || {
            let metadata = std::fs::symlink_metadata(volume.path().join("user/4096")).unwrap();
            (metadata.is_dir(), metadata.mode() & MODE_BITS)
        };
        make(&wanted).unwrap();
        assert_eq!(mode(), (true, 0o700));
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(volume.path().join("user/4096"), open).unwrap();
        std::fs::write(volume.path().join("user/4096/bus"), "").unwrap();
        make(&wanted).unwrap();
        assert_eq!(mode(), (true, 0o700));
        assert!(volume.path().join("user/4096/bus").exists(), "what is in it stays");
    }

    #[test]
    fn no_link_in_a_shared_volume_is_followed() {
        let (volume, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(elsewhere.path(), volume.path().join("runtime")).unwrap();
        std::fs::write(volume.path().join("file"), "").unwrap();
        symlink("nowhere", volume.path().join("dangling")).unwrap();
        for path in ["runtime", "runtime/4096", "file", "dangling"] {
            let why = make(&directory(volume.path(), path)).unwrap_err();
            assert!(matches!(why, NotMade::Taken), "{path}: {why:?}");
        }
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[test]
    fn somebody_elses_directory_is_not_taken_over() {
        let volume = tempfile::tempdir().unwrap();
        std::fs::create_dir(volume.path().join("runtime")).unwrap();
        let mut wanted = directory(volume.path(), "runtime");
        let own = wanted.uid;
        wanted.uid += 1;
        let why = make(&wanted).unwrap_err();
        assert!(matches!(why, NotMade::Owner(owner) if owner == own), "{why:?}");
        let gone = directory(&volume.path().join("gone"), "runtime");
        assert!(matches!(make(&gone), Err(NotMade::Failed(Errno::NOENT))));
    }
}
