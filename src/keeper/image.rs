//! What a container of an image would give its program: the keeper's own environment and directory.

use std::collections::HashMap;
use std::ffi::OsString;

use crate::place::OWN_VARIABLES;
use deskd_core::wire::SpawnRequest;

/// What the image says, and kubelet with it.
#[derive(Debug)]
pub struct Image {
    env: Vec<(String, String)>,
    cwd: Option<String>,
}

impl Image {
    /// Of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let cwd = std::env::current_dir().ok();
        let cwd = cwd.and_then(|cwd| cwd.into_os_string().into_string().ok());
        Self { env: texts(std::env::vars_os()), cwd }
    }

    /// Its variables.
    #[must_use]
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// A request with what the image says added. The daemon's word wins, as in a container's spec.
    #[must_use]
    pub fn add_to(&self, mut request: SpawnRequest) -> SpawnRequest {
        let mut env: HashMap<_, _> = request.env.into_iter().collect();
        let mut all: Vec<(String, String)> = Vec::with_capacity(self.env.len() + env.len());
        for (name, value) in &self.env {
            let value = env.remove(name).unwrap_or_else(|| value.clone());
            all.push((name.clone(), value));
        }
        let mut rest: Vec<_> = env.into_iter().collect();
        rest.sort();
        all.extend(rest);
        request.env = all;
        request.cwd = request.cwd.or_else(|| self.cwd.clone());
        request
    }
}

/// All but what is for the keeper.
fn texts(all: impl Iterator<Item = (OsString, OsString)>) -> Vec<(String, String)> {
    // Kubernetes has no others; a variable that is no text cannot be told.
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !OWN_VARIABLES.contains(&name.as_str()))
        .collect()
}
