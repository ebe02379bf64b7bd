//! Two builds give the same image, and what is in it is told.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::containers::{Image, alone, buildah};
use super::{delivered, repository, stdout_of};

const IMAGE: &str = "localhost/deskd:latest";

#[test]
fn two_builds_of_an_image_have_the_same_digest_and_list_what_is_in_it() {
    let Some(binary) = delivered(&["buildah", "jq", "git"]) else { return };
    let build = || {
        // Nor its layers, which have no other name.
        let _ = buildah().args(["rmi", "--force", IMAGE]).stderr(Stdio::null()).output();
        let mut command = Command::new(repository().join("container/build-images"));
        stdout_of(command.arg(&binary).arg("deskd"));
        let inspect = ["inspect", "--type", "image", "--format", "{{.FromImageDigest}}", IMAGE];
        stdout_of(buildah().args(inspect))
    };
    let alone = alone();
    let digest = build();
    assert!(digest.starts_with("sha256:"), "{digest}");
    assert_eq!(build(), digest);
    drop(alone);

    let image = Image::mount(IMAGE);
    let listed = image.file("usr/share/doc/deskd/sbom.cdx.json");
    let listed: Value = serde_json::from_slice(&listed).expect("JSON");
    assert_eq!(
        (&listed["bomFormat"], &listed["specVersion"]),
        (&"CycloneDX".into(), &"1.5".into())
    );
    assert_eq!(listed["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));
    let locked = locked();
    let components = listed["components"].as_array().expect("components");
    for component in components.iter().filter(|component| component["purl"].is_string()) {
        let word = |value: &Value| value.as_str().expect("a word").to_owned();
        let key = (word(&component["name"]), word(&component["version"]));
        assert_eq!(locked.get(&key), Some(&word(&component["hashes"][0]["content"])), "{key:?}");
        assert!(component["licenses"][0]["expression"].is_string(), "{component}");
    }
    let has = |name: &str| components.iter().any(|component| component["name"] == name);
    for name in ["tokio", "ring", "rust-std", "glibc"] {
        assert!(has(name), "{name} is linked");
    }
    for name in ["proptest", "clap_derive", "clap_mangen"] {
        assert!(!has(name), "{name} is not linked");
    }
}

/// The checksums of `Cargo.lock` by name and version.
fn locked() -> BTreeMap<(String, String), String> {
    let text = std::fs::read_to_string(repository().join("Cargo.lock")).expect("Cargo.lock");
    let lock: Value = toml::from_str(&text).expect("TOML");
    let packages = lock["package"].as_array().expect("packages").iter();
    let word = |package: &Value, key: &str| package[key].as_str().map(ToOwned::to_owned);
    packages
        .filter_map(|package| {
            let name = (word(package, "name")?, word(package, "version")?);
            Some((name, word(package, "checksum")?))
        })
        .collect()
}
