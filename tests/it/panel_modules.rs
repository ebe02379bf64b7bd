//! The panel's pure modules, tested by node's own test runner (`tests/panel/*.test.mjs`).

use std::process::Command;

use super::support::xvnc::Running;

#[test]
#[expect(clippy::disallowed_methods, reason = "CI and PATH are in the environment")]
fn the_modules_of_the_panel_pass_their_tests() {
    let dir = concat!(env!("DESKD_ROOT"), "/tests/panel");
    let files =
        std::fs::read_dir(dir).expect("the tests").map(|entry| entry.expect("a file").path());
    let files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|it| it == "mjs")).collect();
    assert!(!files.is_empty());
    let known = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|dir| dir.join("node").exists());
    if !known {
        assert!(std::env::var_os("CI").is_none(), "missing: node");
        println!("skipped: missing node");
        return;
    }
    let mut node = Running::start(Command::new("node").arg("--test").args(files));
    assert!(node.0.wait().expect("node's status").success());
}
