//! Directories for one user alone, and copies of the display's cookie file in them, made in volumes that
//! applications share with deskd's container.
//!
//! Applications can write to these volumes too, so no name in them is trusted: each step of the way is
//! opened from the one before, and never through a link.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, fstat, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

use deskd_core::plan::EphemeralPlan;
use deskd_core::plan::remote::{CookieCopy, PrivateDirectory};
use deskd_keeper::files;

/// Mode of the directory, and of what is made on the way to it.
const MODE: Mode = Mode::RWXU;
/// Mode of a copy of the cookie file.
const COPY_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// `S_IFREG` of `stat(2)`.
const FILE_TYPE_REGULAR: u32 = 0o100_000;
/// What a copy is called while it is written; not a name of `xauth`'s (`-c`, `-l`, `-n` at the end).
const COPYING: &str = "Xauthority.deskd";
/// Most of a cookie file that is copied: it has one record of about 60 bytes per host and display.
const COOKIE_FILE_BYTES_MAX: u64 = 1 << 20;
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
    /// The cookie file cannot be read, or the copy not be written.
    #[error("{0}")]
    Copy(#[from] io::Error),
    /// It is somebody else's.
    #[error("it belongs to user {0}: remove it")]
    Owner(u32),
}

/// Makes what a plan wants made. Where that cannot be, the application is started without the variable
/// that would name it: toolkits then make a directory of their own.
pub fn prepare(plan: &mut EphemeralPlan) {
    let made = plan.prepare.iter().map(|directory| (directory, make(directory).map(drop)));
    let copied = plan.cookie.iter().map(|cookie| (&cookie.directory, copy(cookie)));
    for (PrivateDirectory { variable, root, path, .. }, made) in made.chain(copied) {
        if let Err(why) = made {
            tracing::warn!(
                "an application is started without {variable}: {}/{path}: {why}",
                root.trim_end_matches('/')
            );
            plan.container.env.retain(|var| var.name != *variable);
        }
    }
}

/// Copies the cookie file, unless what is there has all of it: `xauth` appends its own records.
/// Applications may write to the directory, so the copy is made beside it and takes its place.
pub fn copy(cookie: &CookieCopy) -> Result<(), NotMade> {
    let wanted = files::read_within(Path::new(&cookie.from), COOKIE_FILE_BYTES_MAX)?;
    let directory = make(&cookie.directory)?;
    if there(&directory, wanted.len()).is_some_and(|there| there.starts_with(&wanted)) {
        return Ok(());
    }
    match unlinkat(&directory, COPYING, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(Errno::ISDIR) => return Err(NotMade::Taken),
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&directory, COPYING, flags, COPY_MODE)?);
    file.write_all(&wanted)?;
    match renameat(&directory, COPYING, &directory, CookieCopy::NAME) {
        Err(Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => Err(NotMade::Taken),
        other => Ok(other?),
    }
}

/// The beginning of the copy that is there, if it is a file that only its user reads.
fn there(directory: &OwnedFd, bytes: usize) -> Option<Vec<u8>> {
    // A pipe of that name would keep whoever opens it waiting.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(directory, CookieCopy::NAME, flags, Mode::empty()).ok()?;
    let found = fstat(&file).ok()?;
    let private = found.st_mode == FILE_TYPE_REGULAR | COPY_MODE.bits();
    let mut start = Vec::new();
    let length = u64::try_from(bytes).ok()?;
    private.then(|| File::from(file).take(length).read_to_end(&mut start).ok())??;
    Some(start)
}

/// Makes one, if it is not there already, and opens it.
pub fn make(directory: &PrivateDirectory) -> Result<OwnedFd, NotMade> {
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
    Ok(at)
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

    /// A cookie file, and a copy of it in `runtime` of a volume.
    fn copy_in(volume: &std::path::Path) -> CookieCopy {
        let from = volume.join("cookie").to_str().unwrap().to_owned();
        std::fs::write(&from, b"\0\xff one").unwrap();
        CookieCopy { from, directory: directory(volume, "runtime") }
    }

    #[test]
    fn a_copy_of_the_cookie_file_is_its_users_alone_and_is_renewed() {
        let volume = tempfile::tempdir().unwrap();
        let wanted = copy_in(volume.path());
        let there = volume.path().join("runtime/Xauthority");
        let inode = || std::fs::metadata(&there).unwrap().ino();
        copy(&wanted).unwrap();
        assert_eq!(std::fs::read(&there).unwrap(), b"\0\xff one");
        assert_eq!(std::fs::metadata(&there).unwrap().mode() & MODE_BITS, 0o600);
        // What an application appended stays as long as the cookie is the same.
        let before = inode();
        std::fs::write(&there, b"\0\xff one and more").unwrap();
        copy(&wanted).unwrap();
        assert_eq!(inode(), before);
        std::fs::write(&wanted.from, "two").unwrap();
        std::fs::write(volume.path().join("runtime").join(COPYING), "left over").unwrap();
        copy(&wanted).unwrap();
        assert_eq!(std::fs::read(&there).unwrap(), b"two");
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&there, open).unwrap();
        copy(&wanted).unwrap();
        assert_eq!(std::fs::metadata(&there).unwrap().mode() & MODE_BITS, 0o600);
    }

    #[test]
    fn a_copy_is_written_through_no_name_that_an_application_left_there() {
        let (volume, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let wanted = copy_in(volume.path());
        make(&wanted.directory).unwrap();
        let target = elsewhere.path().join("target");
        std::fs::write(&target, "precious").unwrap();
        let runtime = volume.path().join("runtime");
        for name in [COPYING, CookieCopy::NAME] {
            symlink(&target, runtime.join(name)).unwrap();
        }
        copy(&wanted).unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
        let there = runtime.join(CookieCopy::NAME);
        assert!(std::fs::symlink_metadata(&there).unwrap().is_file());
        // A pipe does not hold it up, and a directory in the way is told.
        for name in [CookieCopy::NAME, COPYING] {
            let name = runtime.join(name);
            let _ = std::fs::remove_file(&name);
            nix::unistd::mkfifo(&name, nix::sys::stat::Mode::S_IRUSR).unwrap();
        }
        copy(&wanted).unwrap();
        assert!(std::fs::symlink_metadata(&there).unwrap().is_file());
        std::fs::remove_file(&there).unwrap();
        std::fs::create_dir_all(there.join("full")).unwrap();
        assert!(matches!(copy(&wanted), Err(NotMade::Taken)));
        std::fs::create_dir(runtime.join(COPYING)).unwrap_or_default();
        assert!(matches!(copy(&wanted), Err(NotMade::Taken)));
    }

    #[test]
    fn without_the_copy_the_application_starts_without_its_variable() {
        use deskd_core::env_var::{EnvSource, EnvVar};
        let volume = tempfile::tempdir().unwrap();
        let mut wanted = copy_in(volume.path());
        wanted.directory.variable = "XAUTHORITY".into();
        wanted.from = "/nonexistent/Xauthority".into();
        let container = deskd_core::plan::remote::ContainerPlan {
            image: "x".into(),
            pull_policy: deskd_core::policy::PullPolicy::Never,
            argv: vec![],
            entry_point: false,
            program: None,
            arguments: vec![],
            env: ["XAUTHORITY", "XAUTH_KEY"]
                .map(|name| EnvVar::new(name, "x", EnvSource::Display))
                .to_vec(),
            cwd: None,
            run_as: deskd_core::policy::RunAs { uid: 1, gid: 1, groups: vec![] },
            mounts: vec![],
        };
        let mut plan = EphemeralPlan {
            pod: "p".into(),
            namespace: "n".into(),
            target_container: None,
            prepare: vec![],
            cookie: Some(wanted),
            container,
            place: None,
            grace_s: None,
        };
        prepare(&mut plan);
        assert_eq!(plan.container.env.len(), 1);
        assert_eq!(plan.container.env[0].name, "XAUTH_KEY");
    }
}
