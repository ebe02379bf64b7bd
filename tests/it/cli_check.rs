//! `deskd app check`, and what `check-config` says of documents.

use deskd_core::exit::Exit;
use serde_json::{Value, json};

use super::cli::{check, deskd};

#[test]
fn documents_are_checked_without_a_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let (docs, config) = (dir.path().join("docs"), dir.path().join("deskd.toml"));
    std::fs::create_dir(&docs).unwrap();
    let write = |name: &str, text: &str| std::fs::write(docs.join(name), text).unwrap();
    let image = json!({ "Id": "1", "RepoTags": ["x/2048:1"], "Config": { "Labels": {
        "oc.path": "/usr/games/2048-qt", "io.deskd.ports": "none" } } });
    write("game.json", &image.to_string());
    std::fs::write(&config, format!("apps_directory = {:?}\n", docs)).unwrap();
    let (docs, config) = (docs.to_str().unwrap(), config.to_str().unwrap());
    let (stdout, _) = check(&deskd(&["check-config", config]).output().unwrap(), Exit::Ok);
    assert!(stdout.ends_with("valid, 0 applications, and 1 in documents\n"), "{stdout}");
    let (stdout, _) = check(&deskd(&["app", "check", docs]).output().unwrap(), Exit::Ok);
    assert!(stdout.contains("game.json: warning: 2048: "), "{stdout}");
    assert!(stdout.ends_with("1 applications\n"), "{stdout}");

    let (stdout, _) =
        check(&deskd(&["explain", "--offline", docs]).output().unwrap(), Exit::Unhealthy);
    assert!(stdout.contains("2048 could not run: "), "{stdout}");
    assert!(stdout.contains("add `ephemeral_container` to `engines`"), "{stdout}");
    let engines =
        format!("apps_directory = {docs:?}\n[kubernetes]\nengines = [\"pod_application\"]\n");
    std::fs::write(config, engines).unwrap();
    let judge = ["explain", "2048", "--config", config, "--offline", docs];
    let (stdout, _) = check(&deskd(&judge).output().unwrap(), Exit::Ok);
    assert!(stdout.contains("2048 would run as pod_application"), "{stdout}");
    assert!(!stdout.contains("00000000"), "a cookie is shown: {stdout}");
    let other = ["explain", "4096", "--config", config, "--offline", docs];
    let (_, stderr) = check(&deskd(&other).output().unwrap(), Exit::NotFound);
    assert!(stderr.contains("no document has this application"), "{stderr}");

    write("empty.json", "");
    write("broken.json", "[{");
    write("recipe.json", r#"[{"cat": "games", "launch": "a.b", "template": "ubuntu"}]"#);
    let (stdout, _) = check(&deskd(&["app", "check", docs]).output().unwrap(), Exit::Unhealthy);
    for (file, why) in [
        ("empty.json", "it is empty"),
        ("broken.json", "it is not JSON (EOF while parsing"),
        ("recipe.json", "element 0 of the list is a recipe"),
    ] {
        assert!(stdout.contains(&format!("{file}: wrong: {why}")), "{stdout}");
    }
    assert!(stdout.ends_with("1 applications, 3 files cannot be used\n"), "{stdout}");
    let one = format!("{docs}/empty.json");
    let output = deskd(&["app", "check", &one, "--output", "json"]).output().unwrap();
    let answer: Value = serde_json::from_str(&check(&output, Exit::Unhealthy).0).unwrap();
    assert_eq!(answer["unreadable"][0]["file"], one.as_str());
    let (stdout, _) = check(&deskd(&["check-config", config]).output().unwrap(), Exit::Unhealthy);
    assert!(stdout.contains("recipe.json: wrong: "), "{stdout}");
    let away = format!("{docs}/away");
    let (stdout, _) = check(&deskd(&["app", "check", &away]).output().unwrap(), Exit::Unhealthy);
    assert!(stdout.contains("No such file"), "{stdout}");
}
