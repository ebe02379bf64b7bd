//! Helm, and the Kustomize that is in kubectl, on the manifests of `container/`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use super::control_plane::Version;

/// A file or directory of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("DESKD_ROOT")).join(path)
}

/// What `tests/helm/build` makes, or none where it cannot.
pub(crate) fn helm_directory() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let output =
            Command::new(repository("tests/helm/build")).stderr(Stdio::inherit()).output().ok()?;
        let printed = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        output.status.success().then_some(printed.into())
    };
    BUILT.get_or_init(build).as_deref()
}

/// Whether both tools are here; under CI what is missing is a failure.
pub(crate) fn available() -> bool {
    let mut missing = Vec::new();
    if helm_directory().is_none() {
        missing.push("what tests/helm/build makes");
    }
    if Version::V1_36.programs().is_err() {
        missing.push("the programs of tests/cluster/build");
    }
    super::needs::met(&[], &missing)
}

/// Helm on the chart, without the settings of the user: stdout, or stderr where it fails.
pub(crate) fn helm(arguments: &[&str], home: &Path) -> Result<String, String> {
    let program = helm_directory().expect("available() was asked").join("helm");
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).args(arguments).stdin(Stdio::null());
    result(&mut command)
}

/// `kubectl kustomize`.
pub(crate) fn kustomize(directory: &Path) -> Result<String, String> {
    let programs = Version::V1_36.programs().as_ref().expect("available() was asked");
    let mut command = Command::new(programs.join("kubectl"));
    command.env_clear().arg("kustomize").arg(directory).stdin(Stdio::null());
    result(&mut command)
}

fn result(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The objects of a manifest, in an order of their own.
pub(crate) fn objects(manifest: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifest).expect("YAML");
    let mut objects: Vec<_> = documents.into_iter().filter(|object| !object.is_null()).collect();
    objects.sort_by_key(|object| {
        let name = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        (object["kind"].as_str().unwrap_or_default().to_owned(), name("namespace"), name("name"))
    });
    objects
}
