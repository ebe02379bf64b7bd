//! `warm` of the configuration.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::PathBuf;

use deskd::config::{Config, ConfigErrors, Env, parse};
use deskd_core::id::AppId;
use deskd_core::policy::Policy;

fn policy(text: &str) -> Policy {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("deskd.toml");
    std::fs::write(&file, text).unwrap();
    let state = dir.path().join("state").display().to_string();
    let env = Env::from_pairs([("DESKD_STATE_DIR", state.as_str())]);
    Config::load(Some(&file), &env).unwrap().policy
}

fn complaints(text: &str) -> String {
    let problems = parse(text, |_| None).err().unwrap_or_default();
    ConfigErrors::Invalid { path: Some(PathBuf::from("deskd.toml")), problems }.report()
}

#[test]
fn what_is_kept_ready_is_a_number_of_pods_per_application_and_per_class() {
    let text = "
        [kubernetes.warm]
        2048-alpine = 2
        [execute_class.quick]
        warm = 1
    ";
    let policy = policy(text);
    let game: AppId = "2048-alpine".parse().unwrap();
    assert_eq!((policy.warm_of(&game, Some("quick")), policy.warm_of(&game, None)), (2, 2));
    let other: AppId = "other".parse().unwrap();
    assert_eq!((policy.warm_of(&other, Some("quick")), policy.warm_of(&other, None)), (1, 0));
    assert!(policy.keeps_warm() && !Policy::default().keeps_warm());

    let told = complaints("kubernetes.warm = { Firefox = 1, game = 17, chess = \"1\" }");
    for says in [
        "`kubernetes.warm.Firefox` has `Firefox`, which is not a valid application id",
        "`kubernetes.warm.game` must be a number of pods from 0 to 16\n    remedy: write it as in",
        "`kubernetes.warm.chess` must be a number of pods from 0 to 16",
    ] {
        assert!(told.contains(says), "{told}");
    }
    let told = complaints("[execute_class.quick]\nwarm = 17");
    assert!(told.contains("`execute_class.quick.warm` is out of range"), "{told}");
}
