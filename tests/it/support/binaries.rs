//! The programs under test, as cargo built them.

use std::path::{Path, PathBuf};

/// `deskd`.
pub(crate) fn deskd() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_deskd"))
}

/// `deskd-keeper`: beside it, if the whole workspace was built.
pub(crate) fn keeper() -> PathBuf {
    let keeper = deskd().with_file_name("deskd-keeper");
    assert!(keeper.exists(), "{} is missing: run `cargo build` first", keeper.display());
    keeper
}

/// Puts both into a directory that every user may enter; the path of `deskd` there.
pub(crate) fn install(directory: &Path) -> PathBuf {
    for built in [deskd().to_owned(), keeper()] {
        let to = directory.join(built.file_name().expect("a file"));
        if std::fs::hard_link(&built, &to).is_err() {
            std::fs::copy(&built, &to).expect("a copy of the binary");
        }
    }
    directory.join("deskd")
}
