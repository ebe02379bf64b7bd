//! The files a program's name may mean, as execvp(3) tries them.

use std::ffi::{CStr, CString};

use super::command::c_string;
use deskd_core::wire::SpawnError;

/// PATH when the environment has none (glibc's and musl's execvp use the like).
pub(super) const DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";
/// Directories of a PATH that are tried.
const DIRECTORIES_MAX: usize = 256;
/// Bytes of a file's name (`NAME_MAX`).
const NAME_BYTES_MAX: usize = 255;

/// Every directory of `path` joined with `program`; an empty directory is the current one.
pub(super) fn candidates(program: &CStr, path: &str) -> Result<Vec<CString>, SpawnError> {
    if program.count_bytes() > NAME_BYTES_MAX {
        return Err(SpawnError::Invalid(format!(
            "the program's name is longer than {NAME_BYTES_MAX} bytes"
        )));
    }
    let in_directory = |directory: &str| {
        let mut file = Vec::with_capacity(directory.len() + 1 + program.count_bytes());
        if !directory.is_empty() {
            file.extend_from_slice(directory.as_bytes());
            file.push(b'/');
        }
        file.extend_from_slice(program.to_bytes());
        c_string(file, || "PATH".to_owned())
    };
    path.split(':').take(DIRECTORIES_MAX).map(in_directory).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(program: &CStr, path: &str) -> Vec<String> {
        let candidates = candidates(program, path).unwrap();
        candidates.into_iter().map(|file| file.into_string().unwrap()).collect()
    }

    #[test]
    fn empty_directories_are_the_current_one() {
        assert_eq!(
            texts(c"xclock", ":/a::/b/:"),
            ["xclock", "/a/xclock", "xclock", "/b//xclock", "xclock"]
        );
        assert_eq!(texts(c"xclock", ""), ["xclock"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn every_directory_is_tried_in_order(directories in prop::collection::vec("[a-z/.]{1,12}", 1..20)) {
            let found = texts(c"p", &directories.join(":"));
            let expected: Vec<String> = directories.iter().map(|d| format!("{d}/p")).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
