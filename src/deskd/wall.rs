//! What of deskd's a wall between programs and deskd hides, and what of that it can hide here.

use std::path::{Path, PathBuf};

use crate::config::Env;
use crate::engine::kubernetes::SERVICE_ACCOUNT_DIR;
use deskd_core::wall::WallFacts;

/// Directories of everybody: never hidden, however empty they are.
const SHARED_DIRECTORIES: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run"];
/// Variables that name such directories.
const SHARED_VARIABLES: [&str; 3] = ["HOME", "XDG_RUNTIME_DIR", "TMPDIR"];

/// Where deskd's secrets are, besides those that a pod has of itself.
#[derive(Debug, Clone, Copy)]
pub struct Secrets<'a> {
    /// The state directory.
    pub state_dir: &'a Path,
    /// The bearer token.
    pub token_file: &'a Path,
    /// Credentials for the API server.
    pub kubeconfig: Option<&'a Path>,
}

/// Looks. Secrets are the state directory, the token, and the credentials for the Kubernetes API;
/// programs have to read `xauthority`, wherever it is. The configuration and the documents of
/// applications are no secrets.
#[must_use]
pub fn here(own: Secrets<'_>, env: &Env, xauthority: Option<&str>) -> WallFacts {
    let cluster = own.kubeconfig.map(PathBuf::from).into_iter().chain([SERVICE_ACCOUNT_DIR.into()]);
    let own = [own.state_dir, own.token_file].map(PathBuf::from).into_iter();
    let secrets: Vec<PathBuf> = own.chain(cluster).collect();
    let shown: Vec<PathBuf> = xauthority.map(PathBuf::from).into_iter().collect();
    let named = SHARED_VARIABLES.into_iter().filter_map(|name| env.get(name));
    let shared = named.chain(SHARED_DIRECTORIES.map(str::to_owned)).map(PathBuf::from);
    deskd_keeper::wall::look(&secrets, &shown, &shared.collect::<Vec<_>>())
}
