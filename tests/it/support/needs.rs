//! What a test needs of the machine. Under CI what is missing is a failure, elsewhere the test says
//! that it was skipped.

use std::path::Path;

const PROGRAM_DIRS: [&str; 5] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/games"];

/// Whether root runs the tests and `programs` are installed; `more` names what else is missing.
#[expect(clippy::disallowed_methods, reason = "CI says so in the environment")]
pub(crate) fn met(programs: &[&str], more: &[&str]) -> bool {
    let installed =
        |program: &str| PROGRAM_DIRS.iter().any(|dir| Path::new(dir).join(program).exists());
    let mut missing: Vec<&str> =
        programs.iter().copied().filter(|program| !installed(program)).collect();
    missing.extend(more);
    if !nix::unistd::geteuid().is_root() {
        missing.push("root");
    }
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "missing: {missing:?}");
    println!("skipped: missing {missing:?}");
    false
}
