//! The way to the API server: a kubeconfig file, else what kubelet mounts into a pod with a token.
//!
//! Of the service account's files only the token and the certificate are needed. kube's own
//! reader also wants the file `namespace`, which a token volume of one's own need not have.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, KubeconfigError, NamedAuthInfo,
    NamedCluster, NamedContext,
};

use super::identity::chain;
use deskd_keeper::files::{self, Links};

/// Where kubelet mounts a service account's token, `ca.crt` and `namespace`.
pub const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The one entry of each list in the kubeconfig that is made here.
const NAME: &str = "pod";
/// Largest kubeconfig, in bytes: certificates are in it.
const KUBECONFIG_BYTES_MAX: u64 = 4 << 20;
/// Largest file `namespace`, in bytes: a name has 63.
const NAMESPACE_BYTES_MAX: u64 = 1 << 10;

/// Why there is no way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// None were given, or they are not valid.
    #[error(
        "there are no credentials for the Kubernetes API: {0}. Mount the service account's token \
         into deskd's container, as container/pod.yaml does, or set KUBECONFIG"
    )]
    Missing(String),
    /// They are there, for somebody else.
    #[error(
        "deskd may not read its credentials for the Kubernetes API: {file} {owner}, and deskd runs \
         as {uid}:{gid}. Leave `defaultMode` out of the projected volume, or give the pod an fsGroup"
    )]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// `has mode 0440 and belongs to 0:0`.
        owner: String,
        /// deskd's user.
        uid: u32,
        /// deskd's group.
        gid: u32,
    },
}

/// Reads the kubeconfig file, or what kubelet mounted.
pub(super) async fn credentials(
    kubeconfig: Option<&Path>,
) -> Result<kube::Config, CredentialsError> {
    let missing = |error: KubeconfigError| CredentialsError::Missing(chain(&error));
    let kubeconfig = match kubeconfig {
        Some(path) => from_file(path)?,
        None => in_pod(Path::new(SERVICE_ACCOUNT_DIR), variable)?,
    };
    kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(missing)
}

/// Relative names in it are relative to it, as kubectl has it.
fn from_file(path: &Path) -> Result<Kubeconfig, CredentialsError> {
    let missing = |why: &dyn std::fmt::Display| {
        CredentialsError::Missing(format!("{}: {why}", path.display()))
    };
    let bytes = files::read_within(path, KUBECONFIG_BYTES_MAX).map_err(|error| missing(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| missing(&error))?;
    let mut kubeconfig = Kubeconfig::from_yaml(&text).map_err(|error| missing(&chain(&error)))?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    let clusters = kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut());
    let users = kubeconfig.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut());
    let of_users =
        users.flat_map(|it| [&mut it.client_certificate, &mut it.client_key, &mut it.token_file]);
    let names = clusters.map(|it| &mut it.certificate_authority).chain(of_users).flatten();
    for name in names.filter(|name| !name.is_empty()) {
        let file = dir.join(&*name);
        // kube opens it, and would wait for whoever writes into a pipe.
        if let Err(error) = files::open(&file, Links::Follow)
            && error.kind() == ErrorKind::InvalidInput
        {
            return Err(CredentialsError::Missing(format!("{}: {error}", file.display())));
        }
        *name = file.to_string_lossy().into_owned();
    }
    Ok(kubeconfig)
}

/// kubelet sets these in every container; no configuration stands between it and its API server.
#[expect(clippy::disallowed_methods, reason = "kubelet's own variables, as kube reads them")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A service account's files as a kubeconfig. It names the token's file instead of its content, so
/// kube reads the token anew when kubelet has replaced it.
fn in_pod(
    dir: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Kubeconfig, CredentialsError> {
    let wanted = |name: &str| {
        variable(name).ok_or_else(|| CredentialsError::Missing(format!("{name} is not set")))
    };
    let (host, port) = (wanted("KUBERNETES_SERVICE_HOST")?, wanted("KUBERNETES_SERVICE_PORT")?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let [token, certificate] = ["token", "ca.crt"].map(|name| dir.join(name));
    for file in [&token, &certificate] {
        readable(file)?;
    }
    let namespace = files::read_within(&dir.join("namespace"), NAMESPACE_BYTES_MAX).ok();
    let namespace = namespace.and_then(|text| String::from_utf8(text).ok());
    let namespace = namespace.or_else(|| variable("POD_NAMESPACE"));
    let text = |path: &Path| Some(path.to_string_lossy().into_owned());
    let cluster = Cluster {
        server: Some(format!("https://{host}:{port}")),
        certificate_authority: text(&certificate),
        ..Cluster::default()
    };
    let user = AuthInfo { token_file: text(&token), ..AuthInfo::default() };
    let context =
        Context { cluster: NAME.into(), user: Some(NAME.into()), namespace, ..Context::default() };
    Ok(Kubeconfig {
        clusters: vec![NamedCluster {
            name: NAME.into(),
            cluster: Some(cluster),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: NAME.into(),
            auth_info: Some(user),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: NAME.into(),
            context: Some(context),
            ..NamedContext::default()
        }],
        current_context: Some(NAME.into()),
        ..Kubeconfig::default()
    })
}

fn readable(file: &Path) -> Result<(), CredentialsError> {
    let Err(error) = files::open(file, Links::Follow) else { return Ok(()) };
    if error.kind() != ErrorKind::PermissionDenied {
        return Err(CredentialsError::Missing(format!("{}: {error}", file.display())));
    }
    let owner = match std::fs::metadata(file) {
        Ok(it) => {
            format!("has mode {:04o} and belongs to {}:{}", it.mode() & 0o7777, it.uid(), it.gid())
        }
        Err(_) => "is in a directory that it may not enter".to_owned(),
    };
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    Err(CredentialsError::Unreadable { file: file.to_owned(), owner, uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubelet(name: &str) -> Option<String> {
        let value = match name {
            "KUBERNETES_SERVICE_HOST" => "fd00::1",
            "KUBERNETES_SERVICE_PORT" => "6443",
            "POD_NAMESPACE" => "desktops",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn a_token_and_a_certificate_are_enough() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["token", "ca.crt"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let found = in_pod(dir.path(), kubelet).unwrap();
        let context = found.contexts[0].context.as_ref().unwrap();
        assert_eq!(context.namespace.as_deref(), Some("desktops"));
        let cluster = found.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://[fd00::1]:6443"));
        let user = found.auth_infos[0].auth_info.as_ref().unwrap();
        assert!(user.token_file.as_deref().unwrap().ends_with("/token"));
        std::fs::write(dir.path().join("namespace"), "elsewhere").unwrap();
        let found = in_pod(dir.path(), kubelet).unwrap();
        let context = found.contexts[0].context.as_ref().unwrap();
        assert_eq!(context.namespace.as_deref(), Some("elsewhere"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let text = in_pod(dir.path(), kubelet).unwrap_err().to_string();
        assert!(text.contains("token: No such file"), "{text}");
        assert!(text.contains("Mount the service account's token"), "{text}");
        let text = in_pod(dir.path(), |_| None).unwrap_err().to_string();
        assert!(text.contains("KUBERNETES_SERVICE_HOST is not set"), "{text}");
    }

    #[test]
    fn nobody_waits_for_who_writes_into_a_pipe() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.crt"), "x").unwrap();
        for name in ["token", "namespace"] {
            let mode = nix::sys::stat::Mode::S_IRWXU;
            nix::unistd::mkfifo(&dir.path().join(name), mode).unwrap();
        }
        let text = in_pod(dir.path(), kubelet).unwrap_err().to_string();
        assert!(text.contains("token: it is a FIFO"), "{text}");
        let config = dir.path().join("config");
        std::fs::write(&config, "users: [{name: a, user: {tokenFile: token}}]").unwrap();
        let text = from_file(&config).unwrap_err().to_string();
        assert!(text.contains("token: it is a FIFO"), "{text}");
        std::fs::remove_file(dir.path().join("token")).unwrap();
        std::fs::write(dir.path().join("token"), "x").unwrap();
        let found = in_pod(dir.path(), kubelet).unwrap();
        let context = found.contexts[0].context.as_ref().unwrap();
        assert_eq!(context.namespace.as_deref(), Some("desktops"));
        assert!(from_file(&config).is_ok());
    }
}
