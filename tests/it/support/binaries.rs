//! The programs under test, as cargo built them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// `deskd`.
pub(crate) fn deskd() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_deskd"))
}

/// `deskd-keeper`: beside it, if the whole workspace was built; or another one, as `tests/fuzz/keeper` names it.
#[expect(clippy::disallowed_methods, reason = "what runs the tests says so in the environment")]
pub(crate) fn keeper() -> PathBuf {
    let other = std::env::var_os("DESKD_TEST_KEEPER").map(PathBuf::from);
    let keeper = other.unwrap_or_else(|| deskd().with_file_name("deskd-keeper"));
    assert!(keeper.exists(), "{} is missing: run `cargo build` first", keeper.display());
    keeper
}

/// Puts both into a directory that every user may enter, as `make build` and the images do: executable, not readable.
/// The path of `deskd` there.
pub(crate) fn install(directory: &Path) -> PathBuf {
    for built in [deskd().to_owned(), keeper()] {
        let installed = installed(&built);
        let to = directory.join(built.file_name().expect("a file"));
        if std::fs::hard_link(&installed, &to).is_err() {
            std::fs::copy(&installed, &to).expect("a copy of the binary");
        }
    }
    directory.join("deskd")
}

/// A copy of a binary with mode 0111, made once for each build of it.
fn installed(built: &Path) -> PathBuf {
    let file = std::fs::metadata(built).expect("a binary");
    let changed = file.modified().expect("a time").duration_since(std::time::UNIX_EPOCH);
    let name = built.file_name().expect("a file").to_string_lossy();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let copy = directory.join(format!("{name}-{}", changed.expect("a time").as_nanos()));
    if !copy.exists() {
        let new = tempfile::NamedTempFile::new_in(directory).expect("a file");
        std::fs::copy(built, new.path()).expect("a copy of the binary");
        std::fs::set_permissions(new.path(), PermissionsExt::from_mode(0o111)).expect("chmod");
        new.persist(&copy).expect("a name");
    }
    copy
}
