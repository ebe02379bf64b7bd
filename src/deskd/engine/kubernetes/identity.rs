//! Who this deskd is in the cluster, and how it gets to the API server.
//!
//! Inside a pod: the service account's projected token. kube reads that file anew every minute, and
//! kubelet replaces it long before it expires; an answer 401 makes deskd read everything anew at
//! once. Outside, or for tests: a kubeconfig file. See `credentials`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::credentials::{CredentialsError, credentials};
use deskd_core::kubernetes::PodIdentity;
use deskd_core::policy::Policy;

/// Time in which the API server must accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What the engine is made from.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Who this is.
    pub pod: PodIdentity,
    /// deskd's TCP port: the container that has it is deskd's own.
    pub port: u16,
    /// What the operator decided.
    pub policy: Arc<Policy>,
    /// `KUBECONFIG`; absent: what kubelet mounts into every pod with a token.
    pub kubeconfig: Option<PathBuf>,
    /// deskd's own program, as its container has it.
    pub program: Option<PathBuf>,
    /// deskd's own files that applications are not to reach: state directory, socket, token,
    /// configuration, credentials, application documents.
    pub private: Vec<PathBuf>,
    /// Where places are remembered; absent: none are made.
    pub places: Option<PathBuf>,
}

/// The own pod, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid, by which everything of it is labelled.
    pub uid: String,
    /// Namespace of application pods.
    pub apps_namespace: String,
}

/// Why the API is not asked for anything.
#[derive(Debug, thiserror::Error)]
pub enum Off {
    /// No remote engine is configured.
    #[error("no remote engine is configured: set `kubernetes.engines`")]
    NotConfigured,
    /// Variables are missing.
    #[error(
        "deskd does not know its own pod: {0} must be set from the downward API, as \
         container/pod.yaml does"
    )]
    NoIdentity(String),
    /// A name of the identity cannot be one.
    #[error("{variable} is `{value}`, which cannot be the name of anything in a cluster")]
    BadName {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
    },
    /// No credentials.
    #[error(transparent)]
    NoCredentials(#[from] CredentialsError),
}

impl EngineConfig {
    /// The own pod, if everything about it is known and anything is to be done.
    pub fn own(&self) -> Result<Own, Off> {
        if self.policy.engines.is_empty() {
            return Err(Off::NotConfigured);
        }
        let wanted = [
            ("POD_NAME", &self.pod.name),
            ("POD_NAMESPACE", &self.pod.namespace),
            ("POD_UID", &self.pod.uid),
        ];
        let missing: Vec<_> =
            wanted.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
        let [Some(name), Some(namespace), Some(uid)] = wanted.map(|(_, value)| value.clone())
        else {
            return Err(Off::NoIdentity(missing.join(", ")));
        };
        let apps_namespace =
            self.policy.apps_namespace.clone().unwrap_or_else(|| namespace.clone());
        for (variable, value) in [
            ("POD_NAME", &name),
            ("POD_NAMESPACE", &namespace),
            ("POD_UID", &uid),
            ("kubernetes.apps_namespace", &apps_namespace),
        ] {
            // They become parts of addresses.
            let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
            if value.is_empty() || !value.bytes().all(legal) {
                return Err(Off::BadName { variable, value: value.clone() });
            }
        }
        Ok(Own { name, namespace, uid, apps_namespace })
    }

    /// A new connection with what the files say now.
    pub(super) async fn client(&self) -> Result<kube::Client, Off> {
        let mut config = credentials(self.kubeconfig.as_deref()).await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // The engine tries again itself, and says what it waits for.
        config.default_retry = false;
        kube::Client::try_from(config)
            .map_err(|error| CredentialsError::Missing(chain(&error)).into())
    }
}

/// An error and what caused it, each once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let words = source.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use deskd_core::plan::EngineKind;

    fn config() -> EngineConfig {
        let pod = PodIdentity {
            name: Some("anna".into()),
            namespace: Some("desktops".into()),
            uid: Some("0f1e".into()),
            ..PodIdentity::default()
        };
        let engines = vec![EngineKind::PodApplication];
        let policy = Arc::new(Policy { engines, ..Policy::default() });
        EngineConfig {
            pod,
            port: 29791,
            policy,
            kubeconfig: None,
            program: None,
            private: vec![],
            places: None,
        }
    }

    #[test]
    fn application_pods_live_in_the_desktop_s_namespace_unless_configured() {
        assert_eq!(config().own().unwrap().apps_namespace, "desktops");
        let mut elsewhere = config();
        let policy = Policy { apps_namespace: Some("apps".into()), ..(*elsewhere.policy).clone() };
        elsewhere.policy = Arc::new(policy);
        assert_eq!(elsewhere.own().unwrap().apps_namespace, "apps");
    }

    #[test]
    fn what_is_missing_is_named_with_the_remedy() {
        let mut off = config();
        off.policy = Arc::default();
        assert!(off.own().unwrap_err().to_string().contains("set `kubernetes.engines`"));
        let mut unknown = config();
        (unknown.pod.uid, unknown.pod.name) = (None, None);
        let text = unknown.own().unwrap_err().to_string();
        assert!(text.contains("POD_NAME, POD_UID must be set"), "{text}");
        let mut odd = config();
        odd.pod.namespace = Some("a/../b".into());
        assert!(odd.own().unwrap_err().to_string().contains("POD_NAMESPACE is `a/../b`"));
    }

    #[tokio::test]
    async fn without_credentials_a_sentence_says_where_they_come_from() {
        let mut config = config();
        config.kubeconfig = Some("/nonexistent/kubeconfig".into());
        let text = config.client().await.map(drop).unwrap_err().to_string();
        assert!(text.contains("/nonexistent/kubeconfig"), "{text}");
        assert!(text.contains("set KUBECONFIG"), "{text}");
    }
}
